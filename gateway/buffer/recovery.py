"""Opening a ring, whatever the disk holds: find the newest block, mend what is half written.

O(log n) reads on a healthy file. What does not fit falls back to reading the whole file.
"""

import contextlib
import errno
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.buffer.boots import NewestBlock
from gateway.buffer.files import BlockFile, Damaged, sync_directory
from gateway.buffer.head import find_head, scan
from gateway.buffer.layout import (
    BLOCK_SIZE,
    EMPTY_SLOT,
    FIRST_DATA_SLOT,
    LINKS,
    READABLE_VERSIONS,
    SALT_SIZE,
    Block,
    LinkSlot,
    Super,
    decode_block,
    decode_super,
    header_cursors,
    seal,
    super_version,
)
from gateway.buffer.resize import resized
from gateway.buffer.ring import gather
from gateway.buffer.store import OpenFile, Stamp, Store

__all__ = ["MIN_BLOCKS", "RING_FILE", "Recovered", "recover", "size_of"]

logger = logging.getLogger("citylab_gateway.buffer")

RING_FILE = "ring"
MIN_BLOCKS = 16
NEWEST_BLOCKS = 200
"""The cursors are the highest that stand in so many newest blocks."""
FIRST_FILL_SLICES = 2
MAX_UNREADABLE = 64


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
    newest_boot: NewestBlock | None = None
    replayed_readings: int = 0


def size_of(file: BlockFile) -> int:
    """Return the full size in bytes of the ring in this file; its length if that is unknown."""
    content = _newest_super(file, tolerant=True)
    return file.size() if content is None else (FIRST_DATA_SLOT + content.blocks) * BLOCK_SIZE


def recover(  # noqa: PLR0913 - what opening depends on
    directory: Path,
    *,
    size_bytes: int,
    open_image: bytes,
    boot_id: bytes,
    open_file: OpenFile,
    damaged: Damaged,
    tolerant: bool = False,
) -> Recovered:
    """Open the ring of this directory, or begin one. OSError if the storage cannot be used.

    ``tolerant``: up to 64 blocks that cannot be read count as damaged instead; all is read then.

    ``open_image`` is the block that an earlier process of this boot was filling, or nothing.
    """
    store = _open_store(directory / RING_FILE, size_bytes, open_file, damaged, tolerant=tolerant)
    try:
        store.finish_purge()
        if not tolerant:
            store = resized(store, _blocks_for(size_bytes), open_file, damaged)
        with store.tolerance(MAX_UNREADABLE if tolerant else 0):
            return _recover(store, open_image, boot_id, thorough=tolerant)
    except OSError:
        store.close()
        raise


def _recover(store: Store, open_image: bytes, boot_id: bytes, *, thorough: bool) -> Recovered:
    result = Recovered(store)
    links = store.content.links
    epoch = store.content.epoch
    result.cursors = _cursors((), links)
    head = scan(store) if thorough else find_head(store)
    if head is not None:
        result.next_number = store.high = head.number + 1
        newest = _newest_blocks(store)
        epoch = max(epoch, *(block.epoch for block in newest))
        result.next_sequence = max(block.end for block in newest)
        result.cursors = _cursors(newest, links)
        result.recent = _contiguous(newest)
        result.newest_boot = NewestBlock(
            head.boot, _boot_id_of(head, store.seed), _last_time_ns(newest, head.boot)
        )
    _scrub(store)
    _replay(result, open_image, boot_id, epoch)
    result.next_sequence = max(result.next_sequence, *result.cursors, store.content.purged_before)
    if result.recent and result.recent[-1].end < result.next_sequence:
        result.recent = []  # the disk knows why readings are missing behind the newest block
    store.write_super(store.content.next(epoch=epoch + 1, links=links))
    store.find_oldest()
    result.oldest_pending = [
        store.stamp(cursor) if link.id and cursor < result.next_sequence else None
        for link, cursor in zip(links, result.cursors, strict=True)
    ]
    return result


# -- the file and its super block ---------------------------------------------------------------


def _blocks_for(size_bytes: int) -> int:
    return max(MIN_BLOCKS, size_bytes // BLOCK_SIZE - FIRST_DATA_SLOT)


def _open_store(
    path: Path, size_bytes: int, open_file: OpenFile, damaged: Damaged, *, tolerant: bool
) -> Store:
    wanted = _blocks_for(size_bytes)
    file = open_file(path)
    try:
        content = _newest_super(file, tolerant=tolerant)
        if content is None and file.size() > 0:
            _set_aside(path, file, damaged)
            file = open_file(path)
        if content is None:
            try:
                return _create(path, wanted, open_file, file, damaged)
            except OSError:  # what was begun must not be set aside as if it had held something
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
    except OSError:
        file.close()
        raise
    return Store(path, open_file, file, content, damaged)


def _newest_super(file: BlockFile, *, tolerant: bool) -> Super | None:
    """Return the super block that counts; one place is enough if the other cannot be read."""
    valid: list[Super] = []
    problem: OSError | None = None
    for place in (0, 1):
        try:
            content = decode_super(file.pread(BLOCK_SIZE, place * BLOCK_SIZE))
        except OSError as error:
            if not tolerant:
                raise
            problem = error
            continue
        if content is not None:
            valid.append(content)
    if problem is not None and not valid:
        raise problem
    return max(valid, key=lambda content: content.generation, default=None)


def _set_aside(path: Path, file: BlockFile, damaged: Damaged) -> None:
    head = file.pread(FIRST_DATA_SLOT * BLOCK_SIZE, 0)
    version = super_version(head[:BLOCK_SIZE]) or super_version(head[BLOCK_SIZE : 2 * BLOCK_SIZE])
    file.close()
    if version is not None and version not in READABLE_VERSIONS:
        target = damaged.keep_file(path, f"{path.name}.v{version}")
        logger.error(
            "%s has format version %d, which this program does not know (it reads %s); it was "
            "moved to %s, whole, and a new ring was begun",
            path,
            version,
            ", ".join(map(str, sorted(READABLE_VERSIONS))),
            target,
        )
        return
    target = damaged.keep_file(path)
    logger.log(
        logging.ERROR if head.strip(b"\x00") else logging.WARNING,
        "%s has no intact super block; it was moved to %s and a new ring was begun",
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
        try:
            store.fill()
        except OSError as error:  # it is tried again while the daemon runs
            if error.errno != errno.ENOSPC:
                raise
            break
    store.write_super(content)
    sync_directory(path.parent)
    return store


# -- what the newest blocks say -----------------------------------------------------------------


def _newest_blocks(store: Store) -> list[Block]:
    """Return the valid ones of the newest blocks, oldest first; the head is always among them."""
    first = max(store.low, store.high - NEWEST_BLOCKS)
    run = store.run(first, store.high - first)
    return [block for _, block, _ in run if block is not None]


def _last_time_ns(newest: Sequence[Block], boot: int) -> int:
    """Return the latest boot time in the newest block of that boot that holds readings, else 0."""
    for block in reversed(newest):
        if block.boot == boot and block.count:
            return max(gather([block], 0, block.first, block.end).times_ns)
    return 0


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
    result.newest_boot = NewestBlock(block.boot, boot_id, _last_time_ns([block], block.boot))
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
