"""What a link keeps over its connections."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.buffer import Reader
from gateway.clock import Clock
from gateway.config.model import BrokerSection
from gateway.forward.announcer import SeriesOf
from gateway.forward.certificates import CertificateWatch
from gateway.forward.formats.base import Format, FormatContext, History, SeriesLookup
from gateway.forward.gate import Pace
from gateway.forward.policy import Policy
from gateway.forward.refusals import Refusals
from gateway.forward.stats import LinkStats
from gateway.forward.time_fixes import TimeFixes

__all__ = ["Kept"]


@dataclass(slots=True, kw_only=True)
class Kept:
    """One link between its connections; ``context`` is replaced when the configuration is."""

    broker: BrokerSection
    reader: Reader
    series: SeriesLookup
    series_of: SeriesOf
    format: Format
    context: FormatContext
    clock: Clock
    status: Callable[[], Mapping[str, Any]]
    policy: Policy
    refusals: Refusals
    pace: Pace
    history: History
    certificates: CertificateWatch | None
    began_ns: int
    """Boot time."""
    fixes: TimeFixes | None
    """None: nobody is told how far off times were."""
    stats: LinkStats = field(default_factory=LinkStats)

    def wall_ns(self) -> int:
        """Return wall time now, in ns since 1970."""
        return self.clock.wall_ns(self.clock.now_ns())

    def current_context(self) -> FormatContext:
        """Return who is speaking, as the configuration says now."""
        return self.context
