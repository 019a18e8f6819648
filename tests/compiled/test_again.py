"""Every test of tests/buffer once more, with the ring in the mode that is not installed.

So one session runs them interpreted and compiled. A new test module there is picked up by itself.
"""

import importlib
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.buffer
from gateway.buffer import buffer as buffer_module
from gateway.buffer import lane
from tests.compiled.twin import INSTALLED, swap

NOT_AGAIN = {"test_kill"}
"""Its child process has the ring that is installed; .ci/run has a run of everything with each."""
FOLDER = Path(tests.buffer.__file__).parent


def _copy(function: types.FunctionType, marks: list[pytest.MarkDecorator]) -> types.FunctionType:
    """Return a function of its own, which can carry the marks of the module that it comes from."""
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__dict__.update(function.__dict__)
    for mark in marks:
        mark(copy)
    return copy


def _tests_of(module: types.ModuleType, stem: str) -> Iterator[tuple[str, object]]:
    """Return the tests of one module under names of their own, and its fixtures.

    What its fixtures do to all of its tests they shall not do to those of other modules.
    """
    own = getattr(module, "pytestmark", [])
    marks = list(own) if isinstance(own, list) else [own]
    for name, found in vars(module).items():
        if type(found).__name__ == "FixtureFunctionDefinition":
            if found._fixture_function_marker.autouse:
                own_name = f"{stem}__{name}"
                marks.append(pytest.mark.usefixtures(own_name))
                yield own_name, pytest.fixture(name=own_name)(found._get_wrapped_function())
            else:
                yield name, found
    for name, found in vars(module).items():
        if name.startswith("test_") and isinstance(found, types.FunctionType):
            yield f"{stem}__{name.removeprefix('test_')}", _copy(found, marks)
        elif name.startswith("Test") and isinstance(found, type):
            yield f"Test_{stem}_{name}", found


def _collected() -> Iterator[tuple[str, object]]:
    for path in sorted(FOLDER.glob("test_*.py")):
        if path.stem not in NOT_AGAIN:
            yield from _tests_of(importlib.import_module(f"tests.buffer.{path.stem}"), path.stem)


globals().update(_collected())


@pytest.fixture(autouse=True)
def the_other_mode(twin: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    swap(monkeypatch, INSTALLED, twin)
    for module in (buffer_module, lane):
        assert vars(module)["Ring"] is twin.Ring, "the other mode would not be tested"


def test_the_other_mode_is_what_it_says(twin: types.ModuleType) -> None:
    """A compiled class has no Python code to show; an interpreted one has."""
    modes = {
        module.COMPILED: isinstance(module.Ring.append, types.FunctionType)
        for module in (INSTALLED, twin)
    }
    assert modes == {False: True, True: False}
