"""Captures of radars and lidars: presence, tracks, distances and speeds."""

from collections.abc import Callable

from drivers.frames import Frame as DeviceFrame
from drivers.frames import FrameScanner
from drivers.ld2410.simulated import report
from drivers.ld2450 import TABLE as LD2450_TABLE
from drivers.ld2450 import TARGETS, target_of
from drivers.ld2450.tracking import Target
from drivers.tfluna import HIGHEST_CM, NUMBERS, distance_of
from drivers.tfluna import TABLE as TFLUNA_TABLE
from gateway.driver import Outcome
from gateway.reading import Fault, Measured
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

ONE_FRAME = {"window_s": 1, "frames_per_s": 1}
NOBODY = report(0, 0, 0)
PRESENT = {"none": 0.0, "static": 100.0, "moving": 100.0, "moving+static": 100.0}
OCCUPANCY = ("traffic.occupancy", "")


def never(frame: Frame) -> bool:
    """Say that nothing protects the frames of a protocol: it has no checksum."""
    return False


def presence(frame: Frame) -> Wanted:
    """Return how much of a window of one report somebody was there."""
    if "state" in frame.expected:
        return Wanted(one_each({OCCUPANCY: PRESENT[frame.expected["state"]]}))
    count = frame.expected.get("frames", 0)
    return Wanted(counts={OCCUPANCY[0]: count}, faults=frozenset({"noise"}))


# -- targets of the LD2450 -----------------------------------------------------------------------


