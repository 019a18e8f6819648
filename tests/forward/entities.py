"""Reads NGSI-LD entities as the official schemas want them: key-values, validated."""

import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource
from referencing.jsonschema import DRAFT202012

from gateway.forward.formats.ngsi_tables import DOMAINS
from gateway.reading import Aggregation, Dims, Series, SeriesKey
from tests.shared_material import shared

__all__ = ["attributes", "context_terms", "key_values", "schema_errors", "series_of"]

BASES = (
    "https://smart-data-models.github.io/",
    "https://raw.githubusercontent.com/smart-data-models/",
)
BEYOND_SCHEMAS = frozenset({"refDevice", "dateObservedFrom", "dateObservedTo"})
FORMATS = FormatChecker(formats=["ipv4", "ipv6"])
"""Device.ipAddress is oneOf ipv4, ipv6: without both checkers every address fails."""


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    """The library checks this only with packages that we do not have."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def series_of(
    series_id: int,
    sensor: str,
    quantity: str,
    dims: Dims = (),
    *,
    aggregation: Aggregation = "instant",
    unit: str = "1",
    window_s: str = "",
) -> Series:
    """Return a series, with windows as the window filter makes them where ``window_s`` says so."""
    calibration = {"window_s": window_s} if window_s else {}
    key = SeriesKey(sensor, quantity, tuple(sorted(dims)), aggregation)
    return Series(series_id, key, unit, "P0", calibration)


def attributes(entity: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the attributes of a normalized entity."""
    return {k: v for k, v in entity.items() if k not in ("id", "type", "@context")}


def key_values(entity: dict[str, Any]) -> dict[str, Any]:
    """Return the key-values form, which is all that the official schemas describe."""
    plain: dict[str, Any] = {"id": entity["id"], "type": entity["type"]}
    for name, attribute in attributes(entity).items():
        match attribute["type"]:
            case "Property" | "GeoProperty":
                plain[name] = attribute["value"]
            case "Relationship":
                plain[name] = attribute["object"]
            case other:
                raise AssertionError(other)
    return plain


def _folder() -> Path:
    folder = shared("schemas")
    assert folder is not None
    return folder


def _retrieve(uri: str) -> Resource[Any]:
    """Files are found by the address they are asked for; their own $id is often wrong."""
    for base in BASES:
        if uri.startswith(base):
            path = _folder() / uri.removeprefix(base).replace("/master/", "/").split("#")[0]
            if path.exists():
                contents = json.loads(path.read_text(encoding="utf-8"))
                contents.pop("$id", None)
                return Resource.from_contents(contents, default_specification=DRAFT202012)
    raise NoSuchResource(uri)


@cache
def _validator(entity_type: str) -> Draft202012Validator:
    domain = f"dataModel.{DOMAINS[entity_type]}"
    path = _folder() / domain / entity_type / "schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    schema["$id"] = f"{BASES[0]}{domain}/{entity_type}/schema.json"
    registry: Registry[Any] = Registry(retrieve=_retrieve)  # type: ignore[call-arg]
    return Draft202012Validator(schema, registry=registry, format_checker=FORMATS)


def schema_errors(entity: dict[str, Any]) -> list[str]:
    """Return what the official schema of its type says against an entity.

    A Relationship is one URI for brokers, while some schemas want a list: it is made one here.
    Typos pass silently there, so unknown attributes are errors here; refDevice and, for windows,
    dateObservedFrom and dateObservedTo are in the @context of a subject, though not in every
    schema of it.
    """
    plain = key_values(entity)
    validator = _validator(entity["type"])
    known = _properties(validator.schema)
    if "refDevice" in plain and known.get("refDevice", {}).get("type") == "array":
        plain["refDevice"] = [plain["refDevice"]]
    errors = [f"{list(e.path)}: {e.message}" for e in validator.iter_errors(plain)]
    beyond = BEYOND_SCHEMAS & context_terms(DOMAINS[entity["type"]])
    unknown = set(plain) - set(known) - {"id", "type", "location"} - beyond
    return errors + [f"{name} is no attribute of {entity['type']}" for name in sorted(unknown)]


def _properties(schema: Any) -> dict[str, Any]:
    found: dict[str, Any] = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        if "$ref" in part:
            address, _, pointer = part["$ref"].partition("#")
            part = _retrieve(address).contents  # noqa: PLW2901 - the part that is meant
            for step in pointer.strip("/").split("/"):
                part = part[step]  # noqa: PLW2901
        found |= _properties(part)
    return found


@cache
def context_terms(domain: str) -> frozenset[str]:
    """Return the terms that a subject's @context and the core context define."""
    terms: set[str] = set()
    for path in (
        _folder() / f"dataModel.{domain}" / "context.jsonld",
        _folder() / "ngsi-ld-core-context-v1.8.jsonld",
    ):
        context = json.loads(path.read_text(encoding="utf-8"))["@context"]
        for part in context if isinstance(context, list) else [context]:
            terms |= set(part) if isinstance(part, dict) else set()
    return frozenset(terms)
