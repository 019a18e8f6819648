"""The lines of the table of metrics about the process."""

from gateway.observe.metric import Metric
from gateway.observe.metric_readers import (
    one,
    reloads,
    task_restarts,
)

__all__ = ["PROCESS"]

_P = "citylab_gateway_"

PROCESS: tuple[Metric, ...] = (
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
        _P + "stuck_driver_tasks",
        "gauge",
        (),
        "Tasks that should read sensors and made no step for five minutes; /healthz names them.",
        one(lambda view: len(view.standstill.stuck)),
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
)
