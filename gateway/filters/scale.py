"""How the values of a quantity are averaged: as they are, as levels, or as directions."""

from math import atan2, cos, degrees, hypot, inf, log10, nan, radians, sin
from typing import Literal

from gateway.filters.contract import Flow
from gateway.quantities import COORDINATES

__all__ = ["SMALLEST_RESULTANT", "Scale", "mean_back", "scale_of", "spread"]

Scale = Literal["plain", "level", "circle"]

SMALLEST_RESULTANT = 1e-9
"""Directions whose mean vector is shorter point nowhere together: they have no mean."""


def scale_of(flow: Flow) -> Scale:
    """Return the scale of what flows: decibels are levels, degrees are directions or a place."""
    if flow.unit.startswith("dB"):
        return "level"
    return "circle" if flow.unit == "deg" and flow.quantity not in COORDINATES else "plain"


def spread(scale: Scale, value: float) -> tuple[float, float]:
    """Return what is averaged in place of a value: one number, or two for a direction."""
    if scale == "level":
        try:
            return 10.0 ** (value / 10), 0.0
        except OverflowError:
            return inf, 0.0
    if scale == "circle":
        angle = radians(value % 360)
        return cos(angle), sin(angle)
    return value, 0.0


def mean_back(scale: Scale, first: float, second: float) -> float:
    """Return the value that averaged numbers stand for; NaN where there is none."""
    if scale == "level":
        return 10 * log10(first) if first > 0 else nan
    if scale == "circle":
        if hypot(first, second) < SMALLEST_RESULTANT:
            return nan
        return degrees(atan2(second, first)) % 360
    return first
