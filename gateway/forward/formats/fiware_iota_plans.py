"""What all measures of one series have in common for the FIWARE IoT Agent.

Type, attributes and ids are those of the format ngsi-ld (ngsi_models.py), flattened: the agent
wants plain values, and the context broker behind it then holds the same entities.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from gateway.forward.formats.base import FormatContext, render_topic
from gateway.forward.formats.ngsi_models import Writer, plan_series
from gateway.reading import Series

__all__ = ["DEFAULT_DEVICE", "FiwareIotaOptions", "Plan", "plan_measures"]

DEFAULT_DEVICE = "{type}:{tenant}:{sensor}"
URN = "urn:ngsi-ld:"
ID_SAFE = ":%"
"""What stays in a device id beside letters, digits and ``_.-~``: no wildcard or level of MQTT, and
nothing that the agent or an NGSI broker forbids."""
TIME_PREFIX = "dateObserved"


def _device_template(text: str) -> str:
    if "{sensor}" not in text:
        raise ValueError("must contain {sensor}, or all sensors would be one device")
    left = text
    for name in ("type", "tenant", "gateway", "sensor"):
        left = left.replace(f"{{{name}}}", "")
    if quote(left, safe=ID_SAFE) != left:
        raise ValueError(
            "may contain {type}, {tenant}, {gateway}, {sensor}, letters, digits and : _ . -"
        )
    return text


ApiKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
KeyTemplate = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_.:-]|\{type\}){1,128}$")]


class FiwareIotaOptions(BaseModel):
    """``[broker.options]`` of fiware-iota."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    apikey: KeyTemplate = Field(
        default="citylab-{type}",
        description="Key of the agent's service group, part of the topic and no secret; {type} is "
        "the entity type, because a group has one type.",
    )
    apikeys: dict[str, ApiKey] = Field(
        default_factory=dict,
        description='Keys of single entity types: { AirQualityObserved = "4jggokgpepnvsb2uv4s4" }.',
    )
    device: Annotated[str, AfterValidator(_device_template)] = Field(
        default=DEFAULT_DEVICE,
        max_length=200,
        description="Device id with {type} {tenant} {gateway} {sensor}; dimensions are appended. "
        "Without {type}, an agent that keeps its devices in memory mixes the types of a sensor up.",
    )

    def apikey_of(self, entity_type: str) -> str:
        """Return the key of the group of an entity type."""
        return self.apikeys.get(entity_type) or self.apikey.replace("{type}", entity_type)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that can be worked out for one series before there is a reading."""

    topic: str
    group: str
    """Readings of the same group and millisecond share a measure."""
    entity: str
    type: str
    apikey: str
    device: str
    shared: Mapping[str, Any]
    """Attributes that are the same in all measures."""
    shared_text: str
    """The same as JSON without braces, may be empty."""
    times: Mapping[str, str]
    """Attributes that are times, with the marks of ngsi_windows.py."""
    attribute: str
    member: str
    """Phase within an attribute that is an object, else empty."""
    unit_code: str
    write: Writer
    window_ns: int


def plan_measures(series: Series, context: FormatContext, options: FiwareIotaOptions) -> Plan:
    """Return how the readings of one series are written."""
    found = plan_series(series, context, "", lambda _type: [])
    entity: dict[str, Any] = json.loads(f"{found.head}}}", strict=False)
    measured: dict[str, Any] = json.loads(
        f'{{{found.prefix[1:]}0{found.suffix}"}}}}', strict=False
    )[found.attribute]
    told = {name: _plain(part) for name, part in entity.items() if name not in ("id", "type")}
    if "dateObservedFrom" in measured:
        told["dateObservedFrom"] = _plain(measured["dateObservedFrom"])
    shared = {name: value for name, value in told.items() if not name.startswith(TIME_PREFIX)}
    apikey = options.apikey_of(entity["type"])
    device = _device_id(entity, series.key.sensor, context, options)
    return Plan(
        topic=render_topic(context.topic, context, f"{apikey}/{device}"),
        group=f"{device} {found.window_ns}",
        entity=entity["id"],
        type=entity["type"],
        apikey=apikey,
        device=device,
        shared=shared,
        shared_text=json.dumps(shared, ensure_ascii=False, separators=(",", ":"))[1:-1],
        times={name: value for name, value in told.items() if name.startswith(TIME_PREFIX)},
        attribute=found.attribute,
        member=found.member,
        unit_code=measured.get("unitCode", ""),
        write=found.write,
        window_ns=found.window_ns,
    )


def _plain(attribute: Mapping[str, Any]) -> Any:
    """Return the value of a normalized attribute."""
    return attribute["object"] if attribute["type"] == "Relationship" else attribute["value"]


def _device_id(
    entity: Mapping[str, Any], sensor: str, context: FormatContext, options: FiwareIotaOptions
) -> str:
    """Return the id of the device of an entity: the naming of the options, and its dimensions."""
    dims = entity["id"].removeprefix(f"{URN}{entity['type']}:{context.tenant}:{sensor}")
    template = options.device.replace("{type}", entity["type"])
    return render_topic(template, context, sensor) + quote(dims, safe=ID_SAFE)
