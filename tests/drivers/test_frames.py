"""The frame engine, with tables of devices whose drivers come later, and the noise counter."""

import gc
import random
import struct
from dataclasses import replace

import pytest

from drivers.checks import CHECK_BYTES, check_bytes
from drivers.frame_values import REMEMBERED_COUNTS
from drivers.frames import (
    Checksum,
    ChecksumKind,
    Field,
    Frame,
    FrameReader,
    FrameScanner,
    FrameTable,
    LengthField,
    Payload,
)
from drivers.noise import REPORT_BYTES, NoiseCounter
from drivers.polls import FramePoll
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


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("sum8", "dd"),
        ("negative8", "23"),
        ("inverted8", "22"),
        ("xor8", "31"),
        ("crc8", "f4"),
        ("sum16", "01dd"),
        ("negative16", "fe23"),
        ("crc16-modbus", "374b"),
        ("crc16-arc", "3dbb"),
        ("crc16-xmodem", "31c3"),
        ("crc16-ccitt", "29b1"),
    ],
)
def test_check_values_of_the_digits(kind: ChecksumKind, check: str) -> None:
    """The catalogues of CRCs give theirs for "123456789"; the sum of the digits is 01DD."""
    value = check_bytes(kind)(b"123456789")
    assert value.hex() == check
    assert len(value) == CHECK_BYTES[kind]
    if len(value) == 2:
        assert {check_bytes(kind, order)(b"123456789") for order in ("<", ">")} == {
            value,
            value[::-1],
        }


def test_the_check_value_may_stand_in_another_byte_order() -> None:
    table = FrameTable(
        start=b"\xff\x86",
        length=7,
        byte_order=">",
        checksum=Checksum(kind="sum16", first=1, behind=2, byte_order="<"),
        payloads={b"": Payload(fields=(Field(offset=2, code="H", quantity="air.co2"),))},
    )
    good = bytes.fromhex("ff86022626d400")
    assert FrameReader(table).feed(good) == [Measured("air.co2", 550.0)]


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


def test_checks_and_starts_that_cannot_work_are_refused() -> None:
    good = one_field("sum8")
    with pytest.raises(ValueError, match="start byte"):
        FrameReader(FrameTable(start=b"", length=3, byte_order="<", payloads={b"": Payload()}))
    with pytest.raises(ValueError, match="begin with"):
        FrameReader(good, replace(good, start=b"\xff"))
    for behind, end in ((0, b""), (1, b"\xab")):
        with pytest.raises(ValueError, match="overlap"):
            FrameReader(
                FrameTable(
                    start=b"\xaa",
                    length=9,
                    byte_order="<",
                    checksum=Checksum(kind="sum8", first=0, behind=behind),
                    end=end,
                    payloads={b"": Payload()},
                )
            )


# -- several tables, and what a frame says beside its values -----------------------------------

TALKER = (
    FrameTable(
        start=b"\x40",
        length=LengthField(offset=1, code="B", extra=3, shortest=5, longest=16),
        byte_order=">",
        checksum=Checksum(kind="negative8", first=0, behind=1),
        payloads={
            b"\x05\x04": Payload(
                fields=(
                    Field(offset=3, code="b", quantity="air.temperature", zero=40, per=2),
                    Field(offset=4, code="B", quantity="air.humidity"),
                ),
                zeros=(3, 7),
            ),
            b"\x03\x04": Payload(fields=(Field(offset=3, code="H", quantity="air.co2"),)),
            b"\x02\x04": Payload(fields=(Field(offset=5, code="H", quantity="air.pm1"),)),
        },
    ),
    FrameTable(start=b"\xa5\xa5", length=2, byte_order=">", payloads={b"": Payload()}),
    FrameTable(
        start=b"\x96\x96",
        length=2,
        byte_order=">",
        payloads={b"": Payload(device_error="refused")},
    ),
)


def talk(text: str) -> bytes:
    body = bytes.fromhex(text)
    return body + bytes((-sum(body) & 0xFF,))


CLIMATE = talk("40 05 04 1e 32 00 00")
CO2 = talk("40 03 04 02 26")


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_a_device_may_speak_with_several_start_bytes(chunk: int) -> None:
    data = b"\xa5\xa5" + CLIMATE + b"\x96\x96" + CO2 + b"\x96" + b"\xa5" + CO2
    outcomes = feed_in(FrameReader(*TALKER), data, chunk)
    assert outcomes == [
        Measured("air.temperature", -5.0),
        Measured("air.humidity", 50.0),
        Fault("device_error", "refused", b"\x96\x96"),
        Measured("air.co2", 550.0),
        Fault("noise", "2 bytes that belong to no frame", b"\x96\xa5"),
        Measured("air.co2", 550.0),
    ]


