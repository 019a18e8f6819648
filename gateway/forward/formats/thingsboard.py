"""The gateway API of ThingsBoard: telemetry with times, of many devices in one message.

Each sensor is a ThingsBoard device, connected and described by ``announce`` and disconnected by
``withdraw``. ThingsBoard keeps one value per device, key and millisecond, so of two readings of a
series in the same millisecond the later one moves on to the next free one. Sources: ThingsBoard
"MQTT Gateway API Reference", docs/payloads/thingsboard.md.
"""

import json
from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.buffer import Batch
from gateway.forward.formats.base import (
    Format,
    FormatContext,
    Growing,
    History,
    Message,
    SeriesLookup,
    finished,
    render_topic,
)
from gateway.forward.formats.senml_json import number_text
from gateway.forward.formats.senml_names import is_yes_or_no, path_of
from gateway.reading import Series, quality_of

__all__ = ["ThingsBoard", "ThingsBoardOptions"]

NS_PER_MS = 1_000_000
JSON = "application/json"


def _device_template(text: str) -> str:
    if "{sensor}" not in text:
        raise ValueError("must contain {sensor}, or all sensors would be one device")
    left = text.replace("{tenant}", "").replace("{gateway}", "").replace("{sensor}", "")
    if "{" in left or "}" in left:
        raise ValueError("may contain {tenant}, {gateway} and {sensor} only")
    return text


class ThingsBoardOptions(BaseModel):
    """``[broker.options]`` of thingsboard."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Annotated[str, AfterValidator(_device_template)] = Field(
        default="{gateway}/{sensor}",
        max_length=200,
        description="Name of a sensor's device, with {tenant} {gateway} {sensor}; it has to be "
        "unique in ThingsBoard.",
    )
    device_type: str = Field(
        default="",
        max_length=200,
        description="Device profile for new devices; empty: ThingsBoard's default.",
    )


class _Plan(NamedTuple):
    """What all values of one series have in common."""

    topic: str
    device: str
    """JSON text."""
    key: str
    """JSON text."""
    quality_key: str
    """JSON text."""
    is_bool: bool


class _Value(NamedTuple):
    plan: _Plan
    time_ms: int
    text: str
    flags: int


class ThingsBoard(Format):
    """ThingsBoard gateway telemetry, ``v1/gateway/telemetry``."""

    Options: ClassVar[type[BaseModel]] = ThingsBoardOptions
    topic: ClassVar[str] = "v1/gateway/telemetry"
    schema: ClassVar[str] = "thingsboard-gateway"
    history: ClassVar[History] = "beside"
    histories: ClassVar[tuple[History, ...]] = ("beside", "in-order")

    def __init__(self, options: Any = None) -> None:
        super().__init__(options or ThingsBoardOptions())
        self._context: FormatContext | None = None
        self._plans: dict[int, _Plan] = {}

    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
        *,
        history: bool = False,  # noqa: ARG002 - every value has its time
    ) -> list[Message]:
        """Return one message per topic, usually one, with the values of all devices."""
        if context is not self._context:
            self._context, self._plans = context, {}
        plans = self._plans
        ids, times_ns, values, flags = batch.series, batch.times_ns, batch.values, batch.flags
        doubt = batch.doubt
        growing: dict[str, Growing[_Value]] = {}
        for i in selected:
            value = values[i]
            if not isfinite(value):
                continue
            plan = plans.get(ids[i])
            if plan is None:
                plan = plans[ids[i]] = self._plan(series(ids[i]), context)
            target = growing.get(plan.topic)
            if target is None:
                target = growing[plan.topic] = Growing()
            text = ("true" if value else "false") if plan.is_bool else number_text(value)
            time_ms = (times_ns[i] + batch.offset_ns) // NS_PER_MS
            target.pieces.append(_Value(plan, time_ms, text, flags[i] | doubt))
            target.positions.append(i)
        return finished(growing, batch, _telemetry, JSON)

    def announce(
        self, sensor: str, series: Sequence[Series], context: FormatContext, wall_ns: int
    ) -> list[Message]:
        """Return connect, and what is known of the device as its attributes."""
        del wall_ns
        device = self._device(sensor, context)
        connect = {"device": device}
        if self.options.device_type:
            connect["type"] = self.options.device_type
        attributes = {device: _attributes(sensor, series, context)}
        return [
            _message(_sibling(context, sensor, "connect"), connect),
            _message(_sibling(context, sensor, "attributes"), attributes),
        ]

    def withdraw(self, sensor: str, context: FormatContext, wall_ns: int) -> list[Message]:
        """Return disconnect: ThingsBoard shows the device as inactive sooner."""
        del wall_ns
        device = self._device(sensor, context)
        return [_message(_sibling(context, sensor, "disconnect"), {"device": device})]

    def _device(self, sensor: str, context: FormatContext) -> str:
        return render_topic(self.options.device, context, sensor)

    def _plan(self, series: Series, context: FormatContext) -> _Plan:
        path = path_of(series.key)
        return _Plan(
            topic=render_topic(context.topic, context, series.key.sensor),
            device=_json(self._device(series.key.sensor, context)),
            key=_json(path),
            quality_key=_json(f"{path}/quality"),
            is_bool=is_yes_or_no(series.key),
        )


def _telemetry(rows: list[_Value]) -> bytes:
    """Return ``{"device":[{"ts":…,"values":{…}}]}``, devices and times as they came."""
    devices: dict[str, dict[int, dict[str, str]]] = {}
    free: dict[tuple[str, str, int], int] = {}
    for plan, told_ms, text, flags in rows:
        times = devices.setdefault(plan.device, {})
        slot = (plan.device, plan.key, told_ms)
        time_ms = free.get(slot, told_ms)
        while plan.key in (values := times.setdefault(time_ms, {})):
            time_ms += 1
        free[slot] = time_ms + 1
        values[plan.key] = text
        if flags and (quality := quality_of(flags)) != "good":
            values[plan.quality_key] = f'"{quality}"'
    return f"{{{','.join(_entries(device, times) for device, times in devices.items())}}}".encode()


def _entries(device: str, times: dict[int, dict[str, str]]) -> str:
    entries = [
        f'{{"ts":{time_ms},"values":{{{",".join(f"{k}:{v}" for k, v in values.items())}}}}}'
        for time_ms, values in times.items()
    ]
    return f"{device}:[{','.join(entries)}]"


def _attributes(sensor: str, series: Sequence[Series], context: FormatContext) -> dict[str, object]:
    said: dict[str, object] = {"tenant": context.tenant, "gateway": context.gateway}
    said["sensor"] = sensor
    facts = context.sensors.get(sensor)
    if facts is not None:
        said |= {"title": facts.title, "driver": facts.driver, "domain": facts.domain}
        said |= {"interval_s": facts.interval_s, "privacy": facts.privacy}
    place = context.location_of(sensor)
    if place is not None:
        said |= {"latitude": place.lat, "longitude": place.lon}
    for one in sorted(series, key=lambda one: path_of(one.key)):
        path = path_of(one.key)
        said[f"{path}/unit"] = one.unit
        said |= {f"{path}/{name}": text for name, text in one.calibration.items()}
    return said


def _sibling(context: FormatContext, sensor: str, name: str) -> str:
    """Return the topic next to that of the telemetry."""
    prefix, slash, _ = render_topic(context.topic, context, sensor).rpartition("/")
    return f"{prefix}{slash}{name}"


def _message(topic: str, payload: object) -> Message:
    return Message(topic=topic, payload=_json(payload).encode(), content_type=JSON)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
