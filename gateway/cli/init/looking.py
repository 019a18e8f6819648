"""What looking for sensors takes and gives, whichever way it is done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.cli.init.plan import Source
from gateway.quantities import registry
from gateway.reading import Dims

__all__ = ["Candidate", "Finder", "Search", "value_texts"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One sensor that was found, and how it can be configured."""

    driver: str
    source: Source
    """The key that says where it is."""
    where: str
    """What that key says; for a port the name that stays the same."""
    options: Mapping[str, object] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    """What it measured just now, one text each."""
    confidence: float = 1.0
    """From 0 to 1: how sure the driver is."""
    note: str = ""
    """What else a person has to know of it, or why there are no values."""
    keys: tuple[str, ...] = ()
    """Names of the keys that it needs, or may need."""
    anybodys: bool = False
    """It may be a neighbour's: it is taken only if somebody says that it is not."""


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look, for how long, and whom to tell and ask meanwhile."""

    tell: Callable[[str], None]
    may_probe: Callable[[int], bool]
    """Asked once, with the number of ports at which nobody knows what it is."""
    listen_s: float
    """At each line setting of a port; 0: at none."""
    hear_s: float = 0.0
    """For Bluetooth; 0: not at all."""
    ports: Sequence[str] = ()
    addresses: Sequence[str] = ()
    """Only these ports and addresses; none of both: whatever is there."""

    @property
    def everywhere(self) -> bool:
        """Tell whether nothing was named."""
        return not self.ports and not self.addresses


Finder = Callable[[Search], list[Candidate]]


def value_texts(values: Mapping[tuple[str, Dims], float]) -> tuple[str, ...]:
    """Return each value with its quantity, its dims and its unit."""
    return tuple(
        f"{quantity}{''.join(f' {word}' for _, word in dims)} {value:.6g} "
        f"{registry()[quantity].ucum}"
        for (quantity, dims), value in values.items()
    )
