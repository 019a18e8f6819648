"""The bus transport on real pseudo-terminals."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from gateway.assembly import Sensor
from gateway.clock import Clock
from gateway.config.model import SensorSection
from gateway.config.model.sensor import Framing, chosen_lines
from gateway.driver import DriverInfo, Outcome, Request, SerialLine
from gateway.intake import Intake
from gateway.station import SensorSide
from gateway.supervisor import Supervisor
from gateway.transports import BusDevice, SerialBusTransport
from gateway.transports.serial_bus_device import (
    DEAD_SHARE,
    FIRST_BENCH_S,
    MAX_RETRY_S,
    QUICK_RETRIES,
)
from tests.transports.bus_parts import DEAD_S, INFO, LINE, TIMEOUT_S, Bus, Counter, LinePoll
from tests.transports.conftest import Start
from tests.transports.parts import CLOCK, Recorder, until

SOON_S = 0.01
NEVER_S = 3600.0

Make = Callable[..., BusDevice]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make_one(
        name: str,
        *,
        driver: LinePoll | None = None,
        lines: tuple[SerialLine, ...] = (LINE,),
        interval_s: float = SOON_S,
        silence_timeout_s: float = NEVER_S,
    ) -> BusDevice:
        return BusDevice(
            sensor=name,
            port=str(tmp_path / "port"),
            driver=driver or LinePoll(name),
            lines=lines,
            interval_s=interval_s,
            silence_timeout_s=silence_timeout_s,
        )

    return make_one


@dataclass
class Bench:
    """A bus, what asks at it, and what hears the answers."""

    tmp_path: Path
    bus: Bus
    make: Make
    transport: SerialBusTransport
    sink: Recorder
    start: Start
    clock: Clock


@pytest.fixture
async def at(tmp_path: Path, make: Make, sink: Recorder, start: Start) -> AsyncIterator[Bench]:
    bus = Bus(tmp_path / "port")
    transport = SerialBusTransport(port=str(tmp_path / "port"), sink=sink, clock=CLOCK)
    yield Bench(tmp_path, bus, make, transport, sink, start, CLOCK)
    bus.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.transports.serial_bus.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("gateway.transports.serial_bus.MAX_WAIT_S", 0.05)
    monkeypatch.setattr("gateway.transports.serial_bus_device.FIRST_RETRY_S", 0.02)


async def test_several_devices_are_asked_one_after_the_other(at: Bench) -> None:
    at.bus.devices = {name: Counter(name) for name in "abc"}
    devices = [at.make(name) for name in "abc"]
    for device in devices:
        at.transport.add(device)
    before = at.clock.now_ns()
    at.start(at.transport.run)
    await at.sink.until(lambda: all(len(at.sink.values(name)) >= 5 for name in "abc"))
    for device in devices:
        assert at.sink.values(device.sensor)[:5] == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert device.stats.open
        assert device.stats.opens == 1
        assert device.stats.line == "115200 8N1"
        assert device.stats.timeouts == 0
        assert device.stats.received_bytes >= 5 * len("a=0\n")
        assert device.stats.sent_bytes == device.stats.requests * len("a?\n")
    assert at.bus.asked[:6] == ["a", "b", "c", "a", "b", "c"]
    assert all(before < received_ns <= at.clock.now_ns() for _, _, received_ns in at.sink.calls)


async def test_a_fast_device_is_asked_more_often_than_a_slow_one(at: Bench) -> None:
    at.bus.devices = {name: Counter(name) for name in "ab"}
    at.transport.add(at.make("a", interval_s=NEVER_S))
    at.transport.add(at.make("b"))
    at.start(at.transport.run)
    await at.sink.until(lambda: len(at.sink.values("b")) >= 20)
    assert at.sink.values("a") == [0.0]


async def test_a_long_round_is_not_cut_in_two_by_another_device(at: Bench) -> None:
    at.bus.devices = {name: Counter(name) for name in ("x", "y", "z", "b")}
    at.transport.add(at.make("a", driver=LinePoll("x", "y", "z")))
    at.transport.add(at.make("b"))
    at.start(at.transport.run)
    await at.sink.until(lambda: len(at.sink.values("b")) >= 5)
    text = "".join(at.bus.asked)
    assert text.count("xyz") >= 4
    assert text.count("x") - text.count("xyz") <= 1  # the last one may just have begun


async def test_a_dead_device_takes_a_bounded_share_and_is_still_tried(at: Bench) -> None:
    at.bus.devices = {"a": Counter("a")}
    driver = LinePoll("dead", timeout_s=DEAD_S)
    dead = at.make("dead", driver=driver)
    at.transport.add(dead)
    at.transport.add(at.make("a"))
    at.start(at.transport.run)
    await at.sink.until(lambda: dead.stats.timeouts >= 2)
    assert len(at.sink.values("a")) > 2 * dead.stats.requests
    assert {fault.kind for fault in at.sink.faults()} == {"timeout"}
    assert dead.stats.last_error == "no answer"

    at.bus.devices["dead"] = Counter("dead")  # somebody mends it
    driver.timeout_s = TIMEOUT_S
    await at.sink.until(lambda: bool(at.sink.values("dead")))
    assert dead.stats.last_error == ""


def test_the_tries_of_a_dead_device_thin_out(make: Make) -> None:
    device = make("dead", interval_s=1.0)
    now, waits = 100.0, []
    for _ in range(12):
        device.failed(now, wasted_s=0.0, dead=1)
        waits.append(device.due_at - now)
        now = device.due_at
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(waits) == waits[-1] == MAX_RETRY_S


def test_all_dead_devices_together_take_no_more_than_their_share(make: Make) -> None:
    timeout_s, dead = 2.0, 20
    device = make("dead", interval_s=1.0)
    device.failed(0.0, wasted_s=timeout_s, dead=dead)
    assert dead * timeout_s / device.due_at <= DEAD_SHARE


def test_a_slow_device_is_tried_again_soon_but_not_for_ever(make: Make) -> None:
    device = make("heat", interval_s=900.0)
    device.answered(0.0, wasted_s=0.0)
    assert device.due_at == 900.0
    waits = []
    for _ in range(QUICK_RETRIES + 1):
        device.failed(0.0, wasted_s=0.0, dead=1)
        waits.append(device.due_at)
    assert max(waits[:-1]) < 60.0
    assert waits[-1] == 900.0


def test_rounds_stay_in_step_and_are_never_made_up_for(make: Make) -> None:
    device = make("a", interval_s=10.0)
    device.opened(100.0)
    device.answered(100.3, wasted_s=0.0)
    assert device.due_at == 110.0
    device.answered(200.0, wasted_s=0.0)
    assert device.due_at == 200.0


async def test_the_echo_of_our_own_request_is_removed(at: Bench) -> None:
    at.bus.echo = True
    at.bus.devices = {"a": Counter("a")}
    device = at.make("a")
    dead = at.make("dead", driver=LinePoll("dead", timeout_s=DEAD_S))
    at.transport.add(device)
    at.transport.add(dead)
    at.start(at.transport.run)
    await at.sink.until(lambda: len(at.sink.values("a")) >= 5)
    assert at.sink.values("a")[:5] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert device.stats.echoes >= 5
    await at.sink.until(lambda: bool(at.sink.faults()))
    assert {fault.kind for fault in at.sink.faults()} == {"timeout"}
    assert isinstance(dead.driver, LinePoll)
    assert set(dead.driver.seen) == {b""}


async def test_a_late_answer_is_not_taken_for_the_next_one(at: Bench) -> None:
    class Late(LinePoll):
        def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
            if not data:  # it has just been given up
                at.bus.send(b"a=99\n")
            return super().on_reply(request, data)

    driver = Late("a", timeout_s=DEAD_S, quiet_s=0.05)
    device = at.make("a", driver=driver)
    at.transport.add(device)
    at.start(at.transport.run)
    await at.sink.until(lambda: len(at.sink.faults()) >= 1)
    await until(lambda: device.stats.late_bytes >= 5)
    assert at.sink.values() == []
    driver.timeout_s = TIMEOUT_S
    at.bus.devices = {"a": Counter("a")}
    await at.sink.until(lambda: bool(at.sink.values()))
    assert at.sink.values()[0] == 0.0


async def test_what_follows_an_answer_is_dropped(at: Bench) -> None:
    at.bus.devices = {"a": lambda: b"a=1\nrubbish"}
    device = at.make("a")
    at.transport.add(device)
    at.start(at.transport.run)
    await at.sink.until(lambda: len(at.sink.values()) >= 3)
    assert set(at.sink.values()) == {1.0}
    assert at.sink.faults() == []
    await until(lambda: device.stats.late_bytes >= 3 * len("rubbish"))


async def test_half_an_answer_is_handed_over_after_the_time_out(at: Bench) -> None:
    at.bus.devices = {"a": lambda: b"a=1"}
    driver = LinePoll("a", timeout_s=DEAD_S)
    device = at.make("a", driver=driver)
    at.transport.add(device)
    at.start(at.transport.run)
    await until(lambda: b"a=1" in driver.seen)
    assert set(driver.seen) <= {b"a=1", b""}, "nothing where this machine was too busy to answer"
    assert device.stats.timeouts == len(driver.seen)


async def test_an_answer_in_pieces_is_waited_for(at: Bench) -> None:
    def slowly() -> bytes:
        for number, byte in enumerate(b"=12.5\n"):
            at.bus.later(0.03 * (number + 1), bytes((byte,)))
        return b"a"

    at.bus.devices = {"a": slowly}
    at.transport.add(at.make("a", driver=LinePoll("a"), interval_s=NEVER_S))
    at.start(at.transport.run)
    await at.sink.until(lambda: bool(at.sink.values()))
    assert at.sink.values() == [12.5]


async def test_a_bus_that_is_never_quiet_is_asked_all_the_same(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.serial_bus_port.MAX_QUIET_WAIT_S", 0.1)
    at.bus.devices = {"a": lambda: b"\na=1\n"}

    async def babble() -> None:
        while True:
            at.bus.send(b"\xff")
            await asyncio.sleep(0.001)

    device = at.make("a", driver=LinePoll("a", quiet_s=0.5))
    at.transport.add(device)
    babbler = asyncio.create_task(babble())
    at.start(at.transport.run)
    await until(lambda: device.stats.requests >= 2)
    assert device.stats.late_bytes > 0
    babbler.cancel()
    await asyncio.gather(babbler, return_exceptions=True)


async def test_an_endless_answer_ends(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.transports.serial_bus_port.MAX_ANSWER_BYTES", 100)
    at.bus.devices = {"a": lambda: b"x" * 300}
    driver = LinePoll("a", timeout_s=30.0)
    at.transport.add(at.make("a", driver=driver))
    at.start(at.transport.run)
    await until(lambda: bool(driver.seen))
    assert set(driver.seen[0]) == set(b"x")


class Shapes(LinePoll):
    """One request of each shape; what the last one listens for comes once it does."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus

    def requests(self) -> list[Request]:
        def size(data: bytes) -> int | None:
            return 1 + data[0] if data else None

        return [
            Request(b"wake\n", 0, tag="none"),
            Request(b"fixed?\n", 4, timeout_s=TIMEOUT_S, tag="fixed"),
            Request(b"told?\n", size, timeout_s=TIMEOUT_S, tag="told"),
            Request(b"open?\n", None, timeout_s=1.0, tag="open"),
            Request(b"", 3, timeout_s=TIMEOUT_S, tag="listen"),
        ]

    def on_reply(self, request: Request, data: bytes) -> list[None]:  # type: ignore[override]
        self.seen.append(request.tag.encode() + b":" + data)
        if request.tag == "open":
            self._bus.send(b"abc")
        return []


