"""Numbers of 32-bit floating point, as the device's maker would write them."""

import struct
from math import frexp

__all__ = ["shortest"]

_FLOAT = struct.Struct(">f")
LARGEST = 3.4028234663852886e38
"""A number above cannot be packed."""
TO_WHOLE = 1.5 * 2.0**52
"""Added and taken away again it rounds any number of half that size: far cheaper than ``round``."""


def _grids() -> dict[int, tuple[float, float]]:
    """Return, by binary exponent, a power of ten and a tolerance.

    Numbers of that exponent are a fixed step apart. The power of ten makes the steps of a decimal
    just smaller than that, so rounding to it always finds a decimal that is the float; a decimal
    of one digit less is it too if it is nearer than half a step, which is the tolerance. Larger
    and smaller numbers than these have no exact power of ten.
    """
    grids = {}
    for exponent in range(-44, 25):
        step = 2.0 ** (exponent - 24)
        scale = 1.0
        while scale * step <= 1.0:
            scale *= 10.0
        grids[exponent] = (scale, step / 2 * scale)
    return grids


_GRIDS = _grids()


def shortest(value: float) -> float:
    """Return the number with the fewest digits that is this 32-bit float: 230.2, not 230.199997.

    Takes any finite float that came out of 4 bytes; minus zero becomes zero. Numbers above 2^24
    and below 10^-13 may keep a digit too many.
    """
    grid = _GRIDS.get(frexp(value)[1])
    if grid is None:
        return _by_text(value)
    scale, tolerance = grid
    scaled = value * scale
    tens = (scaled * 0.1 + TO_WHOLE - TO_WHOLE) * 10.0
    if -tolerance < scaled - tens < tolerance:
        return tens / scale
    return (scaled + TO_WHOLE - TO_WHOLE) / scale


def _by_text(value: float) -> float:
    """Do the same for a number of any size.

    Up to six digits survive in a float, so rounding to seven finds them; nine always say which
    float it was.
    """
    packed = _FLOAT.pack(value)
    for form in ("%.7g", "%.8g"):
        rounded = float(form % value)
        if abs(rounded) <= LARGEST and _FLOAT.pack(rounded) == packed:
            return rounded
    return float("%.9g" % value) if abs(value) < LARGEST else value  # noqa: UP031 - twice as fast
