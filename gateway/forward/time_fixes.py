"""Tells the city how far off the times were that it got while the clock was not right.

What was sent is not sent again for that: one message for each range of readings says what has to be
added to their times. The ranges are kept in a small file beside the ring, which is written before
the first reading of a range goes out and says a little more than what was sent, so that neither the
death of the process nor a power cut forgets any of it.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from gateway.buffer import Batch, BootTime, Reader
from gateway.buffer.files import write_atomically
from gateway.forward.formats.base import FormatContext
from gateway.forward.outbox import Outbox
from gateway.forward.reports import time_fix_payload
from gateway.forward.stats import LinkStats
from gateway.forward.unsure import (
    Unsure,
    UnsureRanges,
    parse_ranges,
    ranges_document,
    with_reserve,
)
from gateway.forward.window import Parcel

__all__ = ["TimeFix", "TimeFixes", "send_time_fixes"]

FILE_NAME = "unsure-times-{link}"
MAX_FILE_BYTES = 1 << 20
WRITE_INTERVAL_S = 5.0
"""At most one write in this time, however often a clock that is not right is set."""
LOOK_INTERVAL_S = 1.0
NS_PER_S = 1_000_000_000
CORRECTION_DIGITS = 6
MAX_TOLD = 64
"""Warnings that are remembered, so that none comes twice."""

log = logging.getLogger("citylab_gateway.forward")


class TimeFix(NamedTuple):
    """Readings whose times were wrong, and where their boot lies for good."""

    sent: Unsure
    known: BootTime

    @property
    def correction_s(self) -> float:
        """What has to be added to the times that were sent."""
        return round((self.known.offset_ns - self.sent.middle_ns) / NS_PER_S, CORRECTION_DIGITS)

    @property
    def bound_s(self) -> float | None:
        """How far the mended times may be from the truth; None: nobody knows."""
        if self.known.bound_ms is None:
            return None
        half_ns = self.sent.spread_ns / 2
        return round(self.known.bound_ms / 1000 + half_ns / NS_PER_S, CORRECTION_DIGITS)


class TimeFixes:
    """What one link has sent with a doubtful time and not mended yet.

    A file that cannot be read or written stops nothing: then a fix may be forgotten with the
    process.
    """

    def __init__(
        self, reader: Reader, directory: Path | None, link: str, previous_name: str | None = None
    ) -> None:
        """``directory`` None: nothing is kept beyond the process."""
        self._reader = reader
        self._sent_below = reader.next_sequence
        self._path = None if directory is None else directory / FILE_NAME.format(link=link)
        self._earlier = (
            None
            if directory is None or previous_name is None
            else directory / FILE_NAME.format(link=previous_name)
        )
        self._ranges = UnsureRanges()
        self._written: list[Unsure] = []
        self._growing: set[tuple[int, int, bytes]] = set()
        self._is_loaded = False
        self._write_at = 0.0
        self._writing = asyncio.Lock()
        self._something = asyncio.Event()
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self._ranges)

    async def load(self) -> None:
        """Remember what an earlier process sent. Does it once."""
        if self._is_loaded:
            return
        self._is_loaded = True
        if self._path is None:
            return
        for one in await asyncio.to_thread(self._read, self._path, self._earlier):
            self._ranges.add(one)
        self._written = list(self._ranges)
        if self._ranges:
            self._something.set()

    async def note(self, batch: Batch) -> None:
        """Remember a batch that is about to be sent, unless its time is as good as it will be.

        Waits for the disk once in many thousand readings, and when the clock was set.
        """
        boot_id = None if batch.synced else self._reader.boot_id(batch.boot)
        if boot_id is None or self._reader.boot_time(boot_id) is not None:
            return
        offset_ns = batch.offset_ns
        new = Unsure(
            batch.epoch, batch.boot, boot_id, batch.first, batch.last, batch.last, *[offset_ns] * 2
        )
        self._growing.add(new.source)
        forgotten = self._ranges.forgotten
        self._ranges.add(new)
        if self._ranges.forgotten > forgotten:
            self._tell("too many clocks were wrong: the oldest doubtful times are never mended")
        self._something.set()
        async with self._writing:
            if not any(one.covers(new) for one in self._written):
                await self._write()

    def due(self) -> Iterator[TimeFix]:
        """Yield the ranges whose readings have all been answered, and whose time is known."""
        for one in list(self._ranges):
            if self._reader.owes(one.first, one.last):
                continue
            try:
                known = self._reader.boot_time(one.boot_id)
            except KeyError:
                text = "readings %d to %d of boot %d keep their doubtful times: it is forgotten"
                self._tell(text % (one.first, one.last, one.boot))
                self._ranges.remove(one)
                continue
            if known is not None:
                yield TimeFix(one, known)

    def forget(self, fix: TimeFix, *, is_told: bool) -> None:
        """Forget what the city knows now, or what its broker will not hear."""
        sent = fix.sent
        text = "%s: times mended: readings %d to %d of boot %d by %.3f s"
        if not is_told:
            text = "%s: the broker refuses the time-fix of readings %d to %d of boot %d by %.3f s"
        level = logging.INFO if is_told else logging.WARNING
        log.log(level, text, self._reader.name, sent.first, sent.last, sent.boot, fix.correction_s)
        self._ranges.remove(sent)
        if not self._ranges:
            self._something.clear()

    async def wait(self) -> None:
        """Return when there is something to mend, some time."""
        await self._something.wait()

    async def save(self) -> None:
        """Bring what was forgotten to the disk."""
        async with self._writing:
            await self._write()

    async def close(self) -> None:
        """Say exactly what was sent, at the end of a link."""
        async with self._writing:
            if self._growing and self._is_loaded:
                self._growing.clear()
                self._write_at = 0.0
                await self._write()

    async def _write(self) -> None:
        if self._path is None:
            return
        now = asyncio.get_running_loop().time()
        if self._write_at > now:
            await asyncio.sleep(self._write_at - now)
        self._write_at = asyncio.get_running_loop().time() + WRITE_INTERVAL_S
        kept = with_reserve(list(self._ranges), self._growing)
        try:
            await asyncio.to_thread(_save, self._path, self._earlier, kept)
        except OSError as error:
            self._tell(f"doubtful times that were sent cannot be kept: {error}")
        self._written = kept

    def _read(self, path: Path, earlier: Path | None) -> list[Unsure]:
        for candidate in (path, earlier):
            if candidate is None:
                continue
            try:
                with candidate.open("rb") as file:
                    content = json.loads(file.read(MAX_FILE_BYTES))
                return parse_ranges(content, self._sent_below)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("doubtful times that were sent are forgotten: %s", error)
        return []

    def _tell(self, text: str) -> None:
        level = logging.DEBUG if text in self._told else logging.WARNING
        if len(self._told) < MAX_TOLD:
            self._told.add(text)
        log.log(level, "%s: %s", self._reader.name, text)


def _save(path: Path, earlier: Path | None, ranges: list[Unsure]) -> None:
    if ranges:
        write_atomically(path, json.dumps(ranges_document(ranges)).encode())
    else:
        path.unlink(missing_ok=True)
    if earlier is not None:
        earlier.unlink(missing_ok=True)  # what it said stands in the new one


async def send_time_fixes(  # noqa: PLR0913 - who sends what to whom
    fixes: TimeFixes,
    outbox: Outbox,
    *,
    topic: str,
    properties: bytes,
    context: Callable[[], FormatContext],
    wall_ns: Callable[[], int],
    stats: LinkStats,
) -> None:
    """Send what is due on one connection, one after the other, until cancelled."""
    while True:
        await fixes.wait()
        has_sent = False
        for fix in fixes.due():
            answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            parcel = Parcel(
                topic=topic,
                payload=_payload(fix, context(), wall_ns()),
                properties=properties,
                epoch=fix.sent.epoch,
                first=fix.sent.first,
                last=fix.sent.reserved,
                on_finished=answered.set_result,
            )
            await outbox.post(parcel, outbox.system)
            if await answered:
                stats.time_fixed_readings += fix.sent.last - fix.sent.first + 1
            fixes.forget(fix, is_told=answered.result())
            has_sent = True
        if has_sent:
            await fixes.save()
        else:
            await asyncio.sleep(LOOK_INTERVAL_S)


def _payload(fix: TimeFix, context: FormatContext, wall_ns: int) -> bytes:
    return time_fix_payload(
        context,
        epoch=fix.sent.epoch,
        boot=fix.sent.boot,
        first=fix.sent.first,
        last=fix.sent.reserved,
        correction_s=fix.correction_s,
        bound_s=fix.bound_s,
        estimated=fix.known.estimated,
        wall_ns=wall_ns,
    )
