"""How a series becomes an attribute of a Smart Data Models entity: one plan a series.

The registry (gateway/data/quantities.csv) names type, attribute and factor; ngsi_tables.py
what the schemas of those types additionally ask for. Where a type's required attributes cannot be
given (no location is configured, no lane is known), the reading goes out as a DeviceMeasurement,
which asks for nothing. Ids are stable for ever: nothing here may change an id that was sent.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from gateway.forward.formats.base import FormatContext
from gateway.forward.formats.ngsi_device import controlled_properties, device_id, shared_location
from gateway.forward.formats.ngsi_tables import (
    CROWD_DIRECTIONS,
    DOMAINS,
    FALLBACK,
    INTEGERS,
    ITEM_DIRECTIONS,
    LANE_DIRECTIONS,
    MEDIA,
    NEED_LOCATION,
    ONE,
    PERCENT,
    PHASE_OBJECTS,
    PHASES,
    TOTAL,
    VEHICLE_TYPES,
)
from gateway.forward.formats.ngsi_windows import (
    START_MARK,
    attribute_of,
    dates,
    tells_interval,
    window_ns,
)
from gateway.quantities import Quantity, registry
from gateway.reading import Series

__all__ = ["CORE_CONTEXT", "MODEL_CONTEXT", "Plan", "Writer", "context_of", "plan_series"]

CORE_CONTEXT = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.8.jsonld"
MODEL_CONTEXT = (
    "https://raw.githubusercontent.com/smart-data-models/dataModel.{domain}/master/context.jsonld"
)
URN_SAFE = "!$&'()*+,;=:@/"
"""What may stand in an id beside letters, digits and ``-._~``; the rest is percent-encoded."""
Writer = Callable[[float], str]
_number: Writer = "%.12g".__mod__
"""Twelve digits: more than any sensor has, and few enough to hide binary noise."""
_integer: Writer = "%.0f".__mod__


def _boolean(value: float) -> str:
    return "true" if value else "false"


def _fraction(percent: float) -> str:
    """Write 0..1; a humidity sensor's 100.3 % is written as 1, the most that the schemas allow."""
    return _number(min(max(percent / 100, 0.0), 1.0))


@dataclass(frozen=True, slots=True)
class Plan:
    """All that can be worked out for one series before there is a reading."""

    topic: str
    group: str
    """Readings of the same group and millisecond share an entity: entity id, length of window."""
    head: str
    """JSON from ``{`` to the last attribute that all readings share, with the marks of times."""
    tail: str
    """JSON from ``,"@context"`` to ``}``."""
    attribute: str
    prefix: str
    """``,"pm25":{"type":"Property","value":``."""
    suffix: str
    """``,"unitCode":"GQ","observedAt":"``; of some windows with the mark of their start."""
    member: str
    """Phase within an attribute that is an object, else empty."""
    write: Writer
    window_ns: int
    """Length of the window that ends with the reading, 0 where it is none."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the models a series belongs."""

    type: str
    attribute: str
    member: str = ""
    dims: tuple[tuple[str, str], ...] = ()
    """What tells this entity from others of the sensor, for its id."""


def context_of(entity_type: str, url: str = MODEL_CONTEXT) -> list[str]:
    """Return the one @context of an entity type; ``url`` may have ``{domain}`` in it."""
    return [url.replace("{domain}", DOMAINS[entity_type]), CORE_CONTEXT]


def plan_series(
    series: Series, context: FormatContext, topic: str, urls: Callable[[str], list[str]]
) -> Plan:
    """Return how the readings of one series are written; ``urls`` gives a type its @context."""
    quantity = registry().get(series.key.quantity)
    place = _place(
        series, quantity, has_location=context.location_of(series.key.sensor) is not None
    )
    ids = "".join(f":{key}-{quote(value, safe=URN_SAFE)}" for key, value in place.dims)
    entity = f"urn:ngsi-ld:{place.type}:{context.tenant}:{series.key.sensor}{ids}"
    unit_code, write = _unit_and_writer(place, series, quantity)
    unit = f',"unitCode":"{unit_code}"' if unit_code else ""
    length_ns = window_ns(series)
    if length_ns and not tells_interval(place.type):
        unit += f',"dateObservedFrom":{{"type":"Property","value":"{START_MARK}"}}'
    return Plan(
        topic=topic,
        group=f"{entity} {length_ns}" if length_ns else entity,
        head=_head(entity, place, series, quantity, context),
        tail=f',"@context":{_json(urls(place.type))}}}',
        attribute=place.attribute,
        prefix=f',"{place.attribute}":{{"type":"Property","value":',
        suffix=f'{unit},"observedAt":"',
        member=place.member,
        write=write,
        window_ns=length_ns,
    )


def _place(series: Series, quantity: Quantity | None, *, has_location: bool) -> _Place:
    dims, aggregation = series.key.dims, series.key.aggregation
    found = None
    if quantity is not None:
        model = attribute_of(quantity, aggregation, whole_numbers=INTEGERS)
        found = _model_place(quantity, *model, dict(dims)) if model else None
    if (
        found is None
        or (found.type in NEED_LOCATION and not has_location)
        or (found.type == "Device" and aggregation != "instant")  # there is one of each device
    ):
        found = _Place(FALLBACK, "numValue", dims=(("quantity", series.key.quantity), *dims))
    if aggregation != "instant":
        told = (*found.dims, ("aggregation", aggregation))
        found = _Place(found.type, found.attribute, found.member, told)
    return found


