"""Moves readings of one lane into the outbox: when to read, and what a batch becomes."""

import asyncio
import math
from typing import Protocol

from gateway.buffer import Batch, DropReason, Gap, Reader
from gateway.config.model import BrokerSection
from gateway.forward.announcer import Announcer
from gateway.forward.gate import Gate, Pace
from gateway.forward.outbox import Outbox
from gateway.forward.parcels import Packer
from gateway.forward.policy import Policy
from gateway.forward.time_fixes import TimeFixes
from gateway.forward.window import Parcel

__all__ = ["Pump", "Readable"]

LOOKS_PER_LINGER = 10
"""How often a batch that is filling up is looked at; a full one leaves at the next look."""


class Readable(Protocol):
    """A lane of the ring."""

    end: int | None

    @property
    def unread(self) -> int:
        """Readings from the position on."""

    async def wait(self) -> None:
        """Return as soon as there is something to read."""

    async def read(self, limit: int) -> Batch | Gap | None:
        """Return the next run, or a gap, or None: nothing now."""


class Pump:
    """Reads a lane, applies the policy, encodes and posts, for the life of one connection."""

    def __init__(  # noqa: PLR0913 - the stations on the way of a reading
        self,
        lane: Readable,
        gate: Gate,
        outbox: Outbox,
        *,
        reader: Reader,
        broker: BrokerSection,
        policy: Policy,
        packer: Packer,
        pace: Pace,
        announcer: Announcer | None,
        fixes: TimeFixes | None,
    ) -> None:
        self._lane = lane
        self._gate = gate
        self._outbox = outbox
        self._reader = reader
        self._broker = broker
        self._policy = policy
        self._packer = packer
        self._pace = pace
        self._announcer = announcer
        self._fixes = fixes
        self._loop = asyncio.get_running_loop()
        self._last_batch_at = -math.inf
        self._in_backlog = True

    async def run(self) -> None:
        """Forward until cancelled."""
        lane = self._lane
        while True:
            await lane.wait()
            if lane.end is None:
                await self._fill()
            else:
                await asyncio.sleep(0)  # what is new comes in between
            run = await lane.read(self._limit())
            if run is None:
                continue
            self._last_batch_at = self._loop.time()
            self._in_backlog = run.last + 1 < self._reader.boundary
            if isinstance(run, Gap):
                await self._report(run)
            else:
                await self._forward(run)

    def _limit(self) -> int:
        limit = self._broker.batch_readings
        if self._gate.share is not None:
            limit = min(limit, self._gate.share.batch_readings)
        return self._pace.at_most(limit) if self._in_backlog else limit

    async def _fill(self) -> None:
        """Return when a batch is full, or when the one before it is ``linger`` ago.

        So the first reading after a quiet time leaves at once, and a busy link sends at most one
        partial batch per ``linger``.
        """
        linger_s = self._broker.linger
        while True:
            wait_s = self._last_batch_at + linger_s - self._loop.time()
            if wait_s <= 0 or self._lane.unread >= self._broker.batch_readings:
                return
            await asyncio.sleep(min(wait_s, linger_s / LOOKS_PER_LINGER))

    async def _report(self, gap: Gap) -> None:
        parcel = self._outbox.gap(
            gap.first,
            gap.last,
            gap.count,
            gap.reason,
            first_time_ns=gap.first_time_ns,
            last_time_ns=gap.last_time_ns,
        )
        if parcel is None:
            self._outbox.hold(gap.first, gap.last, unfinished=0, dropped={gap.reason: gap.count})
            return
        parcel.held = self._outbox.hold(gap.first, gap.last, unfinished=1, dropped={})
        await self._outbox.post(parcel, self._gate)

    async def _forward(self, batch: Batch) -> None:
        history = batch.first < self._reader.boundary
        selected, unknown = self._policy.select(batch)
        self._policy.coarsen(batch)
        if self._announcer is not None:
            await self._announcer.before(batch, selected)
        if self._fixes is not None and selected:
            await self._fixes.note(batch)
        messages = list(self._packer.messages(batch, selected, history=history))
        carried = sum(message.count for message in messages)
        withheld = len(batch) - len(selected) - unknown
        dropped: dict[DropReason, int] = {"policy": withheld} if withheld else {}
        reports = self._reports(batch, "corrupt", unknown, dropped)
        reports += self._reports(batch, "rejected", len(selected) - carried, dropped)
        held = self._outbox.hold(
            batch.first, batch.last, unfinished=len(messages) + len(reports), dropped=dropped
        )
        if history:
            await self._pace.take(carried)
        for message in messages:
            parcel = self._packer.parcel(batch, message, held, history=history)
            await self._outbox.post(parcel, self._gate)
        for report in reports:
            report.held = held
            await self._outbox.post(report, self._gate)

    def _reports(
        self, batch: Batch, reason: DropReason, count: int, dropped: dict[DropReason, int]
    ) -> list[Parcel]:
        """Return the report of readings that go into no message; add them to ``dropped`` else."""
        if not count:
            return []
        report = self._outbox.gap(batch.first, batch.last, count, reason, epoch=batch.epoch)
        if report is not None:
            return [report]
        dropped[reason] = count
        return []
