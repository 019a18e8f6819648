"""Finding the newest block of a ring file, mostly without reading much of it."""

import logging

from gateway.buffer.layout import Block
from gateway.buffer.store import Store

__all__ = ["find_head", "scan"]

logger = logging.getLogger("citylab_gateway.buffer")

PROBED_SLOTS = 257
"""An unfinished flush leaves at most so many slots behind the last durable block."""
MAX_PROBES = 4
SAMPLED_SLOTS = 64
"""Evenly spaced slots that are looked at beyond the head, in case a card zeroed a whole area."""
SCAN_BLOCKS = 256


def find_head(store: Store) -> Block | None:
    """Return the block with the highest number, None if there is no valid block at all."""
    first = _slot(store, 0)
    if first is None:
        return scan(store)
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
        return scan(store)
    if _anything_newer(store, head):
        logger.warning("the ring does not look as it should; reading all of it")
        return scan(store)
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


def scan(store: Store) -> Block | None:
    """Read everything and return the block with the highest number, or None."""
    head = None
    for begin in range(0, store.blocks, SCAN_BLOCKS):
        best = _best(store, begin, min(SCAN_BLOCKS, store.blocks - begin))
        if best is not None and (head is None or best.number > head.number):
            head = best
    return head