async def test_every_shape_of_request(at: Bench) -> None:
    at.bus.devices = {
        "fixed": lambda: b"1234",
        "told": lambda: b"\x02ab",
        "open": lambda: b"as it comes",
    }
    driver = Shapes(at.bus)
    at.transport.add(at.make("a", driver=driver, interval_s=NEVER_S))
    at.start(at.transport.run)
    await until(lambda: len(driver.seen) == 4)
    assert driver.seen == [b"fixed:1234", b"told:\x02ab", b"open:as it comes", b"listen:abc"]
    assert at.bus.asked == ["wake", "fixed", "told", "open"]


async def test_an_answer_that_looks_like_the_beginning_of_an_echo(at: Bench) -> None:
    class Same(LinePoll):
        def requests(self) -> list[Request]:
            return [Request(b"abc?\n", 2, timeout_s=1.0)]

        def on_reply(self, request: Request, data: bytes) -> list[None]:  # type: ignore[override]
            self.seen.append(data)
            return []

    at.bus.devices = {"abc": lambda: b"ab"}
    driver = Same()
    device = at.make("a", driver=driver, interval_s=NEVER_S)
    at.transport.add(device)
    at.start(at.transport.run)
    await until(lambda: bool(driver.seen))
    assert driver.seen == [b"ab"]
    assert device.stats.echoes == 0


