"""``top``: pictures of any size, and the loop on a real pseudo-terminal beside a small server."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.top.fetch import Answer, Source, ask
from gateway.cli.top.frame import Looks, frame, once_lines, paint
from gateway.cli.top.rates import Rates
from gateway.cli.top.screen import Screen, keys
from gateway.cli.top.snapshot import snapshot
from gateway.cli.top.table import width_of
from gateway.cli.top.words import count_text, rate_text, time_text
from tests.brokers import free_port
from tests.cli.terminals import OnTerminal

Capture = pytest.CaptureFixture[str]
Document = dict[str, Any]
SECRET_VALUE = 776655.0
PICTURE = re.compile(r"(\x1b\[\?2026h(?:(?!\x1b\[\?2026).)*\x1b\[\?2026l)*", re.DOTALL)


def value(quantity: str, number: float | None, unit: str, **more: Any) -> Document:
    entry: Document = {"quantity": quantity, "value": number, "unit": unit, "dims": {}}
    return {**entry, "aggregation": "", "age_s": 1.0, "quality": "good", "flags": [], **more}


def sensor(**more: Any) -> Document:
    healthy = {
        "driver": "sds011",
        "domain": "air",
        "privacy": "P0",
        "state": "fresh",
        "age_s": 0.5,
        "last_reading": None,
        "interval_s": 1.0,
        "stale_after_s": 10.0,
        "stuck_series": 0,
        "expired_calibrations": 0,
        "clock_ahead_s": None,
        "readings": 60,
        "faults": 0,
        "port": "open",
        "error": "",
        "last_fault": "",
        "values": [],
    }
    return {**healthy, **more}


def link(**more: Any) -> Document:
    healthy = {"state": "online", "cause": "", "accepted": 9, "pending": 2, "held": 0, "error": ""}
    return {**healthy, "oldest_pending_s": 0.4, "acknowledged": 7, "dropped": {}, **more}


def document(**more: Any) -> Document:
    healthy: Document = {
        "schema": 1,
        "gateway": "aarhus-dokk1-03",
        "software": {"name": "citylab-gateway", "version": "0.1.0"},
        "time": "2026-11-22T14:02:11Z",
        "uptime_s": 60.0,
        "boot": 3,
        "clock": {"synced": True, "source": "timesyncd", "steps": 0, "bound_s": 0.12},
        "health": {"state": "ok", "reasons": []},
        "sensors": {"air-roof": sensor(values=[value("air.pm25", 5.7, "ug/m3")])},
        "links": {"aarhus": link()},
        "buffer": {
            "size_bytes": 256 << 20,
            "used": 0.382,
            "readings": 1_043_221,
            "oldest": None,
            "unflushed": 12,
            "damaged_blocks": 0,
            "degraded": False,
            "reason": "",
        },
        "bluetooth": None,
    }
    return {**healthy, **more}


def troubled() -> Document:
    """A box on a bad day: everything that a picture can show."""
    return document(
        health={
            "state": "failing",
            "reasons": ["no flush for 99 s while 5 readings wait", "x " * 60],
        },
        clock={"synced": False, "source": "none", "steps": 2, "bound_s": None},
        sensors={
            "fine": sensor(values=[value("air.pm25", 5.7, "ug/m3")]),
            "home": sensor(privacy="P3", values=[value("power.active", SECRET_VALUE, "W")]),
            "crowd": sensor(privacy="P2", values=[value("crowd.devices", SECRET_VALUE, "{#}")]),
            "doubtful": sensor(
                values=[value("air.no2", 3, "ug/m3", quality="uncertain", flags=["calibrating"])]
            ),
            "wrong": sensor(
                values=[value("air.co2", 9e9, "[ppm]", quality="bad", flags=["range"])]
            ),
            "unplugged": sensor(port="closed", error="no such file or directory"),
            "late": sensor(state="stale", age_s=700.0, last_fault="checksum: 1 of 9"),
            "never": sensor(state="silent", age_s=None, readings=0),
            "old": sensor(expired_calibrations=1, values=[value("air.o3", None, "ug/m3")]),
        },
        links={
            "aarhus": link(),
            "odense": link(state="refused", cause="login", pending=12_034, oldest_pending_s=9e5),
            "vejle": link(dropped={"overwritten": 5, "expired": 2}),
        },
        buffer={
            **document()["buffer"],
            "degraded": True,
            "reason": "disk full",
            "damaged_blocks": 3,
        },
        bluetooth={"adapters": {"hci0": {"state": "closed", "error": "gone", "recovery_step": 2}}},
    )


def text(shown: Document, columns: int, lines: int, *, ascii_only: bool = True, **more: Any) -> str:
    looks = Looks(ascii_only=ascii_only)
    rates = Rates()
    rates.take(snapshot(shown))
    made = frame(snapshot(shown), rates, (columns, lines), looks, **more)
    assert len(made) == lines
    assert max(map(width_of, made)) <= columns
    return "\n".join(paint(each, looks) for each in made)


def names(picture: str, among: Document) -> list[str]:
    words = [line.split(" ")[0] for line in picture.splitlines()]
    return [word for word in words if word in among]


@pytest.mark.parametrize("columns", [1, 7, 19, 20, 30, 40, 59, 60, 80, 99, 100, 250])
def test_a_picture_is_never_larger_than_its_screen(columns: int) -> None:
    for lines in (1, 2, 3, 6, 7, 8, 9, 13, 14, 20, 24, 60):
        for shown in (document(), troubled(), document(sensors={}, links={}), {}):
            for problem in ("", "NO ANSWER " * 30):
                text(shown, columns, lines, problem=problem, scroll=3)


def test_what_needs_somebody_stands_first() -> None:
    shown = troubled()
    expected = ["late", "never", "unplugged", "wrong", "doubtful", "old", "crowd", "fine", "home"]
    for columns in (40, 80, 120):
        picture = text(shown, columns, 60)
        assert names(picture, shown["sensors"]) == expected
        assert names(picture, shown["links"]) == ["odense", "vejle", "aarhus"]


def test_what_is_wrong_is_said_in_words() -> None:
    picture = text(troubled(), 80, 60)
    for words in (
        *("FAILING", "no flush for 99 s", "not known to be right", "2 steps", "hci0 closed gone"),
        *("IN MEMORY ONLY: disk full", "3 damaged blocks", "refused: login", "12034", "10 d"),
        *("port closed: no such file", "last fault checksum", "bad", "range", "calibrating"),
        *("calibration expired", "uncertain", "stale", "12 min", "silent"),
    ):
        assert words in picture, words
    assert "ok" in text(document(), 80, 24)


def test_no_value_of_a_household_or_of_passers_by_is_shown() -> None:
    shown = troubled()
    looks = Looks()
    for each in snapshot(shown).sensors:
        if each.name in ("home", "crowd"):
            assert (each.values, each.quality, each.flags) == ((), "", ())
    everywhere = [text(shown, columns, 60) for columns in (40, 80, 200)]
    everywhere.append("\n".join(once_lines(snapshot(shown), Rates(), looks)))
    for picture in everywhere:
        assert "776655" not in picture
        assert "(P3: values are not shown)" in picture
        assert "5.7 ug/m3" in picture


def test_a_small_screen_keeps_the_sensors_in_sight() -> None:
    shown = document(sensors={f"s-{number:02}": sensor() for number in range(40)})
    picture = text(shown, 40, 10)
    assert len(names(picture, shown["sensors"])) >= 4
    assert "more below" in picture
    assert names(text(shown, 40, 10, scroll=38), shown["sensors"]) == ["s-38", "s-39"]


def test_many_links_leave_room_for_the_sensors() -> None:
    links = {f"city-{number:02}": link() for number in range(15)} | {"down": link(state="waiting")}
    picture = text(document(links=links), 80, 24)
    assert names(picture, {"down": 1, "air-roof": 1}) == ["down", "air-roof"]
    assert re.search(r"\d+ more links, all online", picture)


def test_where_sensors_need_the_room_links_that_are_well_share_a_line() -> None:
    links = {f"city-{number}": link() for number in range(6)} | {
        "down": link(state="waiting"),
        "lossy": link(dropped={"overwritten": 1}),
    }
    sensors = {f"s-{number:02}": sensor() for number in range(40)}
    picture = text(document(links=links, sensors=sensors), 80, 24)
    assert names(picture, links) == ["down", "lossy"]
    assert "6 more links, all online, 12 pending" in picture
    assert len(names(picture, sensors)) >= 14
    assert len(names(text(document(links=links), 80, 24), links)) > 4, "else there is room"


def test_names_of_one_place_are_told_apart() -> None:
    place = "air-quality-roof-of-the-library"
    sensors = {f"{place}-{number:02}": sensor() for number in range(40)}
    links = {f"the-broker-of-the-city-of-{city}": link() for city in ("aarhus", "vejle")}
    for columns in (40, 60, 80):
        picture = text(document(sensors=sensors, links=links), columns, 60)
        shown = re.findall(r"^air.*~.*-(\d\d) ", picture, re.MULTILINE)
        assert sorted(map(int, shown)) == list(range(40))
        assert re.search(r"^the-.*~.*rhus ", picture, re.MULTILINE)
        assert re.search(r"^the-.*~.*ejle ", picture, re.MULTILINE)


def test_what_is_withheld_by_policy_is_no_loss() -> None:
    links = {"a": link(dropped={"policy": 7000, "purged": 8000}), "b": link(dropped={"expired": 9})}
    lines = [line.split() for line in text(document(links=links), 80, 24).splitlines()]
    rows = [line for line in lines if line[:1] in (["a"], ["b"])]
    assert [(row[0], row[-2]) for row in rows] == [("b", "9"), ("a", "0")], "who lost comes first"


def test_no_text_of_the_daemon_reaches_the_terminal_as_a_command() -> None:
    evil = "\x1b[2J\x07\r\n\u202e全角e\u0301"
    shown = document(
        gateway=evil,
        health={"state": evil, "reasons": [evil]},
        sensors={evil: sensor(state=evil, port="closed", error=evil, last_fault=evil)},
        links={evil: link(state=evil, cause=evil, error=evil)},
    )
    for line in text(shown, 120, 30).splitlines():
        assert line.isprintable()
        assert "全" not in line, "it takes two cells"


@pytest.mark.parametrize(
    "odd",
    [
        *({}, {"sensors": []}, {"sensors": {"a": 5}}, {"links": {"b": {"dropped": 7}}}),
        {"sensors": {"a": sensor(age_s=float("nan"), readings=10**400, faults=-1, flags=3)}},
        {"buffer": {"used": float("inf"), "size_bytes": -1}, "uptime_s": 1e308},
    ],
)
def test_a_document_of_another_version_is_shown_as_far_as_it_goes(odd: Document) -> None:
    text(odd, 80, 24)
    text({**document(), **odd, "clock": None, "buffer": "x", "uptime_s": True}, 80, 24)


def test_rates_are_of_the_last_minute_and_begin_anew_with_the_daemon() -> None:
    rates = Rates()
    assert rates.per_minute("air-roof") is None

    def look(uptime_s: float, readings: int) -> float | None:
        shown = document(uptime_s=uptime_s, sensors={"air-roof": sensor(readings=readings)})
        rates.take(snapshot(shown))
        return rates.per_minute("air-roof")

    assert look(600.0, 100) == pytest.approx(10.0), "since the start"
    assert look(605.0, 200) == pytest.approx(200 / 605 * 60), "five seconds say nothing yet"
    assert look(630.0, 160) == pytest.approx(120.0)
    for second in range(640, 1000, 10):
        assert look(float(second), 160) is not None
    assert rates.per_minute("air-roof") == 0.0
    assert look(6.0, 3) == pytest.approx(30.0), "it was started again"
    assert rates.per_minute("another") == 0.0


def test_words_keep_their_column() -> None:
    seconds = [0, 0.04, 9.94, 9.96, 119, 121, 7199, 7201, 172_799, 172_801, 8e7]
    assert [time_text(each) for each in (4.2, 85, 720, 18_000, 259_200, None)] == [
        *("4.2 s", "85 s", "12 min", "5 h", "3 d", "-"),
    ]
    assert all(len(time_text(each)) <= 7 for each in seconds)
    counts = [0, 99_999, 100_000, 999_499, 999_500, 1_043_221, 10**9, 10**12, 10**14]
    assert [count_text(each) for each in (99_999, 123_456, 1_043_221)] == ["99999", "123k", "1.04M"]
    assert all(len(count_text(each)) <= 6 for each in counts)
    assert [rate_text(each) for each in (None, 0.0, 0.26, 12.0)] == ["-", "0", "0.3", "12"]


def test_keys_come_in_any_pieces_and_unknown_ones_do_nothing() -> None:
    assert list(keys(b"j\x1b[Axq")) == ["down", "up", "quit"]
    assert list(keys(b"\x1b[6~ k")) == ["page down", "page down", "up"]
    assert list(keys(b"\x1b[99;5Z")) == []


def test_one_picture_is_one_write_and_only_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def write(descriptor: int, data: bytes) -> int:
        written.append(data)
        return len(data)

    monkeypatch.setattr("gateway.cli.top.screen.os.write", write)
    screen = Screen(1, 0)
    screen.show(["aaa", "bbb", "ccc"], (3, 3))
    screen.show(["aaa", "bXb", "ccc"], (3, 3))
    screen.show(["aaa", "bXb", "ccc"], (3, 3))
    screen.show(["aaaa", "bXbb"], (4, 2))
    assert len(written) == 3, "nothing changed, nothing was written"
    assert b"\x1b[2J" in written[0]
    assert written[1] == b"\x1b[?2026h\x1b[2;1HbXb\x1b[?2026l"
    assert b"\x1b[2J" in written[2]


# ---- asking


class Daemon:
    """Answers each GET with whatever is wanted at the moment."""

    def __init__(self) -> None:
        self.document: Document = document()
        self.raw: bytes | None = None
        self.heads: list[bytes] = []
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[Any]] = set()

    @property
    def source(self) -> Source:
        return Source("127.0.0.1", self.port, "token-1")

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for client in self._clients:
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
            await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass  # whoever asked is gone, or we go
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps(self.document).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(head + body if self.raw is None else self.raw)
        writer.write_eof()
        await reader.read()


@asynccontextmanager
async def daemon() -> AsyncIterator[Daemon]:
    answering = Daemon()
    await answering.start()
    try:
        yield answering
    finally:
        await answering.stop()


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "token"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "busy"),
        (b"HTTP/1.1 418 Tea\r\nContent-Length: 0\r\n\r\n", "418"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[[[[", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", "no web server"),
        (b"220 mail.example.org ESMTP\r\n", "no web server"),
        (b"", "no web server"),
    ],
)
async def test_whatever_answers_there_is_told_apart(raw: bytes, problem: str) -> None:
    async with daemon() as answering:
        answering.raw = raw
        answer = await ask(answering.source)
    assert answer.snapshot is None
    assert problem in answer.problem


async def test_the_token_is_sent_and_nobody_listening_is_told() -> None:
    async with daemon() as answering:
        answer = await ask(answering.source)
        assert answer.snapshot is not None
        assert b"authorization: bearer token-1\r\n" in answering.heads[0].lower()
        source = answering.source
    assert "refused" in (await ask(source)).problem
    assert "token-1" not in repr(source)
    assert Source("::1", 1).url == "http://[::1]:1"


async def test_a_silent_daemon_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.top.fetch.TIMEOUT_S", 0.1)
    async with daemon() as answering:

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1 << 16)
            await asyncio.sleep(60)

        monkeypatch.setattr(answering, "_answer", hang)
        assert await ask(answering.source) == Answer(None, "no answer within 0.1 s")


# ---- the command


async def beside(call: Callable[[], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, call)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("size", [(40, 20), (80, 24)])
async def test_it_lives_on_a_terminal_and_gives_it_back(size: tuple[int, int]) -> None:
    async with daemon() as answering:
        loop = asyncio.get_running_loop()
        url = f"127.0.0.1:{answering.port}"
        terminal = OnTerminal(["top", "--url", url, "--interval", "100 ms"], size=size)

        def change(**more: Any) -> None:
            answering.document = document(**more)

        def look() -> None:
            with terminal as screen:
                screen.until("air-roof")
                screen.until("5.7 ug/m3")
                assert screen.picture.modes == {
                    "1049": True,
                    "25": False,
                    "7": False,
                    "2026": False,
                }
                assert screen.picture.rows[-1].startswith("q ends")
                assert screen.settings != screen.before
                clears = screen.picture.clears
                change(sensors={"air-roof": sensor(state="stale", age_s=77.0), "road": sensor()})
                screen.until("77 s")
                screen.until(lambda: names(screen.picture.text, {"road": 1}) == ["road"])
                assert screen.picture.clears == clears, "nothing is cleared between pictures"
                change(sensors={f"s-{number:02}": sensor() for number in range(50)})
                screen.until("more below")
                screen.type("\x1b[B" * 3 + "z")
                screen.until(
                    lambda: "s-03" in screen.picture.text and "s-02" not in screen.picture.text
                )
                screen.type("g")
                screen.until("s-00")
                screen.resize(30, 8)
                screen.until("s-00")
                screen.until(
                    lambda: len(screen.picture.rows[-1]) <= 30 and bool(screen.picture.rows[-1])
                )
                asyncio.run_coroutine_threadsafe(answering.stop(), loop).result()
                screen.until("NO ANSWER")
                screen.until("aarhus-dokk1")
                asyncio.run_coroutine_threadsafe(answering.start(), loop).result()
                screen.until(lambda: "NO ANSWER" not in screen.picture.text)
                screen.type("q")
                assert screen.ended() == 0
                assert screen.settings == screen.before
                assert screen.picture.modes == {"1049": False, "25": True, "7": True, "2026": False}

        await beside(look)
    inside = terminal.written.partition("\x1b[?7l")[2].rpartition("\x1b[0m\x1b[?7h")[0]
    assert PICTURE.fullmatch(inside), "every write is one whole picture"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, "\x03"])
async def test_however_it_ends_the_terminal_is_as_before(how: signal.Signals | str) -> None:
    async with daemon() as answering:
        terminal = OnTerminal(["top", "--url", f"http://127.0.0.1:{answering.port}"])

        def look() -> None:
            with terminal as screen:
                screen.until("air-roof")
                if isinstance(how, str):
                    screen.type(how)
                else:
                    screen.signal(how)
                assert screen.ended() == 0
                assert screen.settings == screen.before
                assert screen.picture.modes == {"1049": False, "25": True, "7": True, "2026": False}

        await beside(look)


async def test_ctrl_z_lends_the_terminal_and_fg_takes_it_again() -> None:
    async with daemon() as answering:
        address = f"127.0.0.1:{answering.port}"
        terminal = OnTerminal(["top", "--url", address, "--interval", "1 h"])

        def look() -> None:
            with terminal as screen:
                screen.until("air-roof")
                screen.signal(signal.SIGTSTP)
                screen.until(lambda: screen.picture.modes["1049"] is False)
                screen.until(lambda: screen.settings == screen.before)
                os.waitid(os.P_PID, screen.process.pid, os.WSTOPPED | os.WNOWAIT)
                pictures = screen.picture.pictures
                screen.signal(signal.SIGCONT)
                screen.until(lambda: screen.picture.pictures > pictures)
                screen.until(lambda: not screen.picture.modes["2026"])
                assert screen.picture.modes["1049"]
                screen.resize(60, 12)
                screen.until(lambda: screen.picture.rows[11].startswith("q ends"))
                screen.type("q")
                assert screen.ended() == 0

        await beside(look)


async def test_once_prints_it_for_a_script(ascii_run: Any) -> None:
    async with daemon() as answering:
        answering.document = troubled()
        url = f"http://127.0.0.1:{answering.port}"
        done: list[tuple[int, str]] = []
        await beside(lambda: done.append(ascii_run("top", "--once", "--url", url)))
    ((code, printed),) = done
    assert code == 0
    assert "\x1b" not in printed
    assert names(printed, troubled()["sensors"])[0] == "late"
    assert len(names(printed, troubled()["sensors"])) == 9


def test_nobody_there_is_told_in_one_line(capsys: Capture) -> None:
    assert main(["top", "--once", "--url", f"127.0.0.1:{free_port()}"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--url", "https://x"], "--url"),
        (["--url", "http://me:secret@x"], "--url"),
        (["--interval", "1"], "--interval"),
        (["--interval", "1 ms"], "--interval"),
        (["--config", "none.toml"], "none.toml"),
    ],
)
def test_wrong_usage_says_which(capsys: Capture, arguments: list[str], word: str) -> None:
    assert main(["top", "--once", *arguments]) == 2
    errors = capsys.readouterr().err
    assert word in errors
    assert "secret" not in errors


def test_a_daemon_without_a_page_is_told_what_to_add(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('schema = 1\n[gateway]\nid = "box"\n')
    assert main(["top", "--once", "--config", str(config)]) == 2
    assert "add [http]" in capsys.readouterr().err


def test_a_token_that_only_the_unit_has_can_be_named(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('schema = 1\n[gateway]\nid = "box"\n[http]\ntoken_file = "%d/t"\n')
    assert main(["top", "--once", "--config", str(config)]) == 2
    assert "--token-file" in capsys.readouterr().err


async def test_address_and_token_come_from_the_configuration(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("token-9\n")
    token.chmod(0o600)
    config = tmp_path / "gateway.toml"
    async with daemon() as answering:
        config.write_text(
            f'schema = 1\n[gateway]\nid = "box"\n[http]\nlisten = "0.0.0.0:{answering.port}"\n'
            f'token_file = "{token}"\n'
        )
        codes: list[int] = []
        await beside(lambda: codes.append(main(["top", "--once", "--config", str(config)])))
        assert codes == [0]
        assert b"Bearer token-9" in answering.heads[0]
