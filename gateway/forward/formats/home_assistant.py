"""Home Assistant: devices that it finds by itself, and what they measure now.

One device a sensor, one entity a series. There is no time in a state, so this is a live view and
nothing to keep data with: a backlog is not sent. Source: home-assistant.io, MQTT integration;
docs/payloads/homeassistant.md.
"""

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.buffer import Batch
from gateway.forward.formats.base import (
    Format,
    FormatContext,
    Heard,
    History,
    Message,
    SeriesLookup,
    Session,
    TimeText,
    render_topic,
)
from gateway.forward.formats.home_assistant_entities import (
    COUNTED_AT,
    Entity,
    entity_of,
    identifier,
)
from gateway.reading import Series

__all__ = ["HomeAssistant", "HomeAssistantOptions"]

JSON = "application/json"
TEXT = "text/plain"
TIME_DIGITS = 6
ONLINE, OFFLINE = b"online", b"offline"
ORIGIN = "citylab-gateway"
Prefix = Annotated[
    str, StringConstraints(pattern=r"^[^+#\x00{}/]+(/[^+#\x00{}/]+)*$", max_length=128)
]
OptionalTopic = Annotated[
    str, StringConstraints(pattern=r"^([^+#\x00{}]|\{tenant\}|\{gateway\})*$", max_length=256)
]


