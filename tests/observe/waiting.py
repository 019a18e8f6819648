"""Waiting for a state that no event announces, and programs that run beside the loop."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["running", "until"]


async def until(condition: Callable[[], object]) -> None:
    """Return once ``condition`` holds; the time limit of the test is the limit here."""
    while not condition():  # noqa: ASYNC110 - what is watched are plain counters
        await asyncio.sleep(0.01)


@contextmanager
def running(
    command: Sequence[str | Path], *, stdout: IO[str] | int = subprocess.DEVNULL
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program, without the thread that asyncio starts for one, and end it."""
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
