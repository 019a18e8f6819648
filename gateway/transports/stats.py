"""Plain numbers that transports keep and observe/ reads at scrape time."""

from dataclasses import dataclass, field

__all__ = ["STEP_S", "AdapterStats", "PortStats", "ScannerStats"]

STEP_S = 60.0
"""No task that reads sensors waits longer without a step, so that one that is stuck shows
(docs/decisions/0018-watchdog.md)."""


@dataclass(slots=True)
class PortStats:
    """One serial port, or the recording that stands for it."""

    port: str
    open: bool = False
    opens: int = 0
    open_failures: int = 0
    reopens: dict[str, int] = field(default_factory=dict)
    """By cause: vanished, silence, error, line (no reading with this line setting)."""
    recoveries: dict[str, int] = field(default_factory=dict)
    """By step of the ladder (recovery.py): reopen, resend, usb_reset, usb_reset_skipped, report;
    and moved, when the device was found at another port."""
    recovery_step: int = 0
    """How far up the ladder it is: 0 while readings come, 4 when a person is needed."""
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
class AdapterStats:
    """The scan of one Bluetooth adapter, or the recording that stands for it."""

    open: bool = False
    starts: int = 0
    restarts: dict[str, int] = field(default_factory=dict)
    """By cause: silence, unheard, bus, bluez, power, gone, error."""
    recoveries: dict[str, int] = field(default_factory=dict)
    """By step of the ladder (bluetooth_ladder.py): restart, power_cycle, power_cycle_skipped,
    report."""
    recovery_step: int = 0
    """How far up the ladder it is: 0 while anything is heard, 3 when a person is needed."""
    last_error: str = ""
    mode: str = ""
    """What runs: active, passive or replay; empty while nothing does."""
    malformed_lines: int = 0
    """Lines of a recording that could not be used."""
    steps: int = 0
    """How often the scan was moved on; at least once in ``STEP_S`` while it is not stuck."""


@dataclass(slots=True)
class ScannerStats:
    """The Bluetooth scanner; devices that are not configured leave no trace, not even a count."""

    adapters: dict[str, AdapterStats] = field(default_factory=dict)
    """By the name that the configuration gives them: hci0, default, adapter-2, replay."""
    adverts_received: int = 0
    """From configured addresses, as far as they came through to their driver."""
    adverts_claimed: int = 0
    """Those that the sensor's driver recognized."""
    adverts_doubled: int = 0
    """Those that another adapter had heard already; not decoded again."""
    adverts_overflowed: int = 0
    """Those that were dropped, undecoded, because too many waited."""
    adverts_limited: dict[str, int] = field(default_factory=dict)
    """By sensor: those beyond what one device may send."""
    decode_ns: int = 0
    """Spent on decoding, and on storing what came of it."""
    last_received_ns: int | None = None
    """CLOCK_BOOTTIME, from a configured address."""
    crowd_windows: dict[str, int] = field(default_factory=dict)
    """Ended windows of who counts whoever passes, by how much of them was heard: whole, partly,
    deaf; empty where nobody counts."""
