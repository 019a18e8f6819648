"""What the schemas of the Smart Data Models ask for beyond the registry: closed lists and shapes.

Facts of the models in the versions that docs/payloads/ngsi-ld.md follows (smartdatamodels.org).
"""

from collections.abc import Mapping
from fractions import Fraction

__all__ = [
    "CROWD_DIRECTIONS",
    "DOMAINS",
    "FALLBACK",
    "INTEGERS",
    "ITEM_DIRECTIONS",
    "LANE_DIRECTIONS",
    "MEDIA",
    "NEED_LOCATION",
    "ONE",
    "PERCENT",
    "PHASES",
    "PHASE_OBJECTS",
    "TOTAL",
    "VEHICLE_TYPES",
]

FALLBACK = "DeviceMeasurement"
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
