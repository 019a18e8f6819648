"""The status document: what the retained MQTT status topic and /status.json say.

Its schema stands in docs/operate.md and is tested there. Keys always come in the same order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from gateway.observe.event_log import Event
from gateway.observe.health import health
from gateway.observe.history import SHOWN_CLASSES, History
from gateway.observe.slices import Steps, at_once
from gateway.observe.staleness import (
    SENSOR_STATES,
    SensorState,
    expected_interval_s,
    sensor_state,
    stale_after_s,
)
from gateway.observe.view import LinkView, LiveFigures, ScannerFigures, SensorFigures, View
from gateway.observe.words import by_word, redacted, word
from gateway.reading import Flag, flag_names, quality_of

__all__ = [
    "SENSOR_STATES",
    "SensorState",
    "document_summary",
    "every_sensor",
    "live_document",
    "page_document",
    "page_document_steps",
    "sensor_state",
    "status_document",
    "stuck_series",
]

SCHEMA = 1
MAX_LIVE_VALUES = 64
"""Of one sensor; what is shown is bounded whatever a driver yields."""
_LAST_SECOND = 253_402_300_799


def stuck_series(sensor: SensorFigures) -> int:
    """Return how many series of a sensor are flagged as stuck now.

    0 of P2 and P3: that nothing changes in a home tells of whoever lives there.
    """
    if sensor.privacy not in SHOWN_CLASSES:
        return 0
    return sum(bool(live.flags & Flag.STUCK) for live in sensor.live.values())


def every_sensor(name: str, sensor: SensorFigures) -> bool:  # noqa: ARG001 - the shape of a choice
    """Choose every sensor."""
    return True


def status_document(
    view: View, *, choose: Callable[[str, SensorFigures], bool] = every_sensor
) -> dict[str, Any]:
    """Return the status as JSON-serialisable data, without a single measured value.

    ``choose`` leaves out the sensors that a broker is not to know of.
    """
    verdict = health(view)
    return {
        "schema": SCHEMA,
        "gateway": view.gateway,
        "software": {"name": "citylab-gateway", "version": view.version},
        "time": _wall_text(view.clock.now_ns() + view.clock.offset_ns),
        "uptime_s": round(view.uptime_s, 1),
        "boot": view.boot,
        "clock": _clock(view),
        "health": {"state": verdict.state, "reasons": [redacted(text) for text in verdict.reasons]},
        "sensors": {
            name: _sensor(view, name, sensor)
            for name, sensor in view.sensors.items()
            if choose(name, sensor)
        },
        "links": {name: _link(view, link) for name, link in view.links.items()},
        "buffer": _buffer(view),
    }


def live_document(view: View) -> dict[str, Any]:
    """Return the status with what a person at the box needs: last values, faults and errors.

    Values and fault details are shown of P0 and P1 sensors only, and values until they are too old
    to be kept.
    """
    return at_once(_live_steps(view, None))


def _live_steps(view: View, history: History | None) -> Steps[dict[str, Any]]:
    """Make the live document; with a ``history`` each value has its ``hour``."""
    document = status_document(view)
    for name, sensor in view.sensors.items():
        yield
        entry = document["sensors"][name]
        port = view.ports.get(name)
        entry["port"] = None if port is None else ("open" if port.open else "closed")
        entry["recovery_step"] = 0 if port is None else port.recovery_step
        entry["error"] = "" if port is None or port.open else redacted(port.last_error)
        entry["last_fault"] = _last_fault(sensor)
        entry["values"] = list(_values(view, sensor, history))
    for name, link in view.links.items():
        document["links"][name]["error"] = redacted(link.stats.last_error)
    document["bluetooth"] = None if view.scanner is None else _bluetooth(view.scanner)
    return document


def page_document(
    view: View,
    *,
    history: History,
    leaves: Mapping[str, Mapping[str, Any]],
    events: Sequence[Event],
) -> dict[str, Any]:
    """Return the live document with what the page shows besides."""
    return at_once(page_document_steps(view, history=history, leaves=leaves, events=events))


def page_document_steps(
    view: View,
    *,
    history: History,
    leaves: Mapping[str, Mapping[str, Any]],
    events: Sequence[Event],
) -> Steps[dict[str, Any]]:
    """Make ``page_document``, a sensor a step; all but the values are of the first moment."""
    document = yield from _live_steps(view, history)
    for name, link in document["links"].items():
        link["leaves"] = leaves.get(name)
    document["events"] = [
        {
            "age_s": view.seconds_since(event.time_ns),
            "level": event.level,
            "audit": event.audit,
            "text": event.text,
        }
        for event in events
    ]
    return document


def _sensor(view: View, name: str, sensor: SensorFigures) -> dict[str, Any]:
    last_ns = sensor.last_reading_ns
    ahead_s = view.clock_ahead_s(name)
    return {
        "driver": sensor.driver,
        "domain": sensor.domain,
        "privacy": sensor.privacy,
        "state": sensor_state(sensor, view.clock.now_ns()),
        "last_reading": None if last_ns is None else _wall_text(last_ns + view.clock.offset_ns),
        "age_s": None if last_ns is None else round(view.seconds_since(last_ns), 1),
        "interval_s": round(expected_interval_s(sensor), 3),
        "stale_after_s": round(stale_after_s(sensor), 3),
        "stuck_series": stuck_series(sensor),
        "expired_calibrations": sensor.expired_calibrations,
        "clock_ahead_s": None if ahead_s is None else round(ahead_s, 1),
        "readings": sensor.readings,
        "faults": sum(sensor.faults.values()),
    }


def _clock(view: View) -> dict[str, Any]:
    clock = view.clock
    step_ns = clock.last_step_ns
    return {
        "synced": clock.synced,
        "source": clock.sync_source or "none",
        "steps": clock.steps,
        "last_step": None if step_ns is None else _wall_text(step_ns + clock.offset_ns),
        "bound_s": view.buffer.time_bound_s,
    }


def _link(view: View, link: LinkView) -> dict[str, Any]:
    oldest_ns = link.reader.oldest_pending_time_ns
    cause = link.stats.last_error_cause
    return {
        "state": link.stats.state,
        "cause": word(cause) if cause and link.stats.state != "online" else "",
        "accepted": link.reader.accepted,
        "pending": link.reader.pending,
        "oldest_pending_s": None
        if oldest_ns is None
        else round(view.seconds_since_wall(oldest_ns), 1),
        "held": link.reader.held_readings,
        "acknowledged": link.reader.acknowledged,
        "dropped": by_word(link.reader.dropped.items()),
    }


def _buffer(view: View) -> dict[str, Any]:
    stats = view.buffer
    oldest_ns = stats.oldest_time_ns
    return {
        "size_bytes": stats.size_bytes,
        "used": round(stats.blocks_used / stats.blocks, 4) if stats.blocks else 0.0,
        "readings": stats.next_sequence - stats.oldest_sequence,
        "oldest": None if oldest_ns is None else _wall_text(oldest_ns),
        "unflushed": stats.unflushed_readings,
        "damaged_blocks": stats.damaged_blocks,
        "degraded": stats.degraded,
        "reason": redacted(stats.degraded_reason) if stats.degraded else "",
    }


def _bluetooth(scanner: ScannerFigures) -> dict[str, Any]:
    return {
        "adapters": {
            label: {
                "state": word(adapter.mode) if adapter.open else "closed",
                "recovery_step": adapter.recovery_step,
                "error": "" if adapter.open else redacted(adapter.last_error),
            }
            for label, adapter in scanner.adapters.items()
        },
        "adverts": scanner.adverts_received,
        "overflowed": scanner.adverts_overflowed,
        "limited": sum(scanner.adverts_limited.values()),
    }


def _values(view: View, sensor: SensorFigures, history: History | None) -> Iterator[dict[str, Any]]:
    if sensor.privacy not in SHOWN_CLASSES:
        return
    shown = [live for live in sensor.live.values() if live.series.privacy in SHOWN_CLASSES]
    shown.sort(key=lambda live: live.series.key)
    for live in shown[:MAX_LIVE_VALUES]:
        value = _value(view, live)
        if history is not None:
            value["hour"] = history.hour(live.series.id, view.clock.now_ns())
        yield value


def _value(view: View, live: LiveFigures) -> dict[str, Any]:
    key = live.series.key
    age_s = view.seconds_since(live.time_ns)
    # What the ring may no longer give out is not shown either (PRIV-10).
    gone = age_s > view.kept_s(live.series)
    # A suppressed count stays suppressed, whatever number the reading carries (PRIV-05).
    hidden = gone or bool(live.flags & Flag.SUPPRESSED) or not isfinite(live.value)
    return {
        "quantity": key.quantity,
        "dims": dict(key.dims),
        "aggregation": key.aggregation,
        "value": None if hidden else live.value,
        "unit": live.series.unit,
        "age_s": round(age_s, 1),
        "quality": "stale" if gone else quality_of(live.flags) if live.flags else "good",
        "flags": flag_names(live.flags) if live.flags and not gone else [],
    }


def _last_fault(sensor: SensorFigures) -> str:
    """Give the kind alone where a detail could say something about a person."""
    if sensor.privacy in SHOWN_CLASSES:
        return redacted(sensor.last_fault)
    return word(sensor.last_fault.partition(":")[0]) if sensor.last_fault else ""


def _wall_text(wall_ns: int) -> str | None:
    """Return RFC 3339 text in UTC, or None for a time that no calendar has."""
    seconds = wall_ns // 1_000_000_000
    if not 0 <= seconds <= _LAST_SECOND:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def document_summary(document: Mapping[str, Any]) -> str:
    """Return the one line that ``systemctl status`` shows."""
    sensors = [sensor["state"] for sensor in document["sensors"].values()]
    links = [link["state"] for link in document["links"].values()]
    pending = sum(link["pending"] for link in document["links"].values())
    return (
        f"{document['health']['state']}: {sensors.count('fresh')} of {len(sensors)} sensors fresh, "
        f"{links.count('online')} of {len(links)} links online, {pending} readings pending"
    )
