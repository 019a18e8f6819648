"""The bytes on disk: fixed by docs/ring-format.md, whose decoder is run here."""

import json
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from gateway.buffer.layout import (
    BLOCK_SIZE,
    EMPTY_SLOT,
    Block,
    LinkSlot,
    Super,
    block_seed,
    decode_block,
    decode_super,
    encode_super,
    header_cursors,
    link_id,
    seal,
)
from gateway.buffer.ring import Ring
from tests.buffer.support import KEY, append, drain, open_buffer, settings_for, settle

ROOT = Path(__file__).resolve().parent.parent.parent
SALT = bytes(range(100, 116))
GOLDEN_BLOCK = (
    "434c4742 388fe5b7 2a00000000000000 e803000000000000 07000000 03000000 15cd5b0700000000"
    "803e0000 0200 0100 000102030405060708090a0b0c0d0e0f"
    "e703000000000000 ea03000000000000" + "0000000000000000" * 14
)
GOLDEN_READINGS = (
    "b168de3a00000000 000000000000f8bf 05000000 0310 0000"
    "b268de3a00000000 000000000000e03f 06000000 0000 0000"
)


def golden_block() -> Block:
    ring = Ring(epoch=7, boot=3, next_sequence=1000, max_unflushed_blocks=4)
    ring.append(5, 987_654_321, -1.5, 0x1003)
    ring.append(6, 987_654_322, 0.5, 0)
    ring.close_block()
    block = ring.take(1)[0]
    seal(
        block,
        42,
        seed=block_seed(SALT),
        boot_id=bytes(range(16)),
        offset_ns=123_456_789,
        synced=True,
        bound_ms=16_000,
        cursors=[999, 1002] + [0] * 14,
    )
    return block


def test_a_block_is_these_bytes() -> None:
    data = bytes(golden_block().data)
    assert len(data) == BLOCK_SIZE
    assert data[:192] == bytes.fromhex(GOLDEN_BLOCK)
    assert data[192:240] == bytes.fromhex(GOLDEN_READINGS)
    assert not any(data[240:])
    assert struct.unpack_from("<I", data, 4)[0] == zlib.crc32(data[8:], zlib.crc32(SALT))


def test_a_block_is_read_back() -> None:
    decoded = decode_block(bytes(golden_block().data), block_seed(SALT))
    assert decoded is not None
    block, boot_id = decoded
    assert (block.number, block.first, block.count, block.end) == (42, 1000, 2, 1002)
    assert (block.epoch, block.boot, block.offset_ns, block.synced) == (7, 3, 123_456_789, True)
    assert boot_id == bytes(range(16))
    assert header_cursors(block)[:3] == (999, 1002, 0)


def test_no_flipped_bit_of_a_block_goes_unseen() -> None:
    data = bytes(golden_block().data)
    for byte in range(BLOCK_SIZE):
        flipped = bytearray(data)
        flipped[byte] ^= 1 << (byte % 8)
        assert decode_block(bytes(flipped), block_seed(SALT)) is None


def test_a_block_of_another_ring_is_none_of_ours() -> None:
    assert decode_block(bytes(golden_block().data), block_seed(bytes(16))) is None


def test_the_super_block_is_read_back_and_no_flipped_bit_goes_unseen() -> None:
    link = LinkSlot(link_id("aarhus"), 17, 4, "aarhus")
    links = (EMPTY_SLOT, link, *[EMPTY_SLOT] * 14)
    content = Super(SALT, 1000, generation=5, epoch=9, links=links)
    data = encode_super(content)
    assert data[:4] == b"CLGS"
    assert struct.unpack_from("<I", data, 8)[0] == 1
    assert data[16:32] == SALT
    assert struct.unpack_from("<QQI", data, 32) == (1000, 5, 9)
    assert struct.unpack_from("<QQQ", data, 64 + 24) == link[:3]
    assert data[512 + 128 : 512 + 134] == b"aarhus"
    assert decode_super(data) == content
    for byte in range(BLOCK_SIZE):
        flipped = bytearray(data)
        flipped[byte] ^= 1 << (byte % 8)
        assert decode_super(bytes(flipped)) is None


def test_a_later_format_version_is_not_touched() -> None:
    data = bytearray(encode_super(Super(SALT, 1000, generation=5, epoch=9)))
    struct.pack_into("<I", data, 8, 2)
    struct.pack_into("<I", data, 4, zlib.crc32(data[8:]))
    assert decode_super(bytes(data)) is None


def test_a_refused_append_leaves_nothing_behind() -> None:
    ring = Ring(epoch=1, boot=1, next_sequence=0, max_unflushed_blocks=4)
    ring.append(1, 1, 1.0, 0)
    with pytest.raises(ValueError, match="format 'H'"):
        ring.append(2, 2, 2.0, 1 << 16)
    assert ring.next_sequence == 1
    ring.close_block()
    assert not any(ring.take(1)[0].data[192 + 24 :])


def decoder() -> str:
    page = (ROOT / "docs" / "ring-format.md").read_text(encoding="utf-8")
    script: str = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[-1]
    assert len(script.splitlines()) <= 40
    return script


async def test_the_decoder_on_the_page_reads_a_real_ring(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=16)
    link = buffer.reader("aarhus")
    for count in (1, 400, 3000, 17):
        append(buffer, count)
        await buffer.flush()
        settle(link, (await drain(link))[:1])
    series = buffer.series_id(KEY, unit="ug/m3", privacy="P0")
    await buffer.close()
    buffer = await open_buffer(tmp_path, blocks=16)
    expected = buffer.stats
    await buffer.close()
    script = tmp_path / "decode.py"
    run_decoder(script, settings_for(tmp_path).directory / "ring", expected, series)


def run_decoder(script: Path, ring: Path, expected: object, series: int) -> None:
    script.write_text(decoder(), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, script, ring], check=True, capture_output=True, text=True, timeout=10
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    oldest, end = expected.oldest_sequence, expected.next_sequence  # type: ignore[attr-defined]
    assert 0 < oldest < end
    assert [row["sequence"] for row in rows] == list(range(oldest, end))
    assert {row["series"] for row in rows} == {series}
    assert all(row["value"] == row["sequence"] for row in rows)
    assert rows[-1]["epoch"] == 1
