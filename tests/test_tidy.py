"""The rules of the house that a machine can keep: who may import whom, and nothing unused."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import drivers
import gateway

ROOT = Path(__file__).resolve().parent.parent
LONG_FUNCTION_LINES = 60
LONG_MODULE_LINES = 400

SHARED_WORDS = {
    "gateway",
    "gateway.about",
    "gateway.backoff",
    "gateway.clock",
    "gateway.errors",
    "gateway.plugins",
    "gateway.quantities",
    "gateway.reading",
}
"""What everybody may import; these import nothing else of ours."""

MAY_IMPORT = {
    "gateway.buffer": SHARED_WORDS,
    "gateway.filters": SHARED_WORDS | {"gateway.config.units"},
    "gateway.driver": SHARED_WORDS,
    "gateway.clock_checks": SHARED_WORDS,
    "gateway.intake": SHARED_WORDS | {"gateway.driver", "gateway.clock_checks"},
    "gateway.supervisor": SHARED_WORDS,
    "gateway.timesync": SHARED_WORDS,
    "gateway.control": SHARED_WORDS,
    "gateway.discretion": SHARED_WORDS,
    "gateway.logs": SHARED_WORDS,
    "gateway.transports": SHARED_WORDS | {"gateway.driver"},
    "gateway.forward.formats": SHARED_WORDS | {"gateway.buffer", "gateway.config.model"},
    "gateway.forward": SHARED_WORDS | {"gateway.buffer", "gateway.config.model"},
    "gateway.observe": SHARED_WORDS,
    "gateway.config": SHARED_WORDS | {"gateway.driver", "gateway.filters"},
    "drivers": {"gateway.driver", "gateway.reading", "gateway.quantities"},
}
"""Room -> what it may import besides itself; the daemon, its parts and the commands see all."""

FORBIDDEN_IN_DRIVERS = {"asyncio", "serial", "bleak", "threading", "logging", "time", "socket"}
SEES_EVERYTHING = (
    "gateway.daemon",
    "gateway.assembly",
    "gateway.audit",
    "gateway.station",
    "gateway.cli",
)
MAY_IMPORT_ALL_THE_SAME = {"drivers.ble_ha.parsers": {"logging"}}
"""It silences the loggers of strangers' code, which write addresses."""
ALLOWED_BROAD_EXCEPT = {"gateway/supervisor.py", "drivers/ble_ha/border.py"}
"""Beside the supervisor the border to strangers' code: docs/decisions/0017-ble-ha.md."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> Iterator[tuple[str, Path, ast.Module]]:
    for folder in ("gateway", "drivers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield module_name(path), path, ast.parse(path.read_text(encoding="utf-8"))


SOURCES = list(sources())
NAMES = {name for name, _, _ in SOURCES}


def imports_of(name: str, path: Path, tree: ast.Module) -> set[str]:
    """Return the modules that one module imports, anywhere in its text."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in NAMES else base)
    return found


def room_of(name: str) -> str | None:
    return next(
        (room for room in MAY_IMPORT if name == room or name.startswith(f"{room}.")),
        None,
    )


