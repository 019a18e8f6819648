"""A JSON Schema that fits an example payload: which keys there are, and of which type."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from gateway.forward import Message

__all__ = ["example_and_schema", "schema_of"]

LINES = "application/x-ndjson"
"""One line of it would look like JSON, two would not."""


def example_and_schema(message: Message) -> tuple[Any, dict[str, Any]]:
    """Return the payload as a JSON value, and a schema that says its shape.

    What is no JSON becomes text, or base64 where it is no text either.
    """
    if message.content_type != LINES and message.payload[:1] in (b"{", b"["):
        value = _json(message.payload)
        if value is not None:
            return value, schema_of(value)
    try:
        return message.payload.decode(), {"type": "string"}
    except UnicodeDecodeError:
        text = base64.b64encode(message.payload).decode()
        return text, {"type": "string", "contentEncoding": "base64"}


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:  # binary that begins like it
        return None


def schema_of(value: Any) -> dict[str, Any]:
    """Return a schema that ``value`` fits; every number counts as ``number``."""
    if isinstance(value, Mapping):
        return {
            "type": "object",
            "properties": {key: schema_of(each) for key, each in value.items()},
            "required": list(value),
        }
    if isinstance(value, list):
        items: dict[str, Any] = {}
        for each in value:
            items = _either(items, schema_of(each)) if items else schema_of(each)
        return {"type": "array", "items": items} if items else {"type": "array"}
    if value is None:
        return {"type": "null"}
    kinds: Mapping[type, str] = {bool: "boolean", int: "number", float: "number"}
    return {"type": kinds.get(type(value), "string")}


def _either(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that fits what either fits."""
    if one == other:
        return one
    if one.get("type") == other.get("type") == "object":
        properties = dict(one["properties"])
        for key, schema in other["properties"].items():
            properties[key] = _either(properties[key], schema) if key in properties else schema
        required = [key for key in one["required"] if key in other["required"]]
        return {"type": "object", "properties": properties, "required": required}
    alternatives = [*one.get("anyOf", [one])]
    alternatives += [each for each in other.get("anyOf", [other]) if each not in alternatives]
    return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
