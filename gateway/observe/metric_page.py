"""docs/metrics.md, made from the table of metrics: ``python -m gateway.observe.metric_page``."""

import sys

from gateway.observe.metric_table import FLUSH_SECONDS, METRICS

__all__ = ["reference_page"]

HEAD = """# Metrics

`GET /metrics` shows these, in the Prometheus text format or, if the client asks for it, in
OpenMetrics. This page is made from the table in `gateway/observe/metric_table.py` and compared with
what `/metrics` shows by a test; to renew it: `python -m gateway.observe.metric_page >
docs/metrics.md`. What to do about them stands in [operate.md](operate.md).

Labels are names from the configuration (`sensor`, `link`) or words from short lists. No port, no
host and no device address is ever a label (PRIV-01). A list that is not ours (causes, filters,
tasks) is cut at 32 words; the rest is counted as `other`.

For each link, in every single scrape:

```
link_accepted_readings_total = link_acknowledged_readings_total
                             + link_pending_readings
                             + sum by (link) (link_dropped_readings_total)
```

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def reference_page() -> str:
    """Return the whole page as Markdown."""
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.help} |"
        for metric in (*METRICS, FLUSH_SECONDS)
    ]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference_page())
