"""The metrics in the Prometheus and OpenMetrics text formats, read at the moment of the scrape.

They live in a registry of their own: no library can add anything, and two gateways in one process
do not meet.
"""

from collections.abc import Iterator
from typing import cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from gateway.observe.metric_table import FLUSH_SECONDS, METRICS, Metric
from gateway.observe.view import Look, View

__all__ = ["MetricsPage"]

OPENMETRICS = "application/openmetrics-text"


class MetricsPage(Collector):
    """What ``GET /metrics`` answers; ``look`` is called once for each answer."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterator[Family]:
        """Yield every metric of the table, all from one view."""
        view = self._look()
        for metric in METRICS:
            family = _family(metric)
            for labels, value in metric.read(view):
                family.add_metric(labels, value)
            yield family
        yield _flush_histogram(view)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the page and its content type: OpenMetrics if ``accept`` names it."""
        if OPENMETRICS in accept:
            page = cast("bytes", openmetrics.generate_latest(self._registry))  # type: ignore[no-untyped-call] # the library has no types there
            return page, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=metric.labels)


def _flush_histogram(view: View) -> Family:
    watch = view.flush_watch
    return HistogramMetricFamily(
        FLUSH_SECONDS.name,
        FLUSH_SECONDS.help,
        buckets=watch.cumulative(),
        sum_value=watch.sum_s,
    )
