"""What tests with child processes need."""

import threading
from collections.abc import Iterator

import pytest

__all__ = ["children_are_reaped"]

JOIN_TIMEOUT_S = 5.0


@pytest.fixture(autouse=True)
def children_are_reaped() -> Iterator[None]:
    """Let the threads end with which asyncio (before Python 3.12) waits for child processes.

    A process has ended for the test a moment before its thread has. One that still runs keeps its
    thread, and is found by the check that nothing is left behind.
    """
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("asyncio-waitpid"):
            thread.join(JOIN_TIMEOUT_S)
