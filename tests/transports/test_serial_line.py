"""The serial transport on real pseudo-terminals."""

import asyncio
import os
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import serial

from gateway.clock import Clock
from gateway.driver import SerialLine
from gateway.transports import SerialLineTransport
from gateway.transports.serial_opening import open_port
from tests.transports.conftest import Start
from tests.transports.parts import CLOCK, HANG_S, Recorder, Terminal, TextDriver, until

NEVER_S = 3600.0
SETTINGS = b"set\n"
LINE = SerialLine(9600)

Make = Callable[..., SerialLineTransport]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    device = Terminal(tmp_path / "port")
    yield device
    device.close()


@pytest.fixture
def make(tmp_path: Path, sink: Recorder, clock: Clock) -> Make:
    def make_one(
        *,
        name: str = "port",
        lines: Sequence[SerialLine] = (LINE,),
        silence_timeout_s: float = NEVER_S,
        settings: Sequence[bytes] = (SETTINGS,),
    ) -> SerialLineTransport:
        return SerialLineTransport(
            sensor=name,
            port=str(tmp_path / name),
            driver=TextDriver(settings=settings),
            lines=lines,
            sink=sink,
            clock=clock,
            silence_timeout_s=silence_timeout_s,
        )

    return make_one


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.transports.serial_line.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("gateway.transports.serial_line.MAX_WAIT_S", 0.05)


@pytest.mark.parametrize("chunk", [1, 3, 7, 1 << 20])
async def test_bytes_become_outcomes(
    chunk: int, terminal: Terminal, make: Make, sink: Recorder, start: Start
) -> None:
    transport = make()
    before = CLOCK.now_ns()
    start(transport.run)
    await until(lambda: transport.stats.open)
    data = b"T=21.5\nrubbish\nT=-3\n"
    await terminal.send(data, chunk=chunk)
    await sink.until(lambda: len(sink.values()) == 2)

    assert sink.values("port") == [21.5, -3.0]
    assert [fault.kind for fault in sink.faults()] == ["noise"]
    assert all(before < received_ns <= CLOCK.now_ns() for _, _, received_ns in sink.calls)
    assert transport.stats.received_bytes == len(data)
    assert transport.stats.last_received_ns == sink.calls[-1][2]
    assert transport.stats.opens == 1


async def test_one_read_is_one_delivery(
    terminal: Terminal, make: Make, sink: Recorder, start: Start
) -> None:
    transport = make()
    start(transport.run)
    await until(lambda: transport.stats.open)
    await terminal.send(b"T=1\nT=2\nT=3\n")
    await sink.until(lambda: len(sink.values()) == 3)
    assert len(sink.calls) == 1


async def test_a_flood_is_read_whole_and_starves_nobody(
    tmp_path: Path, terminal: Terminal, make: Make, sink: Recorder, start: Start
) -> None:
    quiet_terminal = Terminal(tmp_path / "quiet")
    flooded, quiet = make(), make(name="quiet")
    start(flooded.run)
    start(quiet.run)
    await until(lambda: flooded.stats.open and quiet.stats.open)
    flood = asyncio.create_task(terminal.send(b"".join(b"T=%d\n" % n for n in range(60_000))))
    await sink.until(lambda: len(sink.values("port")) > 100)
    await quiet_terminal.send(b"T=7\n")
    await sink.until(lambda: bool(sink.values("quiet")))
    in_between = len(sink.values("port"))
    await flood
    await sink.until(lambda: len(sink.values("port")) == 60_000)

    assert sink.values("port") == [float(n) for n in range(60_000)]
    assert in_between < 60_000
    quiet_terminal.close()


async def test_settings_are_sent_at_each_open(
    tmp_path: Path,
    terminal: Terminal,
    make: Make,
    start: Start,
    quick_retries: None,
) -> None:
    transport = make(silence_timeout_s=0.2)
    start(transport.run)
    assert await terminal.receive(2 * len(SETTINGS)) == 2 * SETTINGS
    assert transport.stats.opens >= 2
    assert transport.stats.reopens["silence"] >= 1
    assert transport.stats.sent_bytes >= 2 * len(SETTINGS)


