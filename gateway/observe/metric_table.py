"""Every metric in one table: name, kind, labels, help, and where its numbers come from.

Each part of the gateway has its lines in a module of its own; here is their order. docs/metrics.md
is generated from it and compared with what /metrics really shows.
"""

from gateway.observe.metric import Metric
from gateway.observe.metric_buffer import BUFFER, FLUSH_SECONDS
from gateway.observe.metric_clock import CLOCK
from gateway.observe.metric_gateway import GATEWAY
from gateway.observe.metric_links import LINKS
from gateway.observe.metric_machine import MACHINE
from gateway.observe.metric_ports import PORTS
from gateway.observe.metric_process import PROCESS
from gateway.observe.metric_radio import RADIO
from gateway.observe.metric_sensors import SENSORS

__all__ = ["FLUSH_SECONDS", "METRICS", "Metric"]

METRICS: tuple[Metric, ...] = (
    *GATEWAY,
    *LINKS,
    *SENSORS,
    *PORTS,
    *RADIO,
    *BUFFER,
    *PROCESS,
    *CLOCK,
    *MACHINE,
)
