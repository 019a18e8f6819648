"""What must be true of everything that any driver says."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

from gateway.driver import DriverInfo, Outcome, Restarted, TimeTold
from gateway.quantities import DIMS
from gateway.reading import FAULT_KINDS, Fault, Measured
from tests.drivers.driver_cases import load, table

__all__ = ["MAX_SAMPLE_BYTES", "assert_honest", "simulated", "simulated_options"]

MAX_SAMPLE_BYTES = 24
MAX_DETAIL_CHARACTERS = 120


def assert_honest(info: DriverInfo, outcomes: Iterable[Outcome]) -> None:
    """Only declared quantities and known dimensions, finite values, faults of known kinds.

    A dwelling's meter (P3) shows nothing of its bytes in a fault: they hold its number.
    """
    for outcome in outcomes:
        if isinstance(outcome, Measured):
            assert outcome.quantity in info.quantities
            keys = [key for key, _ in outcome.dims]
            assert set(keys) <= set(DIMS)
            assert keys == sorted(keys)
            assert isinstance(outcome.value, float)
            assert isfinite(outcome.value)
            assert outcome.age_s >= 0
        elif isinstance(outcome, Fault):
            assert outcome.kind in FAULT_KINDS
            assert 0 < len(outcome.detail) <= MAX_DETAIL_CHARACTERS
            assert len(outcome.sample) <= (0 if info.privacy == "P3" else MAX_SAMPLE_BYTES)
        else:
            assert isinstance(outcome, Restarted | TimeTold)


def simulated_options(name: str) -> dict[str, Any]:
    """Return what a driver must be told to read its make-believe device: the key of one."""
    return dict(getattr(load(table("citylab_gateway.simulators")[name]), "OPTIONS", {}))


def simulated(name: str, *arguments: object) -> Any:
    """Return a make-believe device."""
    return load(table("citylab_gateway.simulators")[name])(*arguments)
