"""Storage that could not be used when the daemon started: try again, and bring memory to it.

Until then the ring counts from 0 in an epoch of its own. When the disk is back, all of that goes
behind what the disk holds, under new numbers: so nothing durable is lost, nothing in memory, and
each link goes on where the disk says that it stands. Numbers may only change while no link waits
for an answer about an old one: readers give out nothing new until all that they gave is settled.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from gateway.backoff import Backoff
from gateway.buffer.cursors import Reader, Source
from gateway.buffer.flusher import Worker
from gateway.buffer.layout import EMPTY_SLOT, LINKS, LinkSlot
from gateway.buffer.opening import BufferSettings, Opened, discard, open_storage
from gateway.buffer.recovery import Recovered
from gateway.buffer.store import OpenFile
from gateway.clock import Clock
from gateway.errors import DataDirectoryBusy

__all__ = ["found_readers", "heal", "merged_links"]

logger = logging.getLogger("citylab_gateway.buffer")

HEAL_FIRST_S = 1.0
HEAL_MAX_S = 60.0
STRICT_ATTEMPTS = 4
"""Before a few places that cannot be read count as damaged."""
SETTLE_TIMEOUT_S = 30.0
"""How long links may take to settle what is on its way, before forwarding goes on as it was."""
SETTLE_POLL_S = 0.02


async def heal(  # noqa: PLR0913 - what opening depends on
    settings: BufferSettings,
    clock: Clock,
    open_file: OpenFile,
    worker: Worker,
    *,
    source: Source,
    readers: Callable[[], Sequence[Reader]],
    adopt: Callable[[Opened], Awaitable[None]],
) -> None:
    """Return when the storage could be opened and ``adopt`` took it over."""
    backoff = Backoff(first_s=HEAL_FIRST_S, max_s=HEAL_MAX_S)
    last_problem = ""
    while True:
        await asyncio.sleep(backoff.next_s())
        tolerant = backoff.attempts > STRICT_ATTEMPTS
        try:
            opened = await _opened(settings, clock, open_file, worker, tolerant=tolerant)
        except (OSError, DataDirectoryBusy) as error:
            if str(error) != last_problem:
                last_problem = str(error)
                logger.warning("%s still cannot be used: %s", settings.directory, error)
            continue
        adopted = False
        try:
            if await _settled(source, readers):
                await adopt(opened)
                adopted = True
        except ValueError as error:
            logger.error("the ring stays in memory until the next start: %s", error)  # noqa: TRY400
            return
        finally:
            source.held = False
            source.wakeup.set()
            source.wakeup.clear()
            if not adopted:
                await worker.call(discard, opened.lock, opened.recovered.store)
        if adopted:
            logger.warning("%s can be used again; memory goes there now", settings.directory)
            return


async def _opened(
    settings: BufferSettings, clock: Clock, open_file: OpenFile, worker: Worker, *, tolerant: bool
) -> Opened:
    """Open in the worker; what comes too late, because we are cancelled, is closed again."""
    opening = asyncio.ensure_future(
        worker.call(open_storage, settings, clock, open_file, tolerant=tolerant)
    )
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        try:
            opened = await opening
        except (OSError, DataDirectoryBusy):
            raise asyncio.CancelledError from None
        await worker.call(discard, opened.lock, opened.recovered.store)
        raise


async def _settled(source: Source, readers: Callable[[], Sequence[Reader]]) -> bool:
    """Hold the readers until nothing is on its way; False if that takes too long."""
    source.held = True
    try:
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while not all(reader.idle for reader in readers()):  # noqa: ASYNC110 - many ends
                await asyncio.sleep(SETTLE_POLL_S)
    except TimeoutError:
        logger.warning("links wait for answers; the ring stays in memory a little longer")
        return False
    return True


def found_readers(recovered: Recovered, source: Source) -> list[Reader | None]:
    """Return a reader for each place of the super block that was found."""
    slots = recovered.store.content.links
    found = zip(slots, recovered.cursors, recovered.oldest_pending, strict=True)
    return [
        None if slot.id == EMPTY_SLOT.id else Reader(slot.name, cursor, source, oldest=oldest)
        for slot, cursor, oldest in found
    ]


def merged_links(
    recovered: Recovered, present: Sequence[tuple[LinkSlot, Reader]], source: Source
) -> tuple[list[LinkSlot], list[Reader | None]]:
    """Return the places for links as found on disk, with the readers that are in use in them.

    A reader whose name was found goes on at that cursor. Where places run out, those of links
    that nobody asked for in this process are given up.
    """
    by, number = recovered.next_sequence, recovered.next_number
    slots = list(recovered.store.content.links)
    readers = found_readers(recovered, source)
    found = {slot.id: place for place, slot in enumerate(slots) if slot.id != EMPTY_SLOT.id}
    in_use = {slot.id for slot, _ in present}
    free = [place for place in range(LINKS) if slots[place].id == EMPTY_SLOT.id]
    free += [place for identity, place in found.items() if identity not in in_use]
    for slot, reader in present:
        place = found.get(slot.id)
        if place is not None:
            reader.renumber(by, recovered.cursors[place], recovered.oldest_pending[place])
        else:
            place = free.pop(0)
            reader.renumber(by, None)
            slots[place] = LinkSlot(slot.id, reader.cursor, number, slot.name)
        readers[place] = reader
    return slots, readers
