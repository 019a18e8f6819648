"""What these devices can measure."""

from collections.abc import Mapping

from gateway.driver import Outcome
from gateway.reading import Dims, Fault, Measured

__all__ = ["DAY", "LIMITS", "MAX_RADON", "checked"]

MAX_16_BITS = 65534.0
"""The highest number that is not the sign for «no value»."""
MAX_RADON = 16383.0
"""The maker's programs take no more for a measurement."""
DAY: Dims = (("channel", "24h"),)
"""Radon is always a mean: the channel is of how long."""
LIMITS: Mapping[str, tuple[float, float]] = {
    "air.temperature": (-40.0, 100.0),
    "air.humidity": (0.0, 100.0),
    "air.co2": (1.0, MAX_16_BITS),
    "air.tvoc_mole_fraction": (0.0, MAX_16_BITS),
    "air.pressure": (300.0, 1310.0),
    "air.radon": (0.0, MAX_RADON),
    "light.illuminance": (0.0, 200_000.0),
    "device.voltage": (1.0, 5.5),
}


def checked(quantity: str, value: float, dims: Dims = ()) -> Outcome:
    """Return a reading, or a fault if no device can measure that."""
    lowest, highest = LIMITS[quantity]
    if lowest <= value <= highest:
        return Measured(quantity, value, dims)
    return Fault("range", f"{quantity} beyond the device's range")
