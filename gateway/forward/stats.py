"""The numbers of one link, read by metrics and the status page at their own pace."""

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["LinkState", "LinkStats"]

LinkState = Literal["connecting", "online", "waiting", "refused", "stopped"]


@dataclass(slots=True)
class LinkStats:
    """Counters since the process began; readings are counted by the link's Reader."""

    state: LinkState = "connecting"
    """``waiting`` for the next attempt; ``refused``: the same, but a person has to act."""
    connects: int = 0
    disconnects: dict[str, int] = field(default_factory=dict)
    """By cause; attempts that failed count too."""
    sent_messages: int = 0
    acknowledged_messages: int = 0
    refused_messages: int = 0
    """PUBACKs with a reason code other than success."""
    sent_bytes: int = 0
    """Payload bytes of the sent messages."""
    repeated_readings: int = 0
    """Sent again because the connection was lost before their acknowledgement."""
    in_flight: int = 0
    last_error: str = ""
    last_error_cause: str = ""
    last_acknowledged_ns: int | None = None
    """CLOCK_BOOTTIME."""
    history_readings: int = 0
    """Readings of a backlog that were sent."""
    time_fixed_readings: int = 0
    """Sent with a doubtful time that was mended by a message later."""
    certificate_expires_s: float | None = None
    """Unix time at which the first of our certificate and the private CA's ends; None: neither."""
