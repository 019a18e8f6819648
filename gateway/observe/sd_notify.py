"""Telling systemd how it goes, over the datagram socket of sd_notify(3), without its library.

Nothing here waits and nothing fails: without systemd all of it does nothing.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

__all__ = ["Notifier", "Watchdog"]

log = logging.getLogger("citylab_gateway.observe")

MAX_STATUS = 200
WATCHDOG_FRACTION = 3.0
"""The watchdog is fed three times within its interval, so that one late feed costs nothing."""
DEFAULT_INTERVAL_S = 10.0


class Notifier:
    """A connection to the service manager; ``from_environment`` makes one for this process."""

    def __init__(self, address: str = "", *, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        """What WatchdogSec= says, in seconds, or None when it is off."""
        self._socket: socket.socket | None = None
        # A leading @ stands for the abstract name space.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        if address.startswith(("/", "@")):
            kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self._socket = socket.socket(socket.AF_UNIX, kind)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Notifier":
        """Return a notifier for $NOTIFY_SOCKET and $WATCHDOG_USEC, or one that does nothing."""
        watchdog_s = None
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            text = environ.get("WATCHDOG_USEC", "")
            if text.isascii() and text.isdigit() and int(text) > 0:
                watchdog_s = int(text) / 1e6
        return cls(environ.get("NOTIFY_SOCKET", ""), watchdog_s=watchdog_s)

    def ready(self, status: str = "") -> bool:
        """Say that the service has started, or has finished reloading."""
        return self._send("READY=1", status)

    def status(self, text: str) -> bool:
        """Set the line that ``systemctl status`` shows."""
        return self._send(status=text)

    def watchdog(self) -> bool:
        """Feed the watchdog."""
        return self._send("WATCHDOG=1")

    def reloading(self) -> bool:
        """Say that the configuration is being read again; ``ready`` ends it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={now_us}")

    def stopping(self) -> bool:
        """Say that the service is going down."""
        return self._send("STOPPING=1")

    def close(self) -> None:
        """Close the socket; later calls do nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, message: str = "", status: str = "") -> bool:
        """Return whether the service manager took it; a full queue is no reason to wait."""
        if self._socket is None:
            return False
        line = f"STATUS={' '.join(status.split())[:MAX_STATUS]}" if status else ""
        text = "\n".join(part for part in (message, line) if part)
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            return False
        return True


class Watchdog:
    """Feeds the systemd watchdog as long as ``progress`` says yes, and keeps STATUS= fresh.

    It runs without systemd too, because ``progress`` is what notices a flusher that stands still.
    """

    def __init__(
        self,
        notifier: Notifier,
        progress: Callable[[], bool],
        describe: Callable[[], str],
        *,
        interval_s: float | None = None,
    ) -> None:
        self._notifier = notifier
        self._progress = progress
        self._describe = describe
        self._last_status = ""
        watchdog_s = notifier.watchdog_s
        longest_s = DEFAULT_INTERVAL_S if watchdog_s is None else watchdog_s / WATCHDOG_FRACTION
        self.interval_s = min(DEFAULT_INTERVAL_S, longest_s) if interval_s is None else interval_s
        self.fed = 0
        self.withheld = 0
        self.withheld_in_a_row = 0

    async def run(self) -> None:
        """Ask and feed until cancelled."""
        while True:
            await asyncio.sleep(self.interval_s)
            self.beat()

    def beat(self) -> bool:
        """Ask once; feed only on progress. Return what ``progress`` said."""
        alive = self._progress()
        status = self._describe()
        if alive:
            self.fed += 1
            if self._notifier.watchdog_s is not None:
                self._notifier.watchdog()
        else:
            if self.withheld_in_a_row == 0:
                log.warning("no progress, the watchdog is not fed: %s", status)
            self.withheld += 1
        self.withheld_in_a_row = 0 if alive else self.withheld_in_a_row + 1
        if status != self._last_status and self._notifier.status(status):
            self._last_status = status
        return alive
