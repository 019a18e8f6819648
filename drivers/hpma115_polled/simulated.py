"""The make-believe compact HPMA115 of drivers/hpma115: it reports until it is told to stop."""

from drivers.hpma115.simulated import SimulatedHpma115

__all__ = ["SimulatedPolledHpma115"]


class SimulatedPolledHpma115(SimulatedHpma115):
    """The same sensor, of the compact model."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, "compact")
