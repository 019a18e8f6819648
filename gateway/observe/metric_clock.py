"""The lines of the table of metrics about the clock."""

from gateway.observe.metric import Metric
from gateway.observe.metric_readers import (
    clock_checks,
    clock_source,
    one,
    since,
)

__all__ = ["CLOCK"]

_P = "citylab_gateway_"
_SENSOR = ("sensor",)

CLOCK: tuple[Metric, ...] = (
    Metric(
        _P + "clock_synced",
        "gauge",
        (),
        "1 when the wall clock can be trusted.",
        one(lambda view: view.clock.synced),
    ),
    Metric(
        _P + "clock_steps_total",
        "counter",
        (),
        "Jumps of the wall clock by more than 50 ms.",
        one(lambda view: view.clock.steps),
    ),
    Metric(
        _P + "clock_sync_source",
        "gauge",
        ("source",),
        "1 for who says that the clock is right: trusted (configured), timesyncd, timedated, none.",
        clock_source,
    ),
    Metric(
        _P + "clock_since_step_seconds",
        "gauge",
        (),
        "Time since the wall clock jumped last; absent before the first time.",
        one(lambda view: since(view, view.clock.last_step_ns)),
    ),
    Metric(
        _P + "clock_error_bound_seconds",
        "gauge",
        (),
        "How far wall times may be from the truth; absent while nobody knows.",
        one(lambda view: view.buffer.time_bound_s),
    ),
    Metric(
        _P + "clock_offset_seconds",
        "gauge",
        (),
        "Wall time minus boot time, as it is believed now.",
        one(lambda view: view.clock.offset_ns / 1e9),
    ),
    Metric(
        _P + "clock_check_ahead_seconds",
        "gauge",
        _SENSOR,
        "By how much the wall clock is ahead of the time that this sensor tells (behind: negative; "
        "up to 1 s is the delay of its line); absent while it tells none.",
        clock_checks,
    ),
)
