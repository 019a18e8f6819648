"""Where every byte of the ring file stands; docs/ring-format.md is the page of record.

Everything is little-endian. Encoding and checking only: no file is touched here.
"""

import hashlib
import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

__all__ = [
    "BLOCK_SIZE",
    "EMPTY_SLOT",
    "FIRST_DATA_SLOT",
    "FORMAT_VERSION",
    "HEADER_SIZE",
    "LINKS",
    "NAME_SIZE",
    "READABLE_VERSIONS",
    "READINGS_PER_BLOCK",
    "READING_SIZE",
    "REMOVED_SERIES",
    "SALT_SIZE",
    "SCRATCH_SLOT",
    "VOLATILE_EPOCH",
    "Block",
    "LinkSlot",
    "Super",
    "block_seed",
    "decode_block",
    "decode_super",
    "encode_super",
    "header_cursors",
    "link_id",
    "remove_readings",
    "renumber",
    "seal",
    "super_version",
]

BLOCK_SIZE = 4096
HEADER_SIZE = 192
READING_SIZE = 24
READINGS_PER_BLOCK = 162
FIRST_DATA_SLOT = 4
"""Blocks 0 and 1 are super A and B, 2 is the scratch block of purge, 3 is reserved."""
LINKS = 16
FORMAT_VERSION = 1
SALT_SIZE = 16
NAME_SIZE = 128
"""Bytes of UTF-8 that the name of a link may have."""
MAX_BLOCKS = 1 << 32
SCRATCH_SLOT = 2
REMOVED_SERIES = 0
"""Series of a reading that was purged: all its bytes are zeros, only its place remains."""
VOLATILE_EPOCH = 1 << 31
"""Epochs from here on belong to rings that only ever lived in memory."""

BLOCK_MAGIC = b"CLGB"
SUPER_MAGIC = b"CLGS"
CHECKED_FROM = 8
"""The checksum covers everything behind magic and checksum."""
FLAG_SYNCED = 1 << 0
"""Header flag: the wall clock was right when the block was written."""

# magic, crc32, block number, first sequence, epoch, boot, wall - boottime ns, bound ms, count,
# flags, boot id, 16 cursors
_HEADER = struct.Struct("<4sIQQIIqIHH16s16Q")
_CURSORS = struct.Struct("<16Q")
_CURSORS_AT = 64
# magic, crc32, format version, zeros, salt, data blocks N, generation, epoch, purge under way,
# purged before
_SUPER = struct.Struct("<4sII4x16sQQIIQ")
_LINK = struct.Struct("<QQQ")
_LINKS_AT = 64
_NAMES_AT = 512
_CRC = struct.Struct("<I")
_CRC_AT = 4
_VERSION = struct.Struct("<II")
_NUMBER = struct.Struct("<Q")
_NUMBER_AT = 8


class LinkSlot(NamedTuple):
    """One of the 16 places for a link; ``id`` 0 means that the place is free."""

    id: int
    first_sequence: int
    """The link is owed everything from here on."""
    from_block: int
    """Blocks before this number carry the cursor of an earlier owner of the place."""
    name: str


EMPTY_SLOT = LinkSlot(0, 0, 0, "")


@dataclass(frozen=True, slots=True)
class Super:
    """What stands in block 0 or 1; of two valid ones the higher generation counts."""

    salt: bytes
    blocks: int
    """Number of data blocks N; block number b lives in slot b mod N."""
    generation: int
    epoch: int
    links: tuple[LinkSlot, ...] = (EMPTY_SLOT,) * LINKS
    purged_before: int = 0
    """Sequence; whatever is below was removed on request, however it looks on the disk."""
    purging: bool = False
    """The removal of all that is below ``purged_before`` is not complete."""
    version: int = FORMAT_VERSION

    def next(self, *, epoch: int, links: tuple[LinkSlot, ...]) -> "Super":
        """Return the super of the next generation, which goes to the other place."""
        return replace(self, generation=self.generation + 1, epoch=epoch, links=links)


class Block:
    """One data block: its 4,096 bytes and the header fields that are needed in memory."""

    __slots__ = ("boot", "count", "data", "epoch", "first", "number", "offset_ns", "synced")

    def __init__(  # noqa: PLR0913 - the fields of the header
        self,
        data: bytes | bytearray,
        *,
        first: int,
        count: int,
        epoch: int,
        boot: int,
        number: int = -1,
        offset_ns: int = 0,
        synced: bool = False,
    ) -> None:
        self.data = data
        self.first = first
        self.count = count
        self.epoch = epoch
        self.boot = boot
        self.number = number
        self.offset_ns = offset_ns
        self.synced = synced

    @property
    def end(self) -> int:
        """One above the sequence of the last reading."""
        return self.first + self.count

    def __repr__(self) -> str:
        return f"Block(number={self.number}, first={self.first}, count={self.count})"


def block_seed(salt: bytes) -> int:
    """Return what the checksum of every data block starts from, so that no foreign block fits."""
    return zlib.crc32(salt)


def link_id(name: str) -> int:
    """Return the 64-bit id of a link's name, never 0. ValueError if the name does not fit."""
    text = name.encode()
    if not 0 < len(text) <= NAME_SIZE or b"\x00" in text:
        raise ValueError(f"link name must be 1 to {NAME_SIZE} bytes without NUL, got {name!r}")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") or 1


