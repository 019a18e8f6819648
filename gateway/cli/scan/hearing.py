"""How well a driver fits to what a port says."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from gateway.driver import (
    Driver,
    Outcome,
    Polled,
    Recognising,
    SerialLine,
    Stream,
    driver_class,
    driver_names,
)
from gateway.quantities import registry
from gateway.reading import Dims, Fault, Measured

__all__ = [
    "MAX_VALUES",
    "SURE",
    "Fit",
    "Values",
    "installed",
    "is_searching",
    "make",
    "ranked",
    "value_documents",
]

SURE = 0.85
"""From this confidence on nobody else is tried."""
FAULT_WEIGHT = 3
MAX_VALUES = 12
Values = Mapping[tuple[str, Dims], float]
"""One value of each series."""
DISPUTED = 0.5
"""Confidence of a driver beside another one that reads more out of the same bytes."""
NO_OPTIONS: Mapping[str, object] = {}
WINDOWS_S = (2.0, 10.0)
"""Of a driver that sums up: whoever stands there does not wait minutes for the first count."""


def installed() -> list[type[Driver]]:
    """Return all drivers that can be tried without knowing more, by name."""
    found = []
    for name in driver_names():
        cls = driver_class(name)
        if cls is not None and (make(cls) is not None or is_searching(cls)):
            found.append(cls)
    return found


def is_searching(cls: type[Driver]) -> bool:
    """Tell whether a driver finds out by itself with which options it reads what is there."""
    return hasattr(cls, "search")


def make(cls: type[Driver], options: Mapping[str, object] = NO_OPTIONS) -> Stream | Polled | None:
    """Return a driver for a port, None if it is for none or cannot do without more options."""
    quick = [{"window_s": each} for each in WINDOWS_S if "window_s" in cls.Options.model_fields]
    for shorter in (*quick, {}):
        try:
            driver: Any = cls(cls.Options.model_validate({**shorter, **options}))
        except ValidationError:
            continue
        return driver if isinstance(driver, Stream | Polled) and cls.info.lines else None
    return None


@dataclass(slots=True)
class Fit:
    """One driver at one line setting, and what it made of the bytes."""

    driver: str
    line: SerialLine
    options: Mapping[str, object] = field(default_factory=dict)
    readings: int = 0
    messages: int = 0
    """Whole messages of the device that were recognised, where the driver counts them."""
    faults: Counter[str] = field(default_factory=Counter)
    values: dict[tuple[str, Dims], float] = field(default_factory=dict)
    """Of each series the first value, or the first one that is not 0."""
    disputed: bool = False
    """Another driver reads more out of the same bytes."""

    def feed(self, driver: Stream, data: bytes) -> None:
        """Let the driver look at some bytes, and count what comes out."""
        self.take(driver.feed(data))
        if isinstance(driver, Recognising):
            self.messages = driver.recognised

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """Count what came out."""
        for outcome in outcomes:
            if isinstance(outcome, Measured):
                self.readings += 1
                key = (outcome.quantity, outcome.dims)
                if len(self.values) < MAX_VALUES or key in self.values:
                    self.values[key] = self.values.get(key) or outcome.value
            elif isinstance(outcome, Fault):
                self.faults[outcome.kind] += 1

    @property
    def understood(self) -> int:
        """Return how often the driver knew its device: readings, or messages without any."""
        return max(self.readings, self.messages)

    @property
    def confidence(self) -> float:
        """Return 0 to 1: how much was understood beside the faults.

        One fault is forgiven: whoever begins to listen hears half a frame first.
        """
        return min(self.undisputed, DISPUTED) if self.disputed else self.undisputed

    @property
    def sure(self) -> bool:
        """Tell whether nothing else need be tried; nothing but zeros is no proof."""
        return self.confidence >= SURE and bool(self.messages or self.telling[0])

    @property
    def telling(self) -> tuple[int, bool, int]:
        """Return how many series have another value than 0, if that is all, and how many are."""
        others = sum(value != 0 for value in self.values.values())
        return others, 0 < others == len(self.values), len(self.values)

    def rivals(self, other: "Fit") -> bool:
        """Tell whether another driver is content with the same bytes."""
        return other.line == self.line and not other.options and other.undisputed >= DISPUTED

    @property
    def undisputed(self) -> float:
        """Return the confidence as it is without rivals."""
        faults = max(0, sum(self.faults.values()) - 1)
        return self.understood / (self.understood + FAULT_WEIGHT * faults + 1)

    @property
    def document(self) -> dict[str, object]:
        """Return it for JSON."""
        line = self.line
        return {
            "driver": self.driver,
            "line": f"{line.baud} {line.bytesize}{line.parity}{line.stopbits}",
            "confidence": round(self.confidence, 3),
            "options": dict(self.options),
            "values": value_documents(self.values),
            "faults": dict(self.faults),
        }


def value_documents(values: Values) -> list[dict[str, object]]:
    """Return values for JSON."""
    return [
        {
            "quantity": quantity,
            "value": value,
            "unit": registry()[quantity].ucum,
            "dims": dict(dims),
        }
        for (quantity, dims), value in values.items()
    ]


def ranked(fits: Iterable[Fit]) -> list[Fit]:
    """Return what was understood, or found on a bus, the surest first.

    Some makers took over the frame of another one. Where two drivers are content with the same
    bytes, the one that finds values where the other finds none, or only zeros, is right.
    """
    found = [fit for fit in fits if fit.understood or fit.options]
    for fit in found:
        most = max((each.telling for each in found if fit.rivals(each)), default=(0, False, 0))
        fit.disputed = not fit.options and fit.telling < most
    best: dict[tuple[str, str], Fit] = {}
    for fit in sorted(found, key=lambda fit: (-fit.confidence, fit.driver)):
        best.setdefault((fit.driver, repr(fit.options)), fit)  # not again for another line setting
    return list(best.values())
