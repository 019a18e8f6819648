"""When a sensor is late: measured by its own rhythm, not only by what its driver promises."""

from heapq import nlargest
from typing import Literal

from gateway.observe.view import SensorFigures

__all__ = ["SENSOR_STATES", "SensorState", "expected_interval_s", "sensor_state", "stale_after_s"]

SensorState = Literal["fresh", "stale", "silent"]
SENSOR_STATES: tuple[SensorState, ...] = ("fresh", "stale", "silent")
STALE_MIN_S = 10.0
STALE_INTERVALS = 3.0
USUAL_PAUSES = 2.0
"""A pause may be so much longer than the second longest of the last ones.

What comes when it happens (vehicles, a device that wakes up now and then) has no even interval. Not
the longest: after one outage a sensor is not trusted to be away for as long again.
"""


def expected_interval_s(sensor: SensorFigures) -> float:
    """Return how often a sensor is expected: as its driver says, or more seldom if it has shown so.

    What was learnt never shortens the promise of the driver: a radar that reports each vehicle of
    the rush hour is not late when the street is empty.
    """
    return max(sensor.interval_s, sensor.learnt_interval_s or 0.0)


def stale_after_s(sensor: SensorFigures) -> float:
    """Return the age of its last reading above which a sensor is stale."""
    if sensor.stale_after_s is not None:
        return sensor.stale_after_s
    pause_s = 0.0
    if sensor.learnt_interval_s is not None:
        pause_s = min(nlargest(2, sensor.gaps_ns)) / 1e9
    return max(STALE_MIN_S, STALE_INTERVALS * expected_interval_s(sensor), USUAL_PAUSES * pause_s)


def sensor_state(sensor: SensorFigures, now_ns: int) -> SensorState:
    """Return ``silent`` before the first reading, ``stale`` when the last is too old."""
    if sensor.last_reading_ns is None:
        return "silent"
    age_s = (now_ns - sensor.last_reading_ns) / 1e9
    return "stale" if age_s > stale_after_s(sensor) else "fresh"
