"""What a metric is: a line of the table in metric_table.py."""

from dataclasses import dataclass
from typing import Literal

from gateway.observe.metric_readers import Read

__all__ = ["Metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    read: Read
