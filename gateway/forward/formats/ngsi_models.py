"""How a series becomes an attribute of a Smart Data Models entity: tables, and one plan a series.

The registry (gateway/data/quantities.csv) names type, attribute and factor; this module knows
what the schemas of those types additionally ask for. Where a type's required attributes cannot be
given (no location is configured, no lane is known), the reading goes out as a DeviceMeasurement,
which asks for nothing. Ids are stable for ever: nothing here may change an id that was sent.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from gateway.forward.formats.base import FormatContext, render_topic
from gateway.quantities import Quantity, registry
from gateway.reading import Series

__all__ = ["CORE_CONTEXT", "TIME_MARK", "Plan", "context_of", "plan_series"]

CORE_CONTEXT = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.8.jsonld"
MODEL_CONTEXT = (
    "https://raw.githubusercontent.com/smart-data-models/dataModel.{domain}/master/context.jsonld"
)
TIME_MARK = "\0"
"""Stands in a plan's head where the time of the readings goes."""
FALLBACK = "DeviceMeasurement"
COORDINATE_DIGITS = 7
"""About a centimetre."""
ONE = "C62"
"""UN/CEFACT code of the number one: fractions 0..1."""

DOMAINS: Mapping[str, str] = {
    "AirQualityObserved": "Environment",
    "NoiseLevelObserved": "Environment",
    "IndoorEnvironmentObserved": "Environment",
    "WeatherObserved": "Weather",
    "TrafficFlowObserved": "Transportation",
    "ItemFlowObserved": "Transportation",
    "CrowdFlowObserved": "Transportation",
    "ThreePhaseAcMeasurement": "Energy",
    "Device": "Device",
    "DeviceMeasurement": "Device",
    "SmartMeteringObservation": "Device",
}
"""Entity type -> its subject, whose @context it gets; terms differ between them (standards)."""
NEED_LOCATION = frozenset(
    {
        "AirQualityObserved",
        "IndoorEnvironmentObserved",
        "ItemFlowObserved",
        "NoiseLevelObserved",
        "WeatherObserved",
    }
)
DATES: Mapping[str, tuple[str, ...]] = {
    "AirQualityObserved": ("dateObserved",),
    "CrowdFlowObserved": ("dateObserved",),
    "DeviceMeasurement": ("dateObserved",),
    "IndoorEnvironmentObserved": ("dateObserved",),
    "ItemFlowObserved": ("dateObserved",),
    "NoiseLevelObserved": ("dateObservedFrom", "dateObservedTo"),
    "TrafficFlowObserved": ("dateObserved",),
    "WeatherObserved": ("dateObserved",),
}
INTEGERS = frozenset(
    {
        "airQualityIndex",
        "peopleCount",
        "peopleCountAway",
        "peopleCountTowards",
        "tpc",
        "tsp",
    }
)
PHASE_OBJECTS: Mapping[str, tuple[str, ...]] = {
    "phaseVoltage": ("L1", "L2", "L3"),
    "phaseToPhaseVoltage": ("L12", "L23", "L31"),
    "current": ("L1", "L2", "L3", "N"),
    "thdVoltage": ("L1", "L2", "L3"),
    "thdCurrent": ("L1", "L2", "L3", "N"),
}
"""Attributes that are an object with a member per phase, and never a single number."""
PHASES = ("L1", "L2", "L3")
TOTAL = "total"
VEHICLE_TYPES = frozenset(
    {
        "agriculturalVehicle",
        "bicycle",
        "binTrolley",
        "bus",
        "car",
        "caravan",
        "carWithCaravan",
        "carWithTrailer",
        "cleaningTrolley",
        "constructionOrMaintenanceVehicle",
        "lorry",
        "minibus",
        "moped",
        "motorcycle",
        "motorcycleWithSideCar",
        "motorscooter",
        "sweepingMachine",
        "tanker",
        "trailer",
        "tram",
        "trolley",
        "van",
    }
)
LANE_DIRECTIONS: Mapping[str, str] = {
    "forward": "forward",
    "backward": "backward",
    "inbound": "forward",
    "outbound": "backward",
}
"""Traffic that comes towards the sensor (inbound) is forward."""
ITEM_DIRECTIONS = frozenset({"forward", "backward", "inbound", "outbound", "left", "right"})
CROWD_DIRECTIONS = frozenset({"inbound", "outbound"})
MEDIA: Mapping[str, str] = {
    "heat.energy": "Heat",
    "water.volume": "Water",
    "gas.volume": "Gas",
}
"""Quantity -> meterType of SmartMeteringObservation."""

