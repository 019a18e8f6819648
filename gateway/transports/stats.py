"""Plain numbers that transports keep and observe/ reads at scrape time."""

from dataclasses import dataclass, field

__all__ = ["PortStats", "ScannerStats"]


@dataclass(slots=True)
class PortStats:
    """One serial port, or the recording that stands for it."""

    port: str
    open: bool = False
    opens: int = 0
    open_failures: int = 0
    reopens: dict[str, int] = field(default_factory=dict)
    """By cause: vanished, silence, error, line (no reading with this line setting)."""
    received_bytes: int = 0
    sent_bytes: int = 0
    last_received_ns: int | None = None
    """CLOCK_BOOTTIME."""
    last_error: str = ""
    line: str = ""
    """The line setting in use, ``9600 8N1``."""
    device_restarts: int = 0
    """How often the device said that it had restarted."""
    malformed_lines: int = 0
    """Lines of a recording that could not be used."""


@dataclass(slots=True)
class ScannerStats:
    """The Bluetooth scanner; devices that are not configured leave no trace, not even a count."""

    open: bool = False
    starts: int = 0
    restarts: dict[str, int] = field(default_factory=dict)
    """By cause: silence, unheard, bus, bluez, power, error."""
    adverts_received: int = 0
    """From configured addresses."""
    adverts_claimed: int = 0
    """Those that the sensor's driver recognized."""
    last_received_ns: int | None = None
    """CLOCK_BOOTTIME, from a configured address."""
    last_error: str = ""
    mode: str = ""
    """What runs: active, passive or replay; empty while nothing does."""
    malformed_lines: int = 0
    """Lines of a recording that could not be used."""
