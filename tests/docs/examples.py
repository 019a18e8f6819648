"""Makes whole configurations of the parts that a page shows, and commands of its shell lines."""

import json
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.config.model import Configuration
from gateway.filters import FILTERS
from tests.docs.pages import ROOT, Block

__all__ = ["COMMAND", "commands_of", "configurations_of", "dumped"]

COMMAND = "citylab-gateway"
LEAST: Mapping[str, Any] = {"schema": 1, "gateway": {"id": "a-box"}}
MEASURED = (
    "air.pm25",
    "air.temperature",
    "air.humidity",
    "air.no2_mole_fraction",
    "energy.active_import",
    "traffic.count",
)
"""What the second sensor below measures: a filter of a page is for at least one of them."""
SENSOR: Mapping[str, Any] = {"name": "air-roof", "driver": "sds011", "port": "/dev/ttyUSB0"}
MANY: Mapping[str, Any] = {
    **SENSOR,
    "driver": "frame",
    "options": {
        "start": "aa",
        "byte_order": "big",
        "length": 2 + len(MEASURED),
        "checksum": {"kind": "sum8"},
        "field": [
            {"quantity": quantity, "offset": place, "type": "u8"}
            for place, quantity in enumerate(MEASURED, start=1)
        ],
    },
}
BROKER: Mapping[str, Any] = {"name": "aarhus", "url": "mqtts://mqtt.example.org"}
BEFORE_A_COMMAND = {"sudo", "time", "nice", "exec"}
OPERATORS = {"|", "||", "&&", ";", "&"}


def configurations_of(block: Block) -> Iterator[dict[str, Any]]:
    """Yield what the block may be part of; one of them has to be good.

    A whole file is taken as it is. Of a part it is guessed what it is part of: a sensor (on the
    page of a driver: one of that driver), a broker, the file, or the filters of a quantity.
    """
    part = tomllib.loads(block.text)
    if "schema" in part:
        yield part
    elif part.keys() <= FILTERS.keys():
        for quantity in MEASURED:
            yield {**LEAST, "sensor": [{**MANY, "filter": {quantity: part}}]}
    else:
        for base in _sensors_of(block.page):
            yield _completed(part, base)


def _completed(part: dict[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {**LEAST}
    loose: dict[str, Any] = {}
    for key, value in part.items():
        if key == "sensor" and isinstance(value, list):
            whole["sensor"] = value
        elif key == "sensor":
            loose |= value
        elif key == "broker":
            brokers = value if isinstance(value, list) else [value]
            whole["broker"] = [{**BROKER, **broker} for broker in brokers]
        elif key in Configuration.model_fields:
            whole[key] = value
        else:
            loose[key] = value
    if loose:
        assert "sensor" not in whole, "keys of no sensor beside whole sensors"
        whole["sensor"] = [{**base, **loose}]
    return whole


def _sensors_of(page: str) -> list[dict[str, Any]]:
    """Return the sensors that a part on this page may belong to."""
    sample = (ROOT / page).parent / "sample.toml"
    if not sample.exists():
        return [dict(SENSOR), dict(MANY)]
    sensors: list[dict[str, Any]] = tomllib.loads(sample.read_text(encoding="utf-8"))["sensor"]
    return sensors[:1]


def dumped(document: Mapping[str, Any]) -> str:
    """Return the document as TOML, all tables in one line."""
    return "".join(f"{_text(key)} = {_value(value)}\n" for key, value in document.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_text(key)} = {_value(each)}" for key, each in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of ours in shell lines, without its name."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in OPERATORS:
                words.append(word)
                continue
            yield from _ours(words)
            words = []


def _ours(words: list[str]) -> Iterator[list[str]]:
    if words and words[0] in BEFORE_A_COMMAND:
        words = words[1:]
        if words[:1] == ["-u"]:
            words = words[2:]
    if not words or words[0].rpartition("/")[2] != COMMAND:
        return
    redirected = next((i for i, word in enumerate(words) if word in ("<", ">", ">>")), len(words))
    yield words[1:redirected]
