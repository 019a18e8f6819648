"""HAN frames: their checks, lists of three makers, encryption, privacy, and a second opinion."""

import json
import random
from typing import Any

import pytest
from han.autodecoder import AutoDecoder
from han.hdlc import HdlcFrameReader

from drivers.checks import crc16_x25
from drivers.han import Han, HanOptions
from drivers.han.cipher import Opened, open_ciphered
from drivers.han.dlms import DlmsError, notification
from drivers.han.hdlc import MAX_FRAME_BYTES
from drivers.han.simulated import SimulatedHan
from gateway.driver import Outcome
from gateway.reading import Fault, Measured
from tests.drivers.driver_cases import FOLDER, faults, feed_all, parse_case, readings
from tests.shared_material import shared

LLC = bytes.fromhex("e6e700")
HEAD = bytes.fromhex("0f4000000000")
KEY = bytes(range(16))
AUTHENTICATION_KEY = bytes(range(0xD0, 0xE0))


def driver(**options: str) -> Han:
    return Han(HanOptions(**options))


def hdlc(information: bytes) -> bytes:
    body = (0xA000 | len(information) + 10).to_bytes(2, "big") + bytes.fromhex("41088313")
    body += crc16_x25(body).to_bytes(2, "little") + information
    return b"\x7e" + body + crc16_x25(body).to_bytes(2, "little") + b"\x7e"


def power(watts: int) -> bytes:
    code = bytes.fromhex("09060100010700ff06")
    value = b"\x02\x03" + code + watts.to_bytes(4, "big") + bytes.fromhex("02020f00161b")
    return hdlc(LLC + HEAD + b"\x01\x01" + value)


def test_the_frame_check_has_its_published_check_value() -> None:
    assert crc16_x25(b"123456789") == 0x906E


# -- frames -------------------------------------------------------------------------------------


@pytest.mark.parametrize("watts", [0x7E7E, 0x7EA0, 0x7D5E, 0x7EA02A])
def test_flags_and_escapes_inside_are_data(watts: int) -> None:
    data = power(watts) * 2
    assert [value for _, value, _ in readings(driver().feed(data))] == [watts] * 2


def test_a_damaged_bit_anywhere_costs_one_frame_and_invents_nothing() -> None:
    frame, good = power(0x1234), power(99)
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        outcomes = feed_all(driver(), [bytes(damaged) + good])
        got = [value for _, value, _ in readings(outcomes)]
        last_flag = bit // 8 == len(frame) - 1
        assert got == [99], bit
        assert last_flag or faults(outcomes), bit


def test_a_length_that_is_too_long_does_not_swallow_the_next_frames() -> None:
    header = bytes.fromhex("a7ff41088313")
    liar = b"\x7e" + header + crc16_x25(header).to_bytes(2, "little")
    device = driver()
    outcomes = feed_all(device, [liar, *[power(n + 1) for n in range(60)]])
    assert [value for _, value, _ in readings(outcomes)] == list(range(1, 61))
    assert faults(outcomes) == ["checksum"]
    assert device.buffered_bytes <= 1


@pytest.mark.parametrize("form", [0x80, 0x90, 0xC0, 0xF0])
def test_another_format_of_frames_is_noise(form: int) -> None:
    body = (form << 8 | 20).to_bytes(2, "big") + bytes.fromhex("41088313")
    body += crc16_x25(body).to_bytes(2, "little") + bytes(10)
    frame = b"\x7e" + body + crc16_x25(body).to_bytes(2, "little") + b"\x7e"
    outcomes = feed_all(driver(), [frame, power(5)])
    assert faults(outcomes) == ["noise"]
    assert len(readings(outcomes)) == 1


@pytest.mark.parametrize("noise", [b"\x7e" * 1000, b"\x7e\xa0" * 500, b"\xa7\xff" * 500])
def test_noise_without_an_end_does_not_grow_memory(noise: bytes) -> None:
    device = driver()
    outcomes = feed_all(device, [noise] * 100)
    assert device.buffered_bytes <= MAX_FRAME_BYTES
    assert readings(outcomes) == []
    assert len(readings(feed_all(device, [power(5)]))) == 1


# -- what a message may hold --------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        "",  # nothing
        "02",  # a length is missing
        "0205060000",  # cut off
        "0284ffffffff00",  # four thousand million values
        "02" + "01" * 40 + "00",  # too deep
        "0101" * 40 + "00",
        "1300",  # a compact array
        "0600000001ff",  # more than announced
        "0a85ffffffffff41",  # a text of a terabyte
    ],
)
def test_damaged_data_is_refused(data: str) -> None:
    with pytest.raises(DlmsError):
        notification(HEAD + bytes.fromhex(data))


