"""Asks a device with fixed bytes and decodes its answer with frame tables."""

from collections.abc import Iterable

from drivers.frames import FrameReader, FrameTable
from gateway.driver import Outcome, Request
from gateway.reading import Fault, Measured

__all__ = ["FramePoll", "has_reading"]


class FramePoll:
    """One question to a polled device, and the reader of its answers.

    ``request`` can be yielded as it is. Its length is told by the tables, whatever noise or
    acknowledgement comes before the answer.
    """

    def __init__(
        self, *tables: FrameTable, data: bytes, timeout_s: float = 1.0, quiet_s: float = 0.0
    ) -> None:
        self._frames = FrameReader(*tables)
        self.request = Request(
            data, self._frames.end_of_reading, timeout_s=timeout_s, quiet_s=quiet_s
        )

    def answer(self, data: bytes) -> list[Measured | Fault]:
        """Return what one answer says; nothing of it is kept for the next one."""
        if not data:
            return [Fault("timeout", "no answer")]
        frames = self._frames
        outcomes = frames.feed(data)
        if not frames.is_clean:
            damaged = any(isinstance(outcome, Fault) for outcome in outcomes)
            left = frames.finish()
            outcomes += [fault for fault in left if fault.kind != "short" or not damaged]
        return outcomes


def has_reading(outcomes: Iterable[Outcome]) -> bool:
    """Tell whether an answer held any reading."""
    return Measured in map(type, outcomes)
