"""Counts the bytes that a decoder had to drop, in the same way for any chunking."""

from gateway.reading import Fault

__all__ = ["NoiseCounter"]

REPORT_BYTES = 256
"""A run of noise is reported when it ends, and each time that it has grown by so much."""
SAMPLE_BYTES = 16
"""How much of a run is kept to look at."""


class NoiseCounter:
    """Turns dropped bytes into faults: one fault a run, not one a byte.

    Bytes of a frame whose check failed were reported with that frame; they are excused here, so
    that one damaged frame counts once. ``keep_sample`` is off where bytes may hold personal data.
    """

    def __init__(self, *, keep_sample: bool = True) -> None:
        self._sample_bytes = SAMPLE_BYTES if keep_sample else 0
        self._count = 0
        self._sample = b""
        self._excused = 0

    def excuse(self, count: int) -> None:
        """Do not count the next ``count`` dropped bytes: a fault names them already."""
        self._excused = max(self._excused, count)

    def drop(self, data: bytes) -> list[Fault]:
        """Count bytes that belong to no frame; return the reports that are due."""
        excused = min(self._excused, len(data))
        self._excused -= excused
        faults = []
        position = excused
        while position < len(data):
            part = data[position : position + REPORT_BYTES - self._count]
            position += len(part)
            self._count += len(part)
            self._sample += part[: self._sample_bytes - len(self._sample)]
            if self._count == REPORT_BYTES:
                faults += self._report()
        return faults

    def end(self) -> list[Fault]:
        """End the run, because a frame was found behind it; return its report."""
        self._excused = 0
        return self._report() if self._count else []

    def _report(self) -> list[Fault]:
        fault = Fault("noise", f"{self._count} bytes that belong to no frame", self._sample)
        self._count = 0
        self._sample = b""
        return [fault]
