"""Whether this gateway does its work, in one word and in sentences."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.observe.staleness import stale_after_s
from gateway.observe.standstill import STUCK_S
from gateway.observe.view import View

__all__ = ["HEALTH_STATES", "Health", "HealthState", "Progress", "health"]

HealthState = Literal["ok", "degraded", "failing"]
HEALTH_STATES: tuple[HealthState, ...] = ("ok", "degraded", "failing")

FLUSH_LATE_INTERVALS = 3.0
FLUSH_LATE_MIN_S = 30.0
"""A flush is late after three intervals, but a slow card may always take half a minute."""
LOOP_SLOW_S = 1.0
LOOP_BLOCKED_S = 5.0
NO_READING_S = 600.0
MAX_NAMED = 5
"""Tasks that one sentence names."""
LINKS_DOWN_S = 300.0


@dataclass(frozen=True, slots=True)
class Health:
    """``degraded``: it works, but somebody should look. ``failing``: it does not do its work."""

    state: HealthState
    reasons: tuple[str, ...]


def health(view: View) -> Health:
    """Judge one view; the reasons are sentences, the gravest first."""
    all_stuck = view.standstill.all_stuck
    stuck = list(_drivers_stuck(view))
    failing = [
        *_flush_late(view),
        *_loop_blocked(view),
        *(stuck if all_stuck else ()),
        *_nothing_measured(view),
    ]
    degraded = [
        *_buffer_degraded(view),
        *_loop_slow(view),
        *(() if all_stuck else stuck),
        *_links_down(view),
        *_unsynced(view),
    ]
    state: HealthState = "failing" if failing else "degraded" if degraded else "ok"
    return Health(state, (*failing, *degraded))


def _flush_late_after_s(view: View) -> float:
    """Return the time without a flush after which readings that wait for one are at risk."""
    return max(FLUSH_LATE_MIN_S, FLUSH_LATE_INTERVALS * view.flush_interval_s)


def _flush_late(view: View) -> Iterator[str]:
    # A degraded buffer tries, fails and says so by itself; here nobody even finishes.
    since_ns = view.flush_watch.waiting_since_ns
    if since_ns is None or view.buffer.unflushed_readings == 0 or view.buffer.degraded:
        return
    waited_s = view.seconds_since(since_ns)
    if waited_s > _flush_late_after_s(view):
        yield (
            f"no flush for {waited_s:.0f} s while {view.buffer.unflushed_readings} readings wait: "
            "the disk does not answer or the flusher stands still"
        )


def _loop_blocked(view: View) -> Iterator[str]:
    lag_s = view.loop_lag.recent_max_s
    if lag_s > LOOP_BLOCKED_S:
        yield f"the event loop stood still for {lag_s:.1f} s within the last two minutes"


def _drivers_stuck(view: View) -> Iterator[str]:
    stuck = view.standstill.stuck
    if not stuck:
        return
    named = ", ".join(stuck[:MAX_NAMED])
    if len(stuck) > MAX_NAMED:
        named += f" and {len(stuck) - MAX_NAMED} more"
    if view.standstill.all_stuck:
        yield f"all that reads sensors has stood still for {STUCK_S / 60:.0f} min: {named}"
    else:
        yield (
            f"{len(stuck)} of {view.standstill.tasks} tasks that read sensors stand still, "
            f"a restart of the daemon mends that: {named}"
        )


def _nothing_measured(view: View) -> Iterator[str]:
    if not view.sensors:
        return
    limit_s = max(NO_READING_S, min(stale_after_s(sensor) for sensor in view.sensors.values()))
    last_ns = max(
        view.started_ns if sensor.last_reading_ns is None else sensor.last_reading_ns
        for sensor in view.sensors.values()
    )
    silent_s = view.seconds_since(last_ns)
    if silent_s > limit_s:
        yield f"no sensor has given a reading for {silent_s / 60:.0f} min"


def _buffer_degraded(view: View) -> Iterator[str]:
    if view.buffer.degraded:
        reason = view.buffer.degraded_reason or "the disk fails"
        yield f"the buffer works in memory only ({reason}): a power cut loses readings"


def _loop_slow(view: View) -> Iterator[str]:
    lag_s = view.loop_lag.recent_max_s
    if LOOP_SLOW_S < lag_s <= LOOP_BLOCKED_S:
        yield f"the event loop was {lag_s:.1f} s late within the last two minutes"


def _links_down(view: View) -> Iterator[str]:
    links = view.links.values()
    if not links or any(link.stats.state == "online" for link in links):
        return
    last_ns = max(
        view.started_ns
        if link.stats.last_acknowledged_ns is None
        else link.stats.last_acknowledged_ns
        for link in links
    )
    down_s = view.seconds_since(last_ns)
    if down_s > LINKS_DOWN_S:
        yield f"no broker can be reached, the last answer came {down_s / 60:.0f} min ago"


def _unsynced(view: View) -> Iterator[str]:
    if not view.clock.synced and view.uptime_s > view.hold_unsynced_s:
        yield "the clock is not known to be right: readings go out marked, to be mended later"


class Progress:
    """Whether the daemon moves: what the systemd watchdog may be fed by.

    Only what a restart can mend counts: a loop or a flusher that stands still, and all tasks that
    should read sensors at once. A failing disk does not (the readings in memory would be lost, so
    stuck drivers do not either while it lasts), nor do silent sensors or brokers that are away.
    docs/decisions/0018-watchdog.md has the reasons.
    """

    def __init__(self) -> None:
        self._samples = -1
        self._reason = ""

    @property
    def reason(self) -> str:
        """Return why the last answer was no, or empty text."""
        return self._reason

    def __call__(self, view: View) -> bool:
        """Tell whether the loop sampler ran since the last question, and nothing stands still."""
        view.flush_watch.look(view.buffer.unflushed_readings)
        view.standstill.look(view.driver_steps, time.monotonic())
        moved = view.loop_lag.samples != self._samples
        self._samples = view.loop_lag.samples
        reasons = [] if moved else ["the loop sampler stands still"]
        reasons += _flush_late(view)
        if view.standstill.all_stuck and not view.buffer.degraded:
            reasons += _drivers_stuck(view)
        self._reason = reasons[0] if reasons else ""
        return not reasons
