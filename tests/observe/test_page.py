"""The page escapes, asks nobody else, and keeps apart what stays from what changes."""

import json
import re
from array import array
from collections.abc import Mapping
from html.parser import HTMLParser
from math import isnan, nan
from typing import Any

from gateway.observe.event_log import Event
from gateway.observe.history import MINUTE_NS, NOTHING, History, Hour
from gateway.observe.leaving import Departures, Leaving
from gateway.observe.page import page
from gateway.observe.page_cells import Snapshot
from gateway.observe.page_sensors import HEIGHT, MARGIN, line_of
from gateway.observe.status import live_document, page_document
from gateway.reading import Flag
from tests.observe.figures import HOUR, SECOND, Adapter, Room, Sensor, live

EVIL = "<script>alert('x')</script>\"'&\0"


class Tags(HTMLParser):
    """Collects tags with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def document(room: Room, history: History | None = None, **more: Any) -> dict[str, Any]:
    view = room.look()
    made = History() if history is None else history
    made.look(view)
    events = [
        Event(room.now_ns - 5 * SECOND, "warning", "aarhus: link down"),
        Event(room.now_ns, "info", "readings of count were removed", audit=True),
    ]
    leaves: Mapping[str, Mapping[str, Any]] = Departures(lambda: more.get("leaving", {}))(view)
    return page_document(view, history=made, leaves=leaves, events=events)


def made(room: Room, language: str = "en", **more: Any) -> Snapshot:
    return page(document(room, **more), language)


def everything(name: str = "aarhus", **more: Any) -> dict[str, Leaving]:
    rules = {"allows": lambda _: True, "knows": lambda _name, _privacy: True, **more}
    return {name: Leaving("mqtts://aarhus.example", "json", encrypted=True, open=False, **rules)}


def full(room: Room) -> Room:
    room.buffer.degraded, room.buffer.degraded_reason = True, "No space left on device"
    room.links["aarhus"].state, room.links["aarhus"].last_error = "waiting", "timed out"
    room.links["aarhus"].last_error_cause = "timeout"
    room.ports["air-roof"].open, room.ports["air-roof"].last_error = False, "vanished"
    room.ports["air-roof"].recovery_step = 3
    room.sensors["air-roof"].last_fault = "checksum: 1 frame"
    room.sensors["air-roof"].live[1].flags = int(Flag.WARM_UP)
    room.sensors["air-roof"].expired_calibrations = 1
    assert room.scanner is not None
    room.scanner.adapters["hci1"] = Adapter(open=False, recovery_step=2, last_error="gone")
    return room


def test_what_a_person_needs_is_on_it(room: Room) -> None:
    text = Tags(made(full(room), leaving=everything()).html).text
    for wanted in (
        "aarhus-dokk1-03",
        "air-roof",
        "air.pm25",
        "7.3 µg/m³",
        "last reading 1 s ago",
        "fresh",
        "uncertain, warming up",
        "last fault: checksum: 1 frame",
        "1 calibrations have expired",
        "waiting",
        "cause: timeout",
        "timed out",
        "25.0 % of 256 MiB used",
        "No space left on device",
        "step 3: USB device reset",
        "vanished",
        "hci1",
        "step 2: switched off and on",
        "gone",
        "What leaves this box for aarhus",
        "mqtts://aarhus.example · encrypted · format json",
        "5 s ago",
        "aarhus: link down",
        "audit readings of count were removed",
        "by policy 100",
        "3 of 3 sensors fresh · 1 of 2 links online",
    ):
        assert wanted in text, wanted


def test_it_speaks_danish(room: Room) -> None:
    text = Tags(made(full(room), "da").html).text
    for wanted in ("7,3 µg/m³", "seneste måling for 1 s siden", "usikker, varmer op", "25,0 % af"):
        assert wanted in text, wanted
    assert "årsag: timeout" in text
    assert "Intet svar i tide: en firewall smider pakkerne væk" in text
    assert "seneste fejl: kontrolsum: 1 frame" in text
    assert "bufferen arbejder kun i hukommelsen (No space left on device)" in text


def test_everything_from_outside_is_escaped(room: Room) -> None:
    room.links[EVIL] = room.links.pop("aarhus")
    room.readers[EVIL] = room.readers.pop("aarhus")
    room.links[EVIL].state = EVIL
    room.links[EVIL].last_error = EVIL
    room.buffer.degraded, room.buffer.degraded_reason = True, EVIL
    room.ports[EVIL] = room.ports["air-roof"]
    room.sensors[EVIL] = Sensor(
        driver=EVIL,
        last_fault=EVIL,
        live={1: live(1, EVIL, EVIL, EVIL, 1.0, dims=((EVIL, EVIL),), aggregation=EVIL)},
    )
    told = document(room, leaving=everything(EVIL))
    told["gateway"] = told["software"]["version"] = EVIL
    told["events"][0].update(text=EVIL, level=EVIL)
    for language in ("en", "da"):
        snapshot = page(told, language)
        for html in (snapshot.html, *snapshot.parts.values()):
            tags = Tags(html)
            names = [name for name, _ in tags.tags]
            assert names.count("script") == (1 if html is snapshot.html else 0)
            assert not [name for _, attrs in tags.tags for name in attrs if name[:2] == "on"]
            assert "\0" not in html
        assert EVIL.rstrip("\0") in Tags(snapshot.html).text


def test_nothing_is_fetched_from_anywhere_else(room: Room) -> None:
    html = made(room).html
    assert not re.search(r"https?:|//[a-z]", html)
    for tag, attrs in Tags(html).tags:
        address = attrs.get("src") or attrs.get("href") or ""
        assert re.fullmatch(r"|data:,|#sensors|\?lang=\w\w|page\.(css|js)\?[0-9a-f]{16}", address)
        assert "style" not in attrs
        assert tag != "style"


def test_every_cell_is_one_element_with_what_it_shows(room: Room) -> None:
    snapshot = made(full(room))
    found = [str(attrs["id"]) for _, attrs in Tags(snapshot.html).tags if "id" in attrs]
    assert len(found) == len(set(found))
    assert len(snapshot.cells) > 50
    assert snapshot.cells.keys() <= set(found)
    inside = {
        attrs["id"]
        for part in snapshot.parts.values()
        for _, attrs in Tags(part).tags
        if "id" in attrs
    }
    assert snapshot.fixed.keys() == snapshot.cells.keys() - inside
    by_id = {attrs["id"]: attrs for _, attrs in Tags(snapshot.html).tags if "id" in attrs}
    for at, cell in snapshot.cells.items():
        for name, text in cell.items():
            assert name == "" or by_id[at][name] == text, at


def test_a_new_value_changes_cells_and_not_the_shape(room: Room) -> None:
    before = made(room)
    room.sensors["air-roof"].live[1].value = 8.5
    room.sensors["air-roof"].live[1].flags = int(Flag.SPIKE)
    room.links["vejle"].state = "refused"
    room.links["vejle"].last_error = "no"
    room.ports["meter"].recovery_step = 4
    room.now_ns += 200 * SECOND
    after = made(room, "en")
    assert after.shape == before.shape
    assert after.cells["value/air-roof/1/now"] == {"": "8.5"}
    assert after.cells["link/vejle"] == {"data-state": "refused"}
    assert before.cells["sensor/air-roof"] == {"data-state": "fresh"}
    assert after.cells["sensor/air-roof"] == {"data-state": "stale"}
    assert set(before.parts) == {"reasons", "live"}


def test_a_sensor_that_comes_changes_the_shape(room: Room) -> None:
    before = made(room).shape
    room.sensors["new"] = Sensor()
    assert made(room).shape != before
    assert made(room, "da").shape != made(room).shape


def test_values_of_a_dwelling_are_not_on_the_page(room: Room) -> None:
    room.sensors["meter"].live[3].flags = int(Flag.STUCK)
    html = made(room, leaving=everything()).html
    assert "4711" not in html
    assert "stuck" not in html
    assert "energy.active_import" in html, "what leaves is told, its values are not"


def test_priv_10_a_value_that_is_too_old_to_be_kept_is_not_shown(room: Room) -> None:
    room.sensors["air-roof"].live[1].value = 4711.25
    room.sensors["air-roof"].live[1].flags = int(Flag.STUCK)
    room.sensor_retention_s = {"air-roof": 120.0}
    history = History()
    assert made(room, history=history).cells["value/air-roof/1/now"] == {"": "4711.25"}
    room.now_ns += 130 * SECOND
    snapshot = made(room, history=history)
    assert "4711" not in snapshot.html
    assert snapshot.cells["value/air-roof/1/now"] == {"": "no value"}
    assert snapshot.cells["value/air-roof/1/hour"] == {"aria-label": "last hour: nothing yet"}
    assert snapshot.cells["value/air-roof/1/flags"] == {"": "stale"}
    assert "4711" not in json.dumps(live_document(room.look()))


def test_what_is_withheld_is_told(room: Room) -> None:
    leaving = everything(
        allows=lambda series: series.privacy == "P0", knows=lambda name, _: name != "air-square"
    )
    told = document(room, leaving=leaving)["links"]["aarhus"]["leaves"]
    assert told["sensors"] == {"air-roof": ["air.pm10", "air.pm25"]}
    assert told["withheld"] == ["air-square", "meter"]


def test_a_gateway_without_anything_has_a_page(room: Room) -> None:
    room.sensors.clear()
    room.links.clear()
    room.ports.clear()
    room.scanner = None
    assert Tags(made(room).html).text.count("none configured") == 2


def an_hour(spans: list[tuple[float, float]]) -> Hour:
    lows, highs = (array("d", each) for each in zip(*spans, strict=True))
    known = [each for each in (*lows, *highs) if not isnan(each)]
    return Hour(lows, highs, min(known), max(known))


def test_the_line_of_an_hour_fills_its_picture_and_has_its_gaps(room: Room) -> None:
    spans = [(1.0, 2.0), (2.0, 5.0), *[(nan, nan)] * 9, (3.0, 3.0)]
    path = line_of(an_hour(spans), interval_s=1.0)
    assert re.findall(r"[ML]", path) == ["M", "L", "M"]
    assert re.findall(r"[ML]", line_of(an_hour(spans), interval_s=300.0)) == ["M", "L", "L"]
    heights = [int(text) for text in re.findall(r"[V ](\d+)", path)]
    assert (max(heights), min(heights)) == (HEIGHT - MARGIN, MARGIN)
    assert line_of(NOTHING, 1.0) == ""
    assert line_of(an_hour([(4.0, 4.0)]), 1.0) == f"M0 {HEIGHT // 2}h.1"


def test_the_bounds_of_an_hour_are_told_apart(room: Room) -> None:
    history = History()
    for minute, value in enumerate((996.91, 997.02, 996.95)):
        room.now_ns = HOUR + minute * MINUTE_NS
        room.sensors["air-roof"].live[1].value = value
        room.sensors["air-roof"].live[1].time_ns = room.now_ns
        cells = made(room, history=history).cells
    assert cells["value/air-roof/1/range"] == {"": "996.9 to 997"}
    assert cells["value/air-roof/1/hour"] == {"aria-label": "last hour: 996.9 to 997"}
