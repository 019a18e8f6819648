"""What Home Assistant calls a series: its key, its name, and how it is discovered.

The columns ``ha_*`` of the registry (gateway/data/quantities.csv) follow its tables of device
classes, units and state classes. Source: home-assistant.io, MQTT integration, device discovery.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from gateway.quantities import Quantity, registry
from gateway.reading import Series, SeriesKey

__all__ = ["COUNTED_AT", "Entity", "entity_of", "identifier"]

PLAIN_ID = re.compile(r"[a-zA-Z0-9-]+")
"""What stands in an identifier as it is; ``_`` joins such parts."""
FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]+")
HASH_DIGITS = 8
MAX_PART_LENGTH = 64
COUNTED_AT = ".at"
"""After the key of a count: when it was counted. No key ends so, because a key has no dot."""
MICRO_SIGN, MU = "\u00b5", "\u03bc"
"""Home Assistant's own units have the Greek letter; the sign that looks like it is another one."""
NUMBER_CLASSES: Mapping[str, frozenset[str]] = {
    "energy": frozenset({"total", "total_increasing"}),
    "gas": frozenset({"total", "total_increasing"}),
    "volume": frozenset({"total", "total_increasing"}),
    "water": frozenset({"total", "total_increasing"}),
}
"""Device classes that do not go with the state class ``measurement``."""
ADDED_UP = frozenset({("delta", "instant"), ("delta", "sum"), ("counter", "sum")})
"""Kind of quantity and statistic of what was counted since the reading before."""
UNCHANGED = frozenset({"instant", "last", "max"})
"""Statistics of a register that are a state of it."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One series as Home Assistant sees it."""

    key: str
    """Member of the state message and id of the component: ``[a-zA-Z0-9_-]``."""
    component: Mapping[str, Any]
    """Its part of the discovery message, but for the unique id."""
    is_count: bool
    """Every value counts: Home Assistant adds them up, so none may take another's place."""
    is_bool: bool


def identifier(*parts: str) -> str:
    """Return parts joined to an id of ``[a-zA-Z0-9_-]``; different parts give different ids."""
    text = "_".join(FORBIDDEN.sub("_", part)[:MAX_PART_LENGTH] for part in parts)
    if all(PLAIN_ID.fullmatch(part) and len(part) <= MAX_PART_LENGTH for part in parts):
        return text
    return f"{text}_{_digest(parts)}"


def entity_of(series: Series) -> Entity:
    """Return what a series is in Home Assistant: pure, and the same for ever."""
    quantity = registry().get(series.key.quantity)
    key = _key(series.key, known=quantity is not None)
    is_bool = quantity is not None and quantity.kind == "bool" and _is_state(series)
    is_count = quantity is not None and (quantity.kind, series.key.aggregation) in ADDED_UP
    said: dict[str, Any] = {
        "platform": "binary_sensor" if is_bool else "sensor",
        "name": _name(series.key),
        # An empty text leaves the state as it is: a message tells only what was measured.
        "value_template": f"{{{{ value_json['{key}'] | default('') }}}}",
    }
    if is_bool and quantity is not None:
        said |= {"payload_on": "ON", "payload_off": "OFF"}
        if quantity.ha_device_class:
            said["device_class"] = quantity.ha_device_class
    else:
        said |= _number(series, quantity)
    if is_count:
        # Counts of a window begin at zero each time; without this the difference would be summed.
        template = f"{{{{ value_json['{key}{COUNTED_AT}'] | default('') }}}}"
        said["last_reset_value_template"] = template
    return Entity(key, said, is_count, is_bool)


def _number(series: Series, quantity: Quantity | None) -> dict[str, Any]:
    """Return class, unit and state class of a number; nothing that Home Assistant would refuse."""
    aggregation = series.key.aggregation
    if aggregation == "count" or (quantity is not None and quantity.kind == "bool"):
        return {"state_class": "measurement"}  # how many readings, or which part of them
    if quantity is None:
        shown = {} if series.unit in ("", "1") else {"unit_of_measurement": _unit(series.unit)}
        return {**shown, "state_class": "measurement"}
    if quantity.kind == "enum":
        return {"suggested_display_precision": 0}  # a number, and no statistics of it
    said: dict[str, Any] = {}
    state_class = quantity.ha_state_class
    if (quantity.kind, aggregation) in ADDED_UP:
        state_class = "total"
    elif quantity.kind == "delta" or (quantity.kind == "counter" and aggregation not in UNCHANGED):
        state_class = "measurement"
    device_class = quantity.ha_device_class
    if state_class in NUMBER_CLASSES.get(device_class, {state_class}) and device_class:
        said["device_class"] = device_class
    if quantity.ha_unit:
        said["unit_of_measurement"] = _unit(quantity.ha_unit)
    said["state_class"] = state_class or "measurement"
    return said


def _is_state(series: Series) -> bool:
    return series.key.aggregation in UNCHANGED | {"min"}


def _unit(unit: str) -> str:
    return unit.replace(MICRO_SIGN, MU)


def _key(key: SeriesKey, *, known: bool) -> str:
    dims = [f"{name.replace('_', '-')}-{value}" for name, value in key.dims]
    parts = [key.quantity, *dims]
    if key.aggregation != "instant":
        parts.append(f"aggregation-{key.aggregation}")
    if known:  # names of the registry stay different when their dots become underscores
        return identifier(*key.quantity.replace("_", ".").split("."), *parts[1:])
    text = "_".join(FORBIDDEN.sub("_", part)[:MAX_PART_LENGTH] for part in parts)
    return f"{text}_{_digest(key)}"


def _name(key: SeriesKey) -> str:
    told = [key.quantity.replace(".", " ").replace("_", " ")]
    told += [f"{name.replace('_', ' ')} {value}" for name, value in key.dims]
    if key.aggregation != "instant":
        told.append(key.aggregation)
    return " ".join(told)


def _digest(what: object) -> str:
    text = json.dumps(what, ensure_ascii=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:HASH_DIGITS]
