"""P1 telegrams: checksum, privacy, age of sub-meter values, and bounded memory."""

import json
import re
from collections.abc import Sequence

import pytest
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser

from drivers.checks import crc16_arc
from drivers.p1.simulated import SimulatedP1
from drivers.p1.telegram import MAX_TELEGRAM_BYTES
from gateway.driver import Outcome
from gateway.reading import Fault, Flag, Measured
from tests.drivers.driver_cases import FOLDER, all_cases, faults, feed_all, make, readings
from tests.shared_material import shared


def telegram(*lines: str) -> bytes:
    raw = "\r\n".join(["/ABC5TEST", "", *lines, "!"]).encode("latin-1")
    return raw + b"%04X\r\n" % crc16_arc(raw)


def test_the_checksum_has_its_published_check_value() -> None:
    assert crc16_arc(b"123456789") == 0xBB3D


def gas(clock: str, stamp: str, value: str = "00100.500*m3") -> bytes:
    return telegram(f"0-0:1.0.0({clock})", "0-1:24.1.0(003)", f"0-1:24.2.1({stamp})({value})")


@pytest.mark.parametrize(
    ("clock", "stamp", "age_s", "flags"),
    [
        ("260310121500W", "260310120000W", 900.0, 0),
        ("260710121500S", "260710121500S", 0.0, 0),
        # The same hour told twice, when summer time ends: the letter decides.
        ("261025021500W", "261025025500S", 1200.0, 0),
        ("260310121500W", "260310130000W", 0.0, Flag.ESTIMATED),
        ("260310121500W", "250310120000W", 0.0, Flag.ESTIMATED),
        ("260310121500W", "632525252525W", 0.0, Flag.ESTIMATED),
        ("nonsense", "260310120000W", 0.0, Flag.ESTIMATED),
    ],
)
def test_the_age_of_a_gas_value_is_a_difference_of_two_stamps(
    clock: str, stamp: str, age_s: float, flags: int
) -> None:
    expected = [Measured("gas.volume", 100.5, (("channel", "1"),), age_s, flags)]
    assert feed_all(make("p1"), [gas(clock, stamp)]) == expected


def test_a_gas_value_in_another_unit_is_none() -> None:
    assert feed_all(make("p1"), [gas("260310121500W", "260310120000W", "00100.500*kWh")]) == []


def test_a_gas_value_is_yielded_once_but_a_corrected_one_again() -> None:
    driver = make("p1")
    assert len(feed_all(driver, [gas("260310121500W", "260310120000W")])) == 1
    assert feed_all(driver, [gas("260310121501W", "260310120000W")]) == []
    assert len(feed_all(driver, [gas("260310121502W", "260310120000W", "00100.600*m3")])) == 1


SECRETS = (
    "SERIALNUMBER42",
    "4D657373616765546F437573746F6D6572",
    "53455249414C",
)


def test_no_identifier_or_message_leaves_the_decoder() -> None:
    """PRIV-01 for meters: not in a reading, not in a fault, whatever is wrong with the bytes."""
    lines = (
        "1-0:1.7.0(0000.400*kW)",
        f"0-0:96.1.1({SECRETS[2]})",
        f"0-0:96.13.0({SECRETS[1]})",
        f"1-0:0.0.0({SECRETS[0]})",
        "1-0:32.7.0(9999.0*V)",
        "1-0:1.8.0(junk)",
    )
    raw = "\r\n".join([f"/ABC5{SECRETS[0]}", "", *lines, "!"]).encode("latin-1")
    good = raw + b"%04X\r\n" % crc16_arc(raw)
    driver = make("p1", {"unchecked": True})
    outcomes: list[Outcome] = feed_all(
        driver, [good, good[40:], good[:90], raw + b"0000\r\n", raw + b"\r\n", b"!" + good * 2]
    )
    assert readings(outcomes)
    assert {"checksum", "noise", "range", "short", "unknown"} <= set(faults(outcomes))
    shown = repr(outcomes)
    for secret in SECRETS:
        assert secret not in shown
    assert all(outcome.sample == b"" for outcome in outcomes if isinstance(outcome, Fault))


