"""Whatever stands in the file: a configuration comes back, or sentences for people; no crash."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.model import Configuration
from gateway.errors import ConfigErrors
from tests.config.fakes import load_with_fakes

GOOD: dict[str, Any] = {
    "schema": 1,
    "gateway": {"id": "dokk1", "location": {"lon": 10.2, "lat": 56.1}},
    "buffer": {"size": "64 MiB", "flush_interval": "5 s"},
    "http": {"listen": "127.0.0.1:9469"},
    "bluetooth": {"mode": "passive"},
    "sensor": [
        {
            "name": "air-roof",
            "driver": "sds011",
            "port": "/dev/ttyUSB0",
            "options": {"working_period_min": 5},
            "filter": {
                "*": {"interval": "10 s"},
                "air.pm25": {"range": {"min": 0, "max": 999.9}, "deadband": 0.5},
            },
        },
        {
            "name": "tag",
            "driver": "locked",
            "address": "C4:7F:51:00:00:01",
            "options": {"key_file": "/k"},
        },
    ],
    "broker": [
        {
            "name": "aarhus",
            "url": "mqtts://mqtt.example.org",
            "password_file": "/p",
            "tls": {"ca_file": "/ca.pem"},
            "select": {"sensors": ["air-*"], "privacy": "P1"},
        }
    ],
}
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=12)
    | st.sampled_from(["5 s", "P3", "*", "air.pm25", "/dev/ttyUSB0", "%d/x", "mqtts://[::1", "%"])
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["name", "sensor", "filter", "options", "password", "key", "url", "tls", "range", "air"]
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def toml(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{text(key)} = {toml(each)}' for key, each in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return text(value) if isinstance(value, str) else repr(value)


def text(value: str) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (table or list, key or position) in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, each in list(items):
        found.append((value, key))
        if isinstance(each, dict | list):
            found += places(each)
    return found


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a good document with up to three places changed, removed or added."""
    document = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        every = places(document)
        table, key = every[draw(st.integers(0, len(every) - 1))]
        action = draw(st.sampled_from(["change", "remove", "add"]))
        if action == "change":
            table[key] = draw(ANYTHING)
        elif action == "remove":
            del table[key]
        elif isinstance(table, dict):
            table[draw(KEYS)] = draw(ANYTHING)
        else:
            table.append(draw(ANYTHING))
        if not document:
            break
    return document


def test_the_document_that_is_changed_is_good(tmp_path: Path) -> None:
    assert isinstance(outcome(tmp_path, GOOD), Configuration)


def outcome(directory: Path, document: dict[str, Any]) -> Configuration | ConfigErrors:
    path = directory / "gateway.toml"
    lines = [f"{text(key)} = {toml(value)}" for key, value in document.items()]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    try:
        return load_with_fakes(path)
    except ConfigErrors as errors:
        return errors


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400, deadline=None
)
@given(document=documents())
def test_whatever_stands_there(tmp_path: Path, document: dict[str, Any]) -> None:
    result = outcome(tmp_path, document)
    if isinstance(result, ConfigErrors):
        assert result.errors
        for error in result.errors:
            assert error.problem
            assert str(error).isprintable()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None
)
@given(data=st.binary(max_size=16))
def test_bytes_that_are_no_configuration(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigErrors):  # so few bytes never name a gateway
        load_with_fakes(path)
