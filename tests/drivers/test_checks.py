"""The check values that are computed in a roundabout way, beside their definition bit by bit."""

import random

import pytest

from drivers.checks import (
    CHECK_BYTES,
    ChecksumKind,
    check_bytes,
    checker,
    crc16_arc,
    crc16_modbus,
    crc16_x25,
)


def by_definition(data: bytes, polynomial: int, start: int) -> int:
    """Divide bit by bit, the least significant one of each byte first."""
    crc = start
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return crc


@pytest.mark.parametrize("longest", [40, 1200])
def test_crcs_of_any_length_are_those_of_their_definition(longest: int) -> None:
    source = random.Random(longest)
    for length in (0, *(source.randrange(longest) for _ in range(60))):
        data = source.randbytes(length)
        assert crc16_modbus(data) == by_definition(data, 0xA001, 0xFFFF)
        assert crc16_arc(data) == by_definition(data, 0xA001, 0)
        assert crc16_x25(data) == by_definition(data, 0x8408, 0xFFFF) ^ 0xFFFF


@pytest.mark.parametrize("data", [bytes(5000), b"\xff" * 5000, bytes(17) + b"\x80"])
def test_crcs_of_monotonous_bytes(data: bytes) -> None:
    assert crc16_modbus(data) == by_definition(data, 0xA001, 0xFFFF)
    assert crc16_arc(data) == by_definition(data, 0xA001, 0)


@pytest.mark.parametrize("kind", CHECK_BYTES)
@pytest.mark.parametrize("end", [b"", b"\x0d\x0a"])
def test_a_whole_frame_is_right_with_its_check_value_and_wrong_with_any_bit_of_it_turned(
    kind: ChecksumKind, end: bytes
) -> None:
    covered = bytes(range(3, 20))
    value = check_bytes(kind)(covered)
    is_right = checker(kind, 2, len(value) + len(end))
    assert is_right(b"\xaa\x55" + covered + value + end)
    for bit in range(8 * len(value)):
        wrong = (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(len(value), "big")
        assert not is_right(b"\xaa\x55" + covered + wrong + end)
