"""Captures of HAN pushes: DLMS in HDLC."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drivers.checks import crc16_x25
from tests.drivers.captures.parts import (
    Difference,
    Family,
    Frame,
    Key,
    Wanted,
    load,
    one_each,
    refused,
    stream,
)

__all__ = ["FAMILIES"]

LLC = bytes.fromhex("e6e700")
SIGNS = {"import": 1.0, "export": -1.0}


def on_the_wire(entry: Mapping[str, Any]) -> bytes:
    """Return the bytes of a frame; some of the file are only the information field of one."""
    data = bytes.fromhex(entry["hex"])
    if not data.startswith(LLC):
        return data
    body = (0xA000 | len(data) + 10).to_bytes(2, "big") + bytes.fromhex("41088313")
    body += crc16_x25(body).to_bytes(2, "little") + data
    return b"\x7e" + body + crc16_x25(body).to_bytes(2, "little") + b"\x7e"


def amshan(frame: Frame) -> Wanted:
    """Translate amshan's names."""
    expected = frame.expected
    if "error" in expected:
        return refused("checksum")
    if "frames" in expected and "active_power_import" not in expected:
        torn = frozenset({"noise"} if frame.kind == "started mid-frame" else ())
        return Wanted(counts={"power.active": expected["frames"]}, faults=torn)
    found: dict[Key, float] = {}
    for name, value in expected.items():
        number = value[0] if isinstance(value, list) else value
        what, _, rest = name.partition("_")
        if what in ("voltage", "current"):
            found[f"electric.{what}", rest.upper()] = number
        elif what in ("active", "reactive"):
            _, way, *last = rest.split("_")
            phase = last[0].upper() if last else ""
            if phase == "TOTAL":
                found[f"energy.{what}_{way}", ""] = number / 1000
            else:
                known = found.get((f"power.{what}", phase), 0.0)
                found[f"power.{what}", phase] = known + SIGNS[way] * number
    return Wanted(one_each(found))


def family(name: str, left_out: Mapping[int, tuple[Key, str]]) -> Family:
    """Return the captures of one maker; of some frames one series is left out on purpose."""
    plain = Family(driver="han", file=f"{name}.json", run=stream, wanted=amshan, data=on_the_wire)
    differences = {}
    for frame in load(plain) or ():
        if frame.number in left_out:
            key, reason = left_out[frame.number]
            wanted = amshan(frame)
            rest = {other: value for other, value in wanted.values.items() if other != key}
            differences[f"#{frame.number}"] = Difference(reason, wanted._replace(values=rest))
    return replace(plain, differences=differences)


L2 = ("electric.voltage", "L2")
NOT_MEASURED = (
    L2,
    "zero volts while amperes flow: in a grid without neutral this meter does not measure it",
)
POWER = ("power.active", "")
MAYBE_EXPORT = (POWER, "an import of zero without the export: the dwelling may be exporting")

FAMILIES = (
    family("han_aidon", {}),
    family("han_kaifa_no", dict.fromkeys((0, 5, 8, 9, 10, 11), NOT_MEASURED)),
    family("han_kamstrup", dict.fromkeys((3, 4), MAYBE_EXPORT)),
)
