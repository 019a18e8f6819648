"""The commands read real files, so most tests here are synchronous; clocks ask no file."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable

import pytest

from tests.end_to_end.conftest import children_are_reaped

__all__ = ["children_are_reaped"]


@pytest.fixture(autouse=True)
def boot_id_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYLAB_GATEWAY_BOOT_ID", str(uuid.UUID(int=7)))


@pytest.fixture
def ascii_run() -> Callable[..., tuple[int, str]]:
    """Run a command as on a terminal that knows nothing but ASCII; code and standard output."""

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "gateway.cli", *arguments],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"},
        )
        return done.returncode, done.stdout.decode()

    return run
