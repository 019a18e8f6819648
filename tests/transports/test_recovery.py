"""The recovery ladder over real pseudo-terminals, and its counting alone."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from drivers.ops243 import Ops243, Ops243Options
from gateway.clock import Clock
from gateway.driver import SerialLine
from gateway.observe.metric_readers import RECOVERY_STEPS
from gateway.transports import BusDevice, PortStats, SerialBusTransport, SerialLineTransport
from gateway.transports.recovery import MOVED, SKIPPED, STEPS, RecoveryLadder
from gateway.transports.usb import UsbPort
from tests.transports.bus_parts import Bus, LinePoll
from tests.transports.conftest import Start
from tests.transports.parts import Recorder, Terminal, TextDriver, until
from tests.transports.usb_world import UsbWorld

LINE = SerialLine(9600)
USB = UsbPort(Path("/nowhere"), "0403:6001:A1:00:0")
SETTINGS = b"set\n"
SILENCE_S = 0.4
"""Long enough for a test on a busy machine to speak in time; the ladder waits for several."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UsbWorld]:
    with UsbWorld(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def resets(monkeypatch: pytest.MonkeyPatch) -> list[UsbPort]:
    done: list[UsbPort] = []
    monkeypatch.setattr("gateway.transports.recovery.reset_usb", done.append)
    return done


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.transports.serial_line.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("gateway.transports.serial_line.MAX_WAIT_S", 0.05)


def make(
    port: Path,
    sink: Recorder,
    clock: Clock,
    *,
    silence_timeout_s: float,
    lines: Sequence[SerialLine] = (LINE,),
) -> SerialLineTransport:
    return SerialLineTransport(
        sensor="one",
        port=str(port),
        driver=TextDriver(settings=[SETTINGS]),
        lines=lines,
        sink=sink,
        clock=clock,
        silence_timeout_s=silence_timeout_s,
    )


# -- alone --------------------------------------------------------------------------------------


def test_the_steps_come_in_order_and_once() -> None:
    stats = PortStats("p")
    ladder = RecoveryLadder(lambda: [stats])
    steps = [ladder.lost("silence", fruitful=False) for _ in range(6)]
    assert steps == ["reopen", "resend", "usb_reset", "report", None, None]
    assert stats.recoveries == {"reopen": 1, "resend": 1, "report": 1}
    assert stats.recovery_step == 4


def test_each_line_setting_has_its_turn_before_the_reset() -> None:
    ladder = RecoveryLadder(list, tries=3)
    steps = [ladder.lost("line", fruitful=False) for _ in range(6)]
    assert steps == ["reopen", "resend", "resend", "resend", "usb_reset", "report"]


def test_a_reading_puts_it_back_to_the_ground() -> None:
    ladder = RecoveryLadder(list)
    ladder.lost("silence", fruitful=False)
    ladder.lost("silence", fruitful=False)
    assert ladder.lost("error", fruitful=True) == "reopen"
    assert ladder.lost("error", fruitful=False) == "resend"


@pytest.mark.parametrize(
    ("cause", "fruitful", "wanted"),
    [
        ("silence", True, False),
        ("error", True, False),
        ("vanished", True, True),
        ("silence", False, True),
        ("line", False, True),
    ],
)
def test_a_device_that_worked_keeps_its_settings_at_first(
    cause: str, *, fruitful: bool, wanted: bool
) -> None:
    ladder = RecoveryLadder(list)
    assert ladder.settings_wanted
    ladder.lost(cause, fruitful=fruitful)
    assert ladder.settings_wanted is wanted


def test_a_reset_is_counted_and_not_repeated_soon(resets: list[UsbPort]) -> None:
    stats = PortStats("p")
    ladder = RecoveryLadder(lambda: [stats])
    assert ladder.may_reset(0.0)
    ladder.reset(USB, 100.0)
    assert resets == [USB]
    assert stats.recoveries == {"usb_reset": 1}
    assert stats.recovery_step == 3
    assert not ladder.may_reset(3699.0)
    assert ladder.may_reset(3700.0)


def test_a_reset_that_is_not_permitted_is_skipped_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(port: UsbPort) -> None:
        raise PermissionError("this user may not reset the USB device")

    monkeypatch.setattr("gateway.transports.recovery.reset_usb", refuse)
    stats = PortStats("p")
    ladder = RecoveryLadder(lambda: [stats])
    ladder.reset(USB, 0.0)
    assert stats.recoveries == {SKIPPED: 1}
    assert "USB reset skipped: this user may not" in ladder.report()
    ladder.lost("silence", fruitful=True)
    assert "skipped" not in ladder.report()


def test_a_port_that_stays_missing_is_reported_once_and_never_reset(resets: list[UsbPort]) -> None:
    stats = PortStats("p")
    ladder = RecoveryLadder(lambda: [stats])
    for _ in range(20):
        ladder.missing()
    assert stats.recoveries == {"report": 1}
    assert resets == []


def test_the_metrics_know_all_steps() -> None:
    assert set(RECOVERY_STEPS) == {*STEPS, SKIPPED, MOVED}


# -- over ports ---------------------------------------------------------------------------------


async def test_a_silent_device_is_reopened_then_set_up_then_reset_then_reported(
    world: UsbWorld,
    sink: Recorder,
    clock: Clock,
    start: Start,
    *,
    resets: list[UsbPort],
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = world.plug("ttyUSB0", "1-1", serial="A1")
    transport = make(port, sink, clock, silence_timeout_s=SILENCE_S)
    start(transport.run)
    heard = b""
    await until(lambda: transport.stats.open)
    world.say("ttyUSB0", b"T=1\n")
    await sink.until(lambda: sink.values() == [1.0])
    await until(lambda: transport.stats.opens == 2)
    heard += world.heard("ttyUSB0")
    assert heard == SETTINGS, "the device worked: its settings are left alone at first"
    assert transport.stats.recovery_step == 1
    await until(lambda: transport.stats.recoveries.get("report", 0) == 1)
    assert transport.stats.recoveries == {"reopen": 1, "resend": 1, "usb_reset": 1, "report": 1}
    assert [reset.identity for reset in resets] == ["0403:6001:A1:00:0"]
    assert transport.stats.recovery_step == 4
    assert sum("whatever was tried" in record.message for record in caplog.records) == 1
    await until(lambda: world.heard("ttyUSB0").startswith(SETTINGS))

    await until(lambda: transport.stats.open)
    world.say("ttyUSB0", b"T=2\n")
    await sink.until(lambda: sink.values()[-1:] == [2.0])
    assert transport.stats.recovery_step == 0


async def test_a_device_that_goes_to_another_port_is_read_there(
    world: UsbWorld, sink: Recorder, clock: Clock, start: Start
) -> None:
    port = world.plug("ttyUSB0", "1-1", serial="A1")
    transport = make(port, sink, clock, silence_timeout_s=SILENCE_S)
    start(transport.run)
    await until(lambda: transport.stats.open)
    world.say("ttyUSB0", b"T=1\n")
    await sink.until(lambda: sink.values() == [1.0])
    world.unplug("ttyUSB0")
    await until(lambda: transport.stats.open_failures >= 2)
    world.plug("ttyUSB3", "1-2", serial="A1")
    await until(lambda: transport.stats.open)
    await until(lambda: world.heard("ttyUSB3") == SETTINGS)
    world.say("ttyUSB3", b"T=2\n")
    await sink.until(lambda: sink.values() == [1.0, 2.0])
    opens = transport.stats.opens
    await until(lambda: transport.stats.opens > opens)
    assert transport.stats.recoveries[MOVED] == 1, "opened again where it is now"


async def test_a_name_by_id_leads_to_the_device_wherever_it_is(
    world: UsbWorld, tmp_path: Path, sink: Recorder, clock: Clock, start: Start
) -> None:
    by_id = tmp_path / "usb-FTDI_A1-if00-port0"
    by_id.symlink_to(world.plug("ttyUSB0", "1-1", serial="A1"))
    transport = make(by_id, sink, clock, silence_timeout_s=3600.0)
    start(transport.run)
    await until(lambda: transport.stats.open)
    world.say("ttyUSB0", b"T=1\n")
    await sink.until(lambda: sink.values() == [1.0])
    by_id.unlink()
    world.unplug("ttyUSB0")
    await until(lambda: transport.stats.open_failures >= 1)
    target = world.plug("ttyUSB1", "1-2", serial="A1")
    by_id.symlink_to(target)
    await until(lambda: transport.stats.open)
    world.say("ttyUSB1", b"T=2\n")
    await sink.until(lambda: sink.values() == [1.0, 2.0])
    assert [path.name for path in world.dev.iterdir()] == ["ttyUSB1"]


# -- a bus --------------------------------------------------------------------------------------


AWAKE_S, ASLEEP_S = 0.5, 0.02
"""Time-out of a question while the devices answer, and while they do not."""


class AtBus:
    """Two devices at the bus behind one port of the world; they answer while they are awake."""

    def __init__(self, world: UsbWorld, port: Path, sink: Recorder, clock: Clock) -> None:
        self.world = world
        self.name = port.name
        self.transport = SerialBusTransport(port=str(port), sink=sink, clock=clock)
        self.drivers = [LinePoll(sensor) for sensor in ("a", "b")]
        self.devices = [
            BusDevice(
                sensor=driver.names[0],
                port=str(port),
                driver=driver,
                lines=[LINE],
                interval_s=0.01,
                silence_timeout_s=0.05,
            )
            for driver in self.drivers
        ]
        self.set_awake(awake=True)
        for device in self.devices:
            self.transport.add(device)

    @property
    def recoveries(self) -> dict[str, int]:
        return self.devices[0].stats.recoveries

    def set_awake(self, *, awake: bool) -> None:
        self.awake = awake
        for driver in self.drivers:
            driver.timeout_s = AWAKE_S if awake else ASLEEP_S

    async def answer(self) -> None:
        """Play the devices until cancelled."""
        while True:
            if self.name:
                for question in self.world.heard(self.name).decode().split():
                    if self.awake:
                        self.world.say(self.name, question.encode().replace(b"?", b"=7\n"))
            await asyncio.sleep(0.005)


@pytest.fixture
def quick_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.transports.serial_bus.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("gateway.transports.serial_bus.MAX_WAIT_S", 0.05)
    monkeypatch.setattr("gateway.transports.serial_bus_device.FIRST_RETRY_S", 0.01)
    monkeypatch.setattr("gateway.transports.serial_bus_device.DEAD_SHARE", 1.0)


@pytest.mark.usefixtures("quick_bus")
async def test_a_bus_without_an_answer_climbs_the_same_ladder(
    world: UsbWorld,
    sink: Recorder,
    clock: Clock,
    start: Start,
    *,
    resets: list[UsbPort],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus = AtBus(world, world.plug("ttyUSB0", "1-1", serial="A1"), sink, clock)
    start(bus.answer)
    start(bus.transport.run)
    await sink.until(lambda: {"a", "b"} == {name for name, _, _ in sink.calls})
    assert bus.recoveries == {}
    bus.set_awake(awake=False)
    await until(lambda: bus.recoveries.get("report", 0) == 1)
    for device in bus.devices:
        assert device.stats.recoveries == {"reopen": 1, "resend": 1, "usb_reset": 1, "report": 1}
        assert device.stats.recovery_step == 4
        assert set(device.stats.reopens) == {"silence"}
        assert device.stats.reopens["silence"] >= 4
    assert [reset.identity for reset in resets] == ["0403:6001:A1:00:0"]
    assert sum("whatever was tried" in record.message for record in caplog.records) == 1

    late = BusDevice(
        sensor="late",
        port="",
        driver=LinePoll("late"),
        lines=[LINE],
        interval_s=1.0,
        silence_timeout_s=0.05,
    )
    await until(lambda: bus.devices[0].stats.open)
    bus.transport.add(late)
    assert late.stats.recovery_step == 4, "it is the port that is in trouble, for whoever is there"
    bus.set_awake(awake=True)
    heard = len(sink.values())
    await sink.until(lambda: len(sink.values()) > heard)
    assert [device.stats.recovery_step for device in (*bus.devices, late)] == [0, 0, 0]


@pytest.mark.usefixtures("quick_bus")
async def test_a_bus_that_goes_to_another_port_is_asked_there(
    world: UsbWorld, sink: Recorder, clock: Clock, start: Start
) -> None:
    bus = AtBus(world, world.plug("ttyUSB0", "1-1", serial="A1"), sink, clock)
    start(bus.answer)
    start(bus.transport.run)
    await sink.until(lambda: bool(sink.values()))
    bus.name = ""
    world.unplug("ttyUSB0")
    await until(lambda: bus.devices[0].stats.open_failures >= 2)
    bus.name = world.plug("ttyUSB3", "1-2", serial="A1").name
    heard = len(sink.values())
    await sink.until(lambda: len(sink.values()) > heard)
    assert [device.stats.recoveries["moved"] for device in bus.devices] == [1, 1]


@pytest.mark.usefixtures("quick_bus")
async def test_a_bus_whose_device_was_replaced_finds_the_other_line_setting(
    tmp_path: Path, sink: Recorder, clock: Clock, start: Start
) -> None:
    lines = (SerialLine(9600), SerialLine(19200))
    bus = Bus(tmp_path / "port")
    device = BusDevice(
        sensor="a",
        port=str(tmp_path / "port"),
        driver=LinePoll("a", timeout_s=0.02),
        lines=lines,
        interval_s=0.01,
        silence_timeout_s=0.05,
    )
    speaks = "9600 8N1"
    bus.devices = {"a": lambda: b"a=7\n" if device.stats.line == speaks else b""}
    transport = SerialBusTransport(port=str(tmp_path / "port"), sink=sink, clock=clock)
    transport.add(device)
    start(transport.run)
    await sink.until(lambda: bool(sink.values()))
    speaks = "19200 8N1"
    heard = len(sink.values())
    await sink.until(lambda: len(sink.values()) > heard)
    assert device.stats.line == "19200 8N1"
    bus.close()


# -- a device that may rightly be silent ----------------------------------------------------------


class QuietStreet:
    """An OPS243 at a terminal that sees nothing: it answers ``UM`` and says nothing else."""

    def __init__(self, terminal: Terminal) -> None:
        self.awake = True
        self.asked = 0
        self._terminal = terminal

    async def answer(self) -> None:
        """Play the radar until cancelled."""
        while True:
            asked = self._terminal.received().count(b"UM")
            self.asked += asked
            if asked and self.awake:
                await self._terminal.send(b'{"Units":"m-per-sec"}\r\n')
            await asyncio.sleep(0.005)


@pytest.mark.timeout(30)
async def test_a_radar_on_an_empty_street_is_neither_silent_nor_at_the_wrong_speed(
    tmp_path: Path, sink: Recorder, clock: Clock, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.serial_line.ANSWER_S", SILENCE_S)
    terminal = Terminal(tmp_path / "port")
    radar = QuietStreet(terminal)
    transport = SerialLineTransport(
        sensor="radar",
        port=str(tmp_path / "port"),
        driver=Ops243(Ops243Options()),
        lines=Ops243.info.lines,
        sink=sink,
        clock=clock,
        silence_timeout_s=SILENCE_S,
    )
    answering = start(radar.answer)
    start(transport.run)
    await until(lambda: radar.asked >= 4)
    assert transport.stats.opens == 1
    assert transport.stats.reopens == {}
    assert transport.stats.recovery_step == 0
    assert transport.stats.last_error == ""
    assert sink.values() == []

    radar.awake = False
    await until(lambda: transport.stats.recoveries.get("resend", 0) >= 1)
    assert set(transport.stats.reopens) == {"silence"}
    await until(lambda: transport.stats.line != "19200 8N1")  # it is looked for everywhere
    radar.awake = True
    await until(lambda: transport.stats.recovery_step == 0)
    answering.cancel()
    terminal.close()


async def test_a_radar_at_another_speed_is_found_by_its_answers(
    tmp_path: Path, sink: Recorder, clock: Clock, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.serial_line.ANSWER_S", SILENCE_S)
    terminal = Terminal(tmp_path / "port")
    transport = SerialLineTransport(
        sensor="radar",
        port=str(tmp_path / "port"),
        driver=Ops243(Ops243Options()),
        lines=Ops243.info.lines,
        sink=sink,
        clock=clock,
        silence_timeout_s=600.0,
    )
    start(transport.run)
    await until(lambda: transport.stats.line == "57600 8N1" and transport.stats.open)
    await terminal.send(b'{"SamplingRate":20000, "resolution":0.1214}\r\n')
    await until(lambda: transport.stats.recovery_step == 0)
    assert transport.stats.reopens == {"silence": 2}
    terminal.close()
