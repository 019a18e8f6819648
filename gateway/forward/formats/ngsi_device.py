"""The sensor itself as a Device entity (Smart Data Models, Device 0.0.9).

It is what ``refDevice`` of every other entity points at. Only what is known for certain is said:
no firmware, no battery, no last contact that nobody reported.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.forward.formats.base import FormatContext

__all__ = ["controlled_properties", "device_entity", "device_id", "shared_location"]

COORDINATE_DIGITS = 7
"""About a centimetre."""
CONTROLLED: Mapping[str, tuple[str, ...]] = {
    "air.": ("airPollution",),
    "air.dew_point": ("humidity",),
    "air.humidity": ("humidity",),
    "air.pressure": ("atmosphericPressure",),
    "air.temperature": ("temperature",),
    "air.temperature_feels_like": ("temperature",),
    "bicycle.": ("trafficFlow",),
    "device.battery": ("batteryLife",),
    "device.temperature": ("temperature",),
    "device.voltage": ("batterySupply",),
    "devices.": ("motion",),
    "electric.": ("electricityConsumption",),
    "energy.": ("electricityConsumption", "energy"),
    "gas.": ("gasConsumption",),
    "heat.": ("energy",),
    "heat.flow_temperature": ("temperature",),
    "heat.power": ("power",),
    "heat.return_temperature": ("temperature",),
    "light.": ("light",),
    "meter.": ("energy",),
    "noise.": ("noiseLevel",),
    "parking.": ("occupancy",),
    "people.": ("motion",),
    "people.present": ("occupancy",),
    "power.": ("power",),
    "rain.": ("precipitation",),
    "site.": ("location",),
    "snow.": ("weatherConditions",),
    "solar.": ("solarRadiation",),
    "traffic.": ("trafficFlow",),
    "traffic.occupancy": ("occupancy", "trafficFlow"),
    "traffic.speed_avg": ("averageVelocity", "trafficFlow"),
    "traffic.speed_max": ("speed", "trafficFlow"),
    "traffic.speed_p85": ("speed", "trafficFlow"),
    "uv.": ("solarRadiation",),
    "water.": ("waterConsumption",),
    "water.flow": ("waterFlow",),
    "wind.": ("windSpeed",),
    "wind.direction": ("windDirection",),
}
"""Quantity, or its group with the dot -> words of the schema's closed list; the longer key wins."""
METER_DOMAIN = "energy"


def device_id(sensor: str, context: FormatContext) -> str:
    """Return the id of a sensor's Device entity, the same for ever."""
    return f"urn:ngsi-ld:Device:{context.tenant}:{sensor}"


def controlled_properties(
    sensor: str, context: FormatContext, quantities: Iterable[str]
) -> list[str]:
    """Return what a device senses in the schema's words, in the order of the alphabet.

    ``quantities`` are added to those that the sensor's driver can yield. May be empty.
    """
    facts = context.sensors.get(sensor)
    found: set[str] = set()
    for quantity in {*quantities, *(facts.quantities if facts is not None else ())}:
        group = f"{quantity.partition('.')[0]}."
        found |= set(CONTROLLED.get(quantity, CONTROLLED.get(group, ())))
    return sorted(found)


def shared_location(sensor: str, context: FormatContext) -> dict[str, Any]:
    """Return the attribute ``location`` of a sensor's entities, empty where nobody said."""
    location = context.location_of(sensor)
    if location is None:
        return {}
    point = [round(location.lon, COORDINATE_DIGITS), round(location.lat, COORDINATE_DIGITS)]
    value = {"type": "Point", "coordinates": point}
    return {"location": {"type": "GeoProperty", "value": value}}


def device_entity(
    sensor: str, quantities: Iterable[str], context: FormatContext, urls: list[str]
) -> dict[str, Any] | None:
    """Return the Device entity of a sensor; ``urls`` is the @context of the type Device.

    None for a sensor of which the schema's list of properties knows nothing: an entity without
    ``controlledProperty`` would not be valid.
    """
    properties = controlled_properties(sensor, context, quantities)
    if not properties:
        return None
    facts = context.sensors.get(sensor)
    category = "meter" if facts is not None and facts.domain == METER_DOMAIN else "sensor"
    said: dict[str, object] = {"name": sensor}
    if facts is not None and facts.title:
        said["description"] = facts.title
    said |= {"deviceCategory": [category], "controlledProperty": properties}
    return {
        "id": device_id(sensor, context),
        "type": "Device",
        **shared_location(sensor, context),
        **{name: {"type": "Property", "value": value} for name, value in said.items()},
        "@context": urls,
    }
