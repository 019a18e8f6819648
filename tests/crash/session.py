"""Drives a real buffer over a fake disk by a seed, and keeps the truth beside it.

Everything runs in one thread: work that the buffer gives to its worker thread is done at once, and
what the event loop might do meanwhile (appending, settling) is done at each write and sync of that
work, where it can happen in earnest.
"""

import contextlib
import logging
import os
import random
import struct
import uuid
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from gateway.buffer import Batch, Buffer, BufferSettings, Gap, Reader
from gateway.buffer.flusher import Worker
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT, READINGS_PER_BLOCK
from gateway.clock import BOOT_ID_VARIABLE
from gateway.reading import PrivacyClass, SeriesKey
from tests.buffer.support import HandClock
from tests.crash.everywhere import everywhere
from tests.crash.memory import DATA, RUN, Change, FakeFcntl, FakeOs, Image, MemoryDisk, MemoryPath
from tests.crash.truth import Link, Mark, Meaning, Purge, Truth, Violation, examine

__all__ = ["Geometry", "Session", "in_memory"]

P = ParamSpec("P")
T = TypeVar("T")

LINKS = ("aarhus", "bodø", "city", "delft")
SENSORS = ("air", "roof")
PRIVACY: tuple[PrivacyClass, ...] = ("P0", "P1", "P2")
OFFSET_NS = 1_760_000_000_000_000_000
_HEAD = struct.Struct("<QQIIqIH")
"""Of a data block from byte 8 on: number, first, epoch, boot, offset, bound, count."""
MEANWHILE = 0.15
"""How often the loop does something while the worker writes or syncs."""
MAX_IN_FLIGHT = 4
ACTIONS, WEIGHTS = zip(
    *(
        ("append", 30),
        ("flush", 25),
        ("read", 15),
        ("stage", 12),
        ("settle", 8),
        ("links", 3),
        ("fill", 2),
        ("clock", 2),
        ("kill", 2),
        ("close", 1),
        ("purge", 1),
    ),
    strict=True,
)
"""What a gateway does, and how often."""


class InlineWorker(Worker):
    """Does the work where it is asked for; the order is that of the thread."""

    def __init__(self) -> None:
        """Start no thread."""

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return work(*args, **kwargs)

    async def close(self) -> None:
        """End no thread."""


class Geometry:
    """The limits of the ring, scaled down with it so that a small one goes through all cases.

    A ring of a few dozen blocks would otherwise be read whole at opening and held whole in memory.
    """

    def __init__(self, rng: random.Random) -> None:
        self.blocks = rng.choice((16, 17, 24, 32, 48))
        unsynced = rng.choice((2, 4, 8))
        self.scaled = rng.random() < 0.7
        self.limits = {
            "MAX_UNSYNCED_BLOCKS": unsynced,
            "PROBED_SLOTS": unsynced + 1,
            "NEWEST_BLOCKS": unsynced + rng.choice((1, 4)),
            "SAMPLED_SLOTS": 3,
            "SCAN_BLOCKS": 7,
            "PURGE_BLOCKS": rng.choice((1, 3, 32)),
            "READ_AHEAD_BLOCKS": rng.choice((2, 5)),
            "FILL_SLICE_BYTES": rng.choice((2, 9)) * BLOCK_SIZE,
            "RECENT_BLOCKS": rng.choice((2, 6)),
        }

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Hold the buffer to these limits."""
        with contextlib.ExitStack() as stack:
            for name, value in self.limits.items() if self.scaled else ():
                stack.enter_context(everywhere(name, value))
            yield


@contextlib.contextmanager
def in_memory() -> Iterator[FakeOs]:
    """Let the buffer's modules use the fake operating system, quietly, without threads."""
    calls = FakeOs()
    logger = logging.getLogger("citylab_gateway.buffer")
    quiet, logger.disabled = logger.disabled, True
    boot = os.environ.get(BOOT_ID_VARIABLE)
    os.environ[BOOT_ID_VARIABLE] = str(uuid.UUID(int=1))
    try:
        with (
            everywhere("os", calls),
            everywhere("fcntl", FakeFcntl()),
            everywhere("Worker", InlineWorker),
        ):
            yield calls
    finally:
        logger.disabled = quiet
        os.environ.pop(BOOT_ID_VARIABLE)
        if boot is not None:
            os.environ[BOOT_ID_VARIABLE] = boot


