"""The progress line is for people at a terminal, and for nobody else."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.buffer import progress
from gateway.cli.buffer.progress import Progress
from tests.cli.rings import sparse_ring


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_grows_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    terminal = Terminal()
    with Progress("checking", 200, stream=terminal) as show:
        for done in (0, 50, 200, 300):
            show(done)
    shown = terminal.getvalue().split("\r")
    assert shown[1] == f"[{'.' * 40}]   0%  checking"
    assert shown[2] == f"[{'#' * 10}{'.' * 30}]  25%  checking"
    assert shown[3] == shown[4] == f"[{'#' * 40}] 100%  checking"
    assert shown[5:] == [" " * len(shown[1]), ""]


def test_it_is_rare() -> None:
    terminal = Terminal()
    with Progress("checking", 10**6, stream=terminal) as show:
        for done in range(1000):
            show(done)
    assert 1 <= terminal.getvalue().count("checking") < 1000


def test_nothing_goes_into_a_file_or_where_it_is_not_wanted() -> None:
    file = io.StringIO()
    with Progress("checking", 10, stream=file) as show:
        show(5)
    terminal = Terminal()
    with Progress("checking", 10, shown=False, stream=terminal) as show:
        show(5)
    assert (file.getvalue(), terminal.getvalue()) == ("", "")


def test_a_check_at_a_real_terminal_shows_it_and_keeps_its_output_clean(tmp_path: Path) -> None:
    sparse_ring(tmp_path / "ring", 300)
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "gateway.cli", "buffer", "check", "--json"),
                *("--directory", str(tmp_path / "ring")),
            ],
            stdout=subprocess.PIPE,
            stderr=theirs,
            check=True,
        )
        shown = os.read(ours, 1 << 16)
    finally:
        os.close(theirs)
        os.close(ours)
    assert b"checking" in shown
    assert done.stdout.startswith(b"{")
    assert b"checking" not in done.stdout
