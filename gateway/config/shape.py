"""Reads the models: which keys a table has, and what a key allows, in words."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from gateway.config.model import PATTERN_HELP
from gateway.config.units import (
    DURATION_HELP,
    SIZE_HELP,
    duration_text,
    parse_duration,
    parse_size,
    size_text,
)
from gateway.config.words import Loc

__all__ = ["allowed", "field_at", "fields", "is_list", "nested", "unit_of", "value_text"]

_KINDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}
_UNITS: Mapping[Any, tuple[str, Any]] = {
    parse_duration: (DURATION_HELP, duration_text),
    parse_size: (SIZE_HELP, size_text),
}


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the key that stands in the file."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _parts(
    annotation: Any, metadata: tuple[Any, ...] = ()
) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield each alternative of an annotation, None left out, with all its metadata."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        yield from _parts(inner, (*metadata, *more))
    elif origin in (Union, UnionType):
        for each in get_args(annotation):
            yield from _parts(each, metadata)
    elif annotation is not type(None):
        yield annotation, metadata


def _alternatives(info: FieldInfo) -> list[tuple[Any, tuple[Any, ...]]]:
    return list(_parts(info.annotation, tuple(info.metadata)))


def is_list(info: FieldInfo) -> bool:
    """Tell whether a key takes a list."""
    return any(get_origin(kind) in (tuple, list) for kind, _ in _alternatives(info))


def nested(info: FieldInfo) -> type[BaseModel] | None:
    """Return the model of the table, or of the tables in the list, that a key takes, if any."""
    for kind, _ in _alternatives(info):
        inner = get_args(kind)[0] if get_origin(kind) in (tuple, list) else kind
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None


def field_at(model: type[BaseModel], loc: Loc) -> FieldInfo | None:
    """Return the field that a location leads to, or None if the models do not know it."""
    here: type[BaseModel] | None = model
    found: FieldInfo | None = None
    for part in loc:
        if isinstance(part, int):
            continue
        found = fields(here).get(part) if here is not None else None
        if found is None:
            return None
        here = nested(found)
    return found


def unit_of(info: FieldInfo) -> tuple[str, Any] | None:
    """Return (help text, formatter) of a key that is written with a unit, else None."""
    for _, metadata in _alternatives(info):
        for each in metadata:
            if isinstance(each, BeforeValidator) and each.func in _UNITS:
                return _UNITS[each.func]
    return None


def value_text(info: FieldInfo, value: Any) -> str:
    """Return a checked value as it stands in the file, without quotes."""
    unit = unit_of(info)
    if isinstance(value, bool):
        return str(value).lower()
    if unit is not None:
        return str(unit[1](value))
    return f"{value:,}".replace(",", "_") if isinstance(value, int) else f"{value:g}"


def allowed(info: FieldInfo) -> str:
    """Return in words what a key allows; empty where every text is good."""
    texts = [_allowed(info, kind, metadata) for kind, metadata in _alternatives(info)]
    return " or ".join(text for text in texts if text)


def _allowed(info: FieldInfo, kind: Any, metadata: tuple[Any, ...]) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(str(choice) for choice in get_args(kind))
    pattern = next((p for p in map(_pattern, metadata) if p), "")
    if pattern:
        return PATTERN_HELP.get(pattern, f"text like {pattern}")
    unit = unit_of(info)
    limits = _limits(info, metadata)
    if get_origin(kind) in (tuple, list):
        many = "tables" if nested(info) is not None else "texts"
        return f"a list of {many}{limits}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"a table with {', '.join(fields(kind))}"
    what = unit[0] if unit is not None else _KINDS.get(kind, "")
    return what + limits


def _pattern(each: object) -> str:
    found = getattr(each, "pattern", None)
    return found if isinstance(found, str) else ""


def _limits(info: FieldInfo, metadata: tuple[Any, ...]) -> str:
    """Return the bounds of a number or length in words, with a comma before them."""
    bounds: dict[str, Any] = {}
    for each in metadata:
        for name in ("ge", "gt", "le", "lt", "max_length", "min_length"):
            if getattr(each, name, None) is not None:
                bounds[name] = getattr(each, name)
    if "max_length" in bounds:
        return f", at most {bounds['max_length']}"
    if "min_length" in bounds:
        return ", not empty"
    texts = {name: value_text(info, bound) for name, bound in bounds.items()}
    if "ge" in texts and "le" in texts:
        return f", from {texts['ge']} to {texts['le']}"
    words = {"ge": "at least", "le": "at most", "gt": "above", "lt": "below"}
    found = [f"{words[name]} {text}" for name, text in texts.items()]
    return f", {' and '.join(found)}" if found else ""
