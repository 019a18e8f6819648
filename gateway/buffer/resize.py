"""Another size for an existing ring: a new file beside it, and then its name."""

import contextlib
import errno
import logging
import os
from dataclasses import replace

from gateway.buffer.files import Damaged, sync_directory
from gateway.buffer.head import find_head
from gateway.buffer.layout import BLOCK_SIZE, Block, renumber
from gateway.buffer.store import OpenFile, Store

__all__ = ["resized"]

logger = logging.getLogger("citylab_gateway.buffer")

NEW_SUFFIX = ".new"
COPIED_BLOCKS = 256


def resized(store: Store, blocks: int, open_file: OpenFile, damaged: Damaged) -> Store:
    """Return the ring with so many data blocks, with the newest of its blocks that fit.

    All is copied to a new file, which gets the name of the old one when it is durable: a power cut
    leaves the one or the other, whole. If there is no room for both, the ring keeps its size and
    the log says so. OSError if the new file cannot be opened under its final name.
    """
    new_path = store.path.with_name(store.path.name + NEW_SUFFIX)
    if new_path.exists():
        new_path.unlink()  # left by a power cut
    if store.blocks == blocks:
        return store
    logger.warning("the ring is brought from %d to %d blocks", store.blocks, blocks)
    try:
        new = Store(new_path, open_file, open_file(new_path), store.content, damaged)
        try:
            _copy(store, new, blocks)
        finally:
            new.close()
        new_path.replace(store.path)
        sync_directory(store.path.parent)
    except OSError as error:
        logger.warning("the ring keeps its size of %d blocks: %s", store.blocks, error)
        with contextlib.suppress(OSError):
            new_path.unlink(missing_ok=True)
        return store
    store.close()
    return Store(store.path, open_file, open_file(store.path), new.content, damaged)


def _copy(old: Store, new: Store, blocks: int) -> None:
    """Copy the newest blocks, numbered anew from 0 on, so that opening stays quick."""
    head = find_head(old)
    if head is None:
        raise OSError(errno.ENODATA, "it holds no intact block")
    old.high = head.number + 1
    first = max(old.low, old.high - blocks)
    needed = (old.high - first) * BLOCK_SIZE
    if new.free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    new.blank()
    base: int | None = None
    new.content = replace(old.content, blocks=blocks)
    new.blocks = blocks
    for begin in range(first, old.high, COPIED_BLOCKS):
        batch: list[Block] = []
        for number, block, _ in old.run(begin, min(COPIED_BLOCKS, old.high - begin)):
            if block is None:
                continue
            base = number if base is None else base
            renumber(block, number - base, old.seed)
            batch.append(block)
        if batch:
            new.write(batch)
            new.sync()
    shift = base or 0
    links = tuple(
        link._replace(from_block=max(0, link.from_block - shift)) for link in old.content.links
    )
    new.write_super(new.content.next(epoch=new.content.epoch, links=links))
