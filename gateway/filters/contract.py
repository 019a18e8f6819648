"""What a filter is: a small class with explicit state, one instance per series."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from gateway.filters.siblings import Siblings
from gateway.quantities import Kind
from gateway.reading import Aggregation, Dims

__all__ = [
    "Environment",
    "Expiring",
    "Filter",
    "FilterOptions",
    "Flow",
    "Outbox",
    "Output",
    "Passed",
    "Place",
    "Placed",
    "Ticking",
]

Passed = tuple[int, float, int]
"""What came out: event time (CLOCK_BOOTTIME, ns), value, flags.

The time is part of it because a filter may bring out a reading that it held back before; that
reading keeps the time at which it was measured.
"""


def _boot_time(time_ns: int) -> int:
    return time_ns


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Environment:
    """What filters may know of wall time; without more, boot time stands in and is not trusted."""

    wall_ns: Callable[[int], int] = _boot_time
    """Boot time of the present boot in ns -> wall time in ns since 1970, as well as is known."""
    synced: Callable[[], bool] = _never
    """Whether wall time is right."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What flows at one place of a chain; filters behind it are checked against that."""

    quantity: str = ""
    kind: Kind = "gauge"
    unit: str = ""
    """UCUM code."""
    aggregation: Aggregation = "instant"
    calibration: Mapping[str, str] = field(default_factory=dict)
    """Where the values come from: id, date, expires, formula, window_s; for the catalogue."""


@dataclass(frozen=True, slots=True)
class Output:
    """One series that comes out of a chain."""

    quantity: str
    dims: Dims
    aggregation: Aggregation
    unit: str
    calibration: Mapping[str, str]


class Outbox:
    """What comes out of a chain beside its main series."""

    __slots__ = ("outputs", "pending")

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.pending: list[tuple[int, int, float, int]] = []
        """(index in ``outputs``, time_ns, value, flags); the intake empties it."""

    def declare(self, output: Output) -> int:
        """Return the index under which readings of one more series are put out."""
        self.outputs.append(output)
        return len(self.outputs) - 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a filter stands: what comes in, and what it may know and use."""

    flow: Flow
    dims: Dims
    environment: Environment
    siblings: Siblings
    outbox: Outbox


class FilterOptions(BaseModel):
    """The base of every filter's options: checked, frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def refuse(self, flow: Flow) -> str:
        """Say why this makes no sense for what flows here; empty: it does."""
        del flow
        return ""

    def after(self, flow: Flow) -> Flow:
        """Return what flows behind this filter."""
        return flow

    @property
    def needs(self) -> frozenset[str]:
        """Other quantities of the same sensor whose newest values it uses."""
        return frozenset()


class Filter(Protocol):
    """One filter of one series.

    It works on event time, keeps bounded state, reads no clock and draws no random number: the
    same readings give the same result. NaN and infinities never reach it and never leave it.
    """

    name: ClassVar[str]
    Options: ClassVar[type[FilterOptions]]
    thins: ClassVar[bool]
    """It drops readings that are right, so it must not see quantities that are to be added up."""

    def __init__(self, options: Any) -> None:
        """Take an instance of ``Options``; raise nothing that ``Options`` could have refused."""

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Take the next reading and return what comes out, or None if nothing does."""
        ...


@runtime_checkable
class Placed(Protocol):
    """A filter that has to know where it stands."""

    def enter(self, place: Place) -> None:
        """Take it; called once, before the first reading."""
        ...


@runtime_checkable
class Ticking(Protocol):
    """A filter in which something happens although no reading comes."""

    def tick(self, now_ns: int) -> None:
        """Take boot time, about once a second."""
        ...

    def close(self, now_ns: int | None) -> None:
        """Put out what is held, because the chain ends; ``now_ns`` is None if nobody knows."""
        ...


@runtime_checkable
class Expiring(Protocol):
    """A filter whose figures are good for a time only."""

    @property
    def expired(self) -> bool:
        """They were too old at the last reading or tick."""
        ...
