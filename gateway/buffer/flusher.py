"""Brings what the ring accepted to the disk, and keeps trying when the disk will not take it."""

import asyncio
import errno
import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import current_thread
from typing import Literal, ParamSpec, TypeVar

from gateway.backoff import Backoff
from gateway.buffer.boots import Boot, Boots, save_boots
from gateway.buffer.catalogue import Catalogue, save_catalogue
from gateway.buffer.cursors import Links
from gateway.buffer.files import write_atomically
from gateway.buffer.layout import Block, LinkSlot, remove_readings, seal
from gateway.buffer.ring import Ring
from gateway.buffer.store import Store
from gateway.reading import Series

__all__ = ["OPEN_FILE", "Flusher", "Persist", "Worker"]

logger = logging.getLogger("citylab_gateway.buffer")

CURSOR_INTERVAL_S = 60.0
"""Cursors that moved without new readings are written after this time."""
FAILURES_UNTIL_DEGRADED = 3
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0
FILL_RETRY_S = 60.0
OPEN_FILE = "open"
IDLE_READINGS = 16
"""A gateway is idle while fewer than these wait for a flush: a tenth of a block."""
IDLE_INTERVALS = 6
PURGE_BLOCKS = 32
"""Blocks of which readings are removed before a flush may come in between."""
THREAD_POLL_S = 0.001

