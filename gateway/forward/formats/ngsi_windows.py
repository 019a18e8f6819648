"""Where a value that stands for a window goes: which attribute may hold it, and its dates.

A mean of a gauge, the sum of counts and the last state of a register are what the models' plain
attributes mean anyway. Another statistic goes there only where the model has an attribute for it;
the rest becomes a DeviceMeasurement. An interval is told in the words of the type's own schema or
@context; where neither has any, the attribute carries its start as a sub-property.
"""

from collections.abc import Mapping
from math import isfinite

from gateway.quantities import Kind, Quantity
from gateway.reading import Aggregation, Series

__all__ = ["END_MARK", "START_MARK", "attribute_of", "dates", "tells_interval", "window_ns"]

END_MARK = "\0"
"""Stands in a plan where the time of the reading goes: of a window, its end."""
START_MARK = "\1"
"""Stands where the start of the window goes."""
WINDOW_KEY = "window_s"
"""Key in the provenance of a series: length of its windows in seconds, as text."""
NS_PER_S = 1_000_000_000
LONGEST_WINDOW_S = 366 * 86_400

PLAIN: Mapping[Kind, frozenset[Aggregation]] = {
    "gauge": frozenset({"instant", "mean", "last"}),
    "delta": frozenset({"instant", "sum"}),
    "counter": frozenset({"instant", "last"}),
    "bool": frozenset({"instant", "last"}),
    "enum": frozenset({"instant", "last"}),
}
"""Kind of quantity -> the statistics that its plain attribute means."""
MAXIMA = frozenset({"noise.lamax", "traffic.speed_max", "uv.index", "wind.gust"})
"""Quantities whose attribute is a maximum: the greatest of them is one again, their mean is not."""
EXTREMES: Mapping[tuple[str, Aggregation], tuple[str, str]] = {
    ("traffic.speed_avg", "max"): ("ItemFlowObserved", "maxSpeed"),
    ("traffic.speed_avg", "min"): ("ItemFlowObserved", "minSpeed"),
}
"""Quantity and statistic -> type and attribute that a model has for it."""

INSTANTS: Mapping[str, tuple[str, ...]] = {
    "AirQualityObserved": ("dateObserved",),
    "CrowdFlowObserved": ("dateObserved",),
    "DeviceMeasurement": ("dateObserved",),
    "IndoorEnvironmentObserved": ("dateObserved",),
    "ItemFlowObserved": ("dateObserved",),
    "NoiseLevelObserved": ("dateObservedFrom", "dateObservedTo"),
    "TrafficFlowObserved": ("dateObserved",),
    "WeatherObserved": ("dateObserved",),
}
INTERVAL_AS_TEXT = frozenset(
    {"CrowdFlowObserved", "IndoorEnvironmentObserved", "TrafficFlowObserved"}
)
"""Types whose dateObserved is any text, so that ``from/to`` is allowed; elsewhere a time."""
FROM_AND_TO = frozenset(
    {
        "AirQualityObserved",
        "CrowdFlowObserved",
        "IndoorEnvironmentObserved",
        "ItemFlowObserved",
        "NoiseLevelObserved",
        "ThreePhaseAcMeasurement",
        "TrafficFlowObserved",
    }
)
"""Types whose @context has dateObservedFrom and dateObservedTo."""


def window_ns(series: Series) -> int:
    """Return how long the windows of a series are, 0 where its readings are no windows."""
    try:
        length_s = float(series.calibration.get(WINDOW_KEY, ""))
    except ValueError:
        return 0
    if not isfinite(length_s) or not 0 < length_s <= LONGEST_WINDOW_S:
        return 0
    return round(length_s * NS_PER_S)


def attribute_of(
    quantity: Quantity, aggregation: Aggregation, *, whole_numbers: frozenset[str]
) -> tuple[str, str] | None:
    """Return type and attribute for a statistic of a quantity, None where no model has one.

    ``whole_numbers`` are the attributes that hold integers: a mean would lose its fraction there.
    """
    if (quantity.name, aggregation) in EXTREMES:
        return EXTREMES[quantity.name, aggregation]
    if not quantity.sdm_attribute:
        return None
    place = quantity.sdm_type, quantity.sdm_attribute
    if quantity.name in MAXIMA:
        return place if aggregation in ("instant", "max", "last") else None
    if aggregation == "mean" and quantity.sdm_attribute in whole_numbers:
        return None
    return place if aggregation in PLAIN[quantity.kind] else None


def tells_interval(entity_type: str) -> bool:
    """Say whether entities of a type have dates for both ends of a window."""
    return entity_type in FROM_AND_TO


def dates(entity_type: str, *, windowed: bool) -> dict[str, str]:
    """Return the attributes that say when, with marks where the times go."""
    found = dict.fromkeys(INSTANTS.get(entity_type, ()), END_MARK)
    if not windowed or not tells_interval(entity_type):
        return found
    if entity_type in INTERVAL_AS_TEXT:
        found["dateObserved"] = f"{START_MARK}/{END_MARK}"
    return found | {"dateObservedFrom": START_MARK, "dateObservedTo": END_MARK}
