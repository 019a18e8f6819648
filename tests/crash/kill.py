"""kill -9 of a real process at random points, judged from outside by what it had told."""

import asyncio
import random
import signal
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from gateway.buffer import Batch, Buffer
from gateway.clock import Clock
from tests.crash.child import LARGEST_BURST, PACES, settings_in, value_of

__all__ = ["KillReport", "kill_rounds"]

ROOT = Path(__file__).resolve().parent.parent.parent
OPEN_INTERVAL_S = 0.25
MARGIN_S = 0.75
"""For a loop that is not scheduled and a sync under way; without the open file seconds are lost."""
LIVES_PER_DIRECTORY = 5
LONGEST_LIFE_S = 2.5
STEP_TIMEOUT_S = 60.0


@dataclass(slots=True)
class KillReport:
    """What was found; ``lost_s``: for each kill, how old the oldest missing reading was."""

    kills: int = 0
    lost_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Return the ages of what was lost, in one line."""
        lost_ms = sorted(1000 * one for one in self.lost_s)
        return (
            f"oldest_lost_ms: median={statistics.median(lost_ms):.0f} "
            f"p95={lost_ms[int(0.95 * (len(lost_ms) - 1))]:.0f} max={lost_ms[-1]:.0f}"
        )


@dataclass(slots=True)
class _Told:
    """What one child said before it was killed."""

    first: int = 0
    flushed: int = 0
    accepted: list[tuple[int, int]] = field(default_factory=list)
    """Monotonic ns before a burst, and the next sequence after it."""
    killed_ns: int = 0


async def kill_rounds(
    folder: Path,
    *,
    seed: int,
    rounds: int,
    open_interval_s: float = OPEN_INTERVAL_S,
    shortest_life_s: float = 0.0,
    pace: str = "",
) -> KillReport:
    """Start and kill ``rounds`` processes, some in turn on one directory, and check after each."""
    report = KillReport()
    directory = folder
    epochs: dict[int, int] = {}
    for number in range(rounds):
        rng = random.Random(f"kill {seed} {number}")
        if number % LIVES_PER_DIRECTORY == 0:
            directory = folder / f"life-{number}"
            directory.mkdir()
            epochs = {}
        life_s = rng.uniform(shortest_life_s, LONGEST_LIFE_S)
        async with asyncio.timeout(STEP_TIMEOUT_S):
            report.kills += 1
            try:
                told = await _killed(
                    *(directory, life_s),
                    *(
                        str(rng.getrandbits(32)),
                        str(open_interval_s),
                        pace or rng.choice(list(PACES)),
                    ),
                )
                report.lost_s.append(await _judge(directory, told, epochs))
            except AssertionError as error:
                report.problems.append(f"kill {number} of seed {seed}: {error}")
    return report


async def _killed(folder: Path, life_s: float, *arguments: str) -> _Told:
    """Run a child for so long after it was ready, kill it, and return what it had told."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.child"),
        *(str(folder), *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    ready = (await child.stdout.readline()).split()
    assert ready[:1] == [b"ready"], "the child did not start"
    reading = asyncio.create_task(child.stdout.read())
    await asyncio.sleep(life_s)
    told = _Told(first=int(ready[1]), flushed=int(ready[1]))
    told.killed_ns = time.monotonic_ns()
    child.send_signal(signal.SIGKILL)
    text = await reading
    assert await child.wait() == -signal.SIGKILL, "the child ended by itself"
    for line in text.split(b"\n")[:-1]:
        words = line.split()
        if words[0] == b"accepted":
            told.accepted.append((int(words[1]), int(words[2])))
        else:
            told.flushed = int(words[1])
    return told


async def _judge(folder: Path, told: _Told, epochs: dict[int, int]) -> float:
    """Return how old the oldest missing reading is; AssertionError if a promise is broken.

    ``epochs``: first sequence of each epoch that was seen in this directory so far.
    """
    buffer = await Buffer.open(settings_in(folder, OPEN_INTERVAL_S), Clock(trusted=True))
    try:
        end = buffer.next_sequence
        assert not buffer.stats.degraded, buffer.stats.degraded_reason
        assert not buffer.stats.damaged_blocks, "blocks were damaged"
        assert end >= told.flushed, f"flushed to {told.flushed}, found to {end}"
        most = max([told.first, *(one for _, one in told.accepted)]) + LARGEST_BURST
        assert end <= most, f"accepted to {most} at most, found to {end}"
        reader = buffer.readers.get("aarhus")
        assert end == 0 or reader is not None, "the link is gone"
        if reader is not None:
            assert await _values_are_right(buffer, epochs) == end, "readings are missing"
            assert reader.pending == end - reader.cursor, "the account is wrong"
    finally:
        await buffer.close()
    missing = next((at for at, after in told.accepted if after > end), told.killed_ns)
    lost_s = max(0.0, (told.killed_ns - missing) / 1e9)
    bound_s = OPEN_INTERVAL_S + MARGIN_S
    assert lost_s <= bound_s, f"a reading {lost_s:.3f} s old is missing, {bound_s} s is the bound"
    return lost_s


async def _values_are_right(buffer: Buffer, epochs: dict[int, int]) -> int:
    """Read all that the link is owed; return where the run of right readings ends."""
    reader = buffer.readers["aarhus"]
    position = reader.cursor
    assert position == 0, "the cursor moved by itself"
    while (item := await reader.read(20_000)) is not None:
        assert isinstance(item, Batch), f"a gap: {item}"
        assert item.first == position, f"{item.first} came after {position}"
        known = epochs.setdefault(item.epoch, item.first)
        assert item.first >= known, f"epoch {item.epoch} began at {known}"
        sequences = range(item.first, item.last + 1)
        assert item.values == [value_of(item.epoch, one) for one in sequences], "invented values"
        position = item.last + 1
    return position