Persist = Literal["all", "unacknowledged"]
P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """The one thread that touches files; work is done in the order it is given."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ring")

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in the thread and return its result, or raise what it raised."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: work(*args, **kwargs))

    async def close(self) -> None:
        """Let the thread end, without blocking the loop while it does."""
        thread = await self.call(current_thread)
        self._executor.shutdown(wait=False)
        while thread.is_alive():  # noqa: ASYNC110 - the end of a thread sets no event
            await asyncio.sleep(THREAD_POLL_S)


@dataclass(slots=True)
class _Job:
    """One piece of work for the thread; ``side_error`` is its answer about the side files."""

    blocks: Sequence[Block]
    kept: Sequence[Block] = ()
    """Durable blocks that memory still has, for a file that has to begin anew."""
    reopen: bool = False
    began_anew: bool = False
    sync: bool = True
    links: tuple[LinkSlot, ...] | None = None
    series: list[Series] | None = None
    boots: list[Boot] | None = None
    side_error: OSError | None = None


class Flusher:
    """Writes blocks, syncs, and says what is durable; the only one that changes the files."""

    def __init__(  # noqa: PLR0913 - the parts that it brings together
        self,
        *,
        ring: Ring,
        store: Store,
        worker: Worker,
        directory: Path,
        runtime_directory: Path,
        next_number: int,
        catalogue: Catalogue,
        boots: Boots,
        links: Links,
        renew_lock: Callable[[], None],
        volatile: bool,
        persist: Persist = "all",
    ) -> None:
        self.next_number = next_number
        self.flushes = 0
        self.flush_errors = 0
        self.last_flush_s = 0.0
        self.written_readings = 0
        self.unwritten_readings = 0
        """Settled by every link before they would have been written, and so never were."""
        self.degraded = False
        self.reason = ""
        self.on_flush: Callable[[float], None] | None = None
        self._ring = ring
        self._store = store
        self._worker = worker
        self._directory = directory
        self._open_path = runtime_directory / OPEN_FILE
        self._catalogue = catalogue
        self._boots = boots
        self._links = links
        self._renew_lock = renew_lock
        self._persist = persist
        self._volatile = volatile
        """There is no ring on disk yet; the open file is that of an earlier process."""
        self._lock = asyncio.Lock()
        self._full = asyncio.Event()
        self._failures = 0
        self._failing = False
        self._side_failed = False
        self._retry_at_s = 0.0
        self._backoff = Backoff(first_s=RETRY_FIRST_S, max_s=RETRY_MAX_S)
        self._lost_before = 0
        self._written_at_s = 0.0
        self._open_saved = -1
        self._open_failed = False
        self._filling = True
        self._fill_at_s = 0.0
        ring.on_full = self._full.set

    async def flush(self, *, cursors: bool = False) -> None:
        """Return when everything appended before the call is durable. OSError if it is not.

        ``cursors``: also write cursors that moved, if need be in an empty block.
        """
        async with self._lock:
            self._boots.note_clock()
            self._ring.close_block()
            self._release()
            if cursors and self._links.moved and not self._ring.waiting:
                self._ring.close_block(even_empty=True)
            started_s = asyncio.get_running_loop().time()
            try:
                worked = await self._write_all()
            except OSError as error:
                self._failed(error)
                raise
            if worked:
                self.flushes += 1
                self.last_flush_s = asyncio.get_running_loop().time() - started_s
                if self.on_flush is not None:
                    self.on_flush(self.last_flush_s)
            self._succeeded()

    async def run(
        self, *, flush_interval_s: float, flush_interval_max_s: float, open_interval_s: float
    ) -> None:
        """Flush, save the open block and fill the file, each in its interval, until cancelled.

        While idle, flushes wait for up to six intervals, and never beyond the greatest.
        """
        idle_s = min(IDLE_INTERVALS * flush_interval_s, flush_interval_max_s) - open_interval_s
        loop = asyncio.get_running_loop()
        self._written_at_s = loop.time()
        due_s = loop.time() + flush_interval_s
        idle_due_s = loop.time() + idle_s
        open_due_s = loop.time() + open_interval_s
        while True:
            await self._pause(open_due_s - loop.time())
            now_s = loop.time()
            if self._failing:
                if now_s >= self._retry_at_s:
                    await self._try_flush()
            elif self._is_due(now_s, due_s, idle_due_s):
                due_s, idle_due_s = now_s + flush_interval_s, now_s + idle_s
                stale = now_s - self._written_at_s >= CURSOR_INTERVAL_S
                await self._try_flush(cursors=stale)
            else:
                await self._stage()
            self._tell_losses()
            if now_s >= open_due_s:
                open_due_s = now_s + open_interval_s
                await self._save_open()
                await self._fill()

    def _is_due(self, now_s: float, due_s: float, idle_due_s: float) -> bool:
        if self._ring.unflushed_blocks >= self._store.max_unsynced:
            return True
        if now_s < due_s:
            return False
        return now_s >= idle_due_s or not 0 < self._ring.unflushed_readings < IDLE_READINGS

    async def adopt(self, store: Store, next_number: int, switch: Callable[[], None]) -> None:
        """Go on with another store: ``switch`` runs while nothing is on its way to the disk."""
        async with self._lock:
            switch()
            self._store = store
            self.next_number = next_number
            self._failing = self._side_failed = self._open_failed = False
            self._retry_at_s = 0.0
            self._open_saved = -1
            self._volatile = False
            self._filling, self._fill_at_s = True, 0.0

    async def alone(self, work: Callable[[], T]) -> T:
        """Run blocking work on the files while no flush is under way.

        After an error nothing that was written without a sync is taken to be there.
        """
        async with self._lock:
            try:
                return await self._worker.call(work)
            except OSError:
                self._failing = True
                raise

    async def purge(self, series: Collection[int] | None) -> int:
        """Remove readings of these series (None: of all) from the ring; return how many.

        OSError if the disk refuses; what was removed until then stays removed.
        """
        await self.flush(cursors=True)
        ring, store = self._ring, self._store
        async with self._lock:
            ring.close_block()  # readings that come from now on are in other blocks
            before, removed = ring.next_sequence, 0
            for block in ring.blocks:
                found = remove_readings(block, store.seed, series)
                removed += found if block.number < 0 else 0  # the others are counted on the disk
        if series is None:
            await self.alone(partial(self._begin_purge, before))
        for reader in self._links:
            reader.forget_ahead()
        if series is None:
            for first in range(0, store.blocks, PURGE_BLOCKS):
                count = min(PURGE_BLOCKS, store.blocks - first)
                removed += await self.alone(partial(store.purge_slots, first, count))
        else:
            number = store.low
            while number < store.high:
                number = max(number, store.low)
                count = min(PURGE_BLOCKS, store.high - number)
                removed += await self.alone(partial(store.purge, number, count, series))
                number += count
        await self.alone(self._end_purge)
        for reader in self._links:
            reader.forget_ahead()
        return removed

    def _begin_purge(self, before: int) -> None:
        content = self._store.content
        # The slots that are cleared take the cursors in their headers with them.
        stored = self._links.cursors(before)
        links = tuple(
            slot._replace(first_sequence=max(slot.first_sequence, cursor)) if slot.id else slot
            for slot, cursor in zip(content.links, stored, strict=True)
        )
        following = content.next(epoch=content.epoch, links=links)
        self._store.write_super(replace(following, purged_before=before, purging=True))

    def _end_purge(self) -> None:
        store = self._store
        store.end_purge()
        if store.content.purging:
            content = store.content.next(epoch=store.content.epoch, links=store.content.links)
            store.write_super(replace(content, purging=False))

    async def forget_names(self, sensor: str | None) -> None:
        """Remove a sensor, or all, from everything beside the ring. OSError if the disk refuses."""
        self._catalogue.forget(sensor)
        series = self._catalogue.take_changes() or self._catalogue.all
        try:
            await self.alone(lambda: self._forget_names(series))
        except OSError:
            self._catalogue.not_saved()
            raise
        self._open_saved = -1

    def _forget_names(self, series: list[Series]) -> None:
        for _ in range(2):  # the second time its predecessor does not know the names either
            save_catalogue(self._directory, series)
        self._store.damaged.clear()
        self._open_path.unlink(missing_ok=True)
        for path in self._directory.glob("*.tmp"):
            path.unlink()

    # -- blocks -----------------------------------------------------------------------------

    async def _write_all(self) -> bool:
        """Write and sync until no closed block waits; False when there was nothing to do."""
        worked = False
        side_error: OSError | None = None
        while True:
            job = self._job(sync=True)
            nothing = job.links is None and job.series is None and job.boots is None
            if nothing and not self._ring.tried:
                break
            worked = True
            await self._run_job(job)
            self._ring.mark_durable()
            self._failing = False
            self._note_side_files(job)
            side_error = job.side_error or side_error
            if not self._ring.waiting:
                break
        if side_error is not None:
            raise side_error
        return worked

    def _release(self) -> None:
        """Pass over what nobody needs on the disk: all links have settled it already."""
        settled = [reader.cursor for reader in self._links]
        if self._persist == "unacknowledged" and settled and not self._volatile:
            self.unwritten_readings += self._ring.release(min(settled))

    async def _stage(self) -> None:
        """Write full blocks without a sync, so that the page cache holds them if we die.

        New links and series ids go with them: readings that survive must find who is owed them and
        what they mean.
        """
        due = (self._catalogue.dirty or self._links.dirty) and not self._side_failed
        full = self._ring.waiting and self._persist == "all"
        if self._failing or not (full or due):
            return
        async with self._lock:
            try:
                job = self._job(sync=False)
                await self._run_job(job)
            except OSError as error:
                self._failed(error)
                return
            self._note_side_files(job)

    def _job(self, *, sync: bool) -> _Job:
        again = self._ring.tried_blocks() if self._failing else []
        room = 0 if self._failing else self._store.max_unsynced - self._ring.tried
        if not sync and self._persist != "all":
            room = 0  # what the links settle until the flush need not be written
        taken = self._ring.take(room)
        for block in taken:
            self._links.stored(self._seal(block, self.next_number))
            self.next_number += 1
        job = _Job([*again, *taken], reopen=self._failing, sync=sync)
        job.kept = self._ring.blocks[: self._ring.durable]
        job.links = self._links.take_changes()
        job.series = self._catalogue.take_changes()
        job.boots = self._boots.take_changes()
        return job

    async def _run_job(self, job: _Job) -> None:
        # Until the job has come back nobody knows what it wrote: not even if we are cancelled.
        self._failing, was_failing = True, self._failing
        done = False
        try:
            await self._worker.call(self._work, job)
            done = True
        finally:
            if not done:
                self._side_files_due(job)
                if job.links is not None:
                    self._links.not_saved()
        self._failing = was_failing
        self.written_readings += sum(block.count for block in job.blocks)
        if job.began_anew:  # the new directory lacks the side files, and maybe the newest cursors
            self._catalogue.not_saved()
            self._boots.not_saved()
            self._links.stored([])
        if job.blocks:
            self._written_at_s = asyncio.get_running_loop().time()

    def _work(self, job: _Job) -> None:
        """Run in the thread. Catalogue and links first: a block never needs what is not there."""
        store = self._store
        # A ring that is nowhere refuses here, before a side file of the real one is overwritten.
        if self._volatile or job.reopen or not store.in_place:
            self._renew_lock()
            store.reopen()
            job.began_anew = store.begun_anew
        try:
            if job.series is not None:
                save_catalogue(self._directory, job.series)
            if job.boots is not None:
                save_boots(self._directory, job.boots)
        except OSError as error:
            job.side_error = error  # the readings are worth more than their names
        if job.links is not None:
            store.write_super(store.content.next(epoch=store.content.epoch, links=job.links))
        if store.begun_anew:
            store.write_again(job.kept)
        store.write(job.blocks)
        if job.sync:
            store.sync()
        try:
            store.find_oldest()
        except OSError as error:
            logger.warning("the oldest block cannot be read: %s", error)

    def _note_side_files(self, job: _Job) -> None:
        self._side_failed = job.side_error is not None
        if self._side_failed:
            self._side_files_due(job)

    def _side_files_due(self, job: _Job) -> None:
        if job.series is not None:
            self._catalogue.not_saved()
        if job.boots is not None:
            self._boots.not_saved()

    def _seal(self, block: Block, number: int) -> list[int]:
        """Write the header; return the cursors in it, none of them newer than the data."""
        boot = self._boots.current
        cursors = self._links.cursors(block.end)
        seal(
            block,
            number,
            seed=self._store.seed,
            boot_id=boot.boot_id,
            offset_ns=boot.offset_ns,
            synced=boot.state == "synced",
            bound_ms=boot.bound_ms,
            cursors=cursors,
        )
        return cursors

    # -- how it went ------------------------------------------------------------------------

    def _failed(self, error: OSError) -> None:
        self.flush_errors += 1
        self._failures += 1
        self.reason = str(error)
        self._retry_at_s = asyncio.get_running_loop().time() + self._backoff.next_s()
        if self._failures == 1:
            logger.warning("the ring cannot be written, nothing is lost yet: %s", error)
        if self._failures == FAILURES_UNTIL_DEGRADED:
            self.degraded = True
            logger.warning(
                "the ring is degraded: new readings are only in memory until the disk takes them "
                "again: %s",
                error,
            )

    def _succeeded(self) -> None:
        if self._failures:
            logger.warning("the ring can be written again after %d failures", self._failures)
        self._failures = 0
        self._failing = False
        self.degraded = False
        self.reason = ""
        self._backoff.reset()

    def _tell_losses(self) -> None:
        lost = self._ring.lost_readings - self._lost_before
        if lost:
            self._lost_before = self._ring.lost_readings
            logger.error("%d readings fell out of memory before the disk took them", lost)

    # -- run --------------------------------------------------------------------------------

    async def _pause(self, seconds: float) -> None:
        """Wait, or less if a block became full meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._full.wait()
        except TimeoutError:
            return
        self._full.clear()

    async def _try_flush(self, *, cursors: bool = False) -> None:
        try:
            await self.flush(cursors=cursors)
        except OSError:
            return  # counted and told by flush; the next try comes by itself

    async def _save_open(self) -> None:
        """Keep the open block in the runtime directory, if it changed."""
        await self._stage()
        ring = self._ring
        if self._volatile or ring.next_sequence == self._open_saved:
            return
        block = ring.open_block()
        self._open_saved = ring.next_sequence
        if not block.count:
            return  # what the file holds is older than the last block, and will not be replayed
        copy = Block(
            bytearray(block.data),
            first=block.first,
            count=block.count,
            epoch=block.epoch,
            boot=block.boot,
        )
        self._seal(copy, self.next_number + ring.waiting)
        try:
            await self._worker.call(
                write_atomically, self._open_path, bytes(copy.data), durable=False
            )
            self._open_failed = False
        except OSError as error:
            if not self._open_failed:
                logger.warning("the open block cannot be kept at %s: %s", self._open_path, error)
            self._open_failed = True

    async def _fill(self) -> None:
        """Write some more zeros behind the end of a file that has not its full size yet."""
        now_s = asyncio.get_running_loop().time()
        if self._failing or not self._filling or now_s < self._fill_at_s:
            return
        try:
            self._filling = await self._worker.call(self._store.fill)
        except OSError as error:
            # An error of the device is told once: then a later sync says nothing of lost blocks.
            self._failing = error.errno != errno.ENOSPC
            if not self._fill_at_s:
                logger.warning("the ring file cannot grow to its full size now: %s", error)
            self._fill_at_s = now_s + FILL_RETRY_S
