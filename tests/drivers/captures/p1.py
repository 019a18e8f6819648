"""Captures of P1 telegrams."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.driver import Outcome
from tests.drivers.captures.parts import (
    Cut,
    Difference,
    Family,
    Frame,
    Key,
    Wanted,
    collect,
    one_each,
    refused,
)
from tests.drivers.driver_cases import feed_all, make

__all__ = ["FAMILIES"]


def telegrams(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Feed a telegram; one without checksum comes twice, because the first only shows its shape."""
    device = make("p1", {"unchecked": True})
    if not has_checksum(frame):
        assert collect(feed_all(device, [frame.data])) == {}
    return feed_all(device, cut(data))


def has_checksum(frame: Frame) -> bool:
    """Tell whether a telegram ends with a checksum."""
    return CHECKSUM.search(frame.data) is not None


CHECKSUM = re.compile(rb"![0-9A-Fa-f]{3,4}")


# -- Sweden: values by amshan --------------------------------------------------------------------

CUT_OFF = 1.0
"""amshan cuts off what the product of a float and 1000 leaves: 1.023 kW become 1022 W. So theirs
may be one W, var, Wh or varh less than what the text says."""
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
        for phase in ("l1", "l2", "l3")
    }
    | {
        f"{group}.8.{tariff}": (f"energy.active_{way}", tariff, 0.001)
        for group, way in (("1", "import"), ("2", "export"))
        for tariff in "12"
    }
)
"""amshan's names -> our series and factor; energies are Wh there, exported power is positive."""


def swedish(frame: Frame) -> Wanted:
    """Translate amshan's names."""
    expected: Mapping[str, Any] = frame.expected
    if "error" in expected:
        return refused({"crc": "checksum"}.get(expected["error"], "short"))
    if "telegrams" in expected:
        return Wanted(counts={"energy.active_import": 1}, faults=frozenset({"noise"}))
    found: dict[Key, float] = {}
    for theirs in expected.keys() & SWEDISH.keys():
        quantity, dimension, factor = SWEDISH[theirs]
        known = found.get((quantity, dimension), 0.0)
        found[quantity, dimension] = known + factor * expected[theirs]
    return Wanted(one_each(found), all_values=False)


def swedish_margin(key: Key, value: float) -> tuple[float, float]:
    """Return how much may be missing of what amshan cuts off, away from zero."""
    one = CUT_OFF if key[0].startswith("power.") else CUT_OFF / 1000
    return (one, 0.0) if value < 0 else (0.0, one)


# -- Netherlands, Belgium and others: values by dsmr-parser --------------------------------------

DSMR: Mapping[str, Key] = {
    "ELECTRICITY_USED_TARIFF_1": ("energy.active_import", "1"),
    "ELECTRICITY_USED_TARIFF_2": ("energy.active_import", "2"),
    "ELECTRICITY_DELIVERED_TARIFF_1": ("energy.active_export", "1"),
    "INSTANTANEOUS_VOLTAGE_L1": ("electric.voltage", "L1"),
    "INSTANTANEOUS_CURRENT_L1": ("electric.current", "L1"),
    "energy_import_t1": ("energy.active_import", "1"),
    "energy_import_t2": ("energy.active_import", "2"),
    "gas": ("gas.volume", "2"),
}
READ: Mapping[str, Mapping[Key, float]] = {
    "UNPADDED_CRC": {("heat.energy", "1"): 240.860 / 0.0036},
    "ESY5Q3DB1024_V304": {
        ("power.active", ""): 2124.86,
        ("energy.active_export", ""): 19949.3221493,
    },
    "ESY5Q3DA1004_V304": {
        ("power.active", "L2"): 521.62,
        ("energy.active_import", ""): 32549.5061662,
    },
    "ISKRA_IE": {("power.active", ""): -100.0, ("power.active", "L3"): -10.0},
    "V5_TWO_MBUS": {("gas.volume", "2"): 246.138},
    "FLUVIUS_V171": {("gas.volume", "1"): 112.384, ("water.volume", "2"): 872.234},
    "V5_EON_HU": {("electric.frequency", ""): 50.0, ("energy.active_import", ""): 173.64},
}
"""Where the file names no values or not these: read from the text of the telegram. Channel 1 of
the one with two sub-meters holds no value, its meter was exchanged."""
END = re.compile(rb"![0-9A-Fa-f]{0,4}\s*")
"""Behind it nothing may come; some meters send a line of something else all the same."""
ODD_LENGTH = "example_telegrams.py TELEGRAM_SAGEMCOM_T210_D_R"


def dutch(frame: Frame) -> Wanted:
    """Translate dsmr-parser's names."""
    expected: Mapping[str, Any] = frame.expected
    if "error" in expected:
        corrupted = not expected["error"].startswith("crc") and frame.kind != ODD_LENGTH
        return refused(*(("noise", "short") if corrupted else ("checksum",)))
    found = dict(READ.get(frame.kind.partition("TELEGRAM_")[2], {}))
    found |= {ours: expected[name][0] for name, ours in DSMR.items() if name in expected}
    for towards, away in (
        ("CURRENT_ELECTRICITY_USAGE", "CURRENT_ELECTRICITY_DELIVERY"),
        ("power_import", ""),
    ):
        if towards in expected:
            net_kw = expected[towards][0] - expected.get(away, [0.0])[0]
            found["power.active", ""] = net_kw * 1000
    padded = frozenset(() if END.fullmatch(frame.data[frame.data.rfind(b"!") :]) else {"noise"})
    return Wanted(one_each(found), padded, all_values=False)


FAMILIES = (
    Family(
        driver="p1",
        file="p1_sweden.json",
        run=telegrams,
        wanted=swedish,
        off_by=swedish_margin,
        checked=has_checksum,
        differences={
            "truncated": Difference("nothing came behind it, so its end may still come: no fault"),
        },
    ),
    Family(
        driver="p1",
        file="dsmr_p1_nl_be.json",
        run=telegrams,
        wanted=dutch,
        checked=has_checksum,
        differences={
            ODD_LENGTH: Difference(
                "dsmr-parser fails on a text of odd length; the telegram and its checksum are good",
                Wanted(
                    one_each(
                        {("power.active", ""): 286.0, ("energy.reactive_export", "1"): 2692.848}
                    ),
                    all_values=False,
                ),
            ),
        },
    ),
)
