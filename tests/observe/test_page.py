"""The page escapes, asks nobody else, and its script finds what it refreshes."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

from gateway.observe import live_document
from gateway.observe.page import CONTENT_SECURITY_POLICY, page
from gateway.reading import Flag
from tests.observe.figures import Room, Sensor, live

EVIL = "<script>alert('x')</script>\"'&"


class Tags(HTMLParser):
    """Collects tags with their attributes, and the text of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str]] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("style", "script"):
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.raw.append((self._inside, data))
        else:
            self.text += data


def rendered(room: Room) -> Tags:
    return Tags(page(live_document(room.look())).decode())


def full(room: Room) -> Room:
    room.buffer.degraded, room.buffer.degraded_reason = True, "No space left on device"
    room.links["aarhus"].state, room.links["aarhus"].last_error = "waiting", "timed out"
    room.ports["air-roof"].open, room.ports["air-roof"].last_error = False, "vanished"
    room.sensors["air-roof"].last_fault = "checksum: 1 frame"
    room.sensors["air-roof"].live[1].flags = int(Flag.WARM_UP)
    return room


def test_what_a_person_needs_is_on_it(room: Room) -> None:
    text = rendered(full(room)).text
    for wanted in (
        "aarhus-dokk1-03",
        "air-roof",
        "air.pm25",
        "7.3",
        "µg/m³",
        "1 s ago",
        "fresh",
        "waiting",
        "20 pending",
        "25.0 % of 256 MiB used",
        "No space left on device",
        "timed out",
        "warm_up",
        "clock right",
    ):
        assert wanted in text, wanted


def test_everything_from_outside_is_escaped(room: Room) -> None:
    room.links[EVIL] = room.links.pop("aarhus")
    room.readers[EVIL] = room.readers.pop("aarhus")
    room.links[EVIL].state = EVIL
    room.links[EVIL].last_error = EVIL
    room.buffer.degraded, room.buffer.degraded_reason = True, EVIL
    room.sensors[EVIL] = Sensor(
        driver=EVIL,
        last_fault=EVIL,
        live={1: live(1, EVIL, EVIL, EVIL, 1.0, dims=((EVIL, EVIL),), aggregation=EVIL)},
    )
    document = live_document(room.look())
    document["gateway"] = document["software"]["version"] = EVIL
    tags = Tags(page(document).decode())
    assert [tag for tag, _ in tags.tags].count("script") == 1
    assert EVIL in tags.text
    assert not [name for _, attrs in tags.tags for name in attrs if name.startswith("on")]


def test_nothing_is_fetched_from_anywhere_else(room: Room) -> None:
    body = page(live_document(room.look())).decode()
    assert not re.search(r"https?:|//[a-z]", body)
    for _, attrs in rendered(room).tags:
        assert attrs.get("href", "data:,") == "data:,"
        assert "src" not in attrs
        assert "style" not in attrs


def test_the_policy_names_exactly_this_style_and_script(room: Room) -> None:
    raw = rendered(room).raw
    assert [kind for kind, _ in raw] == ["style", "script"]
    for kind, text in raw:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY


def test_the_script_finds_every_value_in_status_json(room: Room) -> None:
    document = json.loads(json.dumps(live_document(full(room).look())))
    elements = [attrs for _, attrs in rendered(room).tags if "data-at" in attrs]
    script = dict(rendered(room).raw)["script"]
    kinds = set(re.findall(r"(\w+):[a-z]=>", script)) | {"age"}
    assert len(elements) > 20
    for attrs in elements:
        value = document
        for step in str(attrs["data-at"]).split("/"):
            value = value[int(step)] if isinstance(value, list) else value[step]
        assert value is None or isinstance(value, str | int | float)
        assert attrs.get("data-as") in kinds or "max" in attrs


def test_values_of_a_dwelling_are_not_on_the_page(room: Room) -> None:
    assert "4711" not in page(live_document(room.look())).decode()


def test_a_gateway_without_anything_has_a_page(room: Room) -> None:
    room.sensors.clear()
    room.links.clear()
    assert rendered(room).text.count("none configured") == 2
