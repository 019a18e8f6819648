"""The make-believe sensor of sample.toml, which is an MH-Z19."""

from drivers.mhz19.simulated import SimulatedMhz19

__all__ = ["SimulatedPolledFrame"]


class SimulatedPolledFrame(SimulatedMhz19):
    """The same sensor, read by a table in the configuration."""