class Session:
    """A machine: its disk, the process that runs on it, and what is known about both."""

    def __init__(
        self, calls: FakeOs, geometry: Geometry, rng: random.Random, *, image: Image | None = None
    ) -> None:
        self.disk = MemoryDisk(image)
        self.marks: list[Mark] = []
        """One for each change of the disk: the truth when it was asked for."""
        self.truth = Truth(geometry.blocks)
        self.rng = rng
        self.in_flight: list[tuple[Reader, Batch | Gap]] = []
        self._calls = calls
        self._blocks = geometry.blocks
        self._readers: dict[str, Reader] = {}
        self._working = False
        self._boot_id = b""
        self._value = 0.0
        self.disk.before = self._before

    # -- life and death ---------------------------------------------------------------------

    async def boot(self) -> None:
        """The machine starts: another boot id, nothing in the runtime directory."""
        self._boot_id = self.rng.randbytes(16)
        self._offset_ns = OFFSET_NS + self.rng.randrange(1 << 40)
        self.disk.volatile.clear()
        await self.open()

    async def open(self) -> None:
        """Start the process and hold it against what is known. Violation if a promise is broken."""
        MemoryPath.mounted = self.disk
        self._calls.forget_all()
        self._readers = {}
        self.in_flight.clear()
        settings = BufferSettings(
            directory=MemoryPath(DATA),
            runtime_directory=MemoryPath(RUN),
            size_bytes=(FIRST_DATA_SLOT + self._blocks) * BLOCK_SIZE,
        )
        self.clock = HandClock(self._boot_id)
        self.clock.real_ns = self.clock.boot_ns + self._offset_ns
        self.clock.sample()
        try:
            self.buffer = await Buffer.open(settings, self.clock)
        except (Violation, AssertionError):
            raise
        except Exception as error:
            raise Violation("opening", f"{type(error).__name__}: {error}") from error
        await examine(self.buffer, self.truth, self._boot_id)
        self._readers = dict(self.buffer.readers)

    def mark(self) -> Mark:
        """Return the truth of this moment."""
        return self.truth.mark(self._readers)

    async def restart(self, how: str) -> None:
        """End the process ("close", or "kill": what it had not written is gone) and start it."""
        if how == "close":
            started = self._flush_starts()
            await self.buffer.close()
            self._flush_ends(started)
        self.truth = Truth.after(self.mark())
        self._readers = {}
        await self.open()

    # -- what a process does ----------------------------------------------------------------

    async def act(self) -> None:
        """Do one thing that a gateway does, chosen by the seed."""
        rng = self.rng
        if self.buffer._ring.unflushed_blocks > self._blocks // 3:
            await self.flush()
        what = rng.choices(ACTIONS, WEIGHTS)[0]
        if what == "append":
            self.append(rng.choice((1, 2, 5, 20, 60, 170, 400, self._room())))
        elif what == "flush":
            await self.flush(cursors=rng.random() < 0.2)
        elif what == "read":
            await self.read()
        elif what == "settle":
            self.settle()
        elif what == "links":
            self._change_links()
        else:
            await self._act_rarely(what)

    async def _act_rarely(self, what: str) -> None:
        flusher = self.buffer._flusher
        if what == "stage":
            await flusher._stage()
        elif what == "fill":
            await flusher._fill()
        elif what == "clock":
            self._step_clock()
        elif what == "purge":
            await self.purge(self.rng.choice((*SENSORS, None)))
        else:
            if self.rng.random() < 0.5:
                await flusher._save_open()
            await self.restart("close" if what == "close" else "kill")

    def append(self, count: int) -> None:
        """Append readings of one series, each with values of its own."""
        rng, buffer = self.rng, self.buffer
        place = rng.randrange(6)
        key = SeriesKey(SENSORS[place % 2], "air.pm25", (("place", str(place)),))
        unit = "ug/m3" if rng.random() < 0.98 else "1"
        privacy = rng.choice(PRIVACY) if rng.random() < 0.05 else PRIVACY[0]
        series = buffer.series_id(key, unit=unit, privacy=privacy)
        self.truth.note_meaning(series, key, unit, privacy)
        for _ in range(count):
            self._value += 0.3
            row = (series, self.clock.now_ns(), self._value * rng.random(), rng.getrandbits(12))
            self.clock.boot_ns += 1_000
            self.truth.note_append(buffer.append(*row), row)
        self.clock.real_ns = self.clock.boot_ns + self._offset_ns

    def _room(self) -> int:
        """Return how many readings fill the open block to the last place."""
        ring = self.buffer._ring
        return READINGS_PER_BLOCK - (ring.next_sequence - ring.open_first)

    async def flush(self, *, cursors: bool = False) -> None:
        """Flush; what was appended before is promised once it returned."""
        started = self._flush_starts(cursors=cursors)
        self._working = True
        await self.buffer.flush(cursors=cursors)
        self._working = False
        self._flush_ends(started)

    async def purge(self, sensor: str | None) -> None:
        """Remove what came from a sensor, or all."""
        truth = self.truth
        ids = frozenset(one for one, what in truth.meanings.items() if what.key.sensor == sensor)
        truth.purge = Purge(len(truth.columns), None if sensor is None else ids)
        await self.buffer.purge(sensor)
        truth.note_purged()

    async def read(self) -> None:
        """Let a link read, and check what it gets."""
        if not self._readers or len(self.in_flight) >= MAX_IN_FLIGHT:
            self.settle()
            return
        reader = self._readers[self.rng.choice(sorted(self._readers))]
        item = await reader.read(self.rng.choice((3, 50, 400)))
        if item is None:
            return
        if isinstance(item, Batch) and not self.truth.columns.hold(item):
            raise Violation("invented", f"{reader.name} was given {item.first}..{item.last}")
        self.in_flight.append((reader, item))

    def settle(self) -> None:
        """Acknowledge something that a link has read, or let all connections break."""
        if self.rng.random() < 0.05:
            self.in_flight.clear()
            for reader in self._readers.values():
                reader.rewind()
        elif self.in_flight:
            reader, item = self.in_flight.pop(self.rng.randrange(len(self.in_flight)))
            settle_item(reader, item, self.rng)
            check_account(reader)

    async def drain(self) -> None:
        """Let every link have all there is; then nothing is pending and the account is even."""
        self.in_flight.clear()
        for reader in self._readers.values():
            reader.rewind()
            while (item := await reader.read(1000)) is not None:
                if isinstance(item, Batch) and not self.truth.columns.hold(item):
                    raise Violation("invented", f"{reader.name}: {item.first}..{item.last}")
                settle_item(reader, item, self.rng)
            check_account(reader)
            if reader.pending or reader.cursor != self.buffer.next_sequence:
                raise Violation("account", f"{reader.name} still waits for {reader.pending}")

    def _change_links(self) -> None:
        name = self.rng.choice(LINKS)
        lives = self.truth.links.get(name, ())
        if name in self._readers:
            self.mark()  # its last cursor
            lives = self.truth.links[name]
            self.buffer.forget_reader(name)
            del self._readers[name]
            self.in_flight = [one for one in self.in_flight if one[0].name != name]
            lives = (*lives[:-1], lives[-1]._replace(removed=True, sure=False))
        else:
            reader = self.buffer.reader(name)
            lives = (*lives, Link(reader.cursor, reader.cursor, reader.cursor))
            self._readers[name] = reader
        self.truth.links[name] = lives

    def _step_clock(self) -> None:
        self._offset_ns += self.rng.randrange(1, 1 << 36)
        self.clock.real_ns = self.clock.boot_ns + self._offset_ns
        self.clock.sample()
        offsets = self.truth.offsets
        offsets[self.buffer.boot] = offsets[self.buffer.boot].set(self._offset_ns)

    # -- what a flush promises --------------------------------------------------------------

    def _flush_starts(self, *, cursors: bool = True) -> tuple[Mark, bool]:
        ring = self.buffer._ring
        return self.mark(), cursors or ring.open_first < ring.next_sequence

    def _flush_ends(self, started: tuple[Mark, bool]) -> None:
        before, cursors_written = started
        truth = self.truth
        truth.durable_end = max(truth.durable_end, before.length)
        boot = self.buffer.boot
        truth.offsets[boot] = truth.offsets[boot].stored(len(before.offsets[boot].values))
        for series, (key, unit, privacy) in before.meanings.items():
            stored = truth.meanings[series].privacy.stored(len(privacy.values))
            truth.meanings[series] = Meaning(key, unit, stored)
        for name, lives in before.links.items():
            now = [life._replace(removed=True, sure=True) for life in truth.links[name]]
            last = now[-1] = truth.links[name][-1]._replace(sure=True)
            if cursors_written and not last.removed:
                now[-1] = last._replace(floor=max(last.floor, lives[-1].cursor))
            truth.links[name] = tuple(now)

    def _before(self, change: Change) -> None:
        """Something is about to be written: let the loop do something, and note the truth."""
        if self._working and self.rng.random() < MEANWHILE:
            self._working = False
            if self.rng.random() < 0.5:
                self.append(self.rng.choice((1, 3, 30)))
            else:
                self.settle()
            self._working = True
        self.marks.append(self.mark())
        if change.kind == "write":
            for at in range(0, len(change.data) - BLOCK_SIZE + 1, BLOCK_SIZE):
                if change.data[at : at + 4] == b"CLGB":
                    number, first, *_, count = _HEAD.unpack_from(change.data, at + 8)
                    self.truth.note_block(number, first + count)


def settle_item(reader: Reader, item: Batch | Gap, rng: random.Random) -> None:
    """Account for what a link was given, some of it as withheld."""
    if isinstance(item, Gap):
        reader.settle(item.first, item.last, dropped={item.reason: item.count})
        return
    withheld = rng.randint(0, len(item)) if rng.random() < 0.2 else 0
    reader.settle(
        item.first, item.last, acknowledged=len(item) - withheld, dropped={"policy": withheld}
    )


def check_account(reader: Reader) -> None:
    """Each reading is acknowledged, dropped for a reason, or pending: Violation if not."""
    dropped = sum(reader.dropped.values())
    if reader.accepted != reader.acknowledged + reader.pending + dropped:
        raise Violation(
            "account",
            f"{reader.name}: {reader.accepted} != {reader.acknowledged} + {reader.pending} "
            f"+ {dropped}",
        )
