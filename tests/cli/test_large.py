"""Memory does not grow with the ring."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.rings import sparse_ring

FULL_BLOCKS = (64 << 20) // 4096 - 4
SMALL_BLOCKS = 2048
"""Enough that everything that is read in chunks or windows has reached its full size."""
ALLOWED_KIB = 4096
"""The allocator is not the same twice; a part of 64 MiB that is kept shows as more."""
PEAK = """
import sys
from gateway.cli import main
code = main(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(code, peak.split()[1], file=sys.stderr)
"""


def peak_kib(*arguments: str) -> int:
    """Return the most memory that a command had, in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "buffer", *arguments], capture_output=True, check=True
    )
    code, peak = done.stderr.split()[-2:]
    assert code == b"0"
    return int(peak)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_is_flat_for_a_full_ring_of_64_mib(tmp_path: Path) -> None:
    small, full = tmp_path / "small", tmp_path / "full"
    sparse_ring(small, SMALL_BLOCKS)
    readings = sparse_ring(full, FULL_BLOCKS)
    out = tmp_path / "out.csv"
    for action in (
        ("stat", "--json"),
        ("check", "--json"),
        ("export", "--include-p3", "--output", str(out)),
        (
            "export",
            "--include-p3",
            "--format",
            "json",
            "--gateway",
            "g",
            "--to",
            "40 min",
        ),
        ("export", "--include-p3", "--sensor", "nobody"),
    ):
        name, *more = action
        few = peak_kib(name, "--directory", str(small), *more)
        many = peak_kib(name, "--directory", str(full), *more)
        assert many - few < ALLOWED_KIB, (action, few, many)
    with out.open("rb") as file:
        assert sum(1 for _ in file) == readings + 1
