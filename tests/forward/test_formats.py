"""What holds for every format, ours and those of others."""

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.forward import Format, FormatContext, load_format
from gateway.forward.formats import render_topic
from gateway.forward.formats.base import ENTRY_POINT_GROUP
from gateway.forward.formats.json_lines import JsonLines
from gateway.forward.formats.ngsi_ld import NgsiLd

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
CONTEXT = FormatContext("aarhus", "dokk1-03")


def declared() -> dict[str, type[Format]]:
    points = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]
    found = {}
    for name, target in points[ENTRY_POINT_GROUP].items():
        module, _, attribute = target.partition(":")
        found[name] = getattr(import_module(module), attribute)
    return found


def test_the_declared_formats_are_ours() -> None:
    assert declared() == {"ngsi-ld": NgsiLd, "json": JsonLines}


@pytest.mark.parametrize("name", ["ngsi-ld", "json"])
def test_default_topics_tell_tenant_gateway_and_sensor(name: str) -> None:
    topic = declared()[name].topic
    rendered = render_topic(topic, CONTEXT, "air-roof")
    assert rendered.startswith("city/aarhus/dokk1-03/air-roof/")


def test_an_unknown_format_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError) as error:
        load_format("no-such-format")
    assert error.value.key == "format"


@pytest.mark.parametrize("template", ["devices/{org}/1", "a/{", "a/}", "{}", "{tenant"])
def test_an_unknown_placeholder_is_a_configuration_error(template: str) -> None:
    with pytest.raises(ConfigError, match="unknown placeholder"):
        render_topic(template, CONTEXT, "a")


def test_a_topic_may_do_without_placeholders() -> None:
    assert render_topic("devices/1/4/17", CONTEXT, "a") == "devices/1/4/17"
