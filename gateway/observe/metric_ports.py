"""The lines of the table of metrics about serial ports and buses, and what is recorded there."""

from gateway.observe.metric import Metric
from gateway.observe.metric_readers import (
    of_bus,
    of_port,
    of_recorder,
    port_recoveries,
    port_reopens,
    recorded_chunks,
    since,
)

__all__ = ["PORTS"]

_P = "citylab_gateway_"
_SENSOR = ("sensor",)

PORTS: tuple[Metric, ...] = (
    Metric(
        _P + "port_open",
        "gauge",
        _SENSOR,
        "1 while the serial port of this sensor is open.",
        of_port(lambda _, port: port.open),
    ),
    Metric(
        _P + "port_opens_total",
        "counter",
        _SENSOR,
        "Times that the port was opened.",
        of_port(lambda _, port: port.opens),
    ),
    Metric(
        _P + "port_reopens_total",
        "counter",
        ("sensor", "cause"),
        "Times that the port had to be opened again: vanished, silence, error, or line (what came "
        "makes no sense with this line setting, or the sensors of a bus need another one).",
        port_reopens,
    ),
    Metric(
        _P + "port_recoveries_total",
        "counter",
        ("sensor", "step"),
        "Steps of the recovery ladder that were taken: reopen, resend (of the settings; at a bus "
        "one more try with each line setting), usb_reset, usb_reset_skipped (not permitted, or no "
        "USB device), report (a person is needed); and moved: the device was found elsewhere.",
        port_recoveries,
    ),
    Metric(
        _P + "port_recovery_step",
        "gauge",
        _SENSOR,
        "How far up the recovery ladder the port is: 0 while readings come, 4 when a person is "
        "needed.",
        of_port(lambda _, port: port.recovery_step),
    ),
    Metric(
        _P + "port_received_bytes_total",
        "counter",
        _SENSOR,
        "Bytes received from the device.",
        of_port(lambda _, port: port.received_bytes),
    ),
    Metric(
        _P + "port_sent_bytes_total",
        "counter",
        _SENSOR,
        "Bytes sent to the device.",
        of_port(lambda _, port: port.sent_bytes),
    ),
    Metric(
        _P + "port_since_byte_seconds",
        "gauge",
        _SENSOR,
        "Time since the last byte; absent before the first one.",
        of_port(lambda view, port: since(view, port.last_received_ns)),
    ),
    Metric(
        _P + "bus_requests_total",
        "counter",
        _SENSOR,
        "Questions that this sensor was asked; only of sensors that are asked.",
        of_bus(lambda bus: bus.requests),
    ),
    Metric(
        _P + "bus_timeouts_total",
        "counter",
        _SENSOR,
        "Questions without a whole answer in time; a growing share means a dead or busy device, "
        "a bad cable, or a second one with the same address.",
        of_bus(lambda bus: bus.timeouts),
    ),
    Metric(
        _P + "bus_echoes_total",
        "counter",
        _SENSOR,
        "Own questions that came back and were removed, as two-wire adapters and optical heads do.",
        of_bus(lambda bus: bus.echoes),
    ),
    Metric(
        _P + "bus_late_bytes_total",
        "counter",
        _SENSOR,
        "Bytes that came when nobody waited for them, after this sensor was asked: late answers, "
        "or noise; dropped.",
        of_bus(lambda bus: bus.late_bytes),
    ),
    Metric(
        _P + "recorded_chunks_total",
        "counter",
        _SENSOR,
        "Chunks of raw bytes, or answers, that were recorded of this sensor; absent while nothing "
        "is recorded.",
        recorded_chunks,
    ),
    Metric(
        _P + "recording_lost_lines_total",
        "counter",
        (),
        "Lines that could not be written, because the disk is full or too slow; absent while "
        "nothing is recorded.",
        of_recorder(lambda recorder: recorder.lost_lines),
    ),
)
