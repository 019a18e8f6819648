"""32-bit floats as the device's maker would write them, of every size."""

import random
import struct

import pytest

from drivers.float32 import shortest

FLOAT = struct.Struct(">f")
SMALL, LARGE = 1e-13, 2.0**24


def floats(seed: int) -> list[float]:
    """Return floats of any bits, and such as were rounded by a device before they were sent."""
    source = random.Random(seed)
    found = [FLOAT.unpack(source.randbytes(4))[0] for _ in range(5000)]
    for _ in range(5000):
        size = 10.0 ** source.uniform(-4, 8)
        value = round(source.uniform(-size, size), source.randrange(-2, 7))
        found.append(FLOAT.unpack(FLOAT.pack(value))[0])
    found += [sign * 2.0**exponent for sign in (1, -1) for exponent in range(-149, 128)]
    return [value for value in found if abs(value) < float("inf")]


def fewest_digits(value: float) -> float:
    """Try one digit more and more: the definition."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if abs(float(text)) <= 3.4028234663852886e38 and FLOAT.pack(float(text)) == FLOAT.pack(
            value
        ):
            return float(text)
    return value


@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_the_same_float_with_the_fewest_digits(seed: int) -> None:
    values = floats(seed)
    assert len(values) > 10_000
    for value in values:
        found = shortest(value)
        assert FLOAT.pack(found) == FLOAT.pack(value) or value == 0.0
        if SMALL < abs(value) < LARGE:  # others may keep a digit too many
            assert len(f"{found!r}") <= len(f"{fewest_digits(value)!r}")


@pytest.mark.parametrize("value", [0.0, 230.2, 0.1, 1e-3, 49.98, 12345.67, 9999999.0, 0.3, 1e-20])
def test_what_the_maker_meant_comes_back(value: float) -> None:
    for sign in (1, -1):
        assert shortest(FLOAT.unpack(FLOAT.pack(sign * value))[0]) == sign * value
