"""Recordings: what came in at a port, as JSON Lines, one chunk or advertisement a line.

``{"t": 12.5, "sensor": "air-roof", "hex": "aac0..."}`` for bytes (with ``"request": "107b..."``
where they answer a question), and for advertisements
``{"t": 12.5, "address": "C4:7F:51:00:00:01", "rssi": -71, "name": "", "manufacturer_data":
{"1177": "05..."}, "service_data": {"<uuid>": "40..."}, "service_uuids": []}``; ``t`` is seconds
from any beginning. Pure functions; a line that does not fit raises ``RecordingError``.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.driver import Advert

__all__ = [
    "MAX_LINE_BYTES",
    "RecordedBytes",
    "RecordingError",
    "format_advert",
    "format_bytes",
    "line_time_s",
    "parse_advert",
    "parse_bytes",
]

MAX_LINE_BYTES = 256 * 1024
"""Holds one read of a port, 64 KiB, as hex; a longer line is malformed."""
MAX_TIME_S = 1e12
"""Beyond 30,000 years ``t`` is no time."""


class RecordingError(ValueError):
    """A line that is not of a recording; the message never holds its content."""


class RecordedBytes(NamedTuple):
    """One chunk from a serial port."""

    time_s: float
    sensor: str
    """Empty where the recording does not say."""
    data: bytes
    request: bytes = b""
    """What the device was asked, where it was asked."""


def format_bytes(time_s: float, sensor: str, data: bytes, request: bytes = b"") -> bytes:
    """Return one line, with its end."""
    fields = {"t": round(time_s, 6), "sensor": sensor, "hex": data.hex()}
    return _line(fields | ({"request": request.hex()} if request else {}))


def format_advert(time_s: float, advert: Advert) -> bytes:
    """Return one line, with its end."""
    return _line(
        {
            "t": round(time_s, 6),
            "address": advert.address,
            "rssi": advert.rssi,
            "name": advert.name,
            "manufacturer_data": {
                str(company): data.hex() for company, data in advert.manufacturer_data.items()
            },
            "service_data": {uuid: data.hex() for uuid, data in advert.service_data.items()},
            "service_uuids": list(advert.service_uuids),
        }
    )


def parse_bytes(line: bytes) -> RecordedBytes:
    """Return the chunk that a line holds; RecordingError if it holds none."""
    fields = _fields(line)
    return RecordedBytes(
        line_time_s(fields),
        _text(fields.get("sensor", ""), "sensor"),
        _bytes(fields.get("hex"), "hex"),
        _bytes(fields.get("request", ""), "request"),
    )


def parse_advert(line: bytes) -> tuple[float, Advert]:
    """Return time and advertisement that a line holds; RecordingError if it holds none."""
    fields = _fields(line)
    rssi = fields.get("rssi", 0)
    if type(rssi) is not int or not -128 <= rssi <= 127:
        raise RecordingError("has an rssi that is no whole number from -128 to 127")
    uuids = fields.get("service_uuids", [])
    if not isinstance(uuids, list):
        raise RecordingError("has service_uuids that are no list")
    advert = Advert(
        address=_text(fields.get("address"), "address").upper(),
        rssi=rssi,
        name=_text(fields.get("name", ""), "name"),
        manufacturer_data={
            _company(key): _bytes(value, "manufacturer_data")
            for key, value in _table(fields, "manufacturer_data").items()
        },
        service_data={
            key.lower(): _bytes(value, "service_data")
            for key, value in _table(fields, "service_data").items()
        },
        service_uuids=tuple(_text(uuid, "service_uuids").lower() for uuid in uuids),
    )
    return line_time_s(fields), advert


def line_time_s(fields: Mapping[str, Any]) -> float:
    """Return ``t`` in seconds; RecordingError if it is no finite number."""
    time_s = fields.get("t")
    if type(time_s) not in (int, float) or not -MAX_TIME_S < time_s < MAX_TIME_S:  # type: ignore[operator]
        raise RecordingError("has no number of seconds in t")
    return float(time_s)  # type: ignore[arg-type]


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _fields(line: bytes) -> Mapping[str, Any]:
    if not line:
        raise RecordingError("is too long")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordingError("is not JSON") from error
    if not isinstance(fields, dict):
        raise RecordingError("is no object")
    return fields


def _table(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = fields.get(key, {})
    if not isinstance(table, dict):
        raise RecordingError(f"has a {key} that is no object")
    return table


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise RecordingError(f"has a {key} that is no text")
    return value


def _bytes(value: object, key: str) -> bytes:
    try:
        return bytes.fromhex(_text(value, key))
    except ValueError as error:
        raise RecordingError(f"has a {key} that is not hexadecimal") from error


def _company(text: str) -> int:
    try:
        company = int(text)
    except ValueError as error:
        raise RecordingError("has a manufacturer_data key that is no number") from error
    if not 0 <= company <= 0xFFFF:
        raise RecordingError("has a manufacturer_data key above 65535")
    return company
