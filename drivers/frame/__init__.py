"""A lab's own device that sends frames by itself, described in the configuration, without code."""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from drivers.frame.options import FrameOptions, frame_table
from drivers.frames import FrameReader
from gateway.driver import DriverInfo, Outcome, SerialLine
from gateway.quantities import registry

__all__ = ["Frame", "FrameOptions"]


class Frame:
    """Yields what its table says."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="frame",
        title="Your own device that sends binary frames, described in the configuration",
        domain="site",
        quantities=tuple(registry()),
        interval_s=10.0,
        lines=(SerialLine(9600),),
        document="the vendor document of your device",
    )
    Options: ClassVar[type[BaseModel]] = FrameOptions

    def __init__(self, options: FrameOptions) -> None:
        self._frames = FrameReader(frame_table(options))

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return self._frames.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return nothing: the device talks by itself."""
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        return self._frames.feed(data)