PERCENT = Fraction(1, 100)
"""The only factor other than one that the registry has for these models."""

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
    entity: str
    """Entity id; readings with the same id and time share an entity."""
    head: str
    """JSON from ``{`` to the last attribute that all readings share, with TIME_MARK in it."""
    tail: str
    """JSON from ``,"@context"`` to ``}``."""
    attribute: str
    prefix: str
    """``,"pm25":{"type":"Property","value":``."""
    suffix: str
    """``,"unitCode":"GQ","observedAt":"``."""
    member: str
    """Phase within an attribute that is an object, else empty."""
    write: Writer


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the models a series belongs."""

    type: str
    attribute: str
    member: str = ""
    dims: tuple[tuple[str, str], ...] = ()
    """What tells this entity from others of the sensor, for its id."""


def context_of(entity_type: str) -> list[str]:
    """Return the one @context of an entity type."""
    return [MODEL_CONTEXT.format(domain=DOMAINS[entity_type]), CORE_CONTEXT]


def plan_series(series: Series, context: FormatContext) -> Plan:
    """Return how the readings of one series are written."""
    quantity = registry().get(series.key.quantity)
    place = _place(
        series, quantity, has_location=context.location_of(series.key.sensor) is not None
    )
    sensor = series.key.sensor
    suffix = "".join(f":{key}-{value}" for key, value in place.dims)
    entity = f"urn:ngsi-ld:{place.type}:{context.tenant}:{sensor}{suffix}"
    unit_code, write = _unit_and_writer(place, quantity)
    unit = f',"unitCode":"{unit_code}"' if unit_code else ""
    return Plan(
        topic=render_topic(context.topic, context, sensor),
        entity=entity,
        head=_head(entity, place, series, quantity, context),
        tail=f',"@context":{_json(context_of(place.type))}}}',
        attribute=place.attribute,
        prefix=f',"{place.attribute}":{{"type":"Property","value":',
        suffix=f'{unit},"observedAt":"',
        member=place.member,
        write=write,
    )


def _place(series: Series, quantity: Quantity | None, *, has_location: bool) -> _Place:
    dims = dict(series.key.dims)
    found = None
    if quantity is not None and quantity.sdm_attribute:
        found = _model_place(quantity, dims)
    if found is None or (found.type in NEED_LOCATION and not has_location):
        extra = (("quantity", series.key.quantity), *series.key.dims)
        found = _Place(FALLBACK, "numValue", dims=extra)
    if series.key.aggregation != "instant":
        aggregation = ("aggregation", series.key.aggregation)
        found = _Place(found.type, found.attribute, found.member, (*found.dims, aggregation))
    return found


def _model_place(quantity: Quantity, dims: dict[str, str]) -> _Place | None:
    """Return the place that the registry names, or None where its schema cannot be satisfied."""
    if quantity.sdm_type == "ThreePhaseAcMeasurement":
        return _electric_place(quantity, dims)
    if (
        quantity.kind == "enum"
        or quantity.name == "device.rssi"
        or quantity.sdm_type not in DOMAINS
    ):
        # The ring has numbers, an enum attribute wants a word. A Device needs a controlledProperty,
        # and the signal strength of its radio is none of those that the schema allows. A
        # ParkingSpot needs a parking site that nobody configured.
        return None
    kept = tuple(dims.items())
    if quantity.sdm_type == "ItemFlowObserved" and not _lane(dims):
        if quantity.name == "bicycle.count":
            kept = (*kept, ("vehicle_class", "bicycle"))
            return _Place("TrafficFlowObserved", "intensity", dims=kept)
        return None
    if quantity.name in MEDIA:
        kept = (*kept, ("medium", MEDIA[quantity.name].lower()))
    return _Place(quantity.sdm_type, quantity.sdm_attribute, dims=kept)


def _electric_place(quantity: Quantity, dims: dict[str, str]) -> _Place | None:
    phase = dims.pop("phase", "")
    attribute = quantity.sdm_attribute
    kept = tuple(dims.items())
    if attribute in PHASE_OBJECTS:
        if phase not in PHASE_OBJECTS[attribute]:
            return None
        return _Place(quantity.sdm_type, attribute, phase, kept)
    if phase in ("", TOTAL):
        return _Place(quantity.sdm_type, attribute, dims=kept)
    per_phase = attribute.removeprefix(TOTAL)
    if phase not in PHASES or per_phase == attribute:
        return None
    return _Place(quantity.sdm_type, per_phase[0].lower() + per_phase[1:], phase, kept)


def _unit_and_writer(place: _Place, quantity: Quantity | None) -> tuple[str, Writer]:
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
    shared: dict[str, object] = {"id": entity, "type": place.type}
    for date in DATES.get(place.type, ()):
        shared[date] = _property(TIME_MARK)
    location = context.location_of(sensor)
    if location is not None:
        point = [round(location.lon, COORDINATE_DIGITS), round(location.lat, COORDINATE_DIGITS)]
        shared["location"] = {
            "type": "GeoProperty",
            "value": {"type": "Point", "coordinates": point},
        }
    if place.type == "Device":
        shared["controlledProperty"] = _property(["batteryLife"])
    else:
        device = f"urn:ngsi-ld:Device:{context.tenant}:{sensor}"
        shared["refDevice"] = {"type": "Relationship", "object": device}
    shared |= _described(place, series, quantity)
    return _json(shared)[:-1].replace(_json(TIME_MARK), f'"{TIME_MARK}"')


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
        said["controlledProperty"] = series.key.quantity
        said["unit"] = quantity.uncefact if quantity is not None else series.unit
    return {name: _property(value) for name, value in said.items() if value}


def _lane(dims: Mapping[str, str]) -> int | None:
    text = dims.get("lane", "")
    return int(text) if text.isascii() and text.isdigit() and int(text) >= 1 else None


def _property(value: object) -> dict[str, object]:
    return {"type": "Property", "value": value}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
