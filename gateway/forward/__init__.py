"""One link per city broker: reads the ring, encodes, publishes, settles what was acknowledged."""

from gateway.forward.formats import Format, FormatContext, Message, SensorFacts, load_format
from gateway.forward.link import Link
from gateway.forward.policy import Policy
from gateway.forward.stats import LinkStats

__all__ = [
    "Format",
    "FormatContext",
    "Link",
    "LinkStats",
    "Message",
    "Policy",
    "SensorFacts",
    "load_format",
]