async def test_restarts_are_counted(at: Bench) -> None:
    at.bus.devices = {"a": lambda: b"boot\n"}
    device = at.make("a")
    at.transport.add(device)
    at.start(at.transport.run)
    await until(lambda: device.stats.device_restarts >= 2)


@pytest.mark.usefixtures("quick")
async def test_a_port_that_vanishes_and_returns(at: Bench) -> None:
    at.bus.devices = {"a": Counter("a")}
    device = at.make("a")
    at.transport.add(device)
    at.start(at.transport.run)
    await at.sink.until(lambda: len(at.sink.values()) >= 2)
    at.bus.close()
    await until(lambda: not device.stats.open and device.stats.open_failures >= 2)
    assert device.stats.reopens == {"vanished": 1}
    again = Bus(at.tmp_path / "port")
    again.devices = {"a": lambda: b"a=77\n"}
    await at.sink.until(lambda: 77.0 in at.sink.values())
    assert device.stats.opens == 2
    again.close()


@pytest.mark.usefixtures("quick")
async def test_the_port_is_opened_again_when_nobody_answers(at: Bench) -> None:
    transport = SerialBusTransport(port=str(at.tmp_path / "port"), sink=at.sink, clock=at.clock)
    driver = LinePoll("a", timeout_s=DEAD_S)
    device = at.make("a", driver=driver, silence_timeout_s=0.2)
    transport.add(device)
    at.start(transport.run)
    await until(lambda: device.stats.reopens.get("silence", 0) >= 2)
    at.bus.devices = {"a": Counter("a")}
    await at.sink.until(lambda: bool(at.sink.values()))


