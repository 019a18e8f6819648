"""Opening a ring, whatever the disk holds: find the newest block, mend what is half written.

O(log n) reads on a healthy file. What does not fit falls back to reading the whole file.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.buffer.files import BlockFile, Damaged, sync_directory
from gateway.buffer.layout import (
    BLOCK_SIZE,
    EMPTY_SLOT,
    FIRST_DATA_SLOT,
    LINKS,
    SALT_SIZE,
    Block,
    LinkSlot,
    Super,
    decode_block,
    decode_super,
    header_cursors,
    seal,
)
from gateway.buffer.store import OpenFile, Stamp, Store

__all__ = ["RING_FILE", "Recovered", "recover"]

logger = logging.getLogger("citylab_gateway.buffer")

RING_FILE = "ring"
MIN_BLOCKS = 16
PROBED_SLOTS = 257
"""An unfinished flush leaves at most so many slots behind the last durable block."""
MAX_PROBES = 4
SAMPLED_SLOTS = 64
"""Evenly spaced slots that are looked at beyond the head, in case a card zeroed a whole area."""
NEWEST_BLOCKS = 200
"""The cursors are the highest that stand in so many newest blocks."""
SCAN_BLOCKS = 256
FIRST_FILL_SLICES = 2


@dataclass(slots=True)
class Recovered:
    """What opening found; the new epoch is durable already."""

    store: Store
    next_number: int = 0
    next_sequence: int = 0
    cursors: list[int] = field(default_factory=lambda: [0] * LINKS)
    oldest_pending: list[Stamp | None] = field(default_factory=lambda: [None] * LINKS)
    """For each link, when the reading at its cursor was measured."""
    recent: list[Block] = field(default_factory=list)
    newest_boot: tuple[int, bytes] | None = None
    """Boot number and boot id of the newest block."""
    replayed_readings: int = 0


def recover(  # noqa: PLR0913 - what opening depends on
    directory: Path,
    *,
    size_bytes: int,
    open_image: bytes,
    boot_id: bytes,
    open_file: OpenFile,
    damaged: Damaged,
) -> Recovered:
    """Open the ring of this directory, or begin one. OSError if the storage cannot be used.

    ``open_image`` is the block that an earlier process of this boot was filling, or nothing.
    """
    store = _open_store(directory / RING_FILE, size_bytes, open_file, damaged)
    try:
        return _recover(store, open_image, boot_id)
    except OSError:
        store.close()
        raise


def _recover(store: Store, open_image: bytes, boot_id: bytes) -> Recovered:
    result = Recovered(store)
    links = store.content.links
    epoch = store.content.epoch
    result.cursors = _cursors((), links)
    head = _find_head(store)
    if head is not None:
        result.next_number = store.high = head.number + 1
        newest = _newest_blocks(store)
        epoch = max(epoch, *(block.epoch for block in newest))
        result.next_sequence = max(block.end for block in newest)
        result.cursors = _cursors(newest, links)
        result.recent = _contiguous(newest)
        result.newest_boot = (head.boot, _boot_id_of(head, store.seed))
    _scrub(store)
    _replay(result, open_image, boot_id, epoch)
    result.next_sequence = max(result.next_sequence, *result.cursors)
    store.write_super(store.content.next(epoch=epoch + 1, links=links))
    store.find_oldest()
    result.oldest_pending = [
        store.stamp(cursor) if link.id and cursor < result.next_sequence else None
        for link, cursor in zip(links, result.cursors, strict=True)
    ]
    return result


# -- the file and its super block ---------------------------------------------------------------


def _open_store(path: Path, size_bytes: int, open_file: OpenFile, damaged: Damaged) -> Store:
    wanted = max(MIN_BLOCKS, size_bytes // BLOCK_SIZE - FIRST_DATA_SLOT)
    file = open_file(path)
    try:
        content = _newest_super(file)
        if content is None and file.size() > 0:
            _set_aside(path, file, damaged)
            file = open_file(path)
        if content is None:
            return _create(path, wanted, open_file, file, damaged)
    except OSError:
        file.close()
        raise
    if content.blocks != wanted:
        logger.warning(
            "the ring keeps its size of %d blocks; the configuration asks for %d",
            content.blocks,
            wanted,
        )
    return Store(path, open_file, file, content, damaged)


def _newest_super(file: BlockFile) -> Super | None:
    found = [decode_super(file.pread(BLOCK_SIZE, place * BLOCK_SIZE)) for place in (0, 1)]
    valid = [content for content in found if content is not None]
    return max(valid, key=lambda content: content.generation, default=None)


def _set_aside(path: Path, file: BlockFile, damaged: Damaged) -> None:
    blank = not file.pread(FIRST_DATA_SLOT * BLOCK_SIZE, 0).strip(b"\x00")
    file.close()
    target = damaged.keep_file(path)
    logger.log(
        logging.WARNING if blank else logging.ERROR,
        "%s has no super block that this version understands; it was moved to %s and a new ring "
        "was begun",
        path,
        target,
    )


def _create(
    path: Path, blocks: int, open_file: OpenFile, file: BlockFile, damaged: Damaged
) -> Store:
    """Begin a ring. Its block 0 is empty, so that it can be told from one that lost its start."""
    content = Super(os.urandom(SALT_SIZE), blocks, generation=0, epoch=0)
    store = Store(path, open_file, file, content, damaged)
    file.pwrite(bytes(FIRST_DATA_SLOT * BLOCK_SIZE), 0)
    first = Block(bytearray(BLOCK_SIZE), first=0, count=0, epoch=0, boot=0)
    seal(
        first,
        0,
        seed=store.seed,
        boot_id=bytes(16),
        offset_ns=0,
        synced=False,
        bound_ms=0,
        cursors=(0,) * LINKS,
    )
    store.write([first])
    for _ in range(FIRST_FILL_SLICES):
        store.fill()
    store.write_super(content)
    sync_directory(path.parent)
    return store


# -- the newest block ---------------------------------------------------------------------------


def _find_head(store: Store) -> Block | None:
    """Return the block with the highest number, None if there is no valid block at all."""
    first = _slot(store, 0)
    if first is None:
        return _scan(store)
    lap = first.number // store.blocks
    head = first
    low, high = 1, store.blocks
    while low < high:  # the last slot that was written in the same lap as slot 0
        middle = (low + high) // 2
        block = _slot(store, middle)
        if block is not None and block.number // store.blocks == lap:
            head, low = block, middle + 1
        else:
            high = middle
    for _ in range(MAX_PROBES):
        behind = _best(store, head.number + 1, min(PROBED_SLOTS, store.blocks - 1))
        if behind is None or behind.number < head.number:
            break
        head = behind
    else:
        return _scan(store)
    if _anything_newer(store, head):
        logger.warning("the ring does not look as it should; reading all of it")
        return _scan(store)
    return head


def _slot(store: Store, slot: int) -> Block | None:
    return next(block for block, _ in store.slots(slot, 1))


def _best(store: Store, slot: int, count: int) -> Block | None:
    """Return the valid block with the highest number among these slots, around the end."""
    best = None
    while count > 0:
        slot %= store.blocks
        part = min(count, store.blocks - slot)
        for block, _ in store.slots(slot, part):
            if block is not None and (best is None or block.number > best.number):
                best = block
        slot += part
        count -= part
    return best


def _anything_newer(store: Store, head: Block) -> bool:
    """Look at slots spread over what should be older than the head."""
    begin = head.number % store.blocks + PROBED_SLOTS
    room = store.blocks - begin
    if room <= 0:
        return False
    even = {begin + room * step // SAMPLED_SLOTS for step in range(SAMPLED_SLOTS)}
    doubling = {begin + (1 << power) for power in range(room.bit_length() - 1)}
    blocks = (_slot(store, slot) for slot in sorted(even | doubling))
    return any(block is not None and block.number > head.number for block in blocks)


def _scan(store: Store) -> Block | None:
    head = None
    for begin in range(0, store.blocks, SCAN_BLOCKS):
        best = _best(store, begin, min(SCAN_BLOCKS, store.blocks - begin))
        if best is not None and (head is None or best.number > head.number):
            head = best
    return head


# -- what the newest blocks say -----------------------------------------------------------------


def _newest_blocks(store: Store) -> list[Block]:
    """Return the valid ones of the newest blocks, oldest first; the head is always among them."""
    first = max(store.low, store.high - NEWEST_BLOCKS)
    run = store.run(first, store.high - first)
    return [block for _, block, _ in run if block is not None]


def _cursors(newest: Sequence[Block], links: Sequence[LinkSlot]) -> list[int]:
    cursors = [link.first_sequence for link in links]
    for block in newest:
        found = header_cursors(block)
        for place, link in enumerate(links):
            if link.id != EMPTY_SLOT.id and block.number >= link.from_block:
                cursors[place] = max(cursors[place], found[place])
    return cursors


def _contiguous(newest: Sequence[Block]) -> list[Block]:
    """Return the newest blocks without a hole between them, oldest first."""
    begin = len(newest) - 1
    while begin > 0 and newest[begin - 1].number == newest[begin].number - 1:
        if newest[begin - 1].end != newest[begin].first:
            break
        begin -= 1
    return list(newest[begin:])


def _boot_id_of(block: Block, seed: int) -> bytes:
    decoded = decode_block(bytes(block.data), seed)
    return decoded[1] if decoded is not None else b""


def _scrub(store: Store) -> None:
    """Zero what is not valid ahead of the head, so that it can never be completed later."""
    scrubbed = 0
    for number in range(store.high, store.high + store.max_unsynced + 1):
        slot = number % store.blocks
        block, data = next(store.slots(slot, 1))
        if block is None and data.strip(b"\x00"):
            store.scrub(slot, data)
            scrubbed += 1
    if scrubbed:
        store.sync()
        logger.warning("%d half-written blocks ahead of the newest one were cleared", scrubbed)


def _replay(result: Recovered, image: bytes, boot_id: bytes, epoch: int) -> None:
    """Take over the block that an earlier process of this boot was still filling, if it fits."""
    store = result.store
    decoded = decode_block(image, store.seed)
    if decoded is None:
        return
    block, image_boot = decoded
    if (
        image_boot != boot_id
        or block.epoch != epoch
        or block.number < result.next_number
        or block.first < result.next_sequence
        or not block.count
    ):
        return
    numbered = _renumber(block, result.next_number, store.seed, image_boot)
    store.write([numbered])
    store.sync()
    result.next_number += 1
    result.next_sequence = numbered.end
    result.cursors = _cursors([*result.recent, numbered], store.content.links)
    result.recent = _contiguous([*result.recent, numbered])
    result.newest_boot = (block.boot, boot_id)
    result.replayed_readings = block.count
    logger.info("%d readings of the open block were recovered", block.count)


def _renumber(block: Block, number: int, seed: int, boot_id: bytes) -> Block:
    """Return the block under the next number; an earlier one may never have reached the disk."""
    copy = Block(
        bytearray(block.data),
        first=block.first,
        count=block.count,
        epoch=block.epoch,
        boot=block.boot,
    )
    bound_ms = int.from_bytes(block.data[40:44], "little")
    seal(
        copy,
        number,
        seed=seed,
        boot_id=boot_id,
        offset_ns=block.offset_ns,
        synced=block.synced,
        bound_ms=bound_ms,
        cursors=header_cursors(block),
    )
    return copy
