"""VE.Direct blocks: where they may begin, HEX messages, privacy, and what one damaged bit does."""

import pytest

from drivers.vedirect import VeDirect
from drivers.vedirect.blocks import MAX_BLOCK_BYTES
from drivers.vedirect.simulated import SimulatedVeDirect
from gateway.driver import NoOptions
from gateway.reading import Fault, Measured
from tests.drivers.driver_cases import chunks, faults, feed_all, readings


def driver() -> VeDirect:
    return VeDirect(NoOptions())


def block(*lines: str) -> bytes:
    text = "".join(f"\r\n{line}" for line in [*lines, "Checksum\t"]).encode()
    return text + bytes((-sum(text) & 0xFF,))


def with_check(wanted: int) -> bytes:
    """Return a block whose check byte is this one."""
    letters = [chr(code) for code in range(0x20, 0x7F)]
    blocks = (block("PID\t0xA042", "V\t12000", f"FW\t{a}{b}{b}") for a in letters for b in letters)
    return next(each for each in blocks if each[-1] == wanted)


@pytest.mark.parametrize("check", [0x00, 0x09, 0x0A, 0x0D, 0x3A, 0x56, 0xFF])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_the_check_byte_may_be_any_byte(check: int, size: int) -> None:
    data = with_check(check) + block("PID\t0xA042", "V\t13000")
    outcomes = feed_all(driver(), chunks(data, size))
    assert [outcome.value for outcome in outcomes if isinstance(outcome, Measured)][1:] == [13.0]
    assert faults(outcomes) == []


@pytest.mark.parametrize("place", [7, 12, 18, 22])
def test_a_hex_message_inside_a_block_is_left_out(place: int) -> None:
    good = block("PID\t0xA042", "V\t12000", "I\t500")
    inside = good[:place] + b":1041041\n" + good[place:]
    assert feed_all(driver(), [inside]) == feed_all(driver(), [good])


def test_a_block_without_product_id_is_looked_for_until_one_has_been_seen() -> None:
    old, new = block("V\t12000"), block("PID\t0xA042", "V\t13000")
    outcomes = feed_all(driver(), [old, new, old, new])
    assert [value for _, value, _ in readings(outcomes)] == [12.0, 13.0, 13.0]
    assert faults(outcomes) == ["noise"]


def test_one_damaged_bit_invents_nothing() -> None:
    device = SimulatedVeDirect(5)
    first, second = device.emit(), device.emit()
    expected = readings(driver().feed(second))
    for bit in range(8 * len(first)):
        damaged = bytearray(first)
        damaged[bit // 8] ^= 1 << bit % 8
        outcomes = feed_all(driver(), [bytes(damaged) + second])
        got = readings(outcomes)
        assert got[len(got) - len(expected) :] in (expected, []), bit
        assert len(got) in (0, len(expected)), bit
        assert faults(outcomes), bit


@pytest.mark.parametrize(
    "noise", [b"\r\nPID\t" * 300, b"\r\nChecksum\tx" * 100, b"\r\n" * 900, b":" * 1000]
)
def test_noise_without_an_end_does_not_grow_memory(noise: bytes) -> None:
    device = driver()
    outcomes = feed_all(device, [noise] * 50)
    assert device.buffered_bytes <= MAX_BLOCK_BYTES
    assert readings(outcomes) == []
    good = block("PID\t0xA042", "V\t12000")
    assert readings(feed_all(device, [good * 2]))


def test_no_serial_number_leaves_the_decoder() -> None:
    good = block("PID\t0xA042", "SER#\tHQ1234SECRET", "V\t12000", "I\tHQ1234SECRET")
    outcomes = feed_all(driver(), [good[5:], good, good[:-1] + b"\x00", good])
    assert {"noise", "checksum", "unknown"} <= set(faults(outcomes))
    assert "SECRET" not in repr(outcomes)
    assert all(outcome.sample == b"" for outcome in outcomes if isinstance(outcome, Fault))


def test_history_waits_until_it_is_known_what_the_device_watches() -> None:
    history = block("H1\t0", "H18\t100")
    assert feed_all(driver(), [history]) == []
    for mode, channel in (("", "battery"), ("MON\t0", "battery"), ("MON\t-9", "dc")):
        values = block("PID\t0xA389", "V\t12000", *([mode] if mode else []))
        outcomes = feed_all(driver(), [values, history])
        assert [o.dims for o in outcomes if isinstance(o, Measured)] == [
            (("channel", channel),)
        ] * 2