@pytest.mark.usefixtures("quick")
async def test_one_device_that_answers_keeps_the_port_open(at: Bench) -> None:
    at.bus.devices = {"a": Counter("a")}
    driver = LinePoll("dead", timeout_s=DEAD_S)
    dead = at.make("dead", driver=driver, silence_timeout_s=0.01)
    at.transport.add(dead)
    at.transport.add(at.make("a", silence_timeout_s=0.01))
    at.start(at.transport.run)
    await until(lambda: dead.stats.timeouts >= 2)
    assert dead.stats.reopens == {}


@pytest.mark.usefixtures("quick")
async def test_line_settings_are_tried_in_turn_until_a_device_answers(at: Bench) -> None:
    transport = SerialBusTransport(port=str(at.tmp_path / "port"), sink=at.sink, clock=at.clock)
    lines = (SerialLine(9600), SerialLine(19200, parity="E"), SerialLine(115200))
    device = at.make("a", lines=lines)

    def answer() -> bytes:
        return b"a=5\n" if device.stats.line == "19200 8E1" else b"\xff\xfe\n"

    at.bus.devices = {"a": answer}
    transport.add(device)
    at.start(transport.run)
    await at.sink.until(lambda: len(at.sink.values()) >= 3)
    assert device.stats.line == "19200 8E1"
    assert device.stats.reopens == {"line": 1}


async def test_only_line_settings_that_all_devices_have_are_used(at: Bench) -> None:
    at.bus.devices = {name: Counter(name) for name in "ab"}
    at.transport.add(at.make("a", lines=(SerialLine(9600), SerialLine(19200), LINE)))
    other = at.make("b", lines=(LINE, SerialLine(19200)))
    at.transport.add(other)
    at.start(at.transport.run)
    await at.sink.until(lambda: bool(at.sink.values("b")))
    assert other.stats.line == "19200 8N1"
    with pytest.raises(ValueError, match="line setting"):
        at.transport.add(at.make("c", lines=(SerialLine(2400),)))
    assert at.transport.sensors == ["a", "b"]
    with pytest.raises(ValueError, match="already"):
        at.transport.add(at.make("b"))


@pytest.mark.usefixtures("quick")
async def test_devices_come_and_go_while_it_runs(at: Bench) -> None:
    at.bus.devices = {name: Counter(name) for name in "ab"}
    first = at.make("a", lines=(SerialLine(9600), LINE))
    at.transport.add(first)
    at.start(at.transport.run)
    await at.sink.until(lambda: bool(at.sink.values("a")))
    assert first.stats.line == "9600 8N1"

    at.transport.add(at.make("b"))  # needs the other line setting
    await at.sink.until(lambda: bool(at.sink.values("b")))
    assert first.stats.line == "115200 8N1"

    at.transport.remove("b")
    before = len(at.sink.values("b"))
    seen = len(at.sink.values("a"))
    await at.sink.until(lambda: len(at.sink.values("a")) > seen + 5)
    assert len(at.sink.values("b")) == before
    assert at.transport.sensors == ["a"]


async def test_the_answer_to_a_removed_device_is_forgotten(at: Bench) -> None:
    def gone() -> bytes:
        at.transport.remove("a")
        return b"a=1\n"

    at.bus.devices = {"a": gone, "b": Counter("b")}
    device = at.make("a")
    at.transport.add(device)
    at.transport.add(at.make("b"))
    at.start(at.transport.run)
    await at.sink.until(lambda: len(at.sink.values("b")) >= 3)
    assert at.sink.values("a") == []
    assert not device.stats.open