class HomeAssistantOptions(BaseModel):
    """Options of the format homeassistant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    discovery_prefix: Prefix = Field(
        default="homeassistant", description="Where Home Assistant looks for devices."
    )
    birth_topic: OptionalTopic = Field(
        default="homeassistant/status",
        description="Where Home Assistant says `online` after a start; everything is announced "
        "again then. Empty: nothing is subscribed.",
    )


class _Listening(Session):
    """Waits for Home Assistant to start, and then introduces everybody again."""

    def __init__(self, birth_topic: str) -> None:
        self._birth_topic = birth_topic
        self.subscriptions = (birth_topic,)

    def hear(self, topic: str, payload: bytes) -> Heard:
        """Answer ``begin-again`` to the birth message, ``nothing`` to everything else."""
        if topic == self._birth_topic and payload == ONLINE:
            return "begin-again"
        return "nothing"


class _State:
    """One state message while values come in."""

    __slots__ = ("positions", "values")

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.positions: list[int] = []


class HomeAssistant(Format):
    """Discovery on ``homeassistant/device/...``, states on ``city/{tenant}/.../state``."""

    Options: ClassVar[type[BaseModel]] = HomeAssistantOptions
    topic: ClassVar[str] = "city/{tenant}/{gateway}/{sensor}/state"
    schema: ClassVar[str] = "homeassistant-state"
    history: ClassVar[History] = "latest"
    histories: ClassVar[tuple[History, ...]] = ("latest",)

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._options: HomeAssistantOptions = options or HomeAssistantOptions()
        self._context: FormatContext | None = None
        self._known: dict[int, tuple[str, Entity]] = {}
        self._time_text = TimeText(TIME_DIGITS)

    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
        *,
        history: bool = False,  # noqa: ARG002 - the link sends none
    ) -> list[Message]:
        """Return the states, in order; of several values the newest, of counts every one."""
        if context is not self._context:
            self._context, self._known = context, {}
        states: list[tuple[str, _State]] = []
        open_states: dict[str, _State] = {}
        for i in selected:
            value = batch.values[i]
            if not isfinite(value):
                continue
            topic, entity = self._known.get(batch.series[i]) or self._learn(
                batch.series[i], series, context
            )
            state = open_states.get(topic)
            if state is None or (entity.is_count and entity.key in state.values):
                state = open_states[topic] = _State()
                states.append((topic, state))
            state.values[entity.key] = _shown(value, entity)
            if entity.is_count:
                when = self._time_text(batch.times_ns[i] + batch.offset_ns)
                state.values[f"{entity.key}{COUNTED_AT}"] = when
            state.positions.append(i)
        return [_message(topic, state, batch) for topic, state in states]

    def announce(
        self,
        sensor: str,
        series: Sequence[Series],
        context: FormatContext,
        wall_ns: int,  # noqa: ARG002 - nothing here has a time
    ) -> list[Message]:
        """Return the discovery of a sensor's device, retained, and that it is available.

        Nothing for a sensor that has not measured yet: there would be nothing to show.
        """
        if not series:
            return []
        name = identifier(context.tenant, context.gateway, sensor)
        topic = f"{self._options.discovery_prefix}/device/{name}/config"
        discovery = self._discovery(name, sensor, series, context)
        return [
            Message(topic=topic, payload=_json(discovery), content_type=JSON, retain=True),
            self._availability(sensor, context, ONLINE),
        ]

    def withdraw(
        self,
        sensor: str,
        context: FormatContext,
        wall_ns: int,  # noqa: ARG002 - nothing here has a time
    ) -> list[Message]:
        """Return that a sensor is unavailable, retained; its device stays."""
        return [self._availability(sensor, context, OFFLINE)]

    def session(
        self,
        context: FormatContext,
        connection_number: int,  # noqa: ARG002 - every connection is like the others
        wall_ns: int,  # noqa: ARG002
    ) -> Session | None:
        """Return a session that listens for Home Assistant's start, None where it shall not."""
        if not self._options.birth_topic:
            return None
        return _Listening(render_topic(self._options.birth_topic, context))

    def _learn(
        self, series_id: int, series: SeriesLookup, context: FormatContext
    ) -> tuple[str, Entity]:
        found = series(series_id)
        known = _state_topic(context, found.key.sensor), entity_of(found)
        self._known[series_id] = known
        return known

    def _availability(self, sensor: str, context: FormatContext, state: bytes) -> Message:
        topic = _availability_topic(context, sensor)
        return Message(topic=topic, payload=state, content_type=TEXT, retain=True)

    def _discovery(
        self, name: str, sensor: str, series: Sequence[Series], context: FormatContext
    ) -> dict[str, Any]:
        facts = context.sensors.get(sensor)
        device: dict[str, Any] = {"identifiers": [name], "name": sensor}
        if facts is not None and facts.title:
            device["model"] = facts.title
        origin = {"name": ORIGIN}
        if context.version:
            origin["sw_version"] = context.version
        available: list[dict[str, str]] = [{"topic": _availability_topic(context, sensor)}]
        if context.status_topic:  # while the gateway is offline, its sensors are unavailable
            value = "{{ value_json.state }}"
            available.append({"topic": context.status_topic, "value_template": value})
        entities = {entity.key: entity.component for entity in map(entity_of, series)}
        return {
            "device": device,
            "origin": origin,
            "availability": available,
            "availability_mode": "all",
            "state_topic": _state_topic(context, sensor),
            "qos": 1,
            "components": {
                key: {**component, "unique_id": f"{name}_{key}"}
                for key, component in sorted(entities.items())
            },
        }


def _state_topic(context: FormatContext, sensor: str) -> str:
    """Return where a sensor's states go; each has a topic of its own, whatever the template."""
    template = context.topic
    if "{sensor}" not in template:
        template = f"{template}/{{sensor}}"
    return render_topic(template, context, sensor)


def _availability_topic(context: FormatContext, sensor: str) -> str:
    return f"{_state_topic(context, sensor)}/availability"


def _shown(value: float, entity: Entity) -> object:
    if entity.is_bool:
        return "ON" if value else "OFF"
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


def _message(topic: str, state: _State, batch: Batch) -> Message:
    return Message(
        topic=topic,
        payload=_json(state.values),
        first=batch.first + state.positions[0],
        last=batch.first + state.positions[-1],
        count=len(state.positions),
        content_type=JSON,
        positions=state.positions,
    )


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
