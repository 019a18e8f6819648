"""SenML (RFC 8428) as JSON and as CBOR: the smallest standard payload, made for backlogs.

One pack per message with the readings of all sensors, in the order of time, one record a reading.
A pack says everything itself: absolute time, unit, place. docs/payloads/senml.md explains the
names and why things are as they are.
"""

from abc import abstractmethod
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from math import isfinite
from operator import itemgetter
from typing import Any, AnyStr, ClassVar, Generic, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gateway.buffer import Batch
from gateway.config.model import Position
from gateway.forward.formats.base import (
    Format,
    FormatContext,
    Growing,
    History,
    Message,
    SeriesLookup,
    finished,
)
from gateway.forward.formats.senml_cbor import CborWriter
from gateway.forward.formats.senml_json import JsonWriter
from gateway.forward.formats.senml_names import safe
from gateway.forward.formats.senml_plans import Depth, Plan, base_name_of, plan_series
from gateway.forward.formats.senml_records import Base, Writer
from gateway.forward.formats.senml_units import PRIMARY, Units
from gateway.reading import flag_names, quality_of

__all__ = ["SenmlCbor", "SenmlJson", "SenmlOptions"]

NS_PER_US = 1000
ABSOLUTE_FROM_NS = 2**28 * 1_000_000_000
"""Smaller times (before July 1978) would mean "seconds from now" (RFC 8428 section 4.5.3)."""
SECONDARY_UNITS_VERSION = 26
"""10, the first version, and 2**4, the feature "secondary units" (RFC 9100 section 4)."""
COORDINATE_DIGITS = 7
"""About a centimetre."""


