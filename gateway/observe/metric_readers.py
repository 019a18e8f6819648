"""Where the numbers of the metrics come from: functions from a view to samples.

Label values are names from the configuration or words from bounded lists: never a port, an
address or a host.
"""

# ruff: noqa: D103 - each function is named after the metric, whose help stands in the table

import platform
from collections.abc import Callable, Iterable, Iterator

from gateway.observe.staleness import SENSOR_STATES, sensor_state
from gateway.observe.view import (
    DROP_REASONS,
    AdapterFigures,
    BufferFigures,
    BusFigures,
    ConnectionFigures,
    LinkView,
    PortFigures,
    RecorderFigures,
    ScannerFigures,
    SensorFigures,
    View,
)
from gateway.observe.words import by_word, word
from gateway.reading import FAULT_KINDS

__all__ = [
    "Read",
    "Sample",
    "build_info",
    "clock_checks",
    "clock_source",
    "connections",
    "crowd_windows",
    "link_disconnects",
    "link_dropped",
    "link_state",
    "of_adapter",
    "of_buffer",
    "of_bus",
    "of_connections",
    "of_link",
    "of_port",
    "of_recorder",
    "of_scanner",
    "of_sensor",
    "one",
    "one_hot",
    "port_recoveries",
    "port_reopens",
    "recorded_chunks",
    "reloads",
    "scanner_limited",
    "scanner_recoveries",
    "scanner_restarts",
    "sensor_faults",
    "sensor_filtered",
    "sensor_info",
    "sensor_states",
    "since",
    "since_wall",
    "task_restarts",
]

Sample = tuple[tuple[str, ...], float]
"""Label values in the order of ``Metric.labels``, and the number."""
Read = Callable[[View], Iterable[Sample]]

LINK_STATES = ("connecting", "online", "waiting", "refused", "stopped")
SYNC_SOURCES = ("none", "trusted", "timesyncd", "timedated")
REOPEN_CAUSES = ("vanished", "silence", "error", "line")
RECOVERY_STEPS = ("reopen", "resend", "usb_reset", "usb_reset_skipped", "report", "moved")

SCAN_CAUSES = ("silence", "unheard", "bus", "bluez", "power", "gone", "error")
SCAN_STEPS = ("restart", "power_cycle", "power_cycle_skipped", "report")


def one(number: Callable[[View], float | None]) -> Read:
    """Read one number without labels; None is left out."""

    def read(view: View) -> Iterator[Sample]:
        value = number(view)
        if value is not None:
            yield (), value

    return read


def of_buffer(number: Callable[[BufferFigures], float]) -> Read:
    return one(lambda view: number(view.buffer))


def of_link(number: Callable[[View, LinkView], float | None]) -> Read:
    def read(view: View) -> Iterator[Sample]:
        for name, link in view.links.items():
            value = number(view, link)
            if value is not None:
                yield (name,), value

    return read


def of_sensor(number: Callable[[View, SensorFigures], float | None]) -> Read:
    def read(view: View) -> Iterator[Sample]:
        for name, sensor in view.sensors.items():
            value = number(view, sensor)
            if value is not None:
                yield (name,), value

    return read


def of_port(number: Callable[[View, PortFigures], float | None]) -> Read:
    def read(view: View) -> Iterator[Sample]:
        for name, port in view.ports.items():
            value = number(view, port)
            if value is not None:
                yield (name,), value

    return read


def of_bus(number: Callable[[BusFigures], float]) -> Read:
    def read(view: View) -> Iterator[Sample]:
        for name, port in view.ports.items():
            if isinstance(port, BusFigures):
                yield (name,), number(port)

    return read


def of_recorder(number: Callable[[RecorderFigures], float]) -> Read:
    return one(lambda view: None if view.recorder is None else number(view.recorder))


def of_scanner(number: Callable[[View, ScannerFigures], float | None]) -> Read:
    return one(lambda view: None if view.scanner is None else number(view, view.scanner))


def of_adapter(number: Callable[[AdapterFigures], float]) -> Read:
    def read(view: View) -> Iterator[Sample]:
        if view.scanner is not None:
            for label, adapter in view.scanner.adapters.items():
                yield (label,), number(adapter)

    return read


def of_connections(number: Callable[[ConnectionFigures], float]) -> Read:
    return one(lambda view: None if view.connections is None else number(view.connections))


def since(view: View, boottime_ns: int | None) -> float | None:
    return None if boottime_ns is None else view.seconds_since(boottime_ns)


