"""The frame engine, with tables of devices whose drivers come later, and the noise counter."""

import random
import struct

import pytest

from drivers.frames import (
    Checksum,
    ChecksumKind,
    Field,
    FrameReader,
    FrameTable,
    LengthField,
    Payload,
)
from drivers.noise import REPORT_BYTES, NoiseCounter
from gateway.reading import Fault, Measured

# A Plantower-like table: a length field, a 16-bit sum, no end bytes; data sheet PMS5003.
PLANTOWER = FrameTable(
    start=b"BM",
    length=LengthField(offset=2, code="H", extra=4, shortest=24, longest=40),
    byte_order=">",
    checksum=Checksum(kind="sum16", first=0, behind=2),
    payloads={
        b"": Payload(
            fields=(
                Field(offset=10, code="H", quantity="air.pm1"),
                Field(offset=12, code="H", quantity="air.pm25", invalid=frozenset({0xFFFF})),
                Field(offset=14, code="H", quantity="air.pm10", highest=1000),
            )
        )
    },
)


def plantower(pm1: int, pm25: int, pm10: int, size: int = 32) -> bytes:
    body = struct.pack(">2sH3xx3xx", b"BM", size - 4)[:10] + struct.pack(">HHH", pm1, pm25, pm10)
    body = body.ljust(size - 2, b"\x07")
    return body + (sum(body) & 0xFFFF).to_bytes(2, "big")


def feed_in(reader: FrameReader, data: bytes, size: int) -> list[Measured | Fault]:
    return [o for i in range(0, len(data), size) for o in reader.feed(data[i : i + size])]


@pytest.mark.parametrize("chunk", [1, 3, 31, 32, 33, 500])
def test_a_length_field_tells_where_the_frame_ends(chunk: int) -> None:
    data = plantower(1, 2, 3) + plantower(4, 5, 6, size=24) + plantower(7, 8, 9, size=40)
    outcomes = feed_in(FrameReader(PLANTOWER), data, chunk)
    assert [o.value for o in outcomes if isinstance(o, Measured)] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert len(outcomes) == 9


def test_an_impossible_length_is_no_frame() -> None:
    reader = FrameReader(PLANTOWER)
    assert reader.feed(b"BM\x00\x01" + b"BM\xff\xff" + b"BM\x00") == []
    outcomes = reader.feed(b"\x1c" + plantower(1, 2, 3)[4:])
    assert [o.value for o in outcomes if isinstance(o, Measured)] == [1, 2, 3]
    assert [o.detail for o in outcomes if isinstance(o, Fault)] == [
        "8 bytes that belong to no frame"
    ]


def test_a_false_start_with_a_long_length_hides_no_frame() -> None:
    """The start bytes occur inside a payload: the frame behind must still be found."""
    reader = FrameReader(PLANTOWER)
    outcomes = reader.feed(b"BM\x00\x24" + plantower(1, 2, 3) + plantower(4, 5, 6))
    assert [o.value for o in outcomes if isinstance(o, Measured)] == [1, 2, 3, 4, 5, 6]
    assert [o.kind for o in outcomes if isinstance(o, Fault)] == ["checksum"]


def test_an_invalid_value_is_missing_and_its_neighbours_are_not() -> None:
    outcomes = FrameReader(PLANTOWER).feed(plantower(1, 0xFFFF, 1001))
    assert outcomes[0] == Measured("air.pm1", 1.0)
    assert [o.kind for o in outcomes if isinstance(o, Fault)] == ["range"]
    assert len(outcomes) == 2


def one_field(kind: ChecksumKind) -> FrameTable:
    wide = 2 if kind == "sum16" else 1
    return FrameTable(
        start=b"\xff\x86",
        length=5 + wide,
        byte_order=">",
        checksum=Checksum(kind=kind, first=1, behind=wide),
        payloads={b"": Payload(fields=(Field(offset=2, code="H", quantity="air.co2"),))},
    )


@pytest.mark.parametrize(
    ("kind", "check"),
    [("sum8", "d4"), ("negative8", "2c"), ("xor8", "84"), ("sum16", "00d4")],
)
def test_each_kind_of_checksum(kind: ChecksumKind, check: str) -> None:
    """Worked out by hand over 86 02 26 26: the sum is D4, its negative 2C, the parity 84."""
    good = bytes.fromhex("ff86022626" + check)
    assert FrameReader(one_field(kind)).feed(good) == [Measured("air.co2", 550.0)]
    bad = bytes.fromhex("ff86022726" + check)
    assert [o.kind for o in FrameReader(one_field(kind)).feed(bad)] == ["checksum"]  # type: ignore[union-attr]


def test_a_partial_start_at_the_end_is_kept() -> None:
    table = FrameTable(
        start=b"\xf4\xf3\xf2",
        length=4,
        byte_order="<",
        payloads={b"": Payload(fields=(Field(offset=3, code="B", quantity="air.pm1"),))},
    )
    reader = FrameReader(table)
    assert reader.feed(b"\x00\xf4\xf3") == []
    assert reader.buffered_bytes == 2
    outcomes = reader.feed(b"\xf2\x2a")
    assert Measured("air.pm1", 42.0) in outcomes
    assert reader.buffered_bytes == 0


def test_tables_that_cannot_work_are_refused() -> None:
    overlapping = (
        Field(offset=2, code="H", quantity="air.pm1"),
        Field(offset=3, code="H", quantity="air.pm25"),
    )
    outside = (Field(offset=9, code="H", quantity="air.pm1"),)
    for fields in (overlapping, outside):
        table = FrameTable(
            start=b"\xaa", length=10, byte_order="<", payloads={b"": Payload(fields=fields)}
        )
        with pytest.raises(ValueError, match=r"overlap|outside"):
            FrameReader(table)
    with pytest.raises(ValueError, match="same number"):
        FrameReader(
            FrameTable(
                start=b"\xaa", length=9, byte_order="<", payloads={b"": Payload(), b"a": Payload()}
            )
        )


@pytest.mark.parametrize("seed", range(3))
def test_a_flood_of_noise_costs_little_and_hides_nothing(seed: int) -> None:
    noise = random.Random(seed).randbytes(100_000)
    reader = FrameReader(PLANTOWER)
    outcomes = feed_in(reader, noise, 4096)
    assert reader.buffered_bytes < 40
    assert all(isinstance(o, Fault) for o in outcomes)
    assert len(outcomes) < len(noise) / 100
    found = reader.feed(plantower(1, 2, 3) * 3)
    assert [o.value for o in found if isinstance(o, Measured)][-6:] == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_noise_is_counted_alike_in_any_chunking(size: int) -> None:
    noise = bytes(range(200)) * 4
    counter = NoiseCounter()
    faults = [f for i in range(0, len(noise), size) for f in counter.drop(noise[i : i + size])]
    faults += counter.end()
    whole = NoiseCounter()
    assert faults == [*whole.drop(noise), *whole.end()]
    counts = [int(fault.detail.split()[0]) for fault in faults]
    assert counts == [REPORT_BYTES] * 3 + [len(noise) - 3 * REPORT_BYTES]
    assert faults[0].sample == noise[:16]
    assert counter.end() == []


def test_excused_bytes_are_not_counted_again() -> None:
    counter = NoiseCounter(keep_sample=False)
    counter.excuse(5)
    assert counter.drop(b"12345") == []
    assert counter.end() == []
    counter.excuse(5)
    assert counter.drop(b"123") == counter.drop(b"4567") == []
    assert counter.end() == [Fault("noise", "2 bytes that belong to no frame", b"")]