def is_inside(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


@pytest.mark.parametrize(("name", "path", "tree"), SOURCES, ids=[name for name, _, _ in SOURCES])
def test_a_room_imports_only_what_it_may_know(name: str, path: Path, tree: ast.Module) -> None:
    ours = {
        found
        for found in imports_of(name, path, tree)
        if found.split(".")[0] in ("gateway", "drivers")
    }
    if name in SHARED_WORDS:
        assert ours <= SHARED_WORDS
        return
    room = room_of(name)
    if room is None:  # the daemon and the commands see everything
        assert name.startswith(SEES_EVERYTHING)
        return
    strangers = {
        found
        for found in ours
        if not is_inside(found, room)
        and not any(is_inside(found, friend) and friend != "gateway" for friend in MAY_IMPORT[room])
        and found != "gateway"
    }
    assert strangers == set()


def test_drivers_touch_no_input_or_output() -> None:
    for name, path, tree in SOURCES:
        if is_inside(name, "drivers"):
            roots = {found.split(".")[0] for found in imports_of(name, path, tree)}
            allowed = MAY_IMPORT_ALL_THE_SAME.get(name, set())
            assert not roots & FORBIDDEN_IN_DRIVERS - allowed, name


def test_every_module_is_used() -> None:
    """A module that nothing imports is an entry point, a command, or dead."""
    used = set()
    for name, path, tree in SOURCES:
        used |= {found for found in imports_of(name, path, tree) if found != name}
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    commands = importlib.import_module("gateway.cli").COMMANDS
    unused = [
        name
        for name, path, _ in SOURCES
        if name not in used
        and path.name not in ("__init__.py", "__main__.py")
        and f'"{name}:' not in declared
        and name.removeprefix("gateway.cli.") not in commands
        and f"-m {name}`" not in ast.get_docstring(ast.parse(path.read_text()), clean=False)  # type: ignore[operator]
    ]
    assert unused == []


def test_only_the_supervisor_and_the_border_catch_everything() -> None:
    for _, path, tree in SOURCES:
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type is not None else "BaseException"
            passed_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if caught in ("Exception", "BaseException") and not passed_on:
                assert str(path.relative_to(ROOT)) in ALLOWED_BROAD_EXCEPT, f"{path}:{node.lineno}"


def test_threads_are_the_disk_worker_and_the_look_ups() -> None:
    """docs/decisions/0002: one worker for the disk, one pool for what only exists blocking.

    doctor, which is no daemon, leaves behind what hangs: a thread for each of its parts.
    """
    users = [
        str(path.relative_to(ROOT))
        for _, path, _ in SOURCES
        if re.search(r"ThreadPoolExecutor\(|\bThread\(", path.read_text(encoding="utf-8"))
    ]
    assert users == [
        "gateway/buffer/flusher.py",
        "gateway/cli/doctor/area.py",
        "gateway/daemon.py",
    ]


def test_all_lists_exactly_what_a_module_means_to_show() -> None:
    wrong = []
    for package in (gateway, drivers):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("__main__"):
                continue  # importing it runs the program
            module = importlib.import_module(info.name)
            listed = getattr(module, "__all__", [])
            wrong += [
                f"{info.name}: {name} is not there" for name in listed if name not in dir(module)
            ]
            wrong += [
                f"{info.name}: {name} is not listed"
                for name, value in vars(module).items()
                if not name.startswith("_")
                and (inspect.isclass(value) or inspect.isfunction(value))
                and value.__module__ == info.name
                and name not in listed
                and name not in _unlisted(info.name)
            ]
    assert wrong == []


def _unlisted(name: str) -> set[str]:
    """Return public names that are for this module alone: protocols of what it is handed."""
    module = importlib.import_module(name)
    return {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and getattr(value, "_is_protocol", False)
    }


def test_nothing_names_the_machine_that_it_was_written_on() -> None:
    words = ["/work" + "/", "pypi" + ".org", "python" + "hosted.org", "deb" + ".debian.org"]
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True
    )
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not [word for word in words if word in text], name


def test_long_pieces_are_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    """Length is an aim, not a law: the longest are listed, and only the absurd fails."""
    functions = []
    modules = []
    for name, path, tree in SOURCES:
        modules.append((len(path.read_text(encoding="utf-8").splitlines()), name))
        functions += [
            ((node.end_lineno or node.lineno) - node.lineno + 1, f"{name}:{node.name}")
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
    modules.sort(reverse=True)
    functions.sort(reverse=True)
    with capsys.disabled():
        for lines, what in modules[:3] + functions[:3]:
            print(f"\n  {lines:4} lines  {what}", end="")
    assert functions[0][0] <= 2 * LONG_FUNCTION_LINES
    assert modules[0][0] <= 2 * LONG_MODULE_LINES
