"""The buffer against a simple model, with power cuts that tear what was not synced."""

import asyncio
import errno
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.buffer import Batch, Buffer, Gap, Reader
from gateway.buffer.layout import READINGS_PER_BLOCK
from tests.buffer.support import (
    BOOT_A,
    BOOT_B,
    KEY,
    FakeDisk,
    HandClock,
    abandon,
    balanced,
    open_buffer,
)

BLOCKS = 24
SIZES = (16, 24, 40)
LINK = "aarhus"
OTHERS = ("odense", "vejle")
"""Links that come and go; each reads in order and settles at once."""


class Disks:
    """Fake disks behind real names, so that one file can take the place of another."""

    def __init__(self) -> None:
        self._by_inode: dict[int, FakeDisk] = {}

    def open(self, path: Path) -> FakeDisk:
        if not path.exists():
            path.touch()
            self._by_inode[path.stat().st_ino] = FakeDisk()
        return self._by_inode[path.stat().st_ino].open(path)

    def set_fault(self, fault: Callable[[str], int | None]) -> None:
        for disk in self._by_inode.values():
            disk.fault = fault

    def power_cut(self, rng: random.Random | None) -> None:
        for disk in self._by_inode.values():
            disk.power_cut(rng)


class BufferMachine(RuleBasedStateMachine):
    """``stored`` is what a reader must find at each sequence: (epoch, value)."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="ring-model-"))
        self.disks = Disks()
        self.blocks = BLOCKS
        self.others: dict[str, int] = {}
        """Where each of the other links stands."""
        self.changed_links: set[str] = set()
        """Those that came or went since the last flush."""
        self.stored: dict[int, tuple[int, float]] = {}
        self.identities: set[tuple[int, int]] = set()
        self.durable: list[tuple[int, int, int]] = []
        """(blocks written before, first, end) of what a flush returned for."""
        self.durable_end = 0
        self.blocks_written = 2
        """An upper bound: the format may use fewer."""
        self.settled: set[int] = set()
        self.in_flight: list[Batch | Gap] = []
        self.expected_position = 0
        self.torn = False
        self.lost = 0
        self.failed = False
        """Blocks may be in memory only, although they were handed to the disk."""
        self.value = 0.0
        self.boot_id = BOOT_A
        self.open()
        self.buffer.reader(LINK)

    def open(self) -> None:
        self.buffer: Buffer = self.runner.run(
            open_buffer(
                self.folder,
                blocks=self.blocks,
                clock=HandClock(self.boot_id),
                open_file=self.disks.open,
            )
        )

    @property
    def link(self) -> Reader:
        return self.buffer.reader(LINK)

    @rule(count=st.integers(1, 2 * READINGS_PER_BLOCK))
    def append(self, count: int) -> None:
        series = self.buffer.series_id(KEY, unit="ug/m3", privacy="P0")
        for _ in range(count):
            self.value += 1.0
            sequence = self.buffer.append(series, int(self.value), self.value, 0)
            identity = (self.buffer.epoch, sequence)
            assert identity not in self.identities, "an identity was given twice"
            self.identities.add(identity)
            assert sequence not in self.stored
            self.stored[sequence] = (self.buffer.epoch, self.value)

    @rule()
    def flush(self) -> None:
        self.runner.run(self.buffer.flush())
        self.failed = False
        self.changed_links.clear()
        self._now_durable(self.buffer.next_sequence)

    @rule(
        access=st.sampled_from(["pwrite", "sync", "open"]),
        skipped=st.integers(0, 3),
        times=st.integers(1, 3),
    )
    def flush_on_a_failing_disk(self, access: str, skipped: int, times: int) -> None:
        seen = 0

        def fault(asked: str) -> int | None:
            nonlocal seen
            seen += asked == access
            return errno.EIO if asked == access and skipped < seen <= skipped + times else None

        self.disks.set_fault(fault)
        self.blocks_written += 1
        try:
            self.flush()
        except OSError:
            assert seen > skipped
            self.failed = True
        finally:
            self.disks.set_fault(lambda _: None)

    def _now_durable(self, end: int) -> None:
        lost_before, self.lost = self.lost, self.buffer.stats.lost_readings
        if end > self.durable_end:
            if self.lost == lost_before:
                self.durable.append((self.blocks_written, self.durable_end, end))
            self.blocks_written += (end - self.durable_end) // READINGS_PER_BLOCK + 2
            self.durable_end = end

    @rule(limit=st.integers(1, 400))
    def read(self, limit: int) -> None:
        item = self.runner.run(self.link.read(limit))
        position = self.expected_position
        while position in self.settled:
            position += 1
        if item is None:
            assert position == self.buffer.next_sequence
            return
        assert item.first == position
        assert item.last < self.buffer.next_sequence
        assert not self.settled & set(range(item.first, item.last + 1))
        self.expected_position = item.last + 1
        self.in_flight.append(item)
        if isinstance(item, Gap):
            self._check_gap(item)
            return
        assert len(item) <= limit
        for index, value in enumerate(item.values):
            assert self.stored[item.first + index] == (item.epoch, value)

    def _check_gap(self, gap: Gap) -> None:
        assert gap.reason == "overwritten" or self.torn
        for blocks_before, first, end in self.durable:
            if self.blocks_written - blocks_before < self.blocks:
                assert gap.last < first or end <= gap.first, "a durable reading was lost"

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.in_flight) - 1))
        item = self.in_flight.pop(index)
        if isinstance(item, Gap):
            self.link.settle(item.first, item.last, dropped={item.reason: item.count})
        else:
            withheld = data.draw(st.integers(0, len(item)))
            self.link.settle(
                item.first,
                item.last,
                acknowledged=len(item) - withheld,
                dropped={"policy": withheld},
            )
        self.settled |= set(range(item.first, item.last + 1))

    @rule()
    def lose_the_connection(self) -> None:
        self.link.rewind()
        self.in_flight.clear()
        self.expected_position = self.link.cursor

    @rule(name=st.sampled_from(OTHERS))
    def a_link_comes_or_goes(self, name: str) -> None:
        self.changed_links.add(name)
        if name in self.others:
            self.buffer.forget_reader(name)
            del self.others[name]
            return
        reader = self.buffer.reader(name)
        assert reader.cursor == self.buffer.next_sequence
        self.others[name] = reader.cursor

    @precondition(lambda self: self.others)
    @rule(data=st.data(), limit=st.integers(1, 400))
    def another_link_reads_and_settles(self, data: st.DataObject, limit: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.others)))
        reader = self.buffer.reader(name)
        item = self.runner.run(reader.read(limit))
        if item is None:
            assert self.others[name] == self.buffer.next_sequence
            return
        assert item.first == self.others[name]
        if isinstance(item, Gap):
            self._check_gap(item)
            reader.settle(item.first, item.last, dropped={item.reason: item.count})
        else:
            for index, value in enumerate(item.values):
                assert self.stored[item.first + index] == (item.epoch, value)
            reader.settle(item.first, item.last, acknowledged=len(item))
        self.others[name] = item.last + 1

    @rule(blocks=st.sampled_from(SIZES))
    def restart(self, blocks: int) -> None:
        """Another size keeps the newest that fit."""
        self.runner.run(self.buffer.close())
        end = self.buffer.next_sequence
        self._now_durable(end)
        self.changed_links.clear()
        cursor = self.link.cursor
        self.blocks_written += 1
        if blocks != self.blocks:
            fit = min(blocks, self.blocks)
            self.durable = [entry for entry in self.durable if self.blocks_written - entry[0] < fit]
            self.blocks = blocks
        self.open()
        assert self.buffer.stats.blocks == blocks
        assert self.buffer.next_sequence == end
        assert self.link.cursor == cursor
        for name, position in self.others.items():
            assert self.buffer.readers[name].cursor == position
        self._forget_the_session()

    @rule(seed=st.none() | st.integers(0, 2**16), new_boot=st.booleans())
    def power_cut(self, seed: int | None, new_boot: bool) -> None:  # noqa: FBT001 - a drawn choice
        self.runner.run(abandon(self.buffer))
        self.disks.power_cut(None if seed is None else random.Random(seed))
        self.torn = self.torn or seed is not None
        if new_boot:
            self.boot_id = BOOT_B if self.boot_id == BOOT_A else BOOT_A
        appended = self.buffer.next_sequence
        self.open()
        assert self.durable_end <= self.buffer.next_sequence <= appended
        self.blocks_written += (appended - self.durable_end) // READINGS_PER_BLOCK + 3
        for sequence in range(self.buffer.next_sequence, appended):
            del self.stored[sequence]
        self._forget_the_session()

    @rule(open_block_saved=st.booleans())
    def kill(self, open_block_saved: bool) -> None:  # noqa: FBT001 - a drawn choice
        """The process dies and the machine lives: the page cache and the open file stay."""
        ring = self.buffer._ring
        if open_block_saved:
            self.runner.run(self.buffer._flusher._save_open())
        in_memory_only = ring.waiting or (not open_block_saved and ring.open_block().count)
        appended = self.buffer.next_sequence
        self.runner.run(abandon(self.buffer))
        self.open()
        assert self.durable_end <= self.buffer.next_sequence <= appended
        if not in_memory_only and not self.failed:
            assert self.buffer.next_sequence == appended
        self.blocks_written += (appended - self.durable_end) // READINGS_PER_BLOCK + 3
        for sequence in range(self.buffer.next_sequence, appended):
            del self.stored[sequence]
        self._forget_the_session()

    def _forget_the_session(self) -> None:
        cursor = self.link.cursor  # registers it again if the death came before anything was kept
        known = {name: reader.cursor for name, reader in self.buffer.readers.items()}
        del known[LINK]
        for name in known.keys() ^ self.others.keys():
            assert name in self.changed_links, f"{name} came or went by itself"
        for name, position in known.items():
            if name in self.others and name not in self.changed_links:
                assert position <= self.others[name], "ahead of what was settled"
            assert position <= self.buffer.next_sequence
        self.others = known
        self.changed_links.clear()
        unsettled = set(range(cursor)) - self.settled
        assert not unsettled, "the cursor came back ahead of what was settled"
        self.settled = set(range(cursor))
        self.in_flight.clear()
        self.expected_position = cursor
        self.durable_end = self.buffer.next_sequence
        self.lost = 0
        self.failed = False

    @invariant()
    def everything_is_accounted_for(self) -> None:
        assert all(balanced(reader) for reader in self.buffer.readers.values())
        assert {LINK, *self.others} == set(self.buffer.readers)
        assert self.link.pending == len(set(range(self.buffer.next_sequence)) - self.settled)

    def teardown(self) -> None:
        self.runner.run(self.buffer.close())
        self.runner.close()
        shutil.rmtree(self.folder)


BufferMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestBufferAgainstModel = BufferMachine.TestCase