def test_a_frame_too_short_for_its_fields_and_one_of_zeros_hold_no_reading() -> None:
    reader = FrameReader(*TALKER)
    assert [o.kind for o in reader.feed(talk("40 02 04 01")) if isinstance(o, Fault)] == ["short"]
    assert reader.feed(talk("40 05 04 00 00 00 00")) == []
    assert len(reader.feed(talk("40 05 04 00 00 00 01"))) == 2


def test_the_first_field_must_be_among_the_bytes_that_are_zero() -> None:
    payload = Payload(fields=(Field(offset=2, code="B", quantity="air.co2"),), zeros=(3, 5))
    with pytest.raises(ValueError, match="first field"):
        FrameReader(FrameTable(start=b"\xaa", length=9, byte_order="<", payloads={b"": payload}))


def test_only_so_many_counts_are_remembered_and_each_reads_the_same_again() -> None:
    reader = FrameReader(*TALKER)
    co2 = [talk(f"40 03 04 {count:04x}") for count in range(2 * REMEMBERED_COUNTS)]
    for _ in range(2):
        values = [o.value for o in reader.feed(b"".join(co2)) if isinstance(o, Measured)]
        assert values == list(range(2 * REMEMBERED_COUNTS))
    remembered = [each for each in gc.get_objects() if type(each).__name__ == "_Readings"]
    assert remembered
    assert all(len(each) <= REMEMBERED_COUNTS for each in remembered)


def test_a_scanner_gives_whole_frames() -> None:
    scanner = FrameScanner(*TALKER)
    found = scanner.scan(CO2[:2]) + scanner.scan(CO2[2:] + b"\x07\xa5\xa5\x40")
    assert found == [
        Frame(b"\x40\x03\x04", CO2),
        Fault("noise", "1 bytes that belong to no frame", b"\x07"),
        Frame(b"\xa5\xa5", b"\xa5\xa5"),
    ]
    assert scanner.buffered_bytes == 1
    assert scanner.finish() == [Fault("short", "a frame that ended too early", b"\x40")]
    assert scanner.buffered_bytes == 0
    assert scanner.finish() == []


@pytest.mark.parametrize("raw", ["7fc00000", "7f800000", "ff800000", "7f7fffff"])
def test_no_number_and_no_infinity_becomes_a_reading(raw: str) -> None:
    table = FrameTable(
        start=b"\xaa\x55",
        length=7,
        byte_order=">",
        end=b"\x0d",
        payloads={b"": Payload(fields=(Field(offset=2, code="f", quantity="air.co2"),))},
    )
    outcomes = FrameReader(table).feed(bytes.fromhex(f"aa55{raw}0d"))
    if raw == "7f7fffff":
        assert [o.value for o in outcomes if isinstance(o, Measured)] == [float(2**128 - 2**104)]
    else:
        kinds = [o.kind for o in outcomes if isinstance(o, Fault)]
        assert kinds == ([] if raw == "7fc00000" else ["range"])
        assert len(outcomes) == len(kinds)


# -- questions ----------------------------------------------------------------------------------


def test_the_end_of_an_answer_is_told_as_early_as_possible_and_not_earlier() -> None:
    reader = FrameReader(*TALKER)
    data = b"\x00\x40\xff\xa5\xa5" + CO2 + b"rest"
    ends = [reader.end_of_reading(data[:end]) for end in range(len(data))]
    # The first 40 has an impossible length; A5 A5 holds no reading; CO2 begins at byte 5.
    assert ends == [None] * 8 + [11] * (len(data) - 8)
    assert reader.end_of_reading(b"\x96\x96") == 2
    assert reader.end_of_reading(talk("40 02 99 01")) is None
    assert reader.end_of_reading(b"\x00" * 5000) is None


def test_an_answer_is_judged_for_itself() -> None:
    poll = FramePoll(*TALKER, data=b"?", timeout_s=0.5, quiet_s=0.1)
    assert (poll.request.data, poll.request.timeout_s, poll.request.quiet_s) == (b"?", 0.5, 0.1)
    damaged = CO2[:-1] + b"\x00"
    judged = {
        b"": ["timeout"],
        CO2[:4]: ["short"],
        b"noise": ["noise"],
        damaged: ["checksum"],
        damaged + b"\x40": ["checksum"],
        b"\x96\x96": ["device_error"],
        CO2: [],
    }
    for data, kinds in judged.items():
        outcomes = poll.answer(data)
        assert [o.kind for o in outcomes if isinstance(o, Fault)] == kinds, data
        assert (Measured("air.co2", 550.0) in outcomes) == (data == CO2)
    assert poll.answer(CO2[:4]) + poll.answer(CO2[4:]) != [Measured("air.co2", 550.0)]


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