@pytest.mark.parametrize("noise", [b"0" * 1000, b"/" * 1000, b"/abc\n" * 200, b"!\r\n" * 300])
def test_noise_without_an_end_does_not_grow_memory(noise: bytes) -> None:
    driver = make("p1")
    outcomes = feed_all(driver, [noise] * 100)
    assert driver.buffered_bytes <= MAX_TELEGRAM_BYTES
    assert readings(outcomes) == []
    assert len(outcomes) <= len(noise) * 100 / 200
    good = telegram("1-0:1.7.0(0000.400*kW)")
    assert len(readings(feed_all(driver, [b"\r\n", good]))) == 1


def test_a_long_text_message_still_fits() -> None:
    message = "0-0:96.13.0(" + "41" * 1024 + ")"
    outcomes = feed_all(make("p1"), [telegram("1-0:1.7.0(0000.400*kW)", message)])
    assert outcomes == [Measured("power.active", 400.0)]


def unchecked(*lines: str) -> bytes:
    return "\r\n".join(["/ABC5TEST", "", *lines, "!", ""]).encode()


def values_of(pieces: Sequence[bytes]) -> list[float]:
    outcomes = feed_all(make("p1", {"unchecked": True}), pieces)
    return [value for _, value, _ in readings(outcomes)]


def test_a_telegram_without_checksum_needs_the_shape_of_the_one_before() -> None:
    one, two, three = (unchecked(f"1-0:1.7.0(000{n}.50*kW)") for n in (1, 2, 3))
    damaged = two.replace(b"2.50", b".50")
    assert values_of([one, two, three]) == [2500.0, 3500.0]
    assert values_of([one, damaged, three]) == []
    assert values_of([one, damaged, three, two]) == [2500.0]


@pytest.mark.parametrize(
    ("lines", "watts"),
    [
        (("1-0:1.7.0(01.500*kW)", "1-0:2.7.0(00.000*kW)"), 1500.0),
        (("1-0:1.7.0(00.000*kW)", "1-0:2.7.0(01.500*kW)"), -1500.0),
        (("1-0:1.7.0(01.500*kW)",), 1500.0),
        (("1-0:2.7.0(01.500*kW)",), -1500.0),
        (("1-0:1.7.0(01.500*kW)", "1-0:2.7.0()"), 1500.0),
    ],
)
def test_exported_power_is_negative(lines: tuple[str, ...], watts: float) -> None:
    assert feed_all(make("p1"), [telegram(*lines)]) == [Measured("power.active", watts)]


def test_a_power_of_which_one_direction_is_unreadable_is_missing() -> None:
    """Import alone would be a guess when there is an export that cannot be read."""
    outcomes = feed_all(make("p1"), [telegram("1-0:1.7.0(01.500*kW)", "1-0:2.7.0(0x.1*kW)")])
    assert readings(outcomes) == []
    assert faults(outcomes) == ["unknown"]


def test_the_simulated_house_follows_the_day() -> None:
    device, driver = SimulatedP1(1, interval_s=600.0), make("p1")
    totals = []
    for _ in range(144):
        outcomes = feed_all(driver, [device.emit()])
        assert faults(outcomes) == []
        totals += [v for q, v, dims in readings(outcomes) if q == "power.active" and not dims]
    assert min(totals) < 0 < max(totals)
    assert max(totals) > 1000
    assert len(set(totals)) > 100


def test_no_test_case_holds_a_real_meter() -> None:
    for path in (FOLDER / "p1" / "testcases").iterdir():
        assert re.search(r'"/(?!ABC5)', path.read_text(encoding="utf-8")) is None
    assert [case for case in all_cases(beacons=False) if case.driver == "p1"]


def test_net_power_is_taken_before_import_and_export() -> None:
    lines = ("1-0:1.7.0(01.500*kW)", "1-0:2.7.0(00.200*kW)", "1-0:16.7.0(-00.700*kW)")
    assert feed_all(make("p1"), [telegram(*lines)]) == [Measured("power.active", -700.0)]
    unreadable = (*lines[:2], "1-0:16.7.0(junk)")
    assert faults(feed_all(make("p1"), [telegram(*unreadable)])) == ["unknown"]


# -- a second opinion ---------------------------------------------------------------------------

