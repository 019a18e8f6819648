"""The lines of the table of metrics about Bluetooth: adapters, connections, passers-by."""

from gateway.observe.metric import Metric
from gateway.observe.metric_readers import (
    connections,
    crowd_windows,
    of_adapter,
    of_connections,
    of_scanner,
    scanner_limited,
    scanner_recoveries,
    scanner_restarts,
    since,
)

__all__ = ["RADIO"]

_P = "citylab_gateway_"
_SENSOR = ("sensor",)
_ADAPTER = ("adapter",)

RADIO: tuple[Metric, ...] = (
    Metric(
        _P + "scanner_open",
        "gauge",
        _ADAPTER,
        "1 while this Bluetooth adapter scans; absent without Bluetooth sensors. An adapter is "
        "called by its name, adapter-2 if the configuration has its address, default, or replay.",
        of_adapter(lambda adapter: adapter.open),
    ),
    Metric(
        _P + "scanner_active",
        "gauge",
        _ADAPTER,
        "1 while the scan is active, which makes devices answer; 0 if it is passive or none.",
        of_adapter(lambda adapter: adapter.mode == "active"),
    ),
    Metric(
        _P + "scanner_starts_total",
        "counter",
        _ADAPTER,
        "Times that the scan was started.",
        of_adapter(lambda adapter: adapter.starts),
    ),
    Metric(
        _P + "scanner_restarts_total",
        "counter",
        ("adapter", "cause"),
        "Times that the scan had to be started again: silence, unheard (a sensor that is not heard "
        "passively), bus, bluez, power, gone (pulled out), error.",
        scanner_restarts,
    ),
    Metric(
        _P + "scanner_recoveries_total",
        "counter",
        ("adapter", "step"),
        "Steps of the recovery ladder that were taken: restart, power_cycle, power_cycle_skipped "
        "(not permitted), report (a person is needed).",
        scanner_recoveries,
    ),
    Metric(
        _P + "scanner_recovery_step",
        "gauge",
        _ADAPTER,
        "How far up the recovery ladder the adapter is: 0 while anything is heard, 3 when a person "
        "is needed.",
        of_adapter(lambda adapter: adapter.recovery_step),
    ),
    Metric(
        _P + "scanner_adverts_total",
        "counter",
        (),
        "Advertisements of configured sensors; those of others are not even counted.",
        of_scanner(lambda _, scanner: scanner.adverts_received),
    ),
    Metric(
        _P + "scanner_claimed_adverts_total",
        "counter",
        (),
        "Those that the driver of the sensor recognized.",
        of_scanner(lambda _, scanner: scanner.adverts_claimed),
    ),
    Metric(
        _P + "scanner_doubled_adverts_total",
        "counter",
        (),
        "Those that another adapter had heard already; they are not decoded again.",
        of_scanner(lambda _, scanner: scanner.adverts_doubled),
    ),
    Metric(
        _P + "scanner_overflowed_adverts_total",
        "counter",
        (),
        "Advertisements of configured sensors that were dropped because too many waited.",
        of_scanner(lambda _, scanner: scanner.adverts_overflowed),
    ),
    Metric(
        _P + "scanner_limited_adverts_total",
        "counter",
        _SENSOR,
        "Advertisements that were dropped because the sensor, or somebody with its address, sends "
        "more than a sensor does; absent while that is none.",
        scanner_limited,
    ),
    Metric(
        _P + "scanner_decode_seconds_total",
        "counter",
        (),
        "Time spent on decoding advertisements and storing what they say; divided by "
        "scanner_adverts_total it is the time of one.",
        of_scanner(lambda _, scanner: scanner.decode_ns / 1e9),
    ),
    Metric(
        _P + "scanner_since_advert_seconds",
        "gauge",
        (),
        "Time since the last advertisement of a configured sensor; absent before the first one.",
        of_scanner(lambda view, scanner: since(view, scanner.last_received_ns)),
    ),
    Metric(
        _P + "crowd_windows_total",
        "counter",
        ("heard",),
        "Windows of footfall that have ended, by how much of them the radio heard: whole (98 % or "
        "more), partly, deaf (nothing); absent where nobody counts.",
        crowd_windows,
    ),
    Metric(
        _P + "connections_total",
        "counter",
        ("result",),
        "Bluetooth sensors visited, by how it ended: read, empty (connected, but no reading), "
        "timeout, error (refused or lost); absent without sensors that are connected to.",
        connections,
    ),
    Metric(
        _P + "connections_seconds_total",
        "counter",
        (),
        "Time that these visits took; an adapter hears little meanwhile.",
        of_connections(lambda connections: connections.visit_s),
    ),
    Metric(
        _P + "connections_waiting",
        "gauge",
        (),
        "Sensors that are due to be visited, with the one that is being visited.",
        of_connections(lambda connections: connections.waiting),
    ),
)
