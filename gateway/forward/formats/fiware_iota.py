"""Measures for the FIWARE IoT Agent for JSON, ``json/<apikey>/<device>/attrs``.

Flat JSON, one object per time with ``TimeInstant``, an array of them where there are several. Units
are no part of a measure: the agent has to be provisioned with them (fiware_iota_provisioning.py).
An agent's consumer keeps one value per entity, attribute and millisecond, so of two readings of a
series in the same millisecond the later one moves on to the next free one. Sources: IoT Agent for
JSON 3.14, docs/payloads/fiware-iota.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar

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
)
from gateway.forward.formats.fiware_iota_plans import FiwareIotaOptions, Plan, plan_measures
from gateway.forward.formats.fiware_iota_provisioning import provisioning
from gateway.forward.formats.ngsi_windows import END_MARK, START_MARK
from gateway.reading import quality_of

__all__ = ["FiwareIota", "FiwareIotaOptions", "provisioning"]

NS_PER_MS = 1_000_000
TIME_DIGITS = 3


@dataclass(slots=True)
class _Measure:
    """The readings of one group at one time."""

    time_ms: int
    plan: Plan
    values: dict[str, str] = field(default_factory=dict)
    members: dict[str, dict[str, str]] = field(default_factory=dict)
    """Attributes that are objects."""
    flags: int = 0

    def add(self, plan: Plan, value: str, flags: int) -> None:
        """Put a reading into its place; quality is that of the worst of them."""
        if plan.member:
            self.members.setdefault(plan.attribute, {})[plan.member] = value
        else:
            self.values[plan.attribute] = value
        self.flags |= flags


class FiwareIota(Format):
    """Flat measures for the IoT Agent for JSON."""

    Options: ClassVar[type[BaseModel]] = FiwareIotaOptions
    topic: ClassVar[str] = "json/{sensor}/attrs"
    """``{sensor}`` stands for ``<apikey>/<device>``."""
    schema: ClassVar[str] = "fiware-iotagent-json"
    content_type: ClassVar[str] = "application/json"

    def __init__(self, options: Any = None) -> None:
        super().__init__(options or FiwareIotaOptions())
        self._context: FormatContext | None = None
        self._plans: dict[int, Plan] = {}
        self._time_text = TimeText(TIME_DIGITS)
        self._start_text = TimeText(TIME_DIGITS)

    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
        *,
        history: bool = False,  # noqa: ARG002 - the link keeps the order
    ) -> list[Message]:
        """Return one message per device, measures in the order of time."""
        if context is not self._context:
            self._context, self._plans = context, {}
        growing = self._measures(batch, selected, series, context)
        return finished(growing, batch, self._payload, self.content_type)

    def _measures(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
    ) -> dict[str, Growing[_Measure]]:
        plans = self._plans
        ids, times_ns, values, flags = batch.series, batch.times_ns, batch.values, batch.flags
        doubt = batch.doubt
        growing: dict[str, Growing[_Measure]] = {}
        found: dict[tuple[str, str, int], _Measure] = {}
        taken: set[tuple[str, str, str, int]] = set()
        free: dict[tuple[int, int], int] = {}
        for i in selected:
            value = values[i]
            if not isfinite(value):
                continue
            plan = plans.get(ids[i])
            if plan is None:
                plan = plans[ids[i]] = plan_measures(series(ids[i]), context, self.options)
            target = growing.get(plan.topic)
            if target is None:
                target = growing[plan.topic] = Growing()
            told_ms = (times_ns[i] + batch.offset_ns) // NS_PER_MS
            time_ms = free.get((ids[i], told_ms), told_ms)
            while (plan.device, plan.attribute, plan.member, time_ms) in taken:
                time_ms += 1
            taken.add((plan.device, plan.attribute, plan.member, time_ms))
            free[ids[i], told_ms] = time_ms + 1
            measure = found.get((plan.topic, plan.group, time_ms))
            if measure is None:
                measure = found[plan.topic, plan.group, time_ms] = _Measure(time_ms, plan)
                target.pieces.append(measure)
            measure.add(plan, plan.write(value), flags[i] | doubt)
            target.positions.append(i)
        return growing

    def _payload(self, measures: list[_Measure]) -> bytes:
        """Return one object, or an array of them."""
        measures.sort(key=lambda measure: measure.time_ms)
        texts = [self._text(measure) for measure in measures]
        return (texts[0] if len(texts) == 1 else f"[{','.join(texts)}]").encode()

    def _text(self, measure: _Measure) -> str:
        plan = measure.plan
        when = self._time_text(measure.time_ms * NS_PER_MS)
        parts = [f'"TimeInstant":"{when}"']
        start = ""
        if plan.window_ns:
            start = self._start_text(measure.time_ms * NS_PER_MS - plan.window_ns)
        for name, mark in plan.times.items():
            time = mark.replace(END_MARK, when).replace(START_MARK, start)
            parts.append(f'"{name}":"{time}"')
        if plan.shared_text:
            parts.append(plan.shared_text)
        parts += [f'"{name}":{value}' for name, value in measure.values.items()]
        for name, members in measure.members.items():
            inside = ",".join(f'"{member}":{value}' for member, value in members.items())
            parts.append(f'"{name}":{{{inside}}}')
        parts.append(f'"quality":"{quality_of(measure.flags)}"')
        return f"{{{','.join(parts)}}}"
