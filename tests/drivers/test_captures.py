"""Bytes of real devices, with the values that other decoders got from them.

They are not infallible: where we differ the difference stands here as data, with its reason.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.driver import Advert, Outcome
from gateway.reading import Fault, Measured
from tests.drivers.driver_cases import faults, feed_all, make, readings
from tests.shared_material import shared

Frame = dict[str, Any]
Expected = dict[tuple[str, str], float]
"""By quantity and, where there is one, the value of the dimension: ``("power.active", "L1")``."""


def frames_of(name: str) -> list[Any]:
    """Return the frames of a capture file as test parameters; one skipped one if it is absent."""
    path = shared("captures", name)
    if path is None:
        absent = pytest.mark.skip(reason="the captures are not beside this checkout")
        return [pytest.param({}, marks=absent)]
    frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
    return [pytest.param(frame, id=frame["kind"]) for frame in frames]


def values(outcomes: list[Outcome]) -> Expected:
    """Return the last reading of each series."""
    return {
        (o.quantity, next((value for _, value in o.dims), "")): o.value
        for o in outcomes
        if isinstance(o, Measured)
    }


# -- SDS011 -------------------------------------------------------------------------------------

GOOD_SDS011 = bytes.fromhex("aac0390071005a171bab")
SDS011_DIFFERENCES: Mapping[str, tuple[list[float], str]] = {
    "warm-up": ([], "zeros while the fan spins up are no measurement: missing is missing"),
    "two frames glued after a torn one": ([0.9, 0.9, 0.9, 0.9], "the capture only counts frames"),
    "wild: started mid-frame": (
        [22.6, 32.0],
        "the capture says that it holds no whole frame; bytes 7 to 16 are one, with a good sum",
    ),
    "noise before": ([0.6, 0.6], "the capture only counts frames"),
}


@pytest.mark.parametrize("frame", frames_of("sds011.json"))
def test_sds011(frame: Frame) -> None:
    outcomes = feed_all(make("sds011"), [bytes.fromhex(frame["hex"]), GOOD_SDS011])
    got = [value for _, value, _ in readings(outcomes)]
    expected = frame["expected"]
    if frame["kind"] in SDS011_DIFFERENCES:
        wanted, _ = SDS011_DIFFERENCES[frame["kind"]]
    elif "error" in expected:
        wanted = []
        assert faults(outcomes)
    else:
        wanted = [expected["pm2_5"][0], expected["pm10"][0]]
        assert not faults(outcomes)
    assert got == [*wanted, 5.7, 11.3]


# -- OPS243 -------------------------------------------------------------------------------------

NOT_A_SPEED = "settings, clocks and ranges are no traffic quantity"
OPS243_DIFFERENCES: Mapping[str, tuple[list[str], str]] = {
    "plain (non-JSON) mode": (
        ["range"],
        "the unit is the one that the radar was set to, m/s here: 145.7 m/s is beyond 62.2",
    ),
    "UM-003-A OPS243 manual, reply to N?": (
        [],
        "counted since somebody reset it, not in a window: no traffic.count",
    ),
}


@pytest.mark.parametrize("frame", frames_of("ops243.json"))
def test_ops243(frame: Frame) -> None:
    driver = make("ops243", {"report": "speeds"})
    feed_all(driver, [b'{"Units":"m-per-sec"}\r\n'])
    outcomes = feed_all(driver, [frame["text"].encode()])
    expected = frame["expected"]
    got = [value if dict(dims)["direction"] == "inbound" else -value
           for _, value, dims in readings(outcomes)]  # fmt: skip
    if frame["kind"] in OPS243_DIFFERENCES:
        assert faults(outcomes) == OPS243_DIFFERENCES[frame["kind"]][0]
        assert got == []
    elif "speed" in expected:
        speeds = expected["speed"][0]
        wanted = speeds if isinstance(speeds, list) else [speeds]
        assert got == pytest.approx([speed * 3.6 for speed in wanted])
        assert not faults(outcomes)
    elif "error" in expected:
        assert got == []
        assert faults(outcomes) == ["noise"]
    elif expected.get("event") == "reset":
        assert len(outcomes) == 1
        assert not isinstance(outcomes[0], Measured | Fault)
    else:
        assert outcomes == [], NOT_A_SPEED


# -- P1, Sweden ---------------------------------------------------------------------------------

CUT_OFF = 1.0
"""amshan cuts off what the product of a float and 1000 leaves: 1.023 kW become 1022 W. So theirs
may be one W, var, Wh or varh less than what the text says."""
REFERENCE_SERIES = 18
"""Power and reactive power of total and phases, voltage and current, four registers."""


PHASES = ("l1", "l2", "l3")
SWEDISH: Mapping[str, tuple[str, str, float]] = (
    {
        f"{kind}_power_{way}{suffix}": (f"power.{kind}", suffix.strip("_").upper(), sign)
        for kind in ("active", "reactive")
        for way, sign in (("import", 1.0), ("export", -1.0))
        for suffix in ("", "_l1", "_l2", "_l3")
    }
    | {
        f"{kind}_power_{way}_total": (f"energy.{kind}_{way}", "", 0.001)
        for kind in ("active", "reactive")
        for way in ("import", "export")
    }
    | {
        f"{what}_{phase}": (f"electric.{what}", phase.upper(), 1.0)
        for what in ("voltage", "current")
        for phase in PHASES
    }
    | {
        "1.8.1": ("energy.active_import", "1", 0.001),
        "1.8.2": ("energy.active_import", "2", 0.001),
        "2.8.1": ("energy.active_export", "1", 0.001),
        "2.8.2": ("energy.active_export", "2", 0.001),
    }
)
"""amshan's names -> our series and factor; energies are Wh there, exported power is positive."""


