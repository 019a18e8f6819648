"""Captures of air sensors."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from tests.drivers.captures.parts import (
    NO_VALUE,
    Difference,
    Family,
    Frame,
    Values,
    Wanted,
    one_each,
    polled,
    refused,
    stream,
)

__all__ = ["FAMILIES"]

FAULTS: Mapping[str, str] = {
    "length": "short",
    "checksum": "checksum",
    "crc": "checksum",
    "header": "noise",
    "tail": "noise",
}
"""What the captures call an error -> the kind of our fault."""
WARM_UP = "zeros while the fan spins up are no measurement: missing is missing"
IN_A_STREAM = "no frame ends early in a stream: its head and the good frame's are one bad frame"
FILTERED = "an empty count beside empty masses: no air is drawn, or there is nothing in it"
PARTICLES: Mapping[str, str] = {
    "pm1": "air.pm1",
    "pm2_5": "air.pm25",
    "pm4": "air.pm4",
    "pm10": "air.pm10",
}
CLIMATE = {"temperature": "air.temperature", "humidity": "air.humidity", "co2": "air.co2"}


def error_of(frame: Frame) -> Wanted | None:
    """Return what an expected error means to us, None where none is expected."""
    if "error" in frame.expected:
        return refused(FAULTS.get(frame.expected["error"].split(" ")[0], "noise"))
    return None


def values(frame: Frame, names: Mapping[str, str]) -> Values:
    """Return the values of a frame that have a quantity of ours; units are the same."""
    return one_each(
        {(ours, ""): frame.expected[name][0] for name, ours in names.items()
         if name in frame.expected}
    )  # fmt: skip


def plain(frame: Frame) -> Wanted:
    """Return values or an error by the names that most files share."""
    return error_of(frame) or Wanted(values(frame, {**PARTICLES, **CLIMATE}))


def behind_noise(quantity: str) -> Callable[[Frame], Wanted]:
    """Return what finds so many good frames behind others, where only their number is told."""

    def wanted(frame: Frame) -> Wanted:
        if "frames" not in frame.expected:
            return plain(frame)
        return Wanted(counts={quantity: frame.expected["frames"]}, faults=frozenset({"noise"}))

    return wanted


SDS011 = Family(
    driver="sds011",
    file="sds011.json",
    run=stream,
    wanted=behind_noise("air.pm25"),
    after=bytes.fromhex("aac0390071005a171bab"),
    differences={
        "short": Difference(IN_A_STREAM, refused("noise")),
        "warm-up": Difference(WARM_UP),
        "wild: misaligned reads": Difference(
            "its length is right for a reader that looks for the start: it is noise",
            refused("noise"),
        ),
        "wild: started mid-frame": Difference(
            "the file says that it holds no whole frame; bytes 7 to 16 are one, with a good sum",
            Wanted(
                one_each({("air.pm25", ""): 22.6, ("air.pm10", ""): 32.0}), frozenset({"noise"})
            ),
        ),
    },
)


def plantower(suffix: str) -> dict[str, str]:
    """Return the names of one of the two triples of values."""
    return {f"{name}_{suffix}": ours for name, ours in PARTICLES.items() if name != "pm4"} | CLIMATE


def atmospheric(frame: Frame) -> Wanted:
    """Return the values for the open air."""
    if "ack" in frame.expected:
        return NO_VALUE
    if "frames" in frame.expected:
        return Wanted(counts={"air.pm25": frame.expected["frames"]})
    return error_of(frame) or Wanted(values(frame, plantower("atm")))


def factory(frame: Frame) -> Wanted:
    """Return the values that are called CF=1; the file of the T model does not tell them."""
    wanted = atmospheric(frame)
    return wanted._replace(values=values(frame, plantower("cf1"))) if wanted.values else wanted


PLANTOWER_GOOD = bytes.fromhex("424d001c000000050005000000050005008a002e0017000f0000000097000234")
PLANTOWER: Mapping[str, Difference] = {
    "short": Difference(IN_A_STREAM, refused("checksum")),
    "warm-up": Difference(WARM_UP),
    "wild: HEPA air, checksum 0x0142 ends in 0x42 = first start byte "
    "(adafruit/Adafruit_PM25AQI#10)": Difference(FILTERED),
    "glued HEPA frames": Difference(FILTERED),
}
PLANTOWER_T_GOOD = bytes.fromhex("424d001c001700270029001600230029100804a90116000c00d400e09a0004aa")

STUFFING = (
    "byte stuffing trap: 7D 5D 31 must give 7D 31. Replacing pairs one after another "
    "(PyPMS 0.8.1 sps30.py) turns it into 11"
)


def shdlc(frame: Frame) -> Wanted:
    """Return the values of an answer; those with none are glued to another."""
    return NO_VALUE if "frames" in frame.expected else plain(frame)


PLANTOWER_PMSX003 = Family(
    driver="plantower",
    file="plantower_pmsx003.json",
    run=stream,
    wanted=atmospheric,
    after=PLANTOWER_GOOD,
    differences=PLANTOWER,
)

FAMILIES = (
    SDS011,
    PLANTOWER_PMSX003,
    replace(
        PLANTOWER_PMSX003,
        wanted=factory,
        options=lambda frame: {"calibration": "cf1"},
        counted=False,
    ),
    Family(
        driver="plantower",
        file="plantower_pms5003t.json",
        run=stream,
        wanted=atmospheric,
        options=lambda frame: {"model": "pms5003t"},
        after=PLANTOWER_T_GOOD,
        differences={
            "wild: Raspberry Pi UART noise, avaldebe/PyPMS#19": Difference(
                "the second header is whole, so its frame is one with a wrong sum as well",
                refused("noise", "checksum"),
            ),
        },
    ),
    Family(
        driver="pm1006",
        file="cubic_pm1006.json",
        run=stream,
        wanted=plain,
        after=bytes.fromhex("16110b0000000d000003c50000002302000016be"),
        differences={"truncated": Difference(IN_A_STREAM, refused("checksum"))},
    ),
    Family(driver="pm1006_polled", file="cubic_pm1006.json", run=polled, wanted=plain),
    Family(driver="hpma115_polled", file="honeywell_hpma115.json", run=polled, wanted=plain),
    Family(
        driver="mhz19",
        file="winsen_mhz19.json",
        run=polled,
        wanted=behind_noise("air.co2"),
        differences={
            "wrong command echo": Difference(
                "its head and its sum are good: a frame, but of another kind", refused("unknown")
            ),
            "empty while warming up": Difference("0 ppm while warming up is no measurement"),
        },
    ),
    Family(
        driver="sps30",
        file="sps30_shdlc.json",
        run=polled,
        wanted=shdlc,
        tolerance=5e-5,
        differences={
            "short": Difference(
                "it has its end byte, so it is a whole frame whose length field is wrong",
                refused("checksum"),
            ),
            "wrong checksum": Difference("it has no end byte: it is cut off", refused("short")),
            "glued: ack + error state": Difference(
                "neither is the answer to a question for values", refused("checksum")
            ),
            STUFFING: Difference(
                "four bytes are no ten values; that they are unstuffed rightly is tested with "
                "the driver",
                refused("unknown"),
            ),
        },
    ),
)
