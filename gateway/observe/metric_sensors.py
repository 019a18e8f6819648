"""The lines of the table of metrics about the sensors."""

from gateway.observe.metric import Metric
from gateway.observe.metric_readers import (
    of_sensor,
    sensor_faults,
    sensor_filtered,
    sensor_info,
    sensor_states,
    since,
)
from gateway.observe.staleness import stale_after_s
from gateway.observe.status import stuck_series

__all__ = ["SENSORS"]

_P = "citylab_gateway_"
_SENSOR = ("sensor",)

SENSORS: tuple[Metric, ...] = (
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
)