def targets(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Return the driver's faults, and what its table and its reading of targets make of the bytes.

    The driver itself tells crossings only; positions never leave it.
    """
    driver = make(family.driver)
    outcomes: list[Outcome] = [o for o in feed_all(driver, cut(data)) if isinstance(o, Fault)]
    for found in FrameScanner(LD2450_TABLE).scan(data):
        if isinstance(found, DeviceFrame):
            outcomes += _targets(found)
    return outcomes


def _targets(found: DeviceFrame) -> list[Outcome]:
    numbers = TARGETS.unpack(found.data)
    outcomes: list[Outcome] = [Measured("frame", 1.0)]
    for n in range(0, len(numbers), 3):
        target = target_of(*numbers[n : n + 3])
        if isinstance(target, Target):
            outcomes += [Measured(name, getattr(target, name)) for name in target._fields]
    return outcomes


def expected_targets(frame: Frame) -> Wanted:
    """Return the targets; a speed without its sign, in mm/s."""
    if "frames" in frame.expected:
        return Wanted(counts={"frame": frame.expected["frames"]}, faults=frozenset({"noise"}))
    found: dict[Key, list[float]] = {("frame", ""): [1.0]}
    for each in frame.expected["targets"]:
        speed = 10.0 * abs(each["speed"][0])
        for name, value in (("x", each["x"][0]), ("y", each["y"][0]), ("radial_mm_s", speed)):
            found.setdefault((name, ""), []).append(value)
    return Wanted(found)


def recorded(frames: int, with_target: int) -> Callable[[Frame], Wanted]:
    """Return what expects as many frames and targets as the notes of a recording tell."""
    counts = {"frame": frames, "x": with_target}
    return lambda frame: Wanted(counts=counts)


# -- TF-Luna -------------------------------------------------------------------------------------

WINDOW = {"window_s": 1, "rate_hz": 10, "min_frames": 1}
FRAMES = 10


def beam(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Return distance and strength by the driver's table, and what it says of a whole window.

    The distance itself never leaves the driver, nor does a passage matter here.
    """
    outcomes: list[Outcome] = []
    for found in FrameScanner(TFLUNA_TABLE).scan(data):
        if isinstance(found, DeviceFrame):
            distance, strength, _ = NUMBERS.unpack(found.data)
            usable = distance_of(distance, strength, 100)
            if usable is not None and usable <= HIGHEST_CM:
                outcomes.append(Measured("distance", usable))
    window = feed_all(make("tfluna", WINDOW), cut(data * FRAMES))
    shown = [o for o in window if not isinstance(o, Measured) or o.quantity == TEMPERATURE]
    return outcomes + shown


TEMPERATURE = "device.temperature"


def lidar(frame: Frame) -> Wanted:
    """Return distance and temperature; a distance that is called unreliable is none."""
    if "error" in frame.expected:
        return refused(frame.expected["error"])
    if "frames" in frame.expected:
        return Wanted(counts={"distance": frame.expected["frames"]}, faults=frozenset({"noise"}))
    found = {(TEMPERATURE, ""): frame.expected["temperature"][0]}
    if "quality" not in frame.expected:
        found["distance", ""] = frame.expected["distance"][0]
    return Wanted(one_each(found))


# -- OPS243 --------------------------------------------------------------------------------------


def speeds(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Feed lines to a radar that was asked for speeds, and that told its unit: metres a second."""
    device = make(family.driver, {"report": "speeds"})
    feed_all(device, [b'{"Units":"m-per-sec"}\r\n'])
    return feed_all(device, cut(data))


def expected_speeds(frame: Frame) -> Wanted:
    """Return speeds in km/h by direction; settings, clocks, ranges and counts are no speeds."""
    expected = frame.expected
    if "error" in expected:
        return refused("noise")
    if "event" in expected:
        return refused("restarted")
    if "count" in expected:
        return Wanted({("traffic.count", ""): [expected["count"]]})
    speed = expected.get("speed", [()])[0]
    found: dict[Key, list[float]] = {}
    for each in speed if isinstance(speed, list | tuple) else [speed]:
        direction = "inbound" if each > 0 else "outbound"
        found.setdefault(("traffic.speed_avg", direction), []).append(3.6 * abs(each))
    return Wanted(found)


FAMILIES = (
    Family(
        driver="ld2410",
        file="hlk_ld2410.json",
        run=stream,
        wanted=presence,
        options=lambda frame: ONE_FRAME,
        after=NOBODY,
        checked=never,
    ),
    Family(
        driver="ld2450",
        file="hlk_ld2450.json",
        run=targets,
        wanted=expected_targets,
        checked=never,
    ),
    Family(
        driver="ld2450",
        file="raw_ld2450_office-desk-30s.bin",
        run=targets,
        wanted=recorded(337, 252),
        checked=never,
    ),
    Family(
        driver="ld2450",
        file="raw_ld2450_office-empty-15s.bin",
        run=targets,
        wanted=recorded(180, 0),
        checked=never,
    ),
    Family(
        driver="tfluna",
        file="benewake_tfluna.json",
        run=beam,
        wanted=lidar,
        differences={
            "payload looks like headers": Difference(
                "228.73 m: no such lidar sees so far",
                Wanted(one_each({(TEMPERATURE, ""): 25.0}), frozenset({"range"})),
            ),
            "torn start, glued, stray 59": Difference(
                "the stray 59 begins a frame with a wrong sum",
                Wanted(counts={"distance": 2}, faults=frozenset({"noise", "checksum"})),
            ),
        },
    ),
    Family(
        driver="ops243",
        file="ops243.json",
        run=speeds,
        wanted=expected_speeds,
        tolerance=5e-4,
        checked=never,
        differences={
            "plain (non-JSON) mode": Difference(
                "the unit is the one that the radar was set to, m/s here: 145.7 is beyond 62.2",
                refused("range"),
            ),
            "UM-003-A OPS243 manual, reply to N?": Difference(
                "counted since somebody reset it, not in a window: no traffic.count"
            ),
            "UM-001 manual reply to UK": Difference(
                "the radar was set to m/s: what it says shows that it is to be set again",
                refused("device_error", "restarted"),
            ),
            "UM-001 manual, info line: not a reading": Difference(
                "it was set to 20,000 samples: what it says shows that it is to be set again",
                refused("device_error", "restarted"),
            ),
        },
    ),
)
