"""Server-sent events: only what changed, bounded watchers, and slow ones that hold up nobody."""

import asyncio
import itertools
import json
from typing import Any, Self

import pytest

from gateway.observe import HttpLimits, StatusServer, pages, slices
from gateway.observe.page_cells import Snapshot, changed
from gateway.observe.pages import NotMade, Pages
from gateway.observe.streams import EventWriter
from tests.observe.client import ask
from tests.observe.figures import Room, live
from tests.observe.waiting import until


def serving(room: Room, **limits: Any) -> StatusServer:
    fast = {"event_interval_s": 0.02, **limits}
    return StatusServer(
        room.look,
        listen=("127.0.0.1", 0),
        token=str(fast.pop("token", "")),
        limits=type("Limits", (HttpLimits,), fast),
    )


class Watcher:
    """A client that follows the events, or does not read them."""

    def __init__(self, server: StatusServer, headers: str = "") -> None:
        self._address = server.address.rpartition(":")
        self._headers = headers
        self._left = b""

    async def __aenter__(self) -> Self:
        host, _, port = self._address
        self.reader, self.writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        self.writer.write(
            f"GET /events HTTP/1.1\r\nHost: localhost\r\n{self._headers}\r\n".encode()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def event(self) -> tuple[str, Any]:
        """Return name and data of the next event, out of the chunks in which it comes."""
        while b"\n\n" not in self._left:
            size = int(await self.reader.readline(), 16)
            self._left += (await self.reader.readexactly(size + 2))[:-2]
        text, _, self._left = self._left.partition(b"\n\n")
        lines = dict(line.split(": ", 1) for line in text.decode().splitlines())
        return lines["event"], json.loads(lines["data"])


async def test_first_comes_all_then_what_changed_then_a_sign_of_life(room: Room) -> None:
    async with serving(room) as server, Watcher(server, "Accept-Language: da\r\n") as watcher:
        assert "content-type: text/event-stream" in (await watcher.head()).lower()
        name, told = await watcher.event()
        assert name == "page"
        assert told["cells"]["health"] == {"": "ok", "data-state": "ok"}
        assert '<b id="value/air-roof/1/now">7,3</b>' in told["parts"]["live"]
        assert "Sensorer" in told["parts"]["live"]
        assert await watcher.event() == ("cells", {})
        room.sensors["air-roof"].live[1].value = 7.5
        while not (event := await watcher.event())[1]:
            pass
        assert event[0] == "cells"
        assert event[1]["value/air-roof/1/now"] == {"": "7,5"}
        assert set(event[1]) <= {f"value/air-roof/1/{each}" for each in ("now", "hour", "range")}
        room.sensors["air-roof"].live[9] = live(9, "air-roof", "air.co2", "[ppm]", 415.0)
        while (event := await watcher.event())[0] == "cells":
            pass
        assert "415" in event[1]["parts"]["live"]


async def test_watchers_are_bounded_and_leave_room_for_others(room: Room) -> None:
    async with serving(room, streams=2) as server:
        async with Watcher(server) as first, Watcher(server) as second:
            await first.head()
            await second.head()
            async with Watcher(server) as third:
                assert (await third.head()).startswith("HTTP/1.1 503")
            assert (await ask(server.address, "GET /healthz HTTP/1.1")).status == 200
        await until(lambda: server._streams == 0)
        async with Watcher(server) as again:
            assert (await again.head()).startswith("HTTP/1.1 200")


async def test_sec_06_who_does_not_read_is_dropped_and_holds_up_nobody(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LEAST_REST", 0.0)
    for index in range(300):
        room.sensors[f"sensor-{index}"] = room.sensors["air-square"]
    async with serving(room, answer_timeout_s=0.3, event_interval_s=0.01) as server:
        async with Watcher(server) as deaf:
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined] # see test_http
            await until(lambda: server._streams)
            at = 0
            while server._streams:  # a new shape each time: all of it is sent
                at += 1
                room.sensors[f"more-{at % 3}"] = room.sensors["air-square"]
                room.sensors.pop(f"more-{(at + 1) % 3}", None)
                assert (await ask(server.address, "GET /healthz HTTP/1.1")).status == 200
        await until(lambda: not server._clients)


async def test_sec_04_events_need_the_token_too(room: Room) -> None:
    async with serving(room, token="b6c0ffee") as server:
        assert (await ask(server.address, "GET /events HTTP/1.1")).status == 401
        async with Watcher(server, "Authorization: Bearer b6c0ffee\r\n") as watcher:
            assert (await watcher.head()).startswith("HTTP/1.1 200")


async def test_closing_the_server_ends_the_streams(room: Room) -> None:
    async with serving(room) as server:
        watcher = await Watcher(server).__aenter__()
        await watcher.head()
    assert (await watcher.reader.read()).count(b"event: ") > 0  # and then the end
    watcher.writer.close()


async def test_head_of_events_ends(room: Room) -> None:
    async with serving(room) as server:
        answer = await ask(server.address, "HEAD /events HTTP/1.1")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")


async def test_style_and_script_may_be_kept_by_their_mark(room: Room) -> None:
    async with serving(room) as server:
        page = (await ask(server.address, "GET / HTTP/1.1")).body.decode()
        for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
            at = page.index(name)
            address = page[at : page.index('"', at)]
            kept = await ask(server.address, f"GET /{address} HTTP/1.1")
            other = await ask(server.address, f"GET /{name}?old HTTP/1.1")
            assert kept.headers["content-type"].startswith(kind)
            assert "immutable" in kept.headers["cache-control"]
            assert other.headers["cache-control"] == "no-store"
            assert kept.body == other.body


async def test_the_page_names_its_language(room: Room) -> None:
    async with serving(room) as server:
        danish = await ask(server.address, "GET / HTTP/1.1\r\nAccept-Language: da")
        english = await ask(server.address, "GET /?lang=en HTTP/1.1\r\nAccept-Language: da")
    assert danish.headers["content-language"] == "da"
    assert "Accept-Language" in danish.headers["vary"]
    assert english.headers["content-language"] == "en"


async def test_a_page_that_takes_long_is_made_less_often(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Pages(room.look, keep_s=0.0)
    monkeypatch.setattr(pages, "LEAST_REST", 1e9)
    first = await made.fresh("en")
    room.sensors["air-roof"].live[1].value = 8.5
    assert await made.fresh("en") is first
    assert made.now("en") is first
    with pytest.raises(NotMade):
        made.now("da")
    monkeypatch.setattr(pages, "LEAST_REST", 0.0)
    with pytest.raises(NotMade):
        made.now("en")
    assert (await made.fresh("en")).cells["value/air-roof/1/now"] == {"": "8.5"}


async def test_a_page_is_made_in_slices_and_once_for_all_who_ask(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: by this clock there is time for one step in each slice."""
    for index in range(100):
        room.sensors[f"sensor-{index}"] = room.sensors["air-roof"]
    made = Pages(room.look, keep_s=1e9)
    monkeypatch.setattr(slices, "perf_counter", itertools.count(0.0, 0.6 * slices.SLICE_S).__next__)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    asked = await asyncio.gather(*(made.fresh("en") for _ in range(5)))
    turning.cancel()
    await asyncio.gather(turning, return_exceptions=True)
    assert len({id(each) for each in asked}) == 1
    assert turns > 2 * 100
    assert "sensor-99" in asked[0].html


def test_a_writer_tells_every_difference_once() -> None:
    cells = [
        {"a": {"": "1"}, "b": {"": "x", "data-state": "ok"}},
        {"a": {"": "2"}, "b": {"": "x", "data-state": "bad"}},
    ]
    fixed = {"a": cells[0]["a"]}
    snapshots = [Snapshot("", {"live": "<b>"}, each, "same", fixed) for each in cells]
    writer = EventWriter()
    assert writer.event(snapshots[0]) == (
        b'retry: 2000\nevent: page\ndata: {"parts":{"live":"<b>"},"cells":{"a":{"":"1"}}}\n\n'
    )
    assert writer.event(snapshots[1]) == (
        b'event: cells\ndata: {"a":{"":"2"},"b":{"data-state":"bad"}}\n\n'
    )
    assert writer.event(snapshots[1]) == b"event: cells\ndata: {}\n\n"
    assert changed({}, cells[0]) == cells[0]
