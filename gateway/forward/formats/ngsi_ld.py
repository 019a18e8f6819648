"""The default format: a JSON array of NGSI-LD normalized entities of Smart Data Models types.

Readings of one sensor with the same time and the same entity type form one entity; several
entities share an array. Every number has unitCode and observedAt, every entity the one @context of
its type. A reading that is not good says so in a sub-property ``quality``; good ones do not, which
keeps the usual payload as small as the standard form. Sources: ETSI GS CIM 009 (normalized
representation), smartdatamodels.org, docs/payloads/ngsi-ld.md.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel

from gateway.buffer import Batch
from gateway.forward.formats.base import (
    Format,
    FormatContext,
    Growing,
    Message,
    SeriesLookup,
    TimeText,
    finished,
    render_topic,
)
from gateway.forward.formats.ngsi_device import device_entity
from gateway.forward.formats.ngsi_models import Plan, context_of, plan_series
from gateway.forward.formats.ngsi_options import NgsiLdOptions
from gateway.forward.formats.ngsi_windows import END_MARK, START_MARK
from gateway.reading import Series, quality_of

__all__ = ["NgsiLd"]

TIME_DIGITS = 3
NS_PER_MS = 1_000_000


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


class NgsiLd(Format):
    """NGSI-LD normalized entities, ``city/{tenant}/{gateway}/{sensor}/ngsi``."""

    Options: ClassVar[type[BaseModel]] = NgsiLdOptions
    topic: ClassVar[str] = "city/{tenant}/{gateway}/{sensor}/ngsi"
    schema: ClassVar[str] = "ngsi-ld-normalized"
    content_type: ClassVar[str] = "application/ld+json"

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._options: NgsiLdOptions = options or NgsiLdOptions()
        self._context: FormatContext | None = None
        self._plans: dict[int, Plan | None] = {}
        self._time_text = TimeText(TIME_DIGITS)
        self._start_text = TimeText(TIME_DIGITS)

    def topic_template(self) -> str:
        """Return the default topic, or the one of the preset."""
        os2iot = self._options.os2iot
        return os2iot.topic_template() if os2iot is not None else self.topic

    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
        *,
        history: bool = False,  # noqa: ARG002 - the link keeps the order
    ) -> list[Message]:
        """Return one message per topic, entities in the order of their first reading."""
        if context is not self._context:
            self._context, self._plans = context, {}
        growing = self._entities(batch, selected, series, context)
        return finished(growing, batch, _array, self.content_type)

    def announce(
        self,
        sensor: str,
        series: Sequence[Series],
        context: FormatContext,
        wall_ns: int,  # noqa: ARG002 - a device has no time
    ) -> list[Message]:
        """Return the Device entity of a sensor, in an array and on a topic like its readings."""
        topic = self._topic(sensor, context)
        if topic is None or not self._options.device_entities:
            return []
        quantities = [one.key.quantity for one in series]
        urls = self._urls("Device", context)
        entity = device_entity(sensor, quantities, context, urls)
        if entity is None:
            return []
        text = json.dumps([entity], ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return [Message(topic=topic, payload=text.encode(), content_type=self.content_type)]

    def _topic(self, sensor: str, context: FormatContext) -> str | None:
        """Return where a sensor's data goes, None where OS2iot has no device for it."""
        os2iot = self._options.os2iot
        if os2iot is None:
            return render_topic(context.topic, context, sensor)
        device = os2iot.device_of(sensor)
        return None if device is None else render_topic(context.topic, context, str(device))

    def _urls(self, entity_type: str, context: FormatContext) -> list[str]:
        options = self._options
        url = options.context_urls.get(entity_type, options.context_url)
        return context_of(entity_type, url.replace("{tenant}", context.tenant))

    def _plan(self, series_id: int, series: SeriesLookup, context: FormatContext) -> Plan | None:
        found = series(series_id)
        topic = self._topic(found.key.sensor, context)
        if topic is None:
            return None
        plan = plan_series(found, context, topic, lambda kind: self._urls(kind, context))
        self._plans[series_id] = plan
        return plan

    def _entities(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
    ) -> dict[str, Growing[_Entity]]:
        plans, time_text = self._plans, self._time_text
        ids, times_ns, values, flags = batch.series, batch.times_ns, batch.values, batch.flags
        offset_ns, tells_quality = batch.offset_ns, self._options.quality
        doubt = batch.doubt
        growing: dict[str, Growing[_Entity]] = {}
        latest: dict[tuple[str, int], _Entity] = {}
        moved: dict[tuple[int, int], int] = {}
        last_ms: int | None = None
        when = ""
        for i in selected:
            value = values[i]
            plan = plans.get(ids[i]) or self._plan(ids[i], series, context)
            if plan is None or not isfinite(value):
                continue
            time_ms = (times_ns[i] + offset_ns) // NS_PER_MS
            entity = latest.get((plan.group, time_ms))
            if entity is not None and _taken(entity, plan):
                time_ms = _free_ms(latest, plan, time_ms, moved, ids[i])
                entity = latest.get((plan.group, time_ms))
            if time_ms != last_ms:
                last_ms = time_ms
                when = time_text(time_ms * NS_PER_MS)
            if entity is None:
                head = plan.head.replace(END_MARK, when)
                if plan.window_ns:
                    head = self._dated(head, plan, time_ms)
                entity = latest[plan.group, time_ms] = _Entity(head, {}, {}, plan.tail)
                target = growing.get(plan.topic)
                if target is None:
                    target = growing[plan.topic] = Growing()
                target.pieces.append(entity)
            else:
                target = growing[plan.topic]
            target.positions.append(i)
            mark = flags[i] | doubt
            quality = _quality(mark) if mark and tells_quality else ""
            suffix = self._dated(plan.suffix, plan, time_ms) if plan.window_ns else plan.suffix
            if plan.member:
                _add_member(entity, plan, f'{suffix}{when}"{quality}}}', plan.write(value))
            else:
                entity.attributes[plan.attribute] = (
                    f'{plan.prefix}{plan.write(value)}{suffix}{when}"{quality}}}'
                )
        return growing

    def _dated(self, text: str, plan: Plan, end_ms: int) -> str:
        """Return the text with the start of the window where the mark of it stands."""
        return text.replace(START_MARK, self._start_text(end_ms * NS_PER_MS - plan.window_ns))


def _array(entities: Iterable[_Entity]) -> bytes:
    return f"[{','.join([entity.text() for entity in entities])}]".encode()


def _taken(entity: _Entity, plan: Plan) -> bool:
    """Say whether the attribute is there already: then the reading needs an entity of its own."""
    if not plan.member:
        return plan.attribute in entity.attributes
    phases = entity.phases.get(plan.attribute)
    return phases is not None and plan.member in phases.members


def _free_ms(
    latest: Mapping[tuple[str, int], _Entity],
    plan: Plan,
    time_ms: int,
    moved: dict[tuple[int, int], int],
    series_id: int,
) -> int:
    """Return the next millisecond at which the attribute has no value yet.

    A consumer knows a value by entity, attribute and millisecond: of two with the same it would
    keep one. ``moved`` remembers where the search ended, so that a burst costs no more than its
    length.
    """
    free_ms = moved.get((series_id, time_ms), time_ms) + 1
    while (entity := latest.get((plan.group, free_ms))) is not None and _taken(entity, plan):
        free_ms += 1
    moved[series_id, time_ms] = free_ms
    return free_ms


def _add_member(entity: _Entity, plan: Plan, suffix: str, number: str) -> None:
    phases = entity.phases.get(plan.attribute)
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