Series = dict[tuple[str, str], float]
DSMR_PHASED: dict[str, tuple[str, float]] = {
    "INSTANTANEOUS_VOLTAGE_L{}": ("electric.voltage", 1.0),
    "INSTANTANEOUS_CURRENT_L{}": ("electric.current", 1.0),
    "INSTANTANEOUS_ACTIVE_POWER_L{}_POSITIVE": ("power.active", 1000.0),
    "INSTANTANEOUS_ACTIVE_POWER_L{}_NEGATIVE": ("power.active", -1000.0),
}
DSMR_NAMES: dict[str, tuple[str, str, float]] = {
    "CURRENT_ELECTRICITY_USAGE": ("power.active", "", 1000.0),
    "CURRENT_ELECTRICITY_DELIVERY": ("power.active", "", -1000.0),
    "ELECTRICITY_IMPORTED_TOTAL": ("energy.active_import", "", 1.0),
    "ELECTRICITY_EXPORTED_TOTAL": ("energy.active_export", "", 1.0),
    "ELECTRICITY_USED_TARIFF_1": ("energy.active_import", "1", 1.0),
    "ELECTRICITY_USED_TARIFF_2": ("energy.active_import", "2", 1.0),
    "ELECTRICITY_DELIVERED_TARIFF_1": ("energy.active_export", "1", 1.0),
    "ELECTRICITY_DELIVERED_TARIFF_2": ("energy.active_export", "2", 1.0),
} | {
    name.format(n): (quantity, f"L{n}", factor)
    for name, (quantity, factor) in DSMR_PHASED.items()
    for n in (1, 2, 3)
}


def theirs(text: str, specification: str) -> Series:
    """Return what dsmr-parser makes of a telegram, as our series."""
    parsed = TelegramParser(getattr(telegram_specifications, specification)).parse(text)
    found: Series = {}
    for name, item in parsed:
        if name in DSMR_NAMES:
            quantity, dimension, factor = DSMR_NAMES[name]
            known = found.get((quantity, dimension), 0.0)
            scale = 0.001 if item.unit in ("Wh", "W") else 1.0
            found[quantity, dimension] = known + factor * scale * float(item.value)
    return found


def compared(text: str, specification: str) -> int:
    """Return how many series both decoders have; fail if one of them differs."""
    expected = theirs(text, specification)
    data = text.encode("latin-1")
    outcomes = feed_all(make("p1", {"unchecked": True}), [data, data])
    got = {
        (o.quantity, next((value for _, value in o.dims), "")): o.value
        for o in outcomes
        if isinstance(o, Measured)
    }
    assert {key: got.get(key) for key in expected} == pytest.approx(expected)
    return len(expected)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dsmr_parser_reads_the_same_from_the_simulated_meter(seed: int) -> None:
    device = SimulatedP1(seed, interval_s=900.0)
    for _ in range(30):
        assert compared(device.emit().decode("ascii"), "V5") == 11


@pytest.mark.parametrize(
    ("kind", "specification", "series"),
    [
        ("TELEGRAM_V2_2", "V2_2", 5),
        ("TELEGRAM_V3", "V3", 5),
        ("TELEGRAM_V4_2", "V4", 11),
        ("TELEGRAM_V5", "V5", 14),
        ("TELEGRAM_V5_TWO_MBUS", "V5", 14),
        ("TELEGRAM_FLUVIUS_V171", "BELGIUM_FLUVIUS", 14),
        ("TELEGRAM_V5_EON_HU", "EON_HUNGARY", 13),
    ],
)
def test_dsmr_parser_reads_the_same_from_recordings(
    kind: str, specification: str, series: int
) -> None:
    path = shared("captures", "dsmr_p1_nl_be.json")
    if path is None:
        pytest.skip("the captures are not beside this checkout")
    frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
    (text,) = (f["text"] for f in frames if f["kind"].endswith(f" {kind}"))
    assert compared(text, specification) == series


def test_dsmr_parser_reads_the_same_from_swedish_recordings() -> None:
    path = shared("captures", "p1_sweden.json")
    if path is None:
        pytest.skip("the captures are not beside this checkout")
    frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
    good = [f["text"] for f in frames if f.get("crc") == "ok" and f["text"].startswith("/")]
    assert len(good) >= 3
    for text in good:
        assert compared(text, "SWEDEN") >= 8