def swedish(expected: Mapping[str, Any]) -> Expected:
    """Translate amshan's names."""
    wanted: Expected = {}
    for theirs in expected.keys() & SWEDISH.keys():
        quantity, dimension, factor = SWEDISH[theirs]
        known = wanted.get((quantity, dimension), 0.0)
        wanted[quantity, dimension] = known + factor * expected[theirs]
    return wanted


@pytest.mark.parametrize("frame", frames_of("p1_sweden.json"))
def test_p1_sweden(frame: Frame) -> None:
    unchecked = frame.get("crc") == "none"
    driver = make("p1", {"unchecked": unchecked})
    data = frame["text"].encode("latin-1")
    if unchecked:
        assert faults(feed_all(driver, [data])) == ["unknown"]
    outcomes = feed_all(driver, [data])
    expected = frame["expected"]
    if "error" in expected:
        assert readings(outcomes) == []
        assert expected["error"] == "incomplete" or faults(outcomes) == ["checksum"]
        return
    assert [kind for kind in faults(outcomes) if kind != "noise"] == []
    got = values(outcomes)
    if "telegrams" in expected:
        assert len(readings(outcomes)) == len(got) == REFERENCE_SERIES
        return
    for key, value in swedish(expected).items():
        one = CUT_OFF if key[0].startswith("power.") else CUT_OFF / 1000
        low, high = (-one, 0.0) if value < 0 else (0.0, one)
        assert low - 1e-9 <= got[key] - value <= high + 1e-9, key


# -- P1, Netherlands, Belgium and others --------------------------------------------------------

DSMR_NAMES: Mapping[str, tuple[str, str]] = {
    "ELECTRICITY_USED_TARIFF_1": ("energy.active_import", "1"),
    "ELECTRICITY_USED_TARIFF_2": ("energy.active_import", "2"),
    "ELECTRICITY_DELIVERED_TARIFF_1": ("energy.active_export", "1"),
    "INSTANTANEOUS_VOLTAGE_L1": ("electric.voltage", "L1"),
    "INSTANTANEOUS_CURRENT_L1": ("electric.current", "L1"),
    "energy_import_t1": ("energy.active_import", "1"),
    "energy_import_t2": ("energy.active_import", "2"),
    "gas": ("gas.volume", "2"),
}
OURS = "their test asserts no values here; these are read from the text of the telegram"
DSMR_OWN: Mapping[str, tuple[Expected, str]] = {
    "example_telegrams.py TELEGRAM_UNPADDED_CRC": (
        {("heat.energy", "1"): 240.860 / 0.0036},
        OURS,
    ),
    "example_telegrams.py TELEGRAM_ESY5Q3DB1024_V304": (
        {("power.active", ""): 2124.86, ("energy.active_export", ""): 19949.3221493},
        OURS,
    ),
    "example_telegrams.py TELEGRAM_ESY5Q3DA1004_V304": (
        {("power.active", "L2"): 521.62, ("energy.active_import", ""): 32549.5061662},
        OURS,
    ),
    "example_telegrams.py TELEGRAM_ISKRA_IE": (
        {("power.active", ""): -100.0, ("power.active", "L3"): -10.0},
        OURS,
    ),
    "example_telegrams.py TELEGRAM_SAGEMCOM_T210_D_R": (
        {("power.active", ""): 286.0, ("energy.reactive_export", "1"): 2692.848},
        "dsmr-parser 1.11.2 fails on this telegram ('Odd-length string'); it is a good one",
    ),
    "example_telegrams.py TELEGRAM_V5_TWO_MBUS": (
        {("gas.volume", "2"): 246.138},
        "channel 1 holds no value: its meter was exchanged",
    ),
    "example_telegrams.py TELEGRAM_FLUVIUS_V171": (
        {("gas.volume", "1"): 112.384, ("water.volume", "2"): 872.234},
        OURS,
    ),
    "example_telegrams.py TELEGRAM_V5_EON_HU": (
        {("electric.frequency", ""): 50.0, ("energy.active_import", ""): 173.64},
        OURS,
    ),
}
NO_READING = {
    "wild: dsmrreader/dsmr-reader#1408 (bit errors)": "short",
    "wild, shortened: dsmrreader/dsmr-reader#483": "checksum",
}


