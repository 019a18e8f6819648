"""Our own format, the only one that loses nothing: one JSON object a line, one line a reading.

Described by ``gateway/data/reading.schema.json`` and docs/payloads/json.md. Lines are put together
from text that is worked out once per series, because ``json.dumps`` of a dictionary per reading
takes several times as long (tests/benchmarks/bench_formats.py).
"""

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any, ClassVar, NamedTuple

from gateway.buffer import Batch
from gateway.forward.formats.base import (
    Format,
    FormatContext,
    Growing,
    History,
    Message,
    SeriesLookup,
    TimeText,
    finished,
    render_topic,
)
from gateway.forward.formats.ngsi_windows import window_ns
from gateway.reading import Series, flag_names, quality_of

__all__ = ["JsonLines"]

TIME_DIGITS = 6
NS_PER_S = 1_000_000_000


class _Plan(NamedTuple):
    """What every line of one series has in common."""

    topic: str
    text: str
    """From ``"sensor"`` up to and with ``"value":``."""


class JsonLines(Format):
    """Newline-delimited JSON, ``city/{tenant}/{gateway}/{sensor}/json``."""

    topic: ClassVar[str] = "city/{tenant}/{gateway}/{sensor}/json"
    schema: ClassVar[str] = "urn:citylab-gateway:reading:1"
    content_type: ClassVar[str] = "application/x-ndjson"
    history: ClassVar[History] = "beside"
    histories: ClassVar[tuple[History, ...]] = ("beside", "in-order")

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
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
        *,
        history: bool = False,  # noqa: ARG002 - every line has its time
    ) -> list[Message]:
        """Return one message per topic, readings in ring order."""
        if context is not self._context:
            self._context, self._plans = context, {}
        growing = self._lines(batch, selected, series, context)
        return finished(growing, batch, _lines, self.content_type)

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
        doubt = batch.doubt
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
        facts: dict[str, object] = {
            "sensor": key.sensor,
            "quantity": key.quantity,
            "dims": dict(key.dims),
            "aggregation": key.aggregation,
        }
        length_s = window_ns(found) / NS_PER_S
        if length_s:
            facts["window_s"] = int(length_s) if length_s.is_integer() else length_s
        facts["unit"] = found.unit
        # In ASCII: what Unicode takes for the end of a line must not end one.
        fields = json.dumps(facts, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        plan = _Plan(render_topic(context.topic, context, key.sensor), f',{fields[1:-1]},"value":')
        self._plans[series_id] = plan
        return plan

    def _quality(self, flags: int) -> str:
        names = json.dumps(flag_names(flags), separators=(",", ":"))
        text = f',"quality":"{quality_of(flags)}","flags":{names}}}\n'
        self._qualities[flags] = text
        return text


def _lines(pieces: list[str]) -> bytes:
    return "".join(pieces).encode()
