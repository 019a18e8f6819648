"""The default format: a JSON array of NGSI-LD normalized entities of Smart Data Models types.

Readings of one sensor with the same time and the same entity type form one entity; several
entities share an array. Every number has unitCode and observedAt, every entity the one @context of
its type. A reading that is not good says so in a sub-property ``quality``; good ones do not, which
keeps the usual payload as small as the standard form. Sources: ETSI GS CIM 009 (normalized
representation), smartdatamodels.org, docs/payloads.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import ClassVar, NamedTuple

from gateway.buffer import Batch
from gateway.forward.formats.base import (
    FormatContext,
    Growing,
    Message,
    SeriesLookup,
    TimeText,
    finished,
)
from gateway.forward.formats.ngsi_models import TIME_MARK, Plan, plan_series
from gateway.reading import Flag, quality_of

__all__ = ["NgsiLd"]

TIME_DIGITS = 3


@dataclass(slots=True)
class _Phases:
    """An attribute that is an object, while its members come in."""

    prefix: str
    suffix: str
    members: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        inside = ",".join(f'"{phase}":{number}' for phase, number in self.members.items())
        return f"{self.prefix}{{{inside}}}{self.suffix}"


class _Entity(NamedTuple):
    head: str
    attributes: dict[str, str]
    phases: dict[str, _Phases]
    tail: str

    def text(self) -> str:
        phases = "".join([value.text() for value in self.phases.values()]) if self.phases else ""
        return f"{self.head}{''.join(self.attributes.values())}{phases}{self.tail}"


class NgsiLd:
    """NGSI-LD normalized entities, ``city/{tenant}/{gateway}/{sensor}/ngsi``."""

    topic: ClassVar[str] = "city/{tenant}/{gateway}/{sensor}/ngsi"
    schema: ClassVar[str] = "ngsi-ld-normalized"
    content_type: ClassVar[str] = "application/ld+json"

    def __init__(self) -> None:
        self._context: FormatContext | None = None
        self._plans: dict[int, Plan] = {}
        self._time_text = TimeText(TIME_DIGITS)

    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
    ) -> list[Message]:
        """Return one message per topic, entities in the order of their first reading."""
        if context is not self._context:
            self._context, self._plans = context, {}
        growing = self._entities(batch, selected, series, context)
        return finished(growing, batch, _array, self.content_type)

    def _entities(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
    ) -> dict[str, Growing[_Entity]]:
        plans, time_text = self._plans, self._time_text
        ids, times_ns, values, flags = batch.series, batch.times_ns, batch.values, batch.flags
        offset_ns = batch.offset_ns
        doubt = 0 if batch.synced else int(Flag.CLOCK_UNSYNCED)
        growing: dict[str, Growing[_Entity]] = {}
        latest: dict[tuple[str, int], _Entity] = {}
        last_ns: int | None = None
        when = ""
        for i in selected:
            value = values[i]
            if not isfinite(value):
                continue
            plan = plans.get(ids[i])
            if plan is None:
                plan = plans[ids[i]] = plan_series(series(ids[i]), context)
            time_ns = times_ns[i]
            if time_ns != last_ns:
                last_ns = time_ns
                when = time_text(time_ns + offset_ns)
            key = (plan.entity, time_ns)
            entity = latest.get(key)
            if entity is None or _taken(entity, plan):
                entity = latest[key] = _Entity(
                    plan.head.replace(TIME_MARK, when), {}, {}, plan.tail
                )
                target = growing.get(plan.topic)
                if target is None:
                    target = growing[plan.topic] = Growing()
                target.pieces.append(entity)
            else:
                target = growing[plan.topic]
            target.positions.append(i)
            mark = flags[i] | doubt
            close = f'{when}"{_quality(mark)}}}' if mark else f'{when}"}}'
            if plan.member:
                _add_member(entity, plan, close, plan.write(value))
            else:
                text = f"{plan.prefix}{plan.write(value)}{plan.suffix}{close}"
                entity.attributes[plan.attribute] = text
        return growing


def _array(entities: list[_Entity]) -> str:
    return f"[{','.join([entity.text() for entity in entities])}]"


def _taken(entity: _Entity, plan: Plan) -> bool:
    """Say whether the attribute is there already: then the reading needs an entity of its own."""
    if not plan.member:
        return plan.attribute in entity.attributes
    phases = entity.phases.get(plan.attribute)
    return phases is not None and plan.member in phases.members


def _add_member(entity: _Entity, plan: Plan, close: str, number: str) -> None:
    phases = entity.phases.get(plan.attribute)
    suffix = plan.suffix + close
    if phases is None:
        phases = entity.phases[plan.attribute] = _Phases(plan.prefix, suffix)
    elif len(suffix) > len(phases.suffix):  # one doubtful phase makes the whole object doubtful
        phases.suffix = suffix
    phases.members[plan.member] = number


def _quality(flags: int) -> str:
    quality = quality_of(flags)
    if quality == "good":
        return ""
    return f',"quality":{{"type":"Property","value":"{quality}"}}'
