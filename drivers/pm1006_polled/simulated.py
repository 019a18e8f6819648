"""The make-believe device of drivers/pm1006, which only answers."""

from drivers.pm1006.simulated import SimulatedPm1006

__all__ = ["SimulatedPolledPm1006"]


class SimulatedPolledPm1006(SimulatedPm1006):
    """Says nothing by itself."""

    def emit(self) -> bytes:
        """Return nothing."""
        return b""
