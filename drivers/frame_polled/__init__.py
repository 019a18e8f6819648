"""A lab's own device that answers one question with a frame, described in the configuration."""

from collections.abc import Iterable
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field, StringConstraints

from drivers.frame.options import FrameOptions, Hex, frame_table
from drivers.polls import FramePoll
from gateway.driver import DriverInfo, Outcome, Request, SerialLine
from gateway.quantities import registry

__all__ = ["PolledFrame", "PolledFrameOptions"]


class PolledFrameOptions(FrameOptions):
    """The question, and the frame that answers it."""

    request: Annotated[Hex, StringConstraints(min_length=2)] = Field(
        description="The bytes to send for one answer, check value included, in hexadecimal."
    )
    timeout: float = Field(
        default=1.0, ge=0.05, le=30.0, description="Seconds to wait for an answer."
    )
    quiet: float = Field(
        default=0.0, ge=0.0, le=5.0, description="Seconds of silence that it needs before."
    )


class PolledFrame:
    """Yields what its table says."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="frame_polled",
        title="Your own device that answers with a binary frame, described in the configuration",
        domain="site",
        quantities=tuple(registry()),
        interval_s=10.0,
        lines=(SerialLine(9600),),
        document="the vendor document of your device",
    )
    Options: ClassVar[type[BaseModel]] = PolledFrameOptions

    def __init__(self, options: PolledFrameOptions) -> None:
        self._poll = FramePoll(
            frame_table(options),
            data=bytes.fromhex(options.request),
            timeout_s=options.timeout,
            quiet_s=options.quiet,
        )

    def requests(self) -> Iterable[Request]:
        """Return the one question."""
        return (self._poll.request,)

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:  # noqa: ARG002 - one
        """Take the answer; return its readings or faults."""
        return self._poll.answer(data)
