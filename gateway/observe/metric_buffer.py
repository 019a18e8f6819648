"""The lines of the table of metrics about the ring buffer."""

from gateway.observe.metric import Metric
from gateway.observe.metric_readers import (
    of_buffer,
    one,
    since_wall,
)

__all__ = ["BUFFER", "FLUSH_SECONDS"]

_P = "citylab_gateway_"

BUFFER: tuple[Metric, ...] = (
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
)


FLUSH_SECONDS = Metric(
    _P + "buffer_flush_seconds",
    "histogram",
    (),
    "How long flushes took.",
    lambda _: (),
)
"""The one histogram; metrics.py fills it."""
