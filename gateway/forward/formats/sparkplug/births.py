"""What births tell besides the measurements: who made them, and where they stand."""

from gateway.forward.formats.base import FormatContext
from gateway.forward.formats.sparkplug import payload, wire
from gateway.forward.formats.sparkplug.metrics import Properties
from gateway.forward.formats.sparkplug.payload import DataType, Scalar

__all__ = ["device_properties", "named_metrics", "node_properties"]


def named_metrics(metrics: Properties, timestamp_ms: int) -> bytes:
    """Return metrics with a name, a value and nothing else, as fields of a payload."""
    return b"".join(
        payload.metric_field(
            wire.blob(payload.NAME, name.encode()),
            timestamp_ms,
            datatype,
            payload.value_field(datatype, value),
        )
        for name, (datatype, value) in metrics.items()
    )


def node_properties(context: FormatContext) -> Properties:
    """Return the metrics of NBIRTH that describe the gateway."""
    found = {"Properties/Software": _text("citylab-gateway")}
    if context.version:
        found["Properties/Software Version"] = _text(context.version)
    if context.location is not None:
        found |= _place(context.location.lat, context.location.lon)
    return found


def device_properties(sensor: str, context: FormatContext) -> Properties:
    """Return the metrics of DBIRTH that describe a sensor."""
    found: dict[str, tuple[DataType, Scalar]] = {}
    facts = context.sensors.get(sensor)
    if facts is not None:
        found["Properties/Driver"] = _text(facts.driver)
        found["Properties/Model"] = _text(facts.title)
    place = context.location_of(sensor)
    return found if place is None else found | _place(place.lat, place.lon)


def _place(lat: float, lon: float) -> dict[str, tuple[DataType, Scalar]]:
    return {
        "Properties/Latitude": (DataType.DOUBLE, lat),
        "Properties/Longitude": (DataType.DOUBLE, lon),
    }


def _text(text: str) -> tuple[DataType, Scalar]:
    return DataType.STRING, text
