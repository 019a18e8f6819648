"""Writes config/gateway.toml (every key, explained) and the JSON Schema for editors.

Both are made from the models, so that they cannot differ from what ``load`` accepts:
``python -m gateway.config.reference`` rewrites them, and a test fails when that was forgotten.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.config.model import Configuration, SensorSection
from gateway.config.shape import allowed, fields, is_list, nested, unit_of, value_text
from gateway.filters import EXAMPLES, FILTERS, SHORTHANDS

__all__ = ["main", "reference_schema", "reference_toml"]

CONFIG_DIRECTORY = Path(__file__).parent.parent.parent / "config"
TOML_NAME = "gateway.toml"
SCHEMA_NAME = "gateway.schema.json"
WIDTH = 98
ACTIVE_ROOT = {"schema": 1}
ACTIVE_GATEWAY = {"id": "my-gateway"}
"""What is not commented out: the least that runs."""

_HEAD = f"""\
#:schema ./{SCHEMA_NAME}
# citylab-gateway: every key, what it means, what it allows and its default.
# Made by `python -m gateway.config.reference`; change the models in gateway/config, not this file.
#
# A line that begins with "#" and a key is a key that you may set: it shows the default, or an
# example where it says so. Durations and sizes are text with a unit. Files in gateway.d/*.toml
# beside this one are laid over it in name order: tables are merged, sensors and brokers added.
# `citylab-gateway check` says what is wrong, or what would run.
"""


def reference_toml() -> str:
    """Return the text of config/gateway.toml: a working configuration that explains every key."""
    lines = [_HEAD.rstrip()]
    tables: list[tuple[str, FieldInfo]] = []
    for key, info in fields(Configuration).items():
        if nested(info) is None:
            lines += _entry(key, info, active=ACTIVE_ROOT)
        else:
            tables.append((key, info))
    for key, info in tables:
        lines += _table(key, info)
    return "\n".join(lines).rstrip() + "\n"


def _table(path: str, info: FieldInfo, *, commented: bool = False) -> Iterator[str]:
    """Yield one table and, behind it, the tables inside it."""
    model = nested(info)
    if model is None:
        return
    commented = commented or is_list(info) or info.default is None
    active = ACTIVE_GATEWAY if path == "gateway" else {}
    header = f"[[{path}]]" if is_list(info) else f"[{path}]"
    yield from ("", *_comment(info.description or ""))
    yield ("#" if commented else "") + header
    inner = [(key, each) for key, each in fields(model).items() if _is_table(each)]
    for key, each in fields(model).items():
        if not _is_table(each) and key != "filter":
            yield from _entry(key, each, active=active)
    for key, each in inner:
        yield from _table(f"{path}.{key}", each, commented=commented)
    if model is SensorSection:
        yield from _filters(f"{path}.filter", fields(model)["filter"])


def _is_table(info: FieldInfo) -> bool:
    """Tell whether a key is written as a table of its own rather than in one line."""
    return nested(info) is not None and not info.examples


def _entry(key: str, info: FieldInfo, *, active: Mapping[str, Any]) -> Iterator[str]:
    """Yield the comment and the line of one key."""
    default = info.get_default(call_default_factory=True)
    rules = _rules(info)
    if info.is_required():
        rules.append("Must be set.")
    elif default in (None, ""):
        rules.append("No default; an example.")
    yield from ("", *_comment(" ".join([info.description or "", *rules])))
    if key in active:
        yield f"{key} = {_toml(active[key])}"
    elif info.is_required() or default in (None, ""):
        yield f"#{key} = {_toml((info.examples or [''])[0])}"
    else:
        yield f"#{key} = {_toml(_plain(info, default))}"


def _rules(info: FieldInfo) -> list[str]:
    """Return what a key allows, without what the head of the file says about units and text."""
    words = allowed(info)
    unit = unit_of(info)
    if unit is not None:
        words = words.removeprefix(unit[0]).removeprefix(", ")
    return [f"Allowed: {words}."] if words and words != "text" else []


def _plain(info: FieldInfo, value: Any) -> Any:
    """Return a value as it stands in the file: with its unit, if it has one."""
    return value_text(info, value) if unit_of(info) is not None else value


def _filters(path: str, info: FieldInfo) -> Iterator[str]:
    yield from ("", *_comment(info.description or ""), f'#[{path}."air.pm25"]')
    for name, kind in FILTERS.items():
        yield from ("", *_comment(f"{name}: {kind.Options.__doc__ or ''}"))
        for key, each in fields(kind.Options).items():
            rule = ""
            if each.is_required():
                rule = "Must be set."
            elif each.default is not None:
                rule = f"Default: {_plain(each, each.default)}."
            words = " ".join([f"{key}: {each.description}", *_rules(each), rule])
            yield from textwrap.wrap(
                words, WIDTH, initial_indent="#   ", subsequent_indent="#     "
            )
        yield from (f"#{example}" for example in EXAMPLES[name])


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _toml(value: Any) -> str:
    """Return a value in TOML, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {_toml(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False)


def reference_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the file, for editors that complete and check TOML."""
    schema = Configuration.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    for model in _models(Configuration):
        table = schema if model is Configuration else definitions[model.__name__]
        _polish(table, model)
    for name, kind in FILTERS.items():
        definitions[f"filter.{name}"] = _filter_schema(name, kind.Options)
    definitions["SensorSection"]["properties"]["filter"]["additionalProperties"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"$ref": f"#/$defs/filter.{name}"} for name in FILTERS},
    }
    schema["title"] = "citylab-gateway configuration"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for info in fields(model).values():
        inner = nested(info)
        if inner is not None:
            yield from _models(inner)


def _polish(table: dict[str, Any], model: type[BaseModel]) -> None:
    """Say defaults as they stand in the file, put limits into the help, drop made-up titles."""
    table.pop("title", None)
    for key, info in fields(model).items():
        entry = table["properties"][key] = _without_null(table["properties"][key])
        entry.pop("title", None)
        unit = unit_of(info)
        words = allowed(info)
        if unit is not None:
            for limit in ("minimum", "maximum", "ge", "le"):  # they are of the number of seconds
                entry.pop(limit, None)
            entry["description"] = f"{info.description} Allowed: {words}."
        if unit is not None and isinstance(info.default, int | float):
            entry["default"] = value_text(info, info.default)
        if entry.get("default") in (None, ""):
            entry.pop("default", None)


def _without_null(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a key without the alternative null, which TOML does not have."""
    kinds = [each for each in entry.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) != 1:
        return entry
    return {**kinds[0], **{key: value for key, value in entry.items() if key != "anyOf"}}


def _filter_schema(name: str, options: type[BaseModel]) -> dict[str, Any]:
    table = options.model_json_schema()
    _polish(table, options)
    description = table.pop("description", "")
    return {"description": description, "anyOf": [*SHORTHANDS.get(name, ()), table]}


def main() -> None:
    """Rewrite both files."""
    schema = json.dumps(reference_schema(), indent=2, ensure_ascii=False) + "\n"
    (CONFIG_DIRECTORY / TOML_NAME).write_text(reference_toml(), encoding="utf-8")
    (CONFIG_DIRECTORY / SCHEMA_NAME).write_text(schema, encoding="utf-8")


if __name__ == "__main__":
    main()