async def test_settings_are_sent_again_after_a_restart_but_not_without_limit(
    terminal: Terminal, make: Make, sink: Recorder, start: Start
) -> None:
    transport = make()
    start(transport.run)
    assert await terminal.receive(len(SETTINGS)) == SETTINGS
    await terminal.send(b"boot\n")
    assert await terminal.receive(len(SETTINGS)) == SETTINGS
    await terminal.send(b"boot\n" * 10 + b"T=1\n")
    await sink.until(lambda: bool(sink.values()))
    assert terminal.received() == b""
    assert transport.stats.device_restarts == 11


async def test_a_restart_within_the_limit_gets_its_settings_later(
    terminal: Terminal, make: Make, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.serial_session.RESEND_INTERVAL_S", 1.0)
    transport = make()
    start(transport.run)
    await terminal.receive(len(SETTINGS))
    await terminal.send(b"boot\n")
    assert await terminal.receive(len(SETTINGS)) == SETTINGS
    for count in range(2, 5):
        await terminal.send(b"boot\n")
        await until(lambda count=count: transport.stats.device_restarts == count)  # type: ignore[misc]
    assert await terminal.receive(len(SETTINGS)) == SETTINGS  # once for all three


async def test_settings_that_the_port_takes_slowly_arrive_whole(
    terminal: Terminal, make: Make, start: Start
) -> None:
    settings = [b"%06d\n" % number for number in range(2000)]
    transport = make(settings=settings)
    start(transport.run)
    await until(lambda: transport.stats.open)
    assert await terminal.receive(14_000) == b"".join(settings)
    await until(lambda: transport.stats.sent_bytes == 14_000)


async def test_a_device_that_takes_no_settings_is_tried_again(
    terminal: Terminal, make: Make, start: Start, quick_retries: None
) -> None:
    transport = make(settings=[b"x" * 1024] * 64)
    start(transport.run)
    await until(lambda: transport.stats.reopens.get("error", 0) >= 2)
    assert "settings" in transport.stats.last_error


async def test_a_port_that_is_missing_is_opened_when_it_appears(
    tmp_path: Path, make: Make, sink: Recorder, start: Start, quick_retries: None
) -> None:
    transport = make()
    start(transport.run)
    await until(lambda: transport.stats.open_failures >= 2)
    assert "No such file" in transport.stats.last_error
    device = Terminal(tmp_path / "port")
    await until(lambda: transport.stats.open)
    await device.send(b"T=4\n")
    await sink.until(lambda: sink.values() == [4.0])
    device.close()


async def test_a_device_that_vanishes_and_returns_is_read_again(
    tmp_path: Path, make: Make, sink: Recorder, start: Start, quick_retries: None
) -> None:
    transport = make()
    for round_number in range(1, 4):
        device = Terminal(tmp_path / "port")
        if round_number == 1:
            start(transport.run)
        await device.receive(len(SETTINGS))
        await device.send(b"T=%d\n" % round_number)
        await sink.until(lambda expected=round_number: len(sink.values()) == expected)  # type: ignore[misc]
        device.close()
        await until(lambda: not transport.stats.open)
    assert sink.values() == [1.0, 2.0, 3.0]
    assert transport.stats.reopens == {"vanished": 3}
    assert transport.stats.opens == 3


async def test_a_port_that_another_program_holds_is_left_alone(
    tmp_path: Path, terminal: Terminal, make: Make, start: Start, quick_retries: None
) -> None:
    other = serial.Serial(str(tmp_path / "port"), exclusive=True)
    transport = make()
    start(transport.run)
    await until(lambda: transport.stats.open_failures >= 1)
    assert "in use by another program" in transport.stats.last_error
    other.close()
    await until(lambda: transport.stats.open)
    with pytest.raises(serial.SerialException):
        serial.Serial(str(tmp_path / "port"), exclusive=True)


async def test_what_is_no_serial_port_is_an_error_that_is_tried_again(
    tmp_path: Path, make: Make, start: Start, quick_retries: None
) -> None:
    (tmp_path / "port").write_text("not a terminal", encoding="utf-8")
    transport = make()
    start(transport.run)
    await until(lambda: transport.stats.open_failures >= 2)
    assert not transport.stats.open
    assert transport.stats.last_error


async def test_line_settings_are_tried_in_turn_until_one_gives_readings(
    terminal: Terminal, make: Make, sink: Recorder, start: Start, quick_retries: None
) -> None:
    lines = [SerialLine(115200), SerialLine(9600, 7, "E"), SerialLine(256000)]
    transport = make(lines=lines, silence_timeout_s=0.5)
    start(transport.run)

    async def rubbish_until(line: str) -> None:
        while transport.stats.line != line or not transport.stats.open:
            await terminal.send(b"?\n")
            await asyncio.sleep(0.02)

    async with asyncio.timeout(HANG_S):
        await rubbish_until("9600 7E1")
        await rubbish_until("256000 8N1")
    await terminal.send(b"T=5\n")
    await sink.until(lambda: bool(sink.values()))
    opens = transport.stats.opens
    await until(lambda: transport.stats.opens > opens)  # silent now, but the setting was right
    assert transport.stats.line == "256000 8N1"
    assert transport.stats.reopens["line"] >= 2


async def test_line_settings_are_tried_in_turn_in_silence_too(
    terminal: Terminal, make: Make, start: Start, quick_retries: None
) -> None:
    transport = make(lines=[SerialLine(115200), SerialLine(9600)], silence_timeout_s=0.05)
    start(transport.run)
    for line in ("115200 8N1", "9600 8N1", "115200 8N1"):
        await until(lambda line=line: transport.stats.line == line)  # type: ignore[misc]
    assert set(transport.stats.reopens) == {"silence"}


async def test_the_line_setting_reaches_the_port(
    tmp_path: Path, terminal: Terminal, make: Make, start: Start
) -> None:
    transport = make(lines=[SerialLine(19200, 7, "E", 2)])
    start(transport.run)
    await until(lambda: transport.stats.open)
    descriptor = os.open(tmp_path / "port", os.O_RDWR | os.O_NOCTTY)
    _, _, flags, _, speed, _, _ = termios.tcgetattr(descriptor)
    os.close(descriptor)
    assert speed == termios.B19200
    assert flags & termios.CSTOPB
    assert transport.stats.line == "19200 7E2"


async def test_a_bug_in_a_driver_ends_the_run_and_closes_the_port(
    tmp_path: Path, terminal: Terminal, make: Make, sink: Recorder, start: Start
) -> None:
    transport = make()
    task = asyncio.create_task(transport.run())
    await until(lambda: transport.stats.open)
    await terminal.send(b"crash\n")
    with pytest.raises(ZeroDivisionError):
        await task
    assert not transport.stats.open

    start(transport.run)  # as the supervisor does
    await until(lambda: transport.stats.open)
    await terminal.send(b"T=6\n")
    await sink.until(lambda: sink.values() == [6.0])


async def test_problems_are_logged_once(
    make: Make, start: Start, quick_retries: None, caplog: pytest.LogCaptureFixture
) -> None:
    transport = make()
    start(transport.run)
    await until(lambda: transport.stats.open_failures >= 5)
    assert len(caplog.records) == 1


def test_a_port_needs_a_line_setting(make: Make) -> None:
    with pytest.raises(ValueError, match="line setting"):
        make(lines=[])


async def test_a_pseudo_terminal_without_parity_can_be_opened_twice(
    tmp_path: Path, terminal: Terminal
) -> None:
    for _ in range(2):
        open_port(str(tmp_path / "port"), SerialLine(2400, parity="E")).close()
