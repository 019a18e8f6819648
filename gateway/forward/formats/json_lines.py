"""Our own format, the only one that loses nothing: one JSON object a line, one line a reading.

Described by ``gateway/data/reading.schema.json`` and docs/payloads.md. Lines are put together
from text that is worked out once per series, because ``json.dumps`` of a dictionary per reading
takes several times as long (tests/benchmarks/bench_formats.py).
"""

import json
from collections.abc import Sequence
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
    render_topic,
)
from gateway.reading import Flag, Series, flag_names, quality_of

__all__ = ["JsonLines"]

TIME_DIGITS = 6


class _Plan(NamedTuple):
    """What every line of one series has in common."""

    topic: str
    text: str
    """From ``"sensor"`` up to and with ``"value":``."""


class JsonLines:
    """Newline-delimited JSON, ``city/{tenant}/{gateway}/{sensor}/json``."""

    topic: ClassVar[str] = "city/{tenant}/{gateway}/{sensor}/json"
    schema: ClassVar[str] = "urn:citylab-gateway:reading:1"
    content_type: ClassVar[str] = "application/x-ndjson"

    def __init__(self) -> None:
        self._context: FormatContext | None = None
        self._plans: dict[int, _Plan] = {}
        self._qualities: dict[int, str] = {}
        self._time_text = TimeText(TIME_DIGITS)

    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
    ) -> list[Message]:
        """Return one message per topic, readings in ring order."""
        if context is not self._context:
            self._context, self._plans = context, {}
        growing = self._lines(batch, selected, series, context)
        return finished(growing, batch, "".join, self.content_type)

    def _lines(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
    ) -> dict[str, Growing[str]]:
        plans, qualities, time_text = self._plans, self._qualities, self._time_text
        ids, times_ns, values, flags = batch.series, batch.times_ns, batch.values, batch.flags
        offset_ns, first = batch.offset_ns, batch.first
        doubt = 0 if batch.synced else int(Flag.CLOCK_UNSYNCED)
        head = f'{{"gateway":{json.dumps(context.gateway)},"epoch":{batch.epoch},"sequence":'
        boot = f'","boot":{batch.boot},"boottime_ns":'
        growing: dict[str, Growing[str]] = {}
        last_ns: int | None = None
        when = ""
        for i in selected:
            value = values[i]
            if not isfinite(value):
                continue
            plan = plans.get(ids[i]) or self._plan(ids[i], series, context)
            time_ns = times_ns[i]
            if time_ns != last_ns:
                last_ns = time_ns
                when = f',"time":"{time_text(time_ns + offset_ns)}{boot}{time_ns}'
            mark = flags[i] | doubt
            quality = qualities.get(mark) or self._quality(mark)
            number = repr(value).removesuffix(".0")
            if number == "-0":  # as an integer it would lose its sign
                number = "-0.0"
            target = growing.get(plan.topic)
            if target is None:
                target = growing[plan.topic] = Growing()
            target.pieces.append(f"{head}{first + i}{when}{plan.text}{number}{quality}")
            target.positions.append(i)
        return growing

    def _plan(self, series_id: int, series: SeriesLookup, context: FormatContext) -> _Plan:
        found: Series = series(series_id)
        key = found.key
        fields = json.dumps(
            {
                "sensor": key.sensor,
                "quantity": key.quantity,
                "dims": dict(key.dims),
                "aggregation": key.aggregation,
                "unit": found.unit,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )
        plan = _Plan(render_topic(context.topic, context, key.sensor), f',{fields[1:-1]},"value":')
        self._plans[series_id] = plan
        return plan

    def _quality(self, flags: int) -> str:
        names = json.dumps(flag_names(flags), separators=(",", ":"))
        text = f',"quality":"{quality_of(flags)}","flags":{names}}}\n'
        self._qualities[flags] = text
        return text
