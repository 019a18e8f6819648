"""Where transports deliver; the daemon passes its intake."""

from collections.abc import Iterable
from typing import Protocol

from gateway.driver import Outcome

__all__ = ["Sink"]


class Sink(Protocol):
    """What a transport knows of the rest of the gateway."""

    def accept(self, sensor: str, outcomes: Iterable[Outcome], received_ns: int) -> None:
        """Take what one chunk or advertisement said; never wait and never raise.

        ``received_ns`` is CLOCK_BOOTTIME, taken when the bytes were read. ``Restarted`` is there to
        be counted; the transport itself sends the settings again.
        """
        ...