def seal(  # noqa: PLR0913 - the fields of the header
    block: Block,
    number: int,
    *,
    seed: int,
    boot_id: bytes,
    offset_ns: int,
    synced: bool,
    bound_ms: int,
    cursors: Sequence[int],
) -> None:
    """Write header and checksum into the block's bytes; it is not changed any more after this."""
    data = block.data
    assert isinstance(data, bytearray)  # noqa: S101 - only blocks of this process are sealed
    block.number = number
    block.offset_ns = offset_ns
    block.synced = synced
    flags = FLAG_SYNCED if synced else 0
    fields = (number, block.first, block.epoch, block.boot, offset_ns, bound_ms, block.count, flags)
    _HEADER.pack_into(data, 0, BLOCK_MAGIC, 0, *fields, boot_id, *cursors)
    _CRC.pack_into(data, _CRC_AT, zlib.crc32(memoryview(data)[CHECKED_FROM:], seed))


def decode_block(
    data: bytes, seed: int, version: int = FORMAT_VERSION
) -> tuple[Block, bytes] | None:
    """Return the block and its boot id, or None if these bytes are no valid block of this ring.

    All blocks of a ring have the version of its super block.
    """
    return _BLOCK_DECODERS[version](data, seed)


def _decode_block_1(data: bytes, seed: int) -> tuple[Block, bytes] | None:
    if len(data) != BLOCK_SIZE or data[:4] != BLOCK_MAGIC:
        return None
    head = _HEADER.unpack_from(data, 0)
    if head[1] != zlib.crc32(memoryview(data)[CHECKED_FROM:], seed):
        return None
    count, flags = head[8], head[9]
    if count > READINGS_PER_BLOCK:
        return None
    block = Block(
        data,
        first=head[3],
        count=count,
        epoch=head[4],
        boot=head[5],
        number=head[2],
        offset_ns=head[6],
        synced=bool(flags & FLAG_SYNCED),
    )
    return block, head[10]


_BLOCK_DECODERS = {1: _decode_block_1}


def renumber(block: Block, number: int, seed: int) -> None:
    """Give a valid block another number, and its checksum anew."""
    data = bytearray(block.data)
    _NUMBER.pack_into(data, _NUMBER_AT, number)
    _CRC.pack_into(data, _CRC_AT, zlib.crc32(memoryview(data)[CHECKED_FROM:], seed))
    block.data, block.number = data, number


def remove_readings(block: Block, seed: int, series: Collection[int] | None) -> int:
    """Zero the readings of these series (None: of all) in the block; return how many those were.

    Their places remain, as series 0, so that no sequence changes. A block that has a number gets
    its checksum anew.
    """
    view = memoryview(block.data).cast("I")
    low = (HEADER_SIZE + 16) // 4
    step = READING_SIZE // 4
    ids = view[low : low + step * block.count : step].tolist()
    found = [
        index
        for index, one in enumerate(ids)
        if one != REMOVED_SERIES and (series is None or one in series)
    ]
    if not found:
        return 0
    if not isinstance(block.data, bytearray):
        block.data = bytearray(block.data)
    for index in found:
        at = HEADER_SIZE + index * READING_SIZE
        block.data[at : at + READING_SIZE] = bytes(READING_SIZE)
    if block.number >= 0:
        crc = zlib.crc32(memoryview(block.data)[CHECKED_FROM:], seed)
        _CRC.pack_into(block.data, _CRC_AT, crc)
    return len(found)


def header_cursors(block: Block) -> tuple[int, ...]:
    """Return the 16 cursors of a valid block."""
    return _CURSORS.unpack_from(block.data, _CURSORS_AT)


def encode_super(content: Super) -> bytes:
    """Return the 4,096 bytes of a super block."""
    data = bytearray(BLOCK_SIZE)
    _SUPER.pack_into(
        data,
        0,
        SUPER_MAGIC,
        0,
        content.version,
        content.salt,
        content.blocks,
        content.generation,
        content.epoch,
        content.purging,
        content.purged_before,
    )
    for place, link in enumerate(content.links):
        at = _LINKS_AT + place * _LINK.size
        _LINK.pack_into(data, at, link.id, link.first_sequence, link.from_block)
        name = link.name.encode()
        at = _NAMES_AT + place * NAME_SIZE
        data[at : at + len(name)] = name
    _CRC.pack_into(data, _CRC_AT, zlib.crc32(memoryview(data)[CHECKED_FROM:]))
    return bytes(data)


def super_version(data: bytes) -> int | None:
    """Return the format version of an intact super block, also of one we do not know; else None.

    Magic, checksum and version stand where they are in every version.
    """
    if len(data) != BLOCK_SIZE or data[:4] != SUPER_MAGIC:
        return None
    crc, version = _VERSION.unpack_from(data, _CRC_AT)
    return version if crc == zlib.crc32(memoryview(data)[CHECKED_FROM:]) else None


def decode_super(data: bytes) -> Super | None:
    """Return the super block, or None if these bytes are none that this version understands."""
    version = super_version(data)
    if version not in READABLE_VERSIONS:
        return None
    return _SUPER_DECODERS[version](data)


def _decode_super_1(data: bytes) -> Super | None:
    fields = _SUPER.unpack_from(data, 0)
    _, _, version, salt, blocks, generation, epoch, purging, purged = fields
    if not 0 < blocks <= MAX_BLOCKS:
        return None
    links = tuple(_decode_link(data, place) for place in range(LINKS))
    return Super(salt, blocks, generation, epoch, links, purged, bool(purging), version)


_SUPER_DECODERS = {1: _decode_super_1}
READABLE_VERSIONS = frozenset(_SUPER_DECODERS)
"""A ring of one of these is opened as it stands; each has a fixture in tests/buffer/fixtures."""


def _decode_link(data: bytes, place: int) -> LinkSlot:
    identity, first, from_block = _LINK.unpack_from(data, _LINKS_AT + place * _LINK.size)
    at = _NAMES_AT + place * NAME_SIZE
    name = data[at : at + NAME_SIZE].rstrip(b"\x00").decode(errors="replace")
    return LinkSlot(identity, first, from_block, name)
