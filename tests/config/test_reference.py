import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.config.model import Configuration
from gateway.config.reference import reference_schema, reference_toml
from gateway.config.shape import fields, nested
from tests.config.fakes import load_with_fakes

CONFIG = Path(__file__).parent.parent.parent / "config"
AGAIN = "run: python -m gateway.config.reference"
EXAMPLES = sorted((CONFIG / "examples").glob("*.toml"))
EITHER_OR = {"address", "replay", "password_env"}
"""Keys that are refused beside another one of the page."""


def uncommented() -> dict[str, Any]:
    """Return the reference with every key set; of a filter's alternatives the last."""
    lines: dict[str, str] = {}
    section = ""
    for line in reference_toml().splitlines():
        if re.match(r"#?\[", line):
            section = line
        if re.match(r"#?(\[|[A-Za-z0-9_]+ = )", line):
            text = line.removeprefix("#")
            key = text.partition(" = ")[0]
            lines[section + key] = text
    return tomllib.loads("\n".join(lines.values()))


def test_the_reference_in_the_repository_is_up_to_date() -> None:
    assert (CONFIG / "gateway.toml").read_text(encoding="utf-8") == reference_toml(), AGAIN


def test_the_schema_in_the_repository_is_up_to_date() -> None:
    text = (CONFIG / "gateway.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == reference_schema(), AGAIN


def test_the_reference_runs_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(reference_toml(), encoding="utf-8")
    plain = Configuration.model_validate({"gateway": {"id": "my-gateway"}})
    assert load_with_fakes(path) == plain


def every_key(model: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for key, info in fields(model).items():
        found.add((*path, key))
        inner = nested(info)
        if inner is not None:
            found |= every_key(inner, (*path, key))
    return found


def keys_of(table: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found = set()
    for key, value in table.items():
        found.add((*path, key))
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                found |= keys_of(each, (*path, key))
    return found


def test_every_key_is_in_the_reference() -> None:
    assert every_key(Configuration) - keys_of(uncommented()) == set()


def test_every_key_of_the_reference_is_accepted_with_its_default_or_example() -> None:
    document = uncommented()
    for table in (document["sensor"][0], document["broker"][0]):
        for key in EITHER_OR & set(table):
            del table[key]
    configuration = Configuration.model_validate(document)
    plain = Configuration.model_validate({"gateway": {"id": "my-gateway"}})
    # What is shown as a default is the default.
    shown = configuration.buffer.model_dump(exclude={"retention": {"P0", "P1"}})
    assert shown == plain.buffer.model_dump(exclude={"retention": {"P0", "P1"}})  # examples
    assert configuration.clock == plain.clock
    assert configuration.log == plain.log
    assert configuration.broker[0].linger == 1.0
    Draft202012Validator(reference_schema()).validate(document)


def test_every_key_has_a_help_text() -> None:
    def lacking(model: Any) -> list[str]:
        return [
            name
            for key, info in fields(model).items()
            for name in [
                *([f"{model.__name__}.{key}"] if not info.description else []),
                *(lacking(nested(info)) if nested(info) else []),
            ]
        ]

    assert lacking(Configuration) == []


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(reference_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_editors_accept_the_examples(path: Path) -> None:
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator(reference_schema()).validate(document)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"gateway": {"id": "x", "colour": 1}}, "colour"),
        ({"gateway": {"id": "x"}, "buffer": {"size": 256}}, "256"),
        ({"gateway": {"id": "X y"}}, "X y"),
        (
            {
                "gateway": {"id": "x"},
                "sensor": [{"name": "a", "driver": "d", "filter": {"*": {"deadbnad": 1}}}],
            },
            "deadbnad",
        ),
    ],
)
def test_editors_see_mistakes(table: dict[str, Any], key: str) -> None:
    found = list(Draft202012Validator(reference_schema()).iter_errors(table))
    assert any(key in error.message for error in found)
