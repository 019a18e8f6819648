"""Known-bad variants of the ring, made by replacing pieces of the real code: each must be caught.

A mutant counts as caught when a state breaks one of the promises named beside it; that it falls
over by itself would prove nothing.
"""

import contextlib
import json
import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from gateway.buffer import catalogue as catalogue_module
from gateway.buffer import files, layout, recovery
from gateway.buffer.cursors import Links
from gateway.buffer.flusher import Flusher
from gateway.buffer.layout import (
    BLOCK_SIZE,
    HEADER_SIZE,
    READING_SIZE,
    READINGS_PER_BLOCK,
    Block,
    Super,
    encode_super,
)
from gateway.buffer.recovery import Recovered
from gateway.buffer.store import Store
from tests.crash.everywhere import everywhere

__all__ = ["MUTANTS", "UNCAUGHT", "Mutant"]


class Mutant(NamedTuple):
    """A defect, and the promises that it breaks."""

    name: str
    promises: frozenset[str]
    replaced: tuple[tuple[object, str, Any], ...]
    """(class, attribute, value), or (module where the original stays, name, value): see there."""

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Live with the defect for a while."""
        with contextlib.ExitStack() as stack:
            for owner, name, value in self.replaced:
                if isinstance(owner, type):
                    stack.callback(setattr, owner, name, getattr(owner, name))
                    setattr(owner, name, value)
                else:
                    stack.enter_context(everywhere(name, value, but=str(owner)))
            yield


def _mutant(name: str, promises: str, *replaced: tuple[object, str, Any]) -> Mutant:
    return Mutant(name, frozenset(promises.split()), replaced)


# -- the checksum is not looked at --------------------------------------------------------------


def _decode_unchecked(data: bytes, seed: int, *more: Any) -> tuple[Block, bytes] | None:
    if len(data) != BLOCK_SIZE or data[:4] != layout.BLOCK_MAGIC:
        return None
    copy = bytearray(data)
    crc = zlib.crc32(memoryview(copy)[layout.CHECKED_FROM :], seed)
    layout._CRC.pack_into(copy, layout._CRC_AT, crc)
    return layout.decode_block(bytes(copy), seed, *more)


# -- nothing is synced --------------------------------------------------------------------------


def _no_sync(file: files.RingFile) -> None:
    """Return at once."""


# -- the epoch does not rise, or not durably ----------------------------------------------------


_next_super = Super.next


def _same_epoch(content: Super, *, epoch: int, links: tuple[layout.LinkSlot, ...]) -> Super:
    return _next_super(content, epoch=max(1, content.epoch), links=links)


def _super_unsynced(self: Store, content: Super) -> None:
    for _ in range(2):
        self._write(encode_super(content), (content.generation % 2) * BLOCK_SIZE)
        self.content = content
        content = content.next(epoch=content.epoch, links=content.links)


def _super_in_place(self: Store, content: Super) -> None:
    self._write(encode_super(content), 0)
    self._file.sync()
    self.content = content


# -- the last block is completed in place -------------------------------------------------------


_seal_block = Flusher._seal


def _seal_in_place(self: Flusher, block: Block, number: int) -> list[int]:
    """Give a block the readings of the last durable one as well, and its place."""
    ring = self._ring
    durable = ring.blocks[ring.durable - 1] if ring.durable else None
    tried = ring.tried_blocks()
    if (
        durable is not None
        and tried
        and tried[0] is block
        and number == durable.number + 1
        and durable.epoch == block.epoch
        and durable.end == block.first
        and durable.count
        and durable.count + block.count <= READINGS_PER_BLOCK
    ):
        old = durable.data[HEADER_SIZE : HEADER_SIZE + durable.count * READING_SIZE]
        new = block.data[HEADER_SIZE : HEADER_SIZE + block.count * READING_SIZE]
        body = bytes(old) + bytes(new)
        data = bytearray(BLOCK_SIZE)
        data[HEADER_SIZE : HEADER_SIZE + len(body)] = body
        block.data, block.first = data, durable.first
        block.count += durable.count
        number = durable.number
        self.next_number -= 1
    return _seal_block(self, block, number)


# -- cursors apart from the data ----------------------------------------------------------------


def _newer_cursors(self: Links, end: int) -> list[int]:
    """Take no notice of where the data end."""
    return self.positions()


_recover = recovery.recover


def _recover_data_alone(*args: Any, **kwargs: Any) -> Recovered:
    """Let the data alone say where it goes on: nobody compares them with the cursors."""
    result = _recover(*args, **kwargs)
    newest = result.store.block(result.next_number - 1) if result.next_number else None
    if newest is not None:
        result.next_sequence = newest.end
    return result


# -- blocks are let go before a sync covers them ------------------------------------------------


_stage = Flusher._stage


async def _stage_and_free(self: Flusher) -> None:
    await _stage(self)
    self._ring.mark_durable()


# -- the slot that comes next is cleared before it is needed ------------------------------------


_write_blocks = Store.write


def _write_and_clear(self: Store, blocks: Sequence[Block]) -> None:
    """Make room early: the next lap's first slots lose what is still promised."""
    _write_blocks(self, blocks)
    for ahead in range(3):
        self._write(bytes(BLOCK_SIZE), self._offset((self.high + ahead) % self.blocks))


