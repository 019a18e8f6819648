"""A speed that changes in the middle of a round, and back again."""

import asyncio
import os
import termios
import tty
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from drivers.iec62056 import Iec62056, Iec62056Options
from drivers.iec62056.simulated import SimulatedIec62056
from gateway.clock import Clock
from gateway.driver import Polled, Request, SerialLine
from gateway.transports import BusDevice, SerialBusTransport
from tests.transports.bus_parts import SPEEDS, TIMEOUT_S, Bus, LinePoll
from tests.transports.conftest import Start
from tests.transports.parts import Recorder, until

OWN = SerialLine(19200)
METER_LINE = SerialLine(300, 7, "E", 1)
READOUT_S = 1.0
"""After the acknowledgement, as the standard allows: we have changed the speed by then."""


class Changing(LinePoll):
    """Asks ``a?`` at the speed of the bus, and the rest at others."""

    def requests(self) -> Iterable[Request]:
        for name, baud in (("a", None), ("b", 9600), ("c", None), ("d", 2400), ("e", None)):
            yield Request(
                f"{name}?\n".encode(), None, b"\n", timeout_s=TIMEOUT_S, tag=name, reply_baud=baud
            )


def device(name: str, port: Path, driver: Polled, line: SerialLine = OWN) -> BusDevice:
    return BusDevice(
        sensor=name,
        port=str(port),
        driver=driver,
        lines=[line],
        interval_s=0.01,
        silence_timeout_s=3600.0,
    )


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    made = Bus(tmp_path / "port")
    yield made
    made.close()


async def test_the_speed_follows_the_questions_and_goes_back_after_the_round(
    tmp_path: Path, bus: Bus, sink: Recorder, clock: Clock, start: Start
) -> None:
    seen: dict[str, set[int]] = {}

    def answering(name: str) -> Callable[[], bytes]:
        def say() -> None:
            seen.setdefault(name, set()).add(bus.speed)
            bus.send(f"{name}=1\n".encode())

        def answer() -> bytes:
            asyncio.get_running_loop().call_later(0.03, say)
            return b""

        return answer

    bus.devices = {name: answering(name) for name in ("a", "b", "c", "d", "e", "other")}
    transport = SerialBusTransport(port=str(tmp_path / "port"), sink=sink, clock=clock)
    transport.add(device("one", tmp_path / "port", Changing()))
    transport.add(device("other", tmp_path / "port", LinePoll("other")))
    start(transport.run)
    await sink.until(lambda: len(sink.values("one")) >= 10 and len(sink.values("other")) >= 2)
    assert seen == {
        "a": {19200},
        "b": {9600},
        "c": {9600},
        "d": {2400},
        "e": {2400},
        "other": {19200},
    }
    assert sink.faults() == []


class Dead(LinePoll):
    """Asks at another speed and gets no answer."""

    def requests(self) -> Iterable[Request]:
        yield Request(b"dead?\n", None, b"\n", timeout_s=0.02, tag="dead", reply_baud=2400)


async def test_a_device_that_stays_away_at_its_speed_does_not_leave_the_bus_there(
    tmp_path: Path, bus: Bus, sink: Recorder, clock: Clock, start: Start
) -> None:
    speeds: list[int] = []

    def good() -> bytes:
        speeds.append(bus.speed)
        return b"good=1\n"

    bus.devices = {"good": good}
    transport = SerialBusTransport(port=str(tmp_path / "port"), sink=sink, clock=clock)
    transport.add(device("dead", tmp_path / "port", Dead("dead")))
    transport.add(device("good", tmp_path / "port", LinePoll("good")))
    start(transport.run)
    await sink.until(lambda: len(sink.faults()) >= 1 and len(sink.values("good")) >= 2)
    assert set(speeds) == {19200}


async def test_what_cannot_be_set_ends_the_opening(
    tmp_path: Path, bus: Bus, sink: Recorder, clock: Clock, start: Start
) -> None:
    class Impossible(LinePoll):
        def requests(self) -> Iterable[Request]:
            yield Request(b"a?\n", None, b"\n", timeout_s=0.02, reply_baud=-1)

    transport = SerialBusTransport(port=str(tmp_path / "port"), sink=sink, clock=clock)
    one = device("one", tmp_path / "port", Impossible("a"))
    transport.add(one)
    start(transport.run)
    await until(lambda: one.stats.reopens.get("error", 0) >= 1)
    assert "-1 baud" in one.stats.last_error


class Meter:
    """A simulated meter at a terminal that hears at 300 baud alone."""

    def __init__(self, link: Path, *, mode_b: bool) -> None:
        self.deaf = 0
        """Chunks that came at another speed."""
        self.readouts_at: list[int] = []
        self._device = SimulatedIec62056(1)
        self._mode_b = mode_b
        self._ours, self._hosts = os.openpty()
        tty.setraw(self._hosts)
        os.set_blocking(self._ours, False)
        link.symlink_to(os.ttyname(self._hosts))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._on_host)

    @property
    def speed(self) -> int:
        return SPEEDS[termios.tcgetattr(self._hosts)[4]]

    def _on_host(self) -> None:
        data = os.read(self._ours, 4096)
        self.deaf += self.speed != 300
        answer = self._device.receive(data)
        if answer.startswith(b"/") and self._mode_b:
            os.write(self._ours, answer.replace(b"/SIM5", b"/SIME"))
            answer = self._device.receive(b"\x06050\r\n")
        if answer.startswith(b"/"):
            os.write(self._ours, answer)
        elif answer:
            self._loop.call_later(READOUT_S, self._read_out, answer)

    def _read_out(self, answer: bytes) -> None:
        self.readouts_at.append(self.speed)
        os.write(self._ours, answer)

    def close(self) -> None:
        self._loop.remove_reader(self._ours)
        os.close(self._ours)
        os.close(self._hosts)


@pytest.mark.parametrize(
    ("speed", "mode_b", "baud"),
    [("proposed", False, 9600), (300, False, 300), ("proposed", True, 9600)],
)
async def test_a_meter_is_read_at_the_speed_that_was_agreed(
    tmp_path: Path,
    sink: Recorder,
    clock: Clock,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    *,
    speed: int | str,
    mode_b: bool,
    baud: int,
) -> None:
    monkeypatch.setattr("drivers.iec62056.BETWEEN_READINGS_S", 0.0)
    meter = Meter(tmp_path / "port", mode_b=mode_b)
    driver = Iec62056(Iec62056Options.model_validate({"speed": speed}))
    transport = SerialBusTransport(port=str(tmp_path / "port"), sink=sink, clock=clock)
    one = device("meter", tmp_path / "port", driver, METER_LINE)
    one.interval_s = 3600.0
    transport.add(one)
    start(transport.run)
    await sink.until(lambda: bool(sink.values()))
    assert meter.readouts_at == [baud]
    assert meter.deaf == 0, "what we send is on the wire before the speed changes"
    assert sink.faults() == []
    await until(lambda: meter.speed == 300)
    assert one.stats.line == "300 7E1"
    meter.close()
