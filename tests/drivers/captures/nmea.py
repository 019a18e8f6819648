"""Captures of satellite receivers; a time that passes behind each sentence ends its window."""

from drivers.nmea.sentences import checksum
from gateway.driver import Outcome
from tests.drivers.captures.parts import (
    Cut,
    Difference,
    Family,
    Frame,
    Wanted,
    one_each,
    refused,
    stream,
)

__all__ = ["FAMILIES"]

OPTIONS = {"window_s": 10.0, "decimals": 6}
NAMES = {"latitude": "site.latitude", "longitude": "site.longitude", "altitude": "site.altitude"}


def sentence(body: str) -> bytes:
    """Return a whole sentence."""
    return f"${body}*{checksum(body.encode()):02X}\r\n".encode()


TIME_PASSES = sentence("GPZDA,000000,,,,,") + sentence("GPZDA,110000,,,,,")
"""Whatever time it was before, ten seconds are over now; without a date they say nothing else."""


def ended(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Feed a frame and what ends its window."""
    return stream(family, frame, data + TIME_PASSES, cut)


def place(frame: Frame) -> Wanted:
    """Return the place that a sentence tells; the number of satellites is not in the file."""
    expected = frame.expected
    if "error" in expected:
        return refused("checksum")
    if "sentences" in expected:
        return refused("noise")
    told = {
        (quantity, ""): expected[name][0]
        for name, quantity in NAMES.items()
        if name in expected and expected[name][0] is not None
    }
    return Wanted(one_each(told), all_values=False)


def _rolled_over(latitude: float, longitude: float) -> Difference:
    values = {("site.latitude", ""): latitude, ("site.longitude", ""): longitude}
    return Difference(
        "the capture only wants place and speed; its date has been, so no receiver can tell it now",
        Wanted(one_each(values), frozenset({"range"})),
    )


FAMILIES = (
    Family(
        driver="nmea",
        file="nmea0183.json",
        run=ended,
        wanted=place,
        options=lambda frame: OPTIONS if frame else {},
        differences={
            "#1": _rolled_over(49.2741667, -123.1853333),
            "#4": _rolled_over(44.0689988, -121.3143372),
        },
        tolerance=1e-7,
    ),
)
