"""What can be set for one BTHome device, and what its objects mean with these settings."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from drivers.bthome.objects import LIMITS, MEANINGS, OBJECTS, USUAL_LIMITS, Object
from drivers.bthome.packet import MOST_OF_A_KIND
from gateway.quantities import registry

__all__ = ["BTHomeOptions", "Meaning", "Meanings"]

KEY_PATTERN = "^[0-9A-Fa-f]{32}$"


class Meaning(NamedTuple):
    """What one object is: ``raw * times / per`` of a quantity."""

    quantity: str
    times: int
    per: int
    lowest: float
    highest: float
    counts_up: bool
    """The increase is the reading."""


class BTHomeOptions(BaseModel):
    """What can be set for one device; the key is a secret, in a file of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bindkey: str | None = Field(
        default=None,
        pattern=KEY_PATTERN,
        repr=False,
        description="Encryption key of the device, 32 hexadecimal digits.",
    )
    meanings: Mapping[str, str | tuple[str, ...]] = Field(
        default={},
        description="Which quantity a property of BTHome is on this device, such as speed = "
        '"wind.speed"; a list for the first, second and so on of that property, "" to leave out.',
    )
    cumulative: bool = Field(
        default=True,
        description="For count and precipitation where their quantity is counted per reading: the "
        "device counts up for ever, and the increase is the reading. false: each packet holds what "
        "was counted since the one before.",
    )
    rssi: bool = Field(default=False, description="Also yield the signal strength of each advert.")

    @field_validator("meanings")
    @classmethod
    def _known(
        cls, meanings: Mapping[str, str | tuple[str, ...]]
    ) -> Mapping[str, str | tuple[str, ...]]:
        for name, chosen in meanings.items():
            choices = MEANINGS.get(name)
            if choices is None:
                raise ValueError(f"{name!r} is no property; there are {_listed(MEANINGS)}")
            for quantity in _sequence(chosen):
                if quantity and quantity not in choices:
                    raise ValueError(f"{name} cannot be {quantity!r}, only {_listed(choices)}")
        return meanings


class Meanings(dict[int, tuple[Meaning | None, ...]]):
    """What an object is, by its id and then by how many of its property came before it."""

    def __init__(self, options: BTHomeOptions) -> None:
        super().__init__()
        self._options = options

    def __missing__(self, object_id: int) -> tuple[Meaning | None, ...]:
        """Work it out when it is asked for the first time."""
        known = OBJECTS[object_id]
        chosen = self._options.meanings.get(known.name, known.usual)
        if isinstance(chosen, str):
            chosen = (chosen,) * MOST_OF_A_KIND
        meanings = {quantity: self._meaning(known, quantity) for quantity in ("", *chosen)}
        found = tuple(meanings[quantity] for quantity in chosen[:MOST_OF_A_KIND])
        self[object_id] = found + (None,) * (MOST_OF_A_KIND - len(found))
        return self[object_id]

    def _meaning(self, known: Object, quantity: str) -> Meaning | None:
        if not quantity:
            return None
        times, per = MEANINGS[known.name][quantity]
        lowest, highest = LIMITS.get(quantity, USUAL_LIMITS)
        counts_up = self._options.cumulative and registry()[quantity].kind == "delta"
        return Meaning(quantity, known.times * times, known.per * per, lowest, highest, counts_up)


def _sequence(chosen: str | tuple[str, ...]) -> tuple[str, ...]:
    return (chosen,) if isinstance(chosen, str) else chosen


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
