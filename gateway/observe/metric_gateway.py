"""The lines of the table of metrics about what this gateway is."""

from gateway.observe.health import HEALTH_STATES, health
from gateway.observe.metric import Metric
from gateway.observe.metric_readers import (
    build_info,
    one,
    one_hot,
)

__all__ = ["GATEWAY"]

_P = "citylab_gateway_"

GATEWAY: tuple[Metric, ...] = (
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
)