async def test_a_bug_in_one_driver_costs_the_neighbours_a_moment_only(at: Bench) -> None:
    at.bus.devices = {name: Counter(name) for name in "ab"}
    driver = LinePoll("a")
    driver.crash = True
    bad = at.make("a", driver=driver)
    at.transport.add(bad)
    at.transport.add(at.make("b"))
    async with Supervisor() as tasks:
        tasks.start("bus:1", at.transport.run)
        await at.sink.until(lambda: len(at.sink.values("b")) >= 10)
        assert tasks.restarts["bus:1"] == 1
        assert bad.due_at > asyncio.get_running_loop().time() + FIRST_BENCH_S / 2
        await tasks.stop("bus:1")
    assert at.sink.values("a") == []


@pytest.mark.usefixtures("quick")
async def test_problems_are_logged_once(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    transport = SerialBusTransport(port=str(at.tmp_path / "missing"), sink=at.sink, clock=at.clock)
    device = at.make("a")
    transport.add(device)
    at.start(transport.run)
    await until(lambda: device.stats.open_failures >= 5)
    assert len(caplog.records) == 1
    assert "No such file" in device.stats.last_error


def test_a_device_needs_a_line_setting(make: Make) -> None:
    with pytest.raises(ValueError, match="line setting"):
        make("a", lines=())


# -- as the daemon wires it ---------------------------------------------------------------------


class Hearing(Recorder):
    """An intake that only listens, and knows who is there."""

    def __init__(self) -> None:
        super().__init__()
        self.infos: dict[str, DriverInfo] = {}

    def add_sensor(self, name: str, info: DriverInfo, **_: object) -> None:
        self.infos[name] = info

    def remove_sensor(self, name: str) -> None:
        del self.infos[name]

    def accept(self, sensor: str, outcomes: Iterable[Outcome], received_ns: int) -> None:
        assert sensor in self.infos, "a reading of a sensor that is gone"
        super().accept(sensor, outcomes, received_ns)


def configured(at: Bench, name: str, **keys: object) -> Sensor:
    section = SensorSection.model_validate(
        {"name": name, "driver": "asked", "port": str(at.tmp_path / "port"), **keys}
    )
    return Sensor(section, LinePoll(name), "P0")


async def test_sensors_that_share_a_port_share_a_task(at: Bench) -> None:
    at.bus.devices = {name: Counter(name) for name in "ab"}
    intake = Hearing()
    async with Supervisor() as tasks:
        side = SensorSide(cast("Intake", intake), CLOCK, tasks)
        side.add(configured(at, "a", interval="100 ms"))
        side.add(configured(at, "b", interval="100 ms", silence_timeout="20 s"))
        assert tasks.names == ["bus:1"]
        assert set(side.ports) == {"a", "b"}
        assert intake.infos["a"].interval_s == 0.1
        await intake.until(lambda: all(intake.values(name) for name in "ab"))
        assert all(side.ports[name].stats.open for name in "ab")

        await side.remove("a")
        seen = len(intake.values("b"))
        await intake.until(lambda: len(intake.values("b")) > seen + 2)
        assert tasks.names == ["bus:1"]
        assert set(side.ports) == {"b"}

        await side.remove("b")
        assert tasks.names == []
        side.add(configured(at, "b", baud=9600, framing="8E1"))
        await intake.until(lambda: side.ports["b"].stats.open)
        assert side.ports["b"].stats.line == "9600 8E1"
        assert intake.infos["b"].interval_s == INFO.interval_s
        await side.remove("b")


async def test_two_ports_are_two_tasks(at: Bench) -> None:
    async with Supervisor() as tasks:
        side = SensorSide(cast("Intake", Hearing()), CLOCK, tasks)
        side.add(configured(at, "a"))
        side.add(configured(at, "b", port=str(at.tmp_path / "other")))
        assert tasks.names == ["bus:1", "bus:2"]
        for name in "ab":
            await side.remove(name)


@pytest.mark.parametrize(
    ("baud", "framing", "lines"),
    [
        (None, None, (SerialLine(115200), SerialLine(2400, parity="E"))),
        (9600, None, (SerialLine(9600), SerialLine(9600, parity="E"))),
        (None, "8N2", (SerialLine(115200, stopbits=2), SerialLine(2400, stopbits=2))),
        (300, "7O1", (SerialLine(300, 7, "O"),)),
    ],
)
def test_speed_and_framing_replace_those_of_the_driver(
    baud: int | None, framing: Framing | None, lines: tuple[SerialLine, ...]
) -> None:
    own = (SerialLine(115200), SerialLine(2400, parity="E"))
    assert chosen_lines(own, baud, framing) == lines