class SenmlOptions(BaseModel):
    """``[broker.options]`` of senml-json and senml-cbor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    units: Units = Field(
        default="secondary",
        description="secondary: units as people use them (ug/m3, km/h, kWh; RFC 8798); "
        "primary: only those of RFC 8428 (kg/m3, m/s, J), for consumers that know no others.",
    )
    declare_version: bool = Field(
        default=False,
        description="Say bver 26 (RFC 9100) in packs with secondary units. Correct, but consumers "
        "that only know version 10 must then refuse the pack.",
    )
    location: bool = Field(
        default=True, description="Latitude and longitude at the start of each pack."
    )


class _Reading(NamedTuple, Generic[AnyStr]):
    wall_us: int
    plan: Plan[AnyStr]
    value: AnyStr
    flags: int


class _Senml(Format, Generic[AnyStr]):
    """All of both formats but the serialization."""

    Options: ClassVar[type[BaseModel]] = SenmlOptions
    topic: ClassVar[str] = "city/{tenant}/{gateway}/senml"
    schema: ClassVar[str] = "urn:ietf:rfc:8428"
    content_type: ClassVar[str]
    history: ClassVar[History] = "beside"
    histories: ClassVar[tuple[History, ...]] = ("beside", "in-order")

    def __init__(self, options: Any = None) -> None:
        super().__init__(options or SenmlOptions())
        self._writer: Writer[AnyStr] = self._make_writer()
        self._context: FormatContext | None = None
        self._plans: dict[int, Plan[AnyStr]] = {}
        self._places: dict[str, tuple[AnyStr, AnyStr]] = {}
        self._qualities: dict[int, AnyStr | None] = {}

    @abstractmethod
    def _make_writer(self) -> Writer[AnyStr]: ...

    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
        *,
        history: bool = False,  # noqa: ARG002 - every record has its time
    ) -> list[Message]:
        """Return one pack per topic, records in the order of time."""
        if context is not self._context:
            self._context, self._plans, self._places = context, {}, {}
        growing = self._readings(batch, selected, series, context)
        return finished(growing, batch, partial(self._pack, context), self.content_type)

    def _readings(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
    ) -> dict[str, Growing[_Reading[AnyStr]]]:
        plans = self._plans
        ids, times_ns, values, flags = batch.series, batch.times_ns, batch.values, batch.flags
        offset_ns = batch.offset_ns
        doubt = batch.doubt
        growing: dict[str, Growing[_Reading[AnyStr]]] = {}
        for i in selected:
            value, wall_ns = values[i], times_ns[i] + offset_ns
            if not isfinite(value) or wall_ns < ABSOLUTE_FROM_NS:
                continue
            plan = plans.get(ids[i])
            if plan is None:
                plan = plan_series(series(ids[i]), context, self._writer, self.options.units)
                plans[ids[i]] = plan
            written = plan.write(value)
            if written is None:
                continue
            target = growing.get(plan.topic)
            if target is None:
                target = growing[plan.topic] = Growing()
            target.pieces.append(_Reading(wall_ns // NS_PER_US, plan, written, flags[i] | doubt))
            target.positions.append(i)
        return growing

    def _pack(self, context: FormatContext, readings: list[_Reading[AnyStr]]) -> bytes:
        writer, options = self._writer, self.options
        readings.sort(key=itemgetter(0))
        plans = {reading.plan for reading in readings}
        depth, unit = _shared(plans, readings)
        places = self._placed(plans, context) if options.location else []
        records = self._records(readings, depth, is_bare=bool(unit))
        is_secondary = any(plan.unit in PRIMARY for plan in plans)
        base_name = base_name_of(context)
        opening = Base(
            base_name,
            readings[0].wall_us,
            version=SECONDARY_UNITS_VERSION if options.declare_version and is_secondary else 0,
        )
        more = readings[0].plan.names[depth]
        if not places:
            records[0] = writer.based(
                opening._replace(name=base_name + more, unit=unit), records[0]
            )
            return writer.pack(records)
        places[0] = writer.based(opening, places[0])
        if more or unit:
            base = Base(name=base_name + more if more else "", unit=unit)
            records[0] = writer.based(base, records[0])
        return writer.pack(places + records)

    def _records(
        self, readings: Sequence[_Reading[AnyStr]], depth: Depth, *, is_bare: bool
    ) -> list[AnyStr]:
        write_tail = self._writer.tail
        base_us = last_us = readings[0].wall_us
        tail = write_tail(0)
        records: list[AnyStr] = []
        for wall_us, plan, value, flags in readings:
            if wall_us != last_us:
                last_us = wall_us
                tail = write_tail(wall_us - base_us)
            is_timed = wall_us != base_us
            head = plan.bare[depth] if is_bare else plan.record[depth]
            records.append((head.timed if is_timed else head.plain) + value + tail)
            if flags and (doubt := self._quality(flags)) is not None:
                head = plan.quality[depth]
                records.append((head.timed if is_timed else head.plain) + doubt + tail)
        return records

    def _quality(self, flags: int) -> AnyStr | None:
        """Return the word for it and the flags behind it, None where there is no doubt."""
        if flags not in self._qualities:
            quality = quality_of(flags)
            text = self._writer.text(" ".join([quality, *flag_names(flags)]))
            self._qualities[flags] = None if quality == "good" else text
        return self._qualities[flags]

    def _placed(self, plans: AbstractSet[Plan[AnyStr]], context: FormatContext) -> list[AnyStr]:
        """Return where the sensors of a pack stand; most stand where the gateway stands."""
        own = context.locations
        names = {plan.sensor if plan.sensor in own else "" for plan in plans}
        records: list[AnyStr] = []
        for name in sorted(names):
            place = own.get(name) if name else context.location
            if place is not None:
                if name not in self._places:
                    self._places[name] = self._place(name, place)
                records += self._places[name]
        return records

    def _place(self, sensor: str, place: Position) -> tuple[AnyStr, AnyStr]:
        prefix = f"{safe(sensor)}:" if sensor else ""
        writer = self._writer

        def record(name: str, degrees: float) -> AnyStr:
            value = writer.number(round(degrees, COORDINATE_DIGITS))
            return writer.head(prefix + name, name, "v").plain + value + writer.tail(0)

        return record("lat", place.lat), record("lon", place.lon)


class SenmlJson(_Senml[str]):
    """SenML packs as JSON, ``city/{tenant}/{gateway}/senml``."""

    content_type: ClassVar[str] = "application/senml+json"

    def _make_writer(self) -> Writer[str]:
        return JsonWriter()


class SenmlCbor(_Senml[bytes]):
    """SenML packs as CBOR, ``city/{tenant}/{gateway}/senml``."""

    content_type: ClassVar[str] = "application/senml+cbor"

    def _make_writer(self) -> Writer[bytes]:
        return CborWriter()


def _shared(
    plans: AbstractSet[Plan[AnyStr]], readings: Sequence[_Reading[AnyStr]]
) -> tuple[Depth, str]:
    """Return how much of their names and which unit all records of the readings share.

    A record that says how good a reading is has no unit, so it must not inherit one.
    """
    units = {plan.unit for plan in plans}
    unit = units.pop() if len(units) == 1 and not any(reading[3] for reading in readings) else ""
    if len(plans) == 1:
        return Depth.SERIES, unit
    is_one_sensor = len({plan.sensor for plan in plans}) == 1
    return Depth.SENSOR if is_one_sensor else Depth.GATEWAY, unit
