"""The page for people: for each broker, exactly what leaves, and what does not and why."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.config.units import duration_text
from gateway.filters import parse_options
from gateway.filters.deadband import DeadbandOptions
from gateway.filters.interval import IntervalOptions
from gateway.filters.range import RangeOptions
from gateway.filters.window_options import WindowOptions

__all__ = ["page"]

HISTORY = {
    "in-order": "what piled up first, then what is new",
    "beside": "what is new at once, what piled up beside it",
    "latest": "only what is new; what piled up is not sent",
}
"""After an outage."""


def page(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield f"gateway {facts['gateway']} of {facts['tenant']}"
    if not facts["brokers"]:
        yield "no broker: nothing leaves"
    for broker in facts["brokers"]:
        yield ""
        yield from _broker(broker)


def _broker(broker: Mapping[str, Any]) -> Iterator[str]:
    readers = "open to everybody" if broker["open"] else "not open"
    plain = "" if broker["encrypted"] else ", PLAIN TEXT: everybody on the way can read and forge"
    yield f"broker {broker['name']}: {broker['url']}, {readers}{plain}"
    yield f"  format {broker['format']}, MQTT {broker['protocol']}, QoS {broker['qos']}"
    rate = f", at most {broker['history_rate']} a second" if broker["history_rate"] else ""
    yield f"  after an outage: {HISTORY[broker['history']]}{rate}"
    if broker["message_expiry_s"] is not None:
        yield f"  the broker may drop messages after {duration_text(broker['message_expiry_s'])}"
    for topic, kinds in broker["topics"].items():
        yield f"  writes {topic} ({', '.join(kinds)})"
    for topic in broker["subscriptions"]:
        yield f"  reads {topic}"
    if not broker["sensors"]:
        yield "  gets no readings"
    for sensor in broker["sensors"]:
        yield from _sensor(sensor)
    yield from _withheld(broker["withheld"])


def _sensor(sensor: Mapping[str, Any]) -> Iterator[str]:
    yield f"  sensor {sensor['name']}: {sensor['device']}"
    yield f"    privacy {sensor['privacy']}, {_kept(sensor)}, {_place(sensor)}"
    for key, word in (
        ("purpose", "purpose"),
        ("controller", "controller"),
        ("legal_basis", "legal basis"),
    ):
        if sensor[key]:
            yield f"    {word}: {sensor[key]}"
    for quantity in sensor["quantities"]:
        unit = "" if quantity["unit"] == "1" else f" in {quantity['unit']}"
        dims = "".join(f", {key} {'/'.join(values)}" for key, values in quantity["dims"].items())
        figures = ", ".join(each for each in quantity["aggregations"] if each != "instant")
        name = f"{figures} of {quantity['quantity']}" if figures else quantity["quantity"]
        yield f"    gives {name}{unit}{dims}: {_how_often(quantity)}"


def _kept(sensor: Mapping[str, Any]) -> str:
    limit_s = sensor["retention_s"]
    if limit_s is None:
        return "kept in the ring as long as it fits"
    return f"kept in the ring for {duration_text(limit_s)} at most"


def _place(sensor: Mapping[str, Any]) -> str:
    place = sensor["location"]
    if place is None:
        return "no place told"
    return f"place {place['lon']} {place['lat']} (to {sensor['location_decimals']} decimals)"


def _how_often(quantity: Mapping[str, Any]) -> str:
    parts = [f"measured every {duration_text(quantity['measured_every_s'])}"]
    parts += [_filter(name, raw) for name, raw in quantity["filters"].items()]
    if quantity["at_most_one_in_s"]:
        parts.append(f"leaves at most once in {duration_text(quantity['at_most_one_in_s'])}")
    return ", ".join(parts)


def _filter(name: str, raw: object) -> str:
    """Return in words what a filter does to the rate."""
    options = parse_options(name, raw)
    if isinstance(options, IntervalOptions):
        return f"the {options.take} of each {duration_text(options.every)}"
    if isinstance(options, WindowOptions):
        return f"summed up over each {duration_text(options.every)}"
    if isinstance(options, DeadbandOptions):
        return f"on change, and every {duration_text(options.heartbeat)} in any case"
    if isinstance(options, RangeOptions):
        done = "flagged" if options.action == "flag" else "left out"
        return f"{done} outside {_bound(options.min)}..{_bound(options.max)}"
    told = options.model_dump(exclude_defaults=True)
    words = " ".join(f"{key}={value}" for key, value in told.items())
    return f"filtered by {name} {words}".rstrip()


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _withheld(entries: list[Mapping[str, str]]) -> Iterator[str]:
    """Yield one line a sensor and reason."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        grouped.setdefault((entry["sensor"], entry["reason"]), []).append(entry["quantity"])
    for (sensor, reason), quantities in grouped.items():
        yield f"  withheld {sensor}: {', '.join(quantities)} ({reason})"
