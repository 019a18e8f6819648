from typing import Any

import pytest

from gateway.config.diff import RELOAD_SECTIONS, RESTART_SECTIONS, Changes, diff
from gateway.config.model import Configuration

SENSORS = [{"name": name, "driver": "sds011", "port": f"/dev/{name}"} for name in "abc"]
BROKERS = [{"name": name, "url": f"mqtts://{name}.example"} for name in ("x", "y")]


def configuration(**sections: Any) -> Configuration:
    document = {"gateway": {"id": "dokk1"}, "sensor": SENSORS, "broker": BROKERS, **sections}
    return Configuration.model_validate(document)


def test_the_same_file_changes_nothing() -> None:
    changes = diff(configuration(), configuration())
    assert changes == Changes()
    assert not changes


def test_sensors_are_told_by_name_whatever_their_order() -> None:
    changed = {**SENSORS[1], "privacy": "P1"}
    added = {"name": "d", "driver": "sds011", "port": "/dev/d"}
    changes = diff(configuration(), configuration(sensor=[added, changed, SENSORS[0]]))
    assert changes == Changes(sensors_added=("d",), sensors_removed=("c",), sensors_changed=("b",))
    assert changes


def test_brokers_are_told_by_name() -> None:
    changed = {**BROKERS[0], "in_flight": 5}
    added = {"name": "z", "url": "mqtts://y.example"}
    changes = diff(configuration(), configuration(broker=[changed, added]))
    assert changes == Changes(brokers_added=("z",), brokers_removed=("y",), brokers_changed=("x",))


def test_the_order_of_filters_is_a_change() -> None:
    one = {**SENSORS[0], "filter": {"*": {"range": {"min": 0}, "deadband": 1}}}
    other = {**SENSORS[0], "filter": {"*": {"deadband": 1, "range": {"min": 0}}}}
    changes = diff(configuration(sensor=[one]), configuration(sensor=[other]))
    assert changes == Changes(sensors_changed=("a",))


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"gateway": {"id": "dokk2"}}, Changes(restart=("gateway",))),
        ({"buffer": {"size": "1 MiB"}}, Changes(restart=("buffer",))),
        ({"clock": {"trusted": True}}, Changes(restart=("clock",))),
        ({"http": {}}, Changes(sections=("http",))),
        ({"bluetooth": {"mode": "passive"}}, Changes(sections=("bluetooth",))),
        ({"log": {"level": "debug"}}, Changes(sections=("log",))),
        ({"catalogue": {"title": "Air"}}, Changes(sections=("catalogue",))),
        ({"buffer": {"retention": {"P3": "1 h"}}}, Changes(restart=("buffer",))),
    ],
)
def test_other_sections_say_whether_they_need_a_restart(
    section: dict[str, Any], expected: Changes
) -> None:
    assert diff(configuration(), configuration(**section)) == expected


def test_every_section_is_looked_at() -> None:
    looked_at = {*RESTART_SECTIONS, *RELOAD_SECTIONS, "sensor", "broker"}
    assert set(Configuration.model_fields) - {"schema_version"} == looked_at