def since_wall(view: View, wall_ns: int | None) -> float:
    return 0.0 if wall_ns is None else view.seconds_since_wall(wall_ns)


def one_hot(states: tuple[str, ...], state: str, *labels: str) -> Iterator[Sample]:
    for known in states:
        yield (*labels, known), float(known == state)


def link_dropped(view: View) -> Iterator[Sample]:
    for name, link in view.links.items():
        for reason in DROP_REASONS:
            yield (name, reason), link.reader.dropped.get(reason, 0)


def link_state(view: View) -> Iterator[Sample]:
    for name, link in view.links.items():
        yield from one_hot(LINK_STATES, link.stats.state, name)


def link_disconnects(view: View) -> Iterator[Sample]:
    for name, link in view.links.items():
        for cause, count in by_word(link.stats.disconnects.items()).items():
            yield (name, cause), count


def sensor_info(view: View) -> Iterator[Sample]:
    for name, sensor in view.sensors.items():
        yield (name, word(sensor.driver), sensor.domain, sensor.privacy), 1.0


def sensor_states(view: View) -> Iterator[Sample]:
    now_ns = view.clock.now_ns()
    for name, sensor in view.sensors.items():
        yield from one_hot(SENSOR_STATES, sensor_state(sensor, now_ns), name)


def sensor_faults(view: View) -> Iterator[Sample]:
    for name, sensor in view.sensors.items():
        for kind in FAULT_KINDS:
            yield (name, kind), sensor.faults.get(kind, 0)


def sensor_filtered(view: View) -> Iterator[Sample]:
    for name, sensor in view.sensors.items():
        for which, count in by_word(sensor.filtered.items()).items():
            yield (name, which), count


def port_reopens(view: View) -> Iterator[Sample]:
    for name, port in view.ports.items():
        known = dict.fromkeys(REOPEN_CAUSES, 0)
        for cause, count in by_word({**known, **port.reopens}.items()).items():
            yield (name, cause), count


def port_recoveries(view: View) -> Iterator[Sample]:
    for name, port in view.ports.items():
        known = dict.fromkeys(RECOVERY_STEPS, 0)
        for step, count in by_word({**known, **port.recoveries}.items()).items():
            yield (name, step), count


def recorded_chunks(view: View) -> Iterator[Sample]:
    if view.recorder is not None:
        for name, count in view.recorder.chunks.items():
            yield (name,), count


def scanner_restarts(view: View) -> Iterator[Sample]:
    if view.scanner is not None:
        for label, adapter in view.scanner.adapters.items():
            known = dict.fromkeys(SCAN_CAUSES, 0)
            for cause, count in by_word({**known, **adapter.restarts}.items()).items():
                yield (label, cause), count


def scanner_recoveries(view: View) -> Iterator[Sample]:
    if view.scanner is not None:
        for label, adapter in view.scanner.adapters.items():
            known = dict.fromkeys(SCAN_STEPS, 0)
            for step, count in by_word({**known, **adapter.recoveries}.items()).items():
                yield (label, step), count


def connections(view: View) -> Iterator[Sample]:
    if view.connections is not None:
        for result, count in by_word(view.connections.visits.items()).items():
            yield (result,), count


def scanner_limited(view: View) -> Iterator[Sample]:
    if view.scanner is not None:
        for sensor, count in view.scanner.adverts_limited.items():
            yield (sensor,), count


def crowd_windows(view: View) -> Iterator[Sample]:
    if view.scanner is not None:
        for heard, count in by_word(view.scanner.crowd_windows.items()).items():
            yield (heard,), count


def task_restarts(view: View) -> Iterator[Sample]:
    for task, count in by_word(view.task_restarts.items()).items():
        yield (task,), count


def clock_checks(view: View) -> Iterator[Sample]:
    for name in view.told_times:
        ahead_s = view.clock_ahead_s(name)
        if ahead_s is not None:
            yield (name,), ahead_s


def reloads(view: View) -> Iterator[Sample]:
    yield ("succeeded",), view.reloads.succeeded
    yield ("failed",), view.reloads.failed


def clock_source(view: View) -> Iterator[Sample]:
    yield from one_hot(SYNC_SOURCES, view.clock.sync_source or "none")


def build_info(view: View) -> Iterator[Sample]:
    ring = "compiled" if view.compiled else "interpreted"
    yield (word(view.gateway), word(view.version), platform.python_version(), ring), 1.0
