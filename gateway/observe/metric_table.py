"""Every metric in one table: name, kind, labels, help, and where its numbers come from.

docs/metrics.md is generated from it and compared with what /metrics really shows.
"""

from dataclasses import dataclass
from typing import Literal

from gateway.observe import process_figures
from gateway.observe.health import HEALTH_STATES, health
from gateway.observe.metric_readers import (
    Read,
    build_info,
    clock_checks,
    clock_source,
    connections,
    crowd_windows,
    link_disconnects,
    link_dropped,
    link_state,
    of_adapter,
    of_buffer,
    of_bus,
    of_connections,
    of_link,
    of_port,
    of_recorder,
    of_scanner,
    of_sensor,
    one,
    one_hot,
    port_recoveries,
    port_reopens,
    recorded_chunks,
    reloads,
    scanner_limited,
    scanner_recoveries,
    scanner_restarts,
    sensor_faults,
    sensor_filtered,
    sensor_info,
    sensor_states,
    since,
    since_wall,
    task_restarts,
)
from gateway.observe.staleness import stale_after_s
from gateway.observe.status import stuck_series

__all__ = ["FLUSH_SECONDS", "METRICS", "Metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    read: Read


_P = "citylab_gateway_"
_LINK = ("link",)
_SENSOR = ("sensor",)
_ADAPTER = ("adapter",)
METRICS: tuple[Metric, ...] = (
    Metric(
        _P + "build_info",
        "gauge",
        ("gateway", "version", "python", "ring"),
        "Always 1: the id of this gateway and what runs on it; its ring is compiled or not.",
        build_info,
    ),
    Metric(
        _P + "health_state",
        "gauge",
        ("state",),
        "1 for the present state: ok, degraded (somebody should look) or failing.",
        lambda view: one_hot(HEALTH_STATES, health(view).state),
    ),
    Metric(
        _P + "uptime_seconds",
        "gauge",
        (),
        "Time since this process started.",
        one(lambda view: view.uptime_s),
    ),
    Metric(
        _P + "boot_number",
        "gauge",
        (),
        "Grows by one with each boot of the machine.",
        one(lambda view: view.boot),
    ),
    # ------------------------------------------------------------------ links: the identity
    Metric(
        _P + "link_accepted_readings_total",
        "counter",
        _LINK,
        "Readings this link is owed; always acknowledged + pending + dropped.",
        of_link(lambda _, link: link.reader.accepted),
    ),
    Metric(
        _P + "link_acknowledged_readings_total",
        "counter",
        _LINK,
        "Readings that the broker has acknowledged.",
        of_link(lambda _, link: link.reader.acknowledged),
    ),
    Metric(
        _P + "link_dropped_readings_total",
        "counter",
        ("link", "reason"),
        "Readings this link will never get: overwritten in the ring, withheld by policy, "
        "rejected by the broker, corrupt on disk, expired, or purged on request.",
        link_dropped,
    ),
    Metric(
        _P + "link_pending_readings",
        "gauge",
        _LINK,
        "Readings that wait for an acknowledgement.",
        of_link(lambda _, link: link.reader.pending),
    ),
    Metric(
        _P + "link_oldest_pending_seconds",
        "gauge",
        _LINK,
        "Age of the oldest pending reading; 0 when nothing is pending.",
        of_link(lambda view, link: since_wall(view, link.reader.oldest_pending_time_ns)),
    ),
    # ------------------------------------------------------------------ links: the connection
    Metric(
        _P + "link_state",
        "gauge",
        ("link", "state"),
        "1 for the present state: connecting, online, waiting (to try again), refused, stopped.",
        link_state,
    ),
    Metric(
        _P + "link_connects_total",
        "counter",
        _LINK,
        "Connections that the broker accepted.",
        of_link(lambda _, link: link.stats.connects),
    ),
    Metric(
        _P + "link_disconnects_total",
        "counter",
        ("link", "cause"),
        "Connections lost and attempts that failed, by cause.",
        link_disconnects,
    ),
    Metric(
        _P + "link_sent_messages_total",
        "counter",
        _LINK,
        "Messages handed to the broker, repeats included.",
        of_link(lambda _, link: link.stats.sent_messages),
    ),
    Metric(
        _P + "link_acknowledged_messages_total",
        "counter",
        _LINK,
        "Messages that the broker has acknowledged.",
        of_link(lambda _, link: link.stats.acknowledged_messages),
    ),
    Metric(
        _P + "link_refused_messages_total",
        "counter",
        _LINK,
        "Messages that the broker refused with a reason code.",
        of_link(lambda _, link: link.stats.refused_messages),
    ),
    Metric(
        _P + "link_sent_bytes_total",
        "counter",
        _LINK,
        "Payload bytes sent, repeats included.",
        of_link(lambda _, link: link.stats.sent_bytes),
    ),
    Metric(
        _P + "link_in_flight_messages",
        "gauge",
        _LINK,
        "Messages that are sent and not yet acknowledged.",
        of_link(lambda _, link: link.stats.in_flight),
    ),
    Metric(
        _P + "link_since_acknowledgement_seconds",
        "gauge",
        _LINK,
        "Time since the broker last acknowledged something; absent before the first time.",
        of_link(lambda view, link: since(view, link.stats.last_acknowledged_ns)),
    ),
    Metric(
        _P + "link_history_readings_total",
        "counter",
        _LINK,
        "Readings of a backlog that were sent, repeats included.",
        of_link(lambda _, link: link.stats.history_readings),
    ),
    Metric(
        _P + "link_held_readings",
        "gauge",
        _LINK,
        "Readings that wait for the clock to become right.",
        of_link(lambda _, link: link.reader.held_readings),
    ),
    Metric(
        _P + "link_time_fixed_readings_total",
        "counter",
        _LINK,
        "Readings that were sent before the clock was right, and whose times were mended since.",
        of_link(lambda _, link: link.stats.time_fixed_readings),
    ),
    Metric(
        _P + "link_certificate_expiry_timestamp_seconds",
        "gauge",
        _LINK,
        "Unix time at which the first of our client certificate and the private CA's ends; "
        "absent without such files, and while they cannot be read.",
        of_link(lambda _, link: link.stats.certificate_expires_s),
    ),
    # ------------------------------------------------------------------ sensors
    Metric(
        _P + "sensor_info",
        "gauge",
        ("sensor", "driver", "domain", "privacy"),
        "Always 1: what this sensor is.",
        sensor_info,
    ),
    Metric(
        _P + "sensor_state",
        "gauge",
        ("sensor", "state"),
        "1 for the present state: fresh, stale (it missed its rhythm), silent (nothing came yet).",
        sensor_states,
    ),
    Metric(
        _P + "sensor_interval_seconds",
        "gauge",
        _SENSOR,
        "How often a healthy device of this kind reports.",
        of_sensor(lambda _, sensor: sensor.interval_s),
    ),
    Metric(
        _P + "sensor_learnt_interval_seconds",
        "gauge",
        _SENSOR,
        "How often this device really reports, the median of the last pauses; "
        "absent until it is learnt.",
        of_sensor(lambda _, sensor: sensor.learnt_interval_s),
    ),
    Metric(
        _P + "sensor_stale_after_seconds",
        "gauge",
        _SENSOR,
        "The age of the last reading above which the sensor is stale.",
        of_sensor(lambda _, sensor: stale_after_s(sensor)),
    ),
    Metric(
        _P + "sensor_since_reading_seconds",
        "gauge",
        _SENSOR,
        "Time since the last reading; absent before the first one.",
        of_sensor(lambda view, sensor: since(view, sensor.last_reading_ns)),
    ),
    Metric(
        _P + "sensor_readings_total",
        "counter",
        _SENSOR,
        "Readings that went into the buffer.",
        of_sensor(lambda _, sensor: sensor.readings),
    ),
    Metric(
        _P + "sensor_faults_total",
        "counter",
        ("sensor", "kind"),
        "What the driver could not use, by kind of fault.",
        sensor_faults,
    ),
    Metric(
        _P + "sensor_filtered_readings_total",
        "counter",
        ("sensor", "filter"),
        "Readings that a filter dropped.",
        sensor_filtered,
    ),
    Metric(
        _P + "sensor_absorbed_readings_total",
        "counter",
        _SENSOR,
        "Readings that a filter took in to make something else of them, such as a window.",
        of_sensor(lambda _, sensor: sensor.absorbed),
    ),
    Metric(
        _P + "sensor_stuck_series",
        "gauge",
        _SENSOR,
        "Series whose newest reading a filter flagged as stuck; 0 of P2 and P3.",
        of_sensor(lambda _, sensor: stuck_series(sensor)),
    ),
    Metric(
        _P + "sensor_expired_calibrations",
        "gauge",
        _SENSOR,
        "Calibrations in use that are too old.",
        of_sensor(lambda _, sensor: sensor.expired_calibrations),
    ),
    Metric(
        _P + "sensor_refused_readings_total",
        "counter",
        _SENSOR,
        "Readings that the intake refused: not finite, or of an unknown quantity.",
        of_sensor(lambda _, sensor: sensor.refused),
    ),
    Metric(
        _P + "sensor_restarts_total",
        "counter",
        _SENSOR,
        "Restarts of the device itself, as far as it tells.",
        of_sensor(lambda _, sensor: sensor.restarts),
    ),
    # ------------------------------------------------------------------ ports and radio
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
    # ------------------------------------------------------------------ buffer
    Metric(
        _P + "buffer_size_bytes",
        "gauge",
        (),
        "Size of the ring on disk.",
        of_buffer(lambda buffer: buffer.size_bytes),
    ),
    Metric(
        _P + "buffer_used_ratio",
        "gauge",
        (),
        "Part of the ring's blocks that hold readings; stays near 1 once it has gone round.",
        of_buffer(lambda buffer: buffer.blocks_used / buffer.blocks if buffer.blocks else 0.0),
    ),
    Metric(
        _P + "buffer_held_readings",
        "gauge",
        (),
        "Readings between the oldest and the newest that can be read.",
        of_buffer(lambda buffer: buffer.next_sequence - buffer.oldest_sequence),
    ),
    Metric(
        _P + "buffer_oldest_reading_seconds",
        "gauge",
        (),
        "Age of the oldest reading that can be read.",
        one(lambda view: since_wall(view, view.buffer.oldest_time_ns)),
    ),
    Metric(
        _P + "buffer_appended_readings_total",
        "counter",
        (),
        "Readings appended by this process.",
        of_buffer(lambda buffer: buffer.appended_readings),
    ),
    Metric(
        _P + "buffer_unflushed_readings",
        "gauge",
        (),
        "Readings that a power cut would cost now.",
        of_buffer(lambda buffer: buffer.unflushed_readings),
    ),
    Metric(
        _P + "buffer_flushes_total",
        "counter",
        (),
        "Flushes that ended well.",
        of_buffer(lambda buffer: buffer.flushes),
    ),
    Metric(
        _P + "buffer_flush_errors_total",
        "counter",
        (),
        "Flushes that failed; the readings stay in memory and are tried again.",
        of_buffer(lambda buffer: buffer.flush_errors),
    ),
    Metric(
        _P + "buffer_written_bytes_total",
        "counter",
        (),
        "Bytes written to the disk.",
        of_buffer(lambda buffer: buffer.written_bytes),
    ),
    Metric(
        _P + "buffer_written_bytes_per_reading",
        "gauge",
        (),
        "Bytes written to the ring for each reading that was written, since this process started; "
        "absent before the first one.",
        one(lambda view: view.buffer.bytes_per_reading),
    ),
    Metric(
        _P + "buffer_written_bytes_per_day",
        "gauge",
        (),
        "Bytes written to the ring a day, at the mean rate since this process started; absent in "
        "its first minute.",
        one(lambda view: view.buffer.bytes_per_day),
    ),
    Metric(
        _P + "buffer_damaged_blocks_total",
        "counter",
        (),
        "Blocks found damaged and set aside.",
        of_buffer(lambda buffer: buffer.damaged_blocks),
    ),
    Metric(
        _P + "buffer_recovered_readings_total",
        "counter",
        (),
        "Readings of the open block that were saved after the last process died.",
        of_buffer(lambda buffer: buffer.recovered_readings_open_block),
    ),
    Metric(
        _P + "buffer_degraded",
        "gauge",
        (),
        "1 while the disk fails and readings are kept in memory only.",
        of_buffer(lambda buffer: buffer.degraded),
    ),
    # ------------------------------------------------------------------ the process
    Metric(
        _P + "loop_lag_seconds",
        "gauge",
        (),
        "How late the event loop was at the last sample.",
        one(lambda view: view.loop_lag.last_s),
    ),
    Metric(
        _P + "loop_lag_recent_max_seconds",
        "gauge",
        (),
        "How late the event loop was at worst within the last one to two minutes.",
        one(lambda view: view.loop_lag.recent_max_s),
    ),
    Metric(
        _P + "loop_lag_max_seconds",
        "gauge",
        (),
        "How late the event loop was at worst since the start.",
        one(lambda view: view.loop_lag.max_s),
    ),
    Metric(
        _P + "task_restarts_total",
        "counter",
        ("task",),
        "Times that the supervisor restarted a part of the gateway.",
        task_restarts,
    ),
    Metric(
        _P + "config_reloads_total",
        "counter",
        ("result",),
        "Times that the configuration was read again: succeeded, failed.",
        reloads,
    ),
    Metric(
        _P + "config_last_reload_succeeded",
        "gauge",
        (),
        "0 when the file on disk is refused and the configuration before it still runs.",
        one(lambda view: view.reloads.last_succeeded),
    ),
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
    Metric(
        "process_cpu_seconds_total",
        "counter",
        (),
        "Processor time used.",
        one(lambda _: process_figures.cpu_seconds()),
    ),
    Metric(
        "process_resident_memory_bytes",
        "gauge",
        (),
        "Memory held.",
        one(lambda _: process_figures.resident_bytes()),
    ),
    Metric(
        "process_open_fds",
        "gauge",
        (),
        "Open descriptors; absent on kernels before 6.2.",
        one(lambda _: process_figures.open_fds()),
    ),
    Metric(
        "process_max_fds",
        "gauge",
        (),
        "Descriptors that may be open.",
        one(lambda _: process_figures.max_fds()),
    ),
)

FLUSH_SECONDS = Metric(
    _P + "buffer_flush_seconds",
    "histogram",
    (),
    "How long flushes took.",
    lambda _: (),
)
"""The one histogram; metrics.py fills it."""
