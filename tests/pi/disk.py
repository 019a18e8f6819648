"""What is on the disk of the Pi without power: the ring, read by the project's own tools."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.buffer.inspect import RingView
from gateway.errors import NotARing
from tests.pi.tools import Failed, run_async

__all__ = ["Disk", "Name", "look_at"]

STATE = "/var/lib/citylab-gateway"
GATEWAY = "pi-1"
REPAIRED = (0, 1)
"""e2fsck: nothing to do, or errors corrected; the journal counts as that."""
DAMAGED = (0, 1)
"""``buffer check``: what a cut tore is told, and no fault by itself."""
Name = tuple[int, int]
"""Epoch and sequence: what a reading is called for ever."""


@dataclass(frozen=True)
class Disk:
    """All that one look found."""

    epoch: int
    """Of the last start of the daemon that reached the disk; 0 if there is no ring yet."""
    readings: Mapping[Name, Mapping[str, Any]]
    """As ``buffer export`` writes them."""
    verdict: str
    """The last line of ``buffer check``."""

    def count_of(self, epoch: int) -> int:
        """Return how many readings of one epoch are there."""
        return sum(each == epoch for each, _ in self.readings)


async def look_at(image: Path, folder: Path) -> Disk:
    """Read the ring in an image; the image stays as it is, the ring is left in ``folder``.

    The journal of the file system is replayed first, in a copy, as the next boot would do.
    """
    copy = folder / "disk.copy"
    try:
        await run_async("cp", "--sparse=always", "--reflink=auto", image, copy)
        await run_async("e2fsck", "-y", "-E", "journal_only", copy, ok=REPAIRED)
        await run_async("debugfs", "-R", f"rdump {STATE} {folder}", copy)
    finally:
        copy.unlink(missing_ok=True)
    state = folder / Path(STATE).name
    if not (state / "ring").exists():
        return Disk(0, {}, "no ring yet")
    try:
        with RingView(state) as view:
            epoch = view.content.epoch
    except NotARing as error:
        return Disk(0, {}, str(error))
    output = folder / "ring.jsonl"
    await _buffer("export", state, "--format", "json", "--gateway", GATEWAY, "--output", output)
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    checked = await _buffer("check", state)
    shutil.rmtree(state)
    output.unlink()
    readings = {(row["epoch"], row["sequence"]): row for row in rows}
    if len(readings) != len(rows):
        raise Failed("two readings on the disk have one name")
    return Disk(epoch, readings, checked.strip().splitlines()[-1].partition(": ")[2])


async def _buffer(action: str, state: Path, *options: str | Path) -> str:
    return await run_async(
        *(sys.executable, "-m", "gateway.cli", "buffer", action, "--directory", state, *options),
        ok=DAMAGED if action == "check" else (0,),
    )