# -- readings are removed in place --------------------------------------------------------------


def _purge_in_place(self: Store, number: int, count: int, series: Collection[int]) -> int:
    """Rewrite the only copy of a block."""
    removed = 0
    for _, block, _ in self.run(number, count):
        if block is not None and (found := layout.remove_readings(block, self.seed, series)):
            self._write(bytes(block.data), self._offset(block.number % self.blocks))
            self._file.sync()
            removed += found
    return removed


# -- side files ---------------------------------------------------------------------------------


_work = Flusher._work


def _catalogue_late(self: Flusher, job: Any) -> None:
    """Write the blocks first, and their names once they are safe."""
    series, job.series = job.series, None
    _work(self, job)
    if series is not None and job.sync:
        catalogue_module.save_catalogue(self._directory, series)
    elif series is not None:
        self._catalogue.not_saved()


def _links_late(self: Flusher, job: Any) -> None:
    links, job.links = job.links, None
    _work(self, job)
    job.links = links
    if links is not None:
        content = self._store.content
        self._store.write_super(content.next(epoch=content.epoch, links=links))


def _save_in_place(path: Any, content: Any) -> None:
    checksum = f"{zlib.crc32(files._canonical(content)):08x}"
    document = {"version": files.JSON_VERSION, "crc32": checksum, "content": content}
    calls = vars(files)["os"]  # the fake one while the checker runs
    flags = calls.O_WRONLY | calls.O_CREAT | calls.O_TRUNC | calls.O_CLOEXEC
    fd = calls.open(path, flags, files.FILE_MODE)
    calls.write(fd, json.dumps(document, indent=1).encode())
    calls.fsync(fd)
    calls.close(fd)


def _no_scrub(_: Store) -> None:
    """Leave half-written blocks where they are."""


MUTANTS: tuple[Mutant, ...] = (
    _mutant(
        "no checksum",
        "invented lost order numbers meaning time cursor_ahead",
        ("layout", "decode_block", _decode_unchecked),
    ),
    _mutant("no sync", "lost identity", (files.RingFile, "sync", _no_sync)),
    _mutant("no epoch", "identity", (Super, "next", _same_epoch)),
    _mutant("epoch not durable", "identity lost", (Store, "write_super", _super_unsynced)),
    _mutant("super block in place", "lost identity", (Store, "write_super", _super_in_place)),
    _mutant("last block in place", "lost", (Flusher, "_seal", _seal_in_place)),
    _mutant(
        "cursors apart",
        "cursor_ahead account",
        (Links, "cursors", _newer_cursors),
        ("recovery", "recover", _recover_data_alone),
    ),
    _mutant("freed early", "lost", (Flusher, "_stage", _stage_and_free)),
    _mutant("slots cleared early", "lost", (Store, "write", _write_and_clear)),
    _mutant("purge in place", "lost order", (Store, "purge", _purge_in_place)),
    _mutant("catalogue late", "meaning", (Flusher, "_work", _catalogue_late)),
    _mutant("links late", "link", (Flusher, "_work", _links_late)),
    _mutant(
        "side files in place",
        "meaning time boot",
        ("files", "save_json", _save_in_place),
    ),
)
UNCAUGHT: tuple[Mutant, ...] = (
    _mutant("no scrub", "invented lost cursor_ahead", ("", "_scrub", _no_scrub)),
)
"""Defects whose harm no state has shown yet; see the test for what that means."""
