"""The status document: its states, its order, its schema, and what it never says."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.driver import DriverInfo
from gateway.intake import Intake, SensorStats
from gateway.observe import document_summary, live_document, sensor_state, status_document
from gateway.observe.staleness import expected_interval_s, stale_after_s
from gateway.observe.status import MAX_LIVE_VALUES
from gateway.reading import Flag, Measured
from tests.gateway.test_intake import Store
from tests.observe.figures import HOUR, SECOND, Adapter, Room, Sensor, live

ROOT = Path(__file__).parents[2]


def schema() -> dict[str, object]:
    """Take the schema out of the page that people read."""
    text = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    found = re.search(r"```json schema\n(.*?)```", text, re.DOTALL)
    assert found is not None
    loaded: dict[str, object] = json.loads(found[1])
    jsonschema.Draft202012Validator.check_schema(loaded)
    return loaded


@pytest.mark.parametrize(
    ("interval_s", "age_s", "state"),
    [
        (1.0, None, "silent"),
        (1.0, 0.0, "fresh"),
        (1.0, 10.0, "fresh"),
        (1.0, 10.1, "stale"),
        (60.0, 180.0, "fresh"),
        (60.0, 180.1, "stale"),
    ],
)
def test_a_sensor_is_stale_after_three_intervals_but_not_before_ten_seconds(
    interval_s: float, age_s: float | None, state: str
) -> None:
    last_ns = None if age_s is None else HOUR - round(age_s * SECOND)
    sensor = Sensor(interval_s=interval_s, last_reading_ns=last_ns)
    assert sensor_state(sensor, HOUR) == state


def rhythm(*gaps_s: float, **more: Any) -> SensorStats:
    """Make the figures of a real sensor that was heard with these pauses, last at HOUR."""
    stats = SensorStats("s", "d", "air", "P0", **{"interval_s": 60.0, **more})
    stats.gaps_ns.extend(round(gap_s * SECOND) for gap_s in gaps_s)
    stats.last_reading_ns = HOUR
    return stats


@pytest.mark.parametrize(
    ("sensor", "interval_s", "limit_s"),
    [
        # Too few pauses teach nothing.
        (rhythm(300, 300, 300, 300), 60.0, 180.0),
        # Reports more seldom than its driver says: a beacon at the edge of the range.
        (rhythm(*[300.0] * 31), 300.0, 900.0),
        # A radar of which the rush hour taught a second: an empty street is no fault.
        (rhythm(*[1.0] * 31), 60.0, 180.0),
        # Vehicles come when they come: pauses of twice the second longest are usual.
        (rhythm(*[100.0] * 28, 700.0, 500.0, 10.0), 100.0, 1000.0),
        # One outage among even pauses does not make it patient.
        (rhythm(*[10.0] * 30, 28800.0, interval_s=10.0), 10.0, 30.0),
        # Somebody knows better.
        (rhythm(*[1.0] * 31, stale_after_s=21600.0), 60.0, 21600.0),
        (rhythm(*[300.0] * 31, stale_after_s=20.0), 300.0, 20.0),
    ],
    ids=["few", "seldom", "rush hour", "uneven", "outage", "patient", "impatient"],
)
def test_a_sensor_is_stale_by_its_own_rhythm(
    sensor: SensorStats, interval_s: float, limit_s: float
) -> None:
    assert (expected_interval_s(sensor), stale_after_s(sensor)) == (interval_s, limit_s)
    assert sensor_state(sensor, HOUR + round(limit_s * SECOND)) == "fresh"
    assert sensor_state(sensor, HOUR + round(limit_s * SECOND) + SECOND) == "stale"


def test_the_intake_teaches_the_rhythm() -> None:
    """A device that promises 1 s and brings a reading each 40 s is fresh in between."""
    intake = Intake(Store())
    info = DriverInfo(
        name="d", title="d", domain="air", quantities=("air.pm25",), interval_s=1.0, document=""
    )
    intake.add_sensor("s", info, privacy="P0", build_chain=lambda _quantity, _dims: None)
    stats = intake.stats["s"]
    states = []
    for number in range(10):
        now_ns = HOUR + number * 40 * SECOND
        states.append(sensor_state(stats, now_ns))
        intake.accept("s", [Measured("air.pm25", 1.0)], now_ns)
    assert states == ["silent", *["stale"] * 5, *["fresh"] * 4]


def test_what_was_learnt_and_doubted_is_in_the_status(room: Room) -> None:
    room.sensors["air-square"].learnt_interval_s = 20.0
    room.sensors["air-square"].gaps_ns = [20 * SECOND] * 5
    room.sensors["air-roof"].live[1].flags = int(Flag.STUCK)
    room.sensors["meter"].live[3].flags = int(Flag.STUCK)
    room.sensors["meter"].expired_calibrations = 1
    sensors = status_document(room.look())["sensors"]
    assert (sensors["air-square"]["interval_s"], sensors["air-square"]["stale_after_s"]) == (20, 60)
    assert (sensors["air-roof"]["interval_s"], sensors["air-roof"]["stuck_series"]) == (1.0, 1)
    # PRIV-14: that nothing changes in a home is nobody's business.
    assert (sensors["meter"]["stuck_series"], sensors["meter"]["expired_calibrations"]) == (0, 1)


def test_the_documents_keep_to_the_published_schema(room: Room) -> None:
    room.sensors["meter"].last_reading_ns = None
    room.readers["vejle"].oldest_pending_time_ns = None
    room.buffer.oldest_time_ns = None
    for document in (status_document(room.look()), live_document(room.look())):
        jsonschema.validate(document, schema())


def test_the_schema_would_notice(room: Room) -> None:
    document = status_document(room.look())
    document["links"]["aarhus"]["host"] = "mqtt.example.org"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema())


def test_the_document_is_json_with_a_stable_order(room: Room) -> None:
    first = json.dumps(status_document(room.look()), allow_nan=False)
    assert list(json.loads(first)) == [
        "schema",
        "gateway",
        "software",
        "time",
        "uptime_s",
        "boot",
        "clock",
        "health",
        "sensors",
        "links",
        "buffer",
    ]
    assert json.dumps(status_document(room.look()), allow_nan=False) == first


def test_the_facts_are_there(room: Room) -> None:
    document = status_document(room.look())
    assert document["gateway"] == "aarhus-dokk1-03"
    assert document["time"] == "2027-01-15T09:00:00Z"
    assert document["uptime_s"] == 3600
    assert document["boot"] == 7
    assert document["sensors"]["air-roof"]["state"] == "fresh"
    assert document["sensors"]["air-roof"]["last_reading"] == "2027-01-15T08:59:59Z"
    assert document["links"]["aarhus"]["pending"] == 20
    assert document["links"]["aarhus"]["oldest_pending_s"] == 2.0
    assert document["links"]["aarhus"]["dropped"] == {"policy": 100}
    assert document["buffer"]["used"] == 0.25
    assert document["buffer"]["readings"] == 10_000


def test_the_published_status_holds_no_values_and_no_errors(room: Room) -> None:
    room.links["aarhus"].last_error = "mqtt.internal: refused"
    room.ports["air-roof"].last_error = "/dev/serial/by-id/usb-FTDI_AB12 vanished"
    text = json.dumps(status_document(room.look()))
    assert "values" not in text
    assert "7.3" not in text
    assert "internal" not in text
    assert "/dev/" not in text


def test_a_broker_need_not_hear_of_every_sensor(room: Room) -> None:
    document = status_document(
        room.look(), choose=lambda name, sensor: sensor.privacy != "P3" and name != "air-square"
    )
    assert list(document["sensors"]) == ["air-roof"]


def test_priv_14_values_are_shown_of_p0_and_p1_only(room: Room) -> None:
    room.sensors["count"] = Sensor(
        driver="scanner",
        privacy="P2",
        live={9: live(9, "count", "traffic.devices", "1", 1234.5, privacy="P2")},
        last_fault="unknown: 1234.5 of somebody",
    )
    # A sensor's class is inherited, never lowered: the series alone does not open it.
    room.sensors["meter"].live[4] = live(4, "meter", "energy.voltage", "V", 1234.5)
    room.sensors["air-roof"].live[5] = live(5, "air-roof", "site.x", "1", 1234.5, privacy="P2")
    document = live_document(room.look())
    text = json.dumps(document)
    assert "1234.5" not in text
    assert "4711.25" not in text
    assert document["sensors"]["count"]["last_fault"] == "unknown"
    assert [value["value"] for value in document["sensors"]["air-roof"]["values"]] == [12.1, 7.3]


def test_priv_05_a_suppressed_count_is_withheld(room: Room) -> None:
    room.sensors["air-roof"].live = {
        1: live(1, "air-roof", "traffic.count", "{vehicle}", 3.0, flags=int(Flag.SUPPRESSED))
    }
    (value,) = live_document(room.look())["sensors"]["air-roof"]["values"]
    assert value["value"] is None
    assert value["flags"] == ["suppressed"]


def test_priv_01_no_address_is_in_the_document(room: Room) -> None:
    address = "C4:7F:51:00:00:01"
    room.links["aarhus"].last_error = f"bad {address}"
    room.links["aarhus"].last_error_cause = address
    room.links["aarhus"].state = "waiting"
    room.sensors["air-roof"].last_fault = f"unknown: {address.lower()}"
    room.ports["air-roof"].last_error = f"bad {address}"
    room.ports["air-roof"].open = False
    room.buffer.degraded, room.buffer.degraded_reason = True, f"bad {address}"
    document = live_document(room.look())
    assert "7f" not in json.dumps(document).lower()
    assert document["links"]["aarhus"]["cause"] == "other"
    assert document["links"]["aarhus"]["error"] == "bad (address)"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_json_cannot_say_is_withheld(room: Room, value: float) -> None:
    room.sensors["air-roof"].live[1].value = value
    text = json.dumps(live_document(room.look()), allow_nan=False)
    assert json.loads(text)["sensors"]["air-roof"]["values"][1]["value"] is None


def test_the_values_of_one_sensor_are_bounded(room: Room) -> None:
    room.sensors["air-roof"].live = {
        index: live(index, "air-roof", f"air.q{index:03}", "1", 1.0) for index in range(500)
    }
    assert len(live_document(room.look())["sensors"]["air-roof"]["values"]) == MAX_LIVE_VALUES


@pytest.mark.parametrize("wall_ns", [-(10**18), 10**21])
def test_a_time_that_no_calendar_has_is_left_out(room: Room, wall_ns: int) -> None:
    room.buffer.oldest_time_ns = wall_ns
    assert status_document(room.look())["buffer"]["oldest"] is None


def test_one_line_for_systemctl(room: Room) -> None:
    room.links["vejle"].state = "waiting"
    room.sensors["meter"].last_reading_ns = None
    assert document_summary(status_document(room.look())) == (
        "ok: 2 of 3 sensors fresh, 1 of 2 links online, 40 readings pending"
    )


def test_the_clock_says_who_set_it_and_when_it_jumped(room: Room) -> None:
    assert status_document(room.look())["clock"] == {
        "synced": True,
        "source": "trusted",
        "steps": 0,
        "last_step": None,
        "bound_s": 16.0,
    }
    room.wall_at_boot_ns -= HOUR
    room.clock.sample()
    room.buffer.time_bound_s = None
    room.clock.sync_source = ""
    clock = status_document(room.look())["clock"]
    assert (clock["synced"], clock["source"], clock["steps"]) == (False, "none", 1)
    assert clock["last_step"] == "2027-01-15T08:00:00Z"
    assert clock["bound_s"] is None


def test_a_sensor_that_tells_the_time_shows_how_far_off_the_clock_is(room: Room) -> None:
    room.tell_time("air-roof", our_clock_ahead_s=3600.25)
    sensors = status_document(room.look())["sensors"]
    assert sensors["air-roof"]["clock_ahead_s"] == 3600.2
    assert sensors["meter"]["clock_ahead_s"] is None


def test_a_link_says_what_waits_for_the_clock(room: Room) -> None:
    room.readers["vejle"].held_readings = 12
    links = status_document(room.look())["links"]
    assert (links["vejle"]["held"], links["aarhus"]["held"]) == (12, 0)
    assert links["vejle"]["state"] == "online"


def test_the_live_document_tells_how_each_adapter_does(room: Room) -> None:
    assert room.scanner is not None
    room.scanner.adapters["adapter-2"] = Adapter(
        open=False, mode="", recovery_step=3, last_error="00:1A:7D:DA:71:13: no such adapter"
    )
    room.scanner.adverts_overflowed = 5
    told = live_document(room.look())["bluetooth"]
    assert told["adapters"]["hci0"] == {"state": "active", "recovery_step": 0, "error": ""}
    assert told["adapters"]["adapter-2"]["state"] == "closed"
    assert told["adapters"]["adapter-2"]["recovery_step"] == 3
    assert "no such adapter" in told["adapters"]["adapter-2"]["error"]
    assert "1A:7D" not in told["adapters"]["adapter-2"]["error"]
    assert (told["overflowed"], told["limited"]) == (5, 7)
    room.scanner = None
    assert live_document(room.look())["bluetooth"] is None