@pytest.mark.parametrize("length", [1, 11, 13, 255])
def test_a_time_has_twelve_bytes_or_none(length: int) -> None:
    apdu = b"\x0f\x40\x00\x00\x00" + bytes((length,)) + bytes(length) + b"\x00"
    with pytest.raises(DlmsError, match="time"):
        notification(apdu)


CODE = bytes.fromhex("0906010001 0800ff")
VALUE = bytes.fromhex("0600000001")
SCALE = bytes.fromhex("02020f00161e")


@pytest.mark.parametrize(
    ("item", "kinds"),
    [
        (b"\x02\x03" + CODE + VALUE + SCALE, None),
        (b"\x02\x03" + CODE + b"\x00" + SCALE, []),  # no value
        (b"\x02\x03" + CODE.replace(b"\x06\x01", b"\x06\x07") + VALUE + SCALE, []),  # gas
        (b"\x02\x03" + CODE.replace(b"\xff", b"\x00") + VALUE + SCALE, []),  # stored
        (b"\x02\x02" + CODE + VALUE, ["unknown"]),  # without scaler and unit
        (b"\x02\x03" + CODE + VALUE + SCALE.replace(b"\x0f\x00", b"\x0f\x64"), ["unknown"]),
        (b"\x02\x03" + CODE + b"\x03\x01" + SCALE, []),  # a boolean
        (b"\x02\x03" + CODE + b"\x15" + b"\xff" * 8 + SCALE, ["range"]),
    ],
)
def test_a_described_value(item: bytes, kinds: list[str] | None) -> None:
    outcomes = feed_all(driver(), [hdlc(LLC + HEAD + b"\x01\x01" + item)])
    if kinds is None:
        assert outcomes == [Measured("energy.active_import", 0.001)]
    else:
        assert readings(outcomes) == []
        assert faults(outcomes) == kinds


def test_a_list_of_another_maker_is_not_read_by_position() -> None:
    names = b"\x09\x07ABC_001" + b"\x09\x04TEST" * 2
    numbers = bytes.fromhex("0600000100") * 6
    outcomes = feed_all(driver(), [hdlc(LLC + HEAD + b"\x02\x09" + names + numbers)])
    assert faults(outcomes) == ["unknown"]
    known = names.replace(b"ABC", b"KFM")
    assert readings(feed_all(driver(), [hdlc(LLC + HEAD + b"\x02\x09" + known + numbers)]))


def test_random_messages_behind_good_frame_checks_invent_nothing() -> None:
    source = random.Random(6)
    device = driver(key=KEY.hex(), authentication_key=AUTHENTICATION_KEY.hex())
    for _ in range(3000):
        tail = source.randbytes(source.randrange(40))
        head = source.choice([LLC + HEAD, LLC + HEAD + b"\x01\x01\x02\x03", LLC + b"\xdb\x08", b""])
        assert readings(device.feed(hdlc(head + tail))) == []
    assert readings(device.feed(power(5)))


def test_list_1_of_a_dwelling_that_may_be_exporting_says_nothing() -> None:
    assert feed_all(driver(), [power(0)]) == []
    assert feed_all(driver(), [power(1)]) == [Measured("power.active", 1.0)]


# -- encryption ---------------------------------------------------------------------------------


def test_the_cipher_opens_the_example_of_the_green_book() -> None:
    """DLMS UA 1000-2, the example of AES-GCM-128 with authentication and encryption."""
    apdu = bytes.fromhex(
        "db084d4d4d0000bc614e303001234567"
        "801302ff8a7874133d414ced25b42534d28db0047720606b175bd52211be68"
        "41db204d39ee6fdb8e356855"
    )  # fmt: skip
    plain = "01011000112233445566778899aabbccddeeff0000065f1f0400007e1f04b0"
    expected = Opened(bytes.fromhex(plain), 0x01234567)
    assert open_ciphered(apdu, KEY, AUTHENTICATION_KEY) == expected
    for security in (0x00, 0x10, 0x20, 0x31, 0x3F):
        other = apdu[:11] + bytes((security,)) + apdu[12:]
        refused = open_ciphered(other, KEY, AUTHENTICATION_KEY)
        assert isinstance(refused, Fault)
        assert refused.kind == "unknown"
    for size in range(1, len(apdu)):
        cut = open_ciphered(apdu[:size], KEY, AUTHENTICATION_KEY)
        assert isinstance(cut, Fault)
        assert cut.kind == "unknown"
    for place in range(11, len(apdu)):
        changed = bytearray(apdu)
        changed[place] ^= 1
        opened = open_ciphered(bytes(changed), KEY, AUTHENTICATION_KEY)
        assert isinstance(opened, Fault)
        assert opened.kind in {"key_wrong", "unknown"}


