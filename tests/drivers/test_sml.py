"""SML files: escapes, checks, privacy, bounded memory, and damage behind good checksums."""

import random

import pytest

from drivers.checks import crc16_x25
from drivers.sml import Sml
from drivers.sml.messages import SmlError, entries
from drivers.sml.simulated import STATUS_EXPORT, STATUS_IMPORT, SimulatedSml
from drivers.sml.transport import MAX_FILE_BYTES, SmlReader
from gateway.driver import NoOptions, Outcome
from gateway.reading import Fault
from tests.drivers.driver_cases import chunks, faults, feed_all, readings

ESCAPE = b"\x1b" * 4


def driver() -> Sml:
    return Sml(NoOptions())


def packed(content: bytes) -> bytes:
    fill = -len(content) % 4
    body = (content + bytes(fill)).replace(ESCAPE, ESCAPE * 2)
    raw = ESCAPE + b"\x01" * 4 + body + ESCAPE + bytes((0x1A, fill))
    return raw + crc16_x25(raw).to_bytes(2, "little")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        b"abcd",
        b"\x1b",
        b"abc\x1b",
        b"a" + b"\x1b" * 3,
        ESCAPE,
        b"x" + ESCAPE,
        b"x" + b"\x1b" * 5,
        b"\x1b" * 11,
        ESCAPE + b"\x1a\x00\x12\x34",
        ESCAPE + b"\x01\x01\x01\x01abcd",
        b"ab" + ESCAPE + b"\x1a\x03xy",
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_escapes_in_the_content_come_back(content: bytes, size: int) -> None:
    reader = SmlReader()
    data = packed(content) + packed(b"next")
    found = [each for piece in chunks(data, size) for each in reader.feed(piece)]
    assert found == [content, b"next"]


def test_an_end_with_an_impossible_number_of_fill_bytes_is_none() -> None:
    raw = ESCAPE + b"\x01" * 4 + b"abcd" + ESCAPE + b"\x1a\x04"
    reader = SmlReader()
    assert reader.feed(raw + crc16_x25(raw).to_bytes(2, "little")) == []
    found = reader.feed(packed(b"next"))
    assert found[1:] == [b"next"]
    assert isinstance(found[0], Fault)


def test_a_damaged_bit_anywhere_costs_one_file_and_invents_nothing() -> None:
    device = SimulatedSml(3)
    first, second = device.emit(), device.emit()
    expected = readings(driver().feed(second))
    for bit in range(0, 8 * len(first), 3):
        damaged = bytearray(first)
        damaged[bit // 8] ^= 1 << bit % 8
        outcomes = feed_all(driver(), [bytes(damaged) + second])
        assert readings(outcomes) == expected, bit
        assert faults(outcomes), bit


@pytest.mark.parametrize(
    "noise", [b"\x1b" * 1000, (ESCAPE + b"\x01" * 4) * 100, ESCAPE + b"\x01" * 4 + bytes(10_000)]
)
def test_noise_without_an_end_does_not_grow_memory(noise: bytes) -> None:
    device = driver()
    outcomes = feed_all(device, [noise] * 30)
    assert device.buffered_bytes <= MAX_FILE_BYTES
    assert readings(outcomes) == []
    good = SimulatedSml(1).emit()
    assert readings(feed_all(device, [good]))
    assert readings(feed_all(device, [good])) == readings(driver().feed(good))


def test_random_messages_behind_good_checksums_invent_nothing() -> None:
    source = random.Random(9)
    device = driver()
    for _ in range(3000):
        head = source.choice([b"", b"\x76\x02\x01\x62\x00\x62\x00\x72\x63\x07\x01\x77"])
        outcomes = list(device.feed(packed(head + source.randbytes(source.randrange(60)))))
        assert readings(outcomes) == []


@pytest.mark.parametrize(
    "file",
    [
        "76",
        "7f",
        "77" * 20,
        "f0" * 8 + "00",
        "8f8f8f8f0f",
        "6201",
        "73010101",
        "760101010101",
        "7601010172630701770101010171510101" + "0101",
        "ff8f" + "01" * 20,
        "10",
        "71" * 3000,
        "8000",
        "76" + "1201" + "01" * 5,
        "76" + "5a" + "01" * 9 + "01" * 5,
    ],
)
def test_damaged_messages_are_refused(file: str) -> None:
    with pytest.raises(SmlError):
        entries(bytes.fromhex(file))


def test_no_identifier_leaves_the_decoder() -> None:
    serial = b"SIM\x00\x00\x00\x00\x00"
    good = SimulatedSml(1).emit()
    assert serial in good
    unknown = packed(b"\x05" + serial[:4])
    outcomes: list[Outcome] = feed_all(
        driver(), [good[30:], good, good[:-1] + b"\x00", unknown, good[:90], good]
    )
    assert readings(outcomes)
    assert {"noise", "checksum", "unknown", "short"} <= set(faults(outcomes))
    assert "SIM" not in repr(outcomes)
    assert all(outcome.sample == b"" for outcome in outcomes if isinstance(outcome, Fault))


def test_the_simulated_meter_says_in_its_status_which_way_energy_flows() -> None:
    device = SimulatedSml(4)
    signs = set()
    for _ in range(2000):
        file = device.emit()
        watts = next(v for q, v, dims in readings(driver().feed(file)) if q == "power.active")
        status = STATUS_IMPORT if watts >= 0 else STATUS_EXPORT
        assert status.to_bytes(4, "big") in file
        signs.add(watts >= 0)
    assert signs == {True, False}
