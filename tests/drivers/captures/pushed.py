"""Captures of SML and of VE.Direct: devices that send by themselves."""

from collections.abc import Mapping

from drivers.vedirect import FIELDS
from gateway.driver import Outcome
from tests.drivers.captures.parts import (
    Cut,
    Difference,
    Family,
    Frame,
    Key,
    Wanted,
    one_each,
    refused,
    stream,
)
from tests.drivers.driver_cases import feed_all, make

__all__ = ["FAMILIES"]

POWER = ("power.active", "")
SML: Mapping[str, tuple[str, str, float]] = {
    f"{group}.8.{tariff}": (f"energy.active_{way}", tariff.strip("0"), 0.001)
    for group, way in (("1", "import"), ("2", "export"))
    for tariff in "012"
} | {
    **{f"{n}.7.0": (*POWER, 1.0) for n in (1, 15, 16)},
    "14.7.0": ("electric.frequency", "", 1.0),
    **{f"{n}6.7.0": ("power.active", f"L{n // 2}", 1.0) for n in (3, 5, 7)},
    **{f"{n}2.7.0": ("electric.voltage", f"L{n // 2}", 1.0) for n in (3, 5, 7)},
    **{f"{n}1.7.0": ("electric.current", f"L{n // 2}", 1.0) for n in (3, 5, 7)},
}


def registers(frame: Frame) -> Wanted:
    """Translate the codes; energy in Wh there."""
    expected = frame.expected
    if "error" in expected:
        return refused("checksum")
    if "frames" in expected:
        return Wanted(counts={POWER[0]: expected["frames"]}, faults=frozenset({"noise"}))
    found: dict[Key, float] = {}
    for code, (value, _) in expected.items():
        if code in SML:
            quantity, dimension, factor = SML[code]
            found[quantity, dimension] = value * factor
    return Wanted(one_each(found))


def blocks(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Feed blocks behind one with values, so that history is not the first thing that is seen."""
    device = make(family.driver)
    feed_all(device, [BLOCK])
    return feed_all(device, cut(data))


BLOCK = b"\r\nV\t12000\r\nChecksum\t"
BLOCK += bytes((-sum(BLOCK) & 0xFF,))


def labels(frame: Frame) -> Wanted:
    """Return the values of the labels that have a quantity."""
    expected = frame.expected
    if "error" in expected:
        return refused("noise")
    if "frames" in expected:
        return Wanted(counts={"meter.total": expected["frames"]})
    found: dict[Key, list[float]] = {}
    for label, text in expected.items():
        if label in FIELDS:
            field = FIELDS[label]
            found.setdefault((field.quantity, field.channel), []).append(int(text) / field.per)
    return Wanted(found)


DZG = "captured DZG_DVS-7412.2_jmberg.bin (frame 1 of 1)"
DELIVERY = "captured EMH-ED300L_delivery.bin (frame 2 of 2)"
SMARTY = "captured DrNeuhaus_SMARTY_ix-130.bin (frame 2 of 12)"
WITH_ERROR = "captured EMH_eHZ-IW8E2A5L0EK2P_with_error.bin (frame 2 of 11)"
IMPORT, EXPORT = "energy.active_import", "energy.active_export"
BEHIND = "the error is of all bytes together; behind what is no text stands a whole good block"


def of_block(*numbers: float) -> Wanted:
    """Return the values of one block of a solar charger, and the noise before it."""
    keys = (
        ("electric.voltage", "battery"),
        ("electric.current", "battery"),
        ("electric.voltage", "pv"),
        ("power.active", "pv"),
        ("electric.current", "load"),
        ("meter.total", "pv"),
    )
    return Wanted(one_each(dict(zip(keys, numbers, strict=True))), frozenset({"noise"}))


FAMILIES = (
    Family(
        driver="sml",
        file="sml.json",
        run=stream,
        wanted=registers,
        differences={
            DZG: Difference(
                "-299.12 W is the maker's known mistake: the status word says import",
                Wanted(
                    one_each({POWER: 356.24, (IMPORT, ""): 5430.1577, (EXPORT, ""): 26244.5726})
                ),
            ),
            DELIVERY: Difference(
                "15.7.0 has no sign; the status word, and the name, say that it delivers",
                Wanted(
                    one_each(
                        {
                            POWER: -126.5,
                            (IMPORT, ""): 17243.6756,
                            (IMPORT, "1"): 17243.6756,
                            (IMPORT, "2"): 0.0,
                        }
                    )
                ),
            ),
            SMARTY: Difference(
                "15.7.0 without a status word that tells its sign: no power",
                Wanted(one_each({(EXPORT, ""): 4.373, (EXPORT, "1"): 4.373, (EXPORT, "2"): 0.0})),
            ),
            WITH_ERROR: Difference(
                "a good file with one entry without a value, on which another library gives up",
                Wanted(
                    one_each(
                        {
                            POWER: 136.8,
                            (IMPORT, ""): 2795.6928,
                            (IMPORT, "1"): 2795.6928,
                            (IMPORT, "2"): 0.0,
                        }
                    )
                ),
            ),
        },
    ),
    Family(
        driver="vedirect",
        file="vedirect_text.json",
        run=blocks,
        wanted=labels,
        differences={
            "#4": Difference(BEHIND, of_block(12.53, 0.62, 33.58, 8.0, 0.0, 82.72)),
            "#5": Difference(BEHIND, of_block(12.54, 0.62, 34.89, 8.0, 0.0, 82.72)),
            "#14": Difference(
                "it begins in the middle of a line: noise, and then a block with a wrong sum",
                refused("noise", "checksum"),
            ),
            "#15": Difference(BEHIND, of_block(12.73, -0.01, 0.01, 0.0, 0.0, 0.0)),
        },
    ),
)
