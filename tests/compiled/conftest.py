"""Everything in this folder may wait for the compiler once."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.buffer.conftest import boot_id_from_environment
from tests.compiled.twin import load_twin

__all__ = ["boot_id_from_environment", "twin"]

HERE = Path(__file__).resolve().parent
COMPILE_TIMEOUT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test here, whichever it is, the time to compile."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(COMPILE_TIMEOUT_S))


@pytest.fixture(scope="session")
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """Return the ring in the mode that is not installed."""
    return load_twin(lambda: request.getfixturevalue("compiled_modules"))
