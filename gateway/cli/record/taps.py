"""What stands in where nobody wants readings: a sink, and a driver of any stream."""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from gateway.driver import DriverInfo, NoOptions, Outcome, SerialLine

__all__ = ["Nowhere", "RawStream"]


class Nowhere:
    """A sink for what nobody wants."""

    def accept(self, sensor: str, outcomes: Iterable[Outcome], received_ns: int) -> None:
        """Forget it."""


class RawStream:
    """A stream that nobody understands: nothing is sent, nothing is read out of it."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="raw",
        title="any bytes",
        domain="site",
        quantities=("device.uptime",),
        interval_s=60.0,
        lines=(SerialLine(9600),),
        document="none",
    )
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: NoOptions) -> None:
        del options

    def on_open(self) -> Iterable[bytes]:
        """Return nothing to send."""
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:  # noqa: ARG002 - the recorder has it
        """Return nothing."""
        return ()