def _model_place(
    quantity: Quantity, entity_type: str, attribute: str, dims: dict[str, str]
) -> _Place | None:
    """Return the place that a model offers, or None where its schema cannot be satisfied."""
    if entity_type == "ThreePhaseAcMeasurement":
        return _electric_place(entity_type, attribute, dims)
    if quantity.kind == "enum" or quantity.name == "device.rssi" or entity_type not in DOMAINS:
        # The ring has numbers, an enum attribute wants a word. A Device needs a controlledProperty,
        # and the signal strength of its radio is none of those that the schema allows. A
        # ParkingSpot needs a parking site that nobody configured.
        return None
    kept = tuple(dims.items())
    if entity_type == "ItemFlowObserved" and not _lane(dims):
        if quantity.name == "bicycle.count":
            kept = (*kept, ("vehicle_class", "bicycle"))
            return _Place("TrafficFlowObserved", "intensity", dims=kept)
        return None
    if quantity.name in MEDIA:
        kept = (*kept, ("medium", MEDIA[quantity.name].lower()))
    return _Place(entity_type, attribute, dims=kept)


def _electric_place(entity_type: str, attribute: str, dims: dict[str, str]) -> _Place | None:
    phase = dims.pop("phase", "")
    kept = tuple(dims.items())
    if attribute in PHASE_OBJECTS:
        if phase not in PHASE_OBJECTS[attribute]:
            return None
        return _Place(entity_type, attribute, phase, kept)
    if phase in ("", TOTAL):
        return _Place(entity_type, attribute, dims=kept)
    per_phase = attribute.removeprefix(TOTAL)
    if phase not in PHASES or per_phase == attribute:
        return None
    return _Place(entity_type, per_phase[0].lower() + per_phase[1:], phase, kept)


def _unit_and_writer(
    place: _Place, series: Series, quantity: Quantity | None
) -> tuple[str, Writer]:
    if series.key.aggregation == "count":  # how many readings, whatever they measured
        return ONE, _number
    if quantity is None:
        return "", _number
    if place.type == FALLBACK:
        return quantity.uncefact or ONE, _number
    if quantity.kind == "bool":
        return "", _boolean
    if quantity.sdm_factor == PERCENT:
        return ONE, _fraction
    return quantity.uncefact, _integer if place.attribute in INTEGERS else _number


def _head(
    entity: str,
    place: _Place,
    series: Series,
    quantity: Quantity | None,
    context: FormatContext,
) -> str:
    sensor = series.key.sensor
    begin = _json({"id": entity, "type": place.type})[:-1]
    # The marks go in as they are; everything else is escaped, so that nothing can look like one.
    when = "".join(
        f',"{name}":{{"type":"Property","value":"{mark}"}}'
        for name, mark in dates(place.type, windowed=window_ns(series) > 0).items()
    )
    shared: dict[str, object] = {**shared_location(sensor, context)}
    if place.type == "Device":
        shared["controlledProperty"] = _property(
            controlled_properties(sensor, context, (series.key.quantity,))
        )
    else:
        device = device_id(sensor, context)
        shared["refDevice"] = {"type": "Relationship", "object": device}
    shared |= _described(place, series, quantity)
    rest = _json(shared)[1:-1]
    return f"{begin}{when},{rest}"


def _described(place: _Place, series: Series, quantity: Quantity | None) -> dict[str, object]:
    """Return what the dimensions of a series say in the words of its type."""
    dims = dict(place.dims)
    direction = dims.get("direction", "")
    said: dict[str, object] = {}
    if place.type == "TrafficFlowObserved":
        said["laneId"] = _lane(dims)
        said["laneDirection"] = LANE_DIRECTIONS.get(direction)
        kind = dims.get("vehicle_class", "")
        said["vehicleType" if kind in VEHICLE_TYPES else "vehicleSubType"] = kind
    elif place.type == "ItemFlowObserved":
        said["laneId"] = _lane(dims)
        said["laneDirection"] = direction if direction in ITEM_DIRECTIONS else None
        said["itemType"] = "vehicle"
        said["itemSubType"] = "bicycle" if series.key.quantity == "bicycle.count" else None
    elif place.type == "CrowdFlowObserved":
        said["direction"] = direction if direction in CROWD_DIRECTIONS else None
    elif place.type == "SmartMeteringObservation":
        said["meterType"] = MEDIA.get(series.key.quantity)
    elif place.type == FALLBACK:
        said |= _fallback(series, quantity)
    return {name: _property(value) for name, value in said.items() if value}


def _fallback(series: Series, quantity: Quantity | None) -> dict[str, object]:
    name, aggregation = series.key.quantity, series.key.aggregation
    unit = quantity.uncefact if quantity is not None else series.unit
    return {
        "controlledProperty": name if aggregation == "instant" else f"{name} {aggregation}",
        "unit": ONE if aggregation == "count" else unit,
    }


def _lane(dims: Mapping[str, str]) -> int | None:
    text = dims.get("lane", "")
    return int(text) if text.isascii() and text.isdigit() and int(text) >= 1 else None


def _property(value: object) -> dict[str, object]:
    return {"type": "Property", "value": value}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