@pytest.mark.parametrize("frame", frames_of("dsmr_p1_nl_be.json"))
def test_p1_dsmr(frame: Frame) -> None:
    driver = make("p1", {"unchecked": True})
    data = frame["text"].encode("latin-1")
    outcomes = feed_all(driver, [data])
    if frame.get("crc") != "ok":
        assert readings(outcomes) == []  # the shape of a telegram without checksum is learnt first
        outcomes = feed_all(driver, [data])
    if frame["kind"] in NO_READING:
        assert readings(outcomes) == []
        assert NO_READING[frame["kind"]] in faults(outcomes)
        return
    assert [kind for kind in faults(outcomes) if kind != "noise"] == []
    expected = frame["expected"]
    wanted = dict(DSMR_OWN.get(frame["kind"], ({}, ""))[0])
    wanted |= {ours: expected[name][0] for name, ours in DSMR_NAMES.items() if name in expected}
    for towards, away in (
        ("CURRENT_ELECTRICITY_USAGE", "CURRENT_ELECTRICITY_DELIVERY"),
        ("power_import", ""),
    ):
        if towards in expected:
            net_kw = expected[towards][0] - expected.get(away, [0.0])[0]
            wanted["power.active", ""] = net_kw * 1000
    got = values(outcomes)
    assert wanted
    assert {key: got.get(key) for key in wanted} == pytest.approx(wanted)


# -- Ruuvi --------------------------------------------------------------------------------------

OTHER_FORMAT = "data formats 3, 6 and E1 come later: not claimed"
RUUVI_DIFFERENCES: Mapping[str, tuple[list[float], str]] = {
    "docs.ruuvi.com data-format-5-rawv2 Case: maximum values": (
        [1155.34, 3.646],
        "163.8 degrees and 163.8 % can be written in the format but not measured: faults",
    ),
    "docs.ruuvi.com data-format-5-rawv2 Case: minimum values": (
        [0.0, 500.0, 1.6],
        "-163.8 degrees can be written in the format but not measured: a fault",
    ),
    "docs.ruuvi.com data-format-5-rawv2 Case: Invalid values": ([], "nothing is available"),
}


def number(value: object) -> float:
    return float(str(value).split()[0])


def ruuvi_expected(expected: Mapping[str, Any]) -> list[float]:
    """Translate the three sources: units differ, and so do the types."""
    if "temperature" in expected and isinstance(expected["temperature"], list):
        named = {name: value[0] for name, value in expected.items()}
        scale_pressure, scale_voltage = 1.0, 1000.0
    elif "Temperature" in expected:
        named = {name.lower(): number(value) for name, value in expected.items() if name != "MAC"}
        scale_pressure, scale_voltage = 100.0, 1.0
    else:
        named = dict(expected)
        scale_pressure, scale_voltage = 1.0, 1.0
    return [
        named["temperature"],
        named["humidity"],
        named["pressure"] / scale_pressure,
        named["voltage"] / scale_voltage,
    ]


def check_ruuvi(frame: Frame, advert: Advert) -> None:
    driver = make("ruuvi")
    if not driver.claims(advert):
        data = advert.manufacturer_data.get(0x0499, b"")
        assert data[:1] != b"\x05", OTHER_FORMAT
        assert list(driver.decode(advert)) == []
        return
    got = [value for _, value, _ in readings(driver.decode(advert))]
    if frame["kind"] in RUUVI_DIFFERENCES:
        assert got == RUUVI_DIFFERENCES[frame["kind"]][0]
    else:
        assert got == pytest.approx(ruuvi_expected(frame["expected"]), abs=0.005)


@pytest.mark.parametrize("frame", frames_of("ruuvi.json"))
def test_ruuvi(frame: Frame) -> None:
    data = {int(key): bytes.fromhex(value) for key, value in frame["manufacturer_data"].items()}
    address = frame.get("address", "00:00:00:00:00:00")
    check_ruuvi(frame, Advert(address, frame.get("rssi", -60), manufacturer_data=data))


HEADER_BYTES = 14
"""Event, subevent, type and address of a raw advertising report, and the length of its data."""


def raw_advert(raw: bytes) -> Advert:
    """Return the advertisement of one raw HCI event, as BlueZ would."""
    records: dict[int, bytes] = {}
    position = HEADER_BYTES
    while position < len(raw) - 1:
        length = raw[position]
        kind, data = raw[position + 1], raw[position + 2 : position + 1 + length]
        if kind == 0xFF:
            records[int.from_bytes(data[:2], "little")] = data[2:]
        position += 1 + length
    return Advert("00:00:00:00:00:00", raw[-1] - 256, manufacturer_data=records)


@pytest.mark.parametrize("frame", frames_of("hci_ruuvi.json"))
def test_hci_ruuvi(frame: Frame) -> None:
    check_ruuvi(frame, raw_advert(bytes.fromhex(frame["hex"])))


def test_the_captures_hold_a_measurement_of_each_kind() -> None:
    """Guard against a capture file that is only ever skipped over."""
    claims: Callable[[Advert], bool] = make("ruuvi").claims
    path = shared("captures", "hci_ruuvi.json")
    if path is None:
        pytest.skip("the captures are not beside this checkout")
    frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
    assert any(claims(raw_advert(bytes.fromhex(frame["hex"]))) for frame in frames)
