"""On what terms readings leave: classes, intervals and places; the numbers are of trust.md."""

from pathlib import Path

import pytest

from gateway.config.model import (
    BrokerSection,
    Position,
    RetentionSection,
    SelectSection,
    SensorSection,
    Terms,
    terms,
)
from gateway.errors import ConfigErrors
from gateway.reading import PrivacyClass
from tests.config.fakes import load_with_fakes

PLACE = Position(lon=10.213456789, lat=-0.000123456)


def sensor(**keys: object) -> SensorSection:
    return SensorSection.model_validate({"name": "a", "driver": "d", "port": "/p", **keys})


def select(**keys: object) -> SelectSection:
    return SelectSection.model_validate(keys)


@pytest.mark.parametrize(
    ("allowed", "admitted"),
    [("P0", {"P0"}), ("P1", {"P0", "P1"}), ("P3", {"P0", "P1", "P3"})],
)
def test_priv_08_no_class_but_the_admitted_leaves(
    allowed: str, admitted: set[PrivacyClass]
) -> None:
    classes: tuple[PrivacyClass, ...] = ("P0", "P1", "P2", "P3")
    assert {each for each in classes if select(privacy=allowed).admits(each)} == admitted


def test_priv_08_an_open_broker_cannot_be_given_p3() -> None:
    document = {"name": "b", "url": "mqtts://b.example", "open": True}
    assert BrokerSection.model_validate(document).open
    with pytest.raises(ValueError, match="P3 never goes where everybody can read it"):
        BrokerSection.model_validate({**document, "select": {"privacy": "P3"}})


@pytest.mark.parametrize(
    ("broker_s", "sensor_keys", "privacy", "expected_s"),
    [
        ("0 s", {}, "P0", 0),
        ("0 s", {}, "P3", 3600),
        ("2 h", {}, "P3", 7200),
        ("5 min", {}, "P3", 3600),
        ("0 s", {"min_publish_interval": "15 min"}, "P3", 900),
        ("0 s", {"min_publish_interval": "0 s"}, "P3", 0),
        ("30 min", {"min_publish_interval": "15 min"}, "P3", 1800),
        ("1 min", {"min_publish_interval": "15 min"}, "P1", 900),
        ("1 min", {}, "P1", 60),
    ],
)
def test_priv_09_a_household_leaves_hourly_unless_somebody_says_otherwise(
    broker_s: str, sensor_keys: dict[str, str], privacy: PrivacyClass, expected_s: float
) -> None:
    found = terms(select(interval=broker_s), sensor(**sensor_keys), privacy)
    assert found.min_interval_s == expected_s


@pytest.mark.parametrize(
    ("broker_decimals", "sensor_decimals", "privacy", "expected"),
    [
        (7, None, "P0", 7),
        (5, None, "P0", 5),
        (7, 2, "P0", 2),
        (2, 6, "P0", 2),
        (7, None, "P3", 3),
        (1, None, "P3", 1),
        (7, 5, "P3", 5),
        (7, 0, "P3", 0),
    ],
)
def test_priv_12_the_smaller_number_of_decimals_counts(
    broker_decimals: int, sensor_decimals: int | None, privacy: PrivacyClass, expected: int
) -> None:
    found = terms(
        select(location_decimals=broker_decimals),
        sensor(location_decimals=sensor_decimals),
        privacy,
    )
    assert found.location_decimals == expected


def test_a_sensor_that_is_not_configured_any_more_keeps_the_terms_of_its_class() -> None:
    assert terms(select(), None, "P3") == Terms(3600.0, 3)
    assert terms(select(interval="5 s"), None, "P0") == Terms(5.0, 7)


P3 = """
[gateway]
id = "x"
[[sensor]]
name = "flat"
driver = "p1"
port = "/p"
{}
"""
REASONS = {
    "purpose": "Research.",
    "controller": "University",
    "legal_basis": "art. 6(1)(a)",
    "retention": "24 h",
}


@pytest.mark.parametrize("left_out", [None, *REASONS])
def test_priv_07_p3_says_why_for_whom_by_what_right_and_how_long(
    tmp_path: Path, left_out: str | None
) -> None:
    path = tmp_path / "gateway.toml"
    lines = [f'{key} = "{text}"' for key, text in REASONS.items() if key != left_out]
    path.write_text(P3.format("\n".join(lines)), encoding="utf-8")
    if left_out is None:
        assert load_with_fakes(path).sensor[0].purpose == "Research."
        return
    with pytest.raises(ConfigErrors) as caught:
        load_with_fakes(path)
    assert str(caught.value).endswith(f"as P3 it needs {left_out}")


def test_priv_10_the_limits_of_the_classes() -> None:
    assert RetentionSection().by_class() == {"P0": None, "P1": None, "P2": None, "P3": 259200.0}
    with pytest.raises(ValueError, match="less than or equal to 259200"):
        RetentionSection.model_validate({"P3": "73 h"})


@pytest.mark.parametrize("privacy", ["P0", "P1", "P2", "P3"])
def test_priv_01_and_10_the_daemon_records_neither_p2_nor_p3(tmp_path: Path, privacy: str) -> None:
    path = tmp_path / "gateway.toml"
    lines = [f'{key} = "{text}"' for key, text in REASONS.items()]
    lines += [f'privacy = "{privacy}"', "record = true"]
    path.write_text(P3.format("\n".join(lines)), encoding="utf-8")
    if privacy in ("P0", "P1"):  # the meter of a school, say
        assert load_with_fakes(path).sensor[0].record
        return
    with pytest.raises(ConfigErrors, match=f"{privacy} is never recorded by the daemon"):
        load_with_fakes(path)