def encrypted_case() -> Any:
    path = FOLDER / "han" / "testcases" / "encrypted.json"
    return parse_case("han", "encrypted", json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("missing", ["key", "authentication_key"])
def test_one_key_of_two_is_not_enough(missing: str) -> None:
    case = encrypted_case()
    options = {name: value for name, value in case.options.items() if name != missing}
    outcomes = feed_all(driver(**options), [case.data])
    assert readings(outcomes) == []
    assert set(faults(outcomes)) == {"key_missing", "unknown"}


def test_keys_show_nowhere() -> None:
    case = encrypted_case()
    options = HanOptions(**case.options)
    device = Han(options)
    shown = repr((options, device, feed_all(device, [case.data]))).lower()
    for key in (KEY, AUTHENTICATION_KEY):
        assert key.hex() not in shown


@pytest.mark.parametrize("key", ["", "00", "0" * 31, "0" * 33, "g" * 32])
def test_a_key_has_32_hexadecimal_digits(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        HanOptions(key=key)


# -- privacy ------------------------------------------------------------------------------------


def test_no_identifier_leaves_the_decoder() -> None:
    serial = b"7350000000000042"
    item = b"\x02\x02\x09\x06\x00\x00\x60\x01\x00\xff\x0a\x10" + serial
    values = b"\x02\x03\x09\x06\x01\x00\x01\x07\x00\xff\x06\x00\x00\x01\x00\x02\x02\x0f\x00\x16"
    good = hdlc(LLC + HEAD + b"\x01\x02" + item + values + b"\x1b")
    odd = hdlc(LLC + HEAD + b"\x01\x02" + item + values + b"\x23")
    unknown = hdlc(LLC + HEAD + b"\x02\x02\x0a\x10" + serial + b"\x00")
    outcomes: list[Outcome] = feed_all(
        driver(), [good, good[20:], odd, unknown, good[:-3] + b"xx~", good]
    )
    assert readings(outcomes)
    assert {"noise", "unknown", "checksum"} <= set(faults(outcomes))
    assert serial.decode() not in repr(outcomes)
    assert all(outcome.sample == b"" for outcome in outcomes if isinstance(outcome, Fault))


# -- a second opinion ---------------------------------------------------------------------------

SIGNS = {"import": 1.0, "export": -1.0}


def theirs(message: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Return what amshan decoded, as our series."""
    found: dict[tuple[str, str], float] = {}
    for name, value in message.items():
        what, _, rest = name.partition("_")
        if what in ("voltage", "current"):
            found[f"electric.{what}", rest.upper()] = value
        elif what in ("active", "reactive"):
            _, way, *last = rest.split("_")
            phase = last[0].upper() if last else ""
            if phase == "TOTAL":
                found[f"energy.{what}_{way}", ""] = value / 1000
            else:
                key = f"power.{what}", phase
                found[key] = found.get(key, 0.0) + SIGNS[way] * value
    if "active_power_export" not in message and not message.get("active_power_import"):
        found.pop(("power.active", ""), None)  # an import of zero alone may be an export
    for phase in ("L1", "L2", "L3"):
        current, voltage = ("electric.current", phase), ("electric.voltage", phase)
        if message.get("meter_manufacturer") == "Kaifa" and found.get(current):
            found = {k: v for k, v in found.items() if k != voltage or v}  # not measured
    return found


def ours(outcomes: list[Outcome]) -> dict[tuple[str, str], float]:
    return {
        (o.quantity, dict(o.dims).get("phase", "")): o.value
        for o in outcomes
        if isinstance(o, Measured)
    }


def compare(frames: list[bytes]) -> int:
    decoder = AutoDecoder()
    reader = HdlcFrameReader(use_octet_stuffing=False)
    device = driver()
    compared = 0
    for frame in frames:
        outcomes = feed_all(device, [frame])
        for message in reader.read(frame):
            if message.is_good_ffc:
                decoded = decoder.decode_message(message)
                assert decoded is not None
                assert ours(outcomes) == pytest.approx(theirs(decoded), abs=1e-9), frame.hex()
                compared += 1
    return compared


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_amshan_reads_the_same_from_the_simulated_meter(seed: int) -> None:
    device = SimulatedHan(seed)
    assert compare([device.emit() for _ in range(200)]) == 200


@pytest.mark.parametrize(
    ("name", "frames"), [("han_aidon", 6), ("han_kaifa_no", 12), ("han_kamstrup", 7)]
)
def test_amshan_reads_the_same_from_recordings(name: str, frames: int) -> None:
    path = shared("captures", f"{name}.json")
    if path is None:
        pytest.skip("the captures are not beside this checkout")
    recorded = json.loads(path.read_text(encoding="utf-8"))["frames"]
    clean = [f["hex"] for f in recorded if f["hex"].startswith("7e") and not f.get("stream")]
    assert compare([bytes.fromhex(each) for each in clean]) == frames
