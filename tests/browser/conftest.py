"""One browser for all tests of this folder, and a place for what it sees."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import chromium
from tests.observe.figures import Room

__all__ = ["browser", "children_are_reaped", "pictures", "room"]

PICTURES = "CITYLAB_GATEWAY_PICTURES"
"""A directory that outlives the tests, for the output of CI."""
JOIN_TIMEOUT_S = 5.0


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the DevTools address of a running Chromium."""
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as address:
        yield address


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory in which screenshots are kept."""
    kept = os.environ.get(PICTURES)
    if not kept:
        return tmp_path_factory.mktemp("pictures")
    Path(kept).mkdir(parents=True, exist_ok=True)
    return Path(kept)


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture(autouse=True)
def children_are_reaped() -> Iterator[None]:
    """Let the threads end with which asyncio (before Python 3.12) waits for child processes."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("asyncio-waitpid"):
            thread.join(JOIN_TIMEOUT_S)
