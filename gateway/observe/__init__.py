"""Metrics, health, status and the status page: what people and machines see of the gateway."""

from gateway.observe.flush_watch import FlushWatch
from gateway.observe.health import Health, Progress, health
from gateway.observe.http import HttpLimits, StatusServer
from gateway.observe.leaving import Leaving
from gateway.observe.listening import split_address, systemd_sockets
from gateway.observe.loop_lag import LoopLag
from gateway.observe.metrics import MetricsPage
from gateway.observe.sd_notify import Notifier, Watchdog
from gateway.observe.standstill import Standstill
from gateway.observe.status import document_summary, live_document, sensor_state, status_document
from gateway.observe.view import LinkView, Look, Reloads, View

__all__ = [
    "FlushWatch",
    "Health",
    "HttpLimits",
    "Leaving",
    "LinkView",
    "Look",
    "LoopLag",
    "MetricsPage",
    "Notifier",
    "Progress",
    "Reloads",
    "Standstill",
    "StatusServer",
    "View",
    "Watchdog",
    "document_summary",
    "health",
    "live_document",
    "sensor_state",
    "split_address",
    "status_document",
    "systemd_sockets",
]
