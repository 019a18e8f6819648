"""``scan`` names every installed driver: each simulated device is heard, or asked, by all of them.

No port and no waiting: the bytes go straight to what listens and to what asks.
"""

import asyncio
import random
from typing import Any

import pytest

from drivers.modbus.maps import map_names
from drivers.modbus.simulated import SimulatedModbus
from gateway.cli.scan.hearing import SURE, Fit, installed, make, ranked
from gateway.cli.scan.listen import Found, line_settings
from gateway.cli.scan.ports import Port
from gateway.cli.scan.probe import ask_polled
from gateway.driver import (
    Driver,
    Request,
    SerialLine,
    Stream,
    driver_class,
    driver_names,
    simulator_class,
)

LISTEN_S = 12.0
"""As long as ``scan`` listens, in the devices' own time."""
CHUNK_BYTES = 61
LINE = SerialLine(9600)
"""Everybody hears everything, which is harder than real lines with their different speeds."""
DESCRIBED_BY_A_LAB = {"frame", "frame_polled"}
"""Without its options such a driver knows no device."""
WANTS_SETTINGS = {"ops243"}
"""Speaks otherwise until it is set up, which only ``--probe`` may do."""
HEARD_AS = {"hpma115_polled": "hpma115"}
"""The same sensor: it reports until it is asked."""
SAME_REGISTERS = {"sdm220": "sdm120", "sdm230": "sdm120", "senseair-s8": "senseair-k30"}
ENOUGH = 0.8
SEED = 7


def simulated() -> dict[str, Any]:
    """Return the simulated serial devices of all installed drivers."""
    classes = {name: simulator_class(name) for name in driver_names()}
    return {name: cls for name, cls in classes.items() if hasattr(cls, "receive")}


SPEAKING = sorted(
    name for name, device in simulated().items() if any(device(SEED).emit() for _ in range(9))
)
ASKED = sorted(cls.info.name for cls in installed() if not isinstance(make(cls), Stream))


def hear(device: Any, settings: bytes = b"") -> list[Fit]:
    """Let every driver that only listens hear a device for as long as ``scan`` does."""
    listening = []
    for cls in installed():
        driver = make(cls)
        if isinstance(driver, Stream):
            listening.append((driver, Fit(cls.info.name, LINE)))
    said = device.receive(settings) if settings else b""
    for _ in range(max(1, round(LISTEN_S / device.interval_s))):
        said += device.emit()
    for start in range(0, len(said), CHUNK_BYTES):
        for driver, fit in listening:
            fit.feed(driver, said[start : start + CHUNK_BYTES])
    return ranked(fit for _, fit in listening)


def question(device: Any, *classes: type[Driver]) -> Found:
    """Let drivers ask a device, one after the other, until one is sure."""
    found = Found(Port("port", "port"))

    async def ask(request: Request) -> bytes:
        device.emit()
        answer: bytes = device.receive(request.data)
        return answer

    async def pause(duration_s: float) -> None:
        del duration_s

    async def one_after_the_other() -> None:
        for cls in classes:
            if not found.sure:
                await ask_polled(found, LINE, cls, ask, pause)

    asyncio.run(one_after_the_other())
    return found


def asking(*, last: str) -> list[type[Driver]]:
    """Return all drivers that ask, the one whose device is there behind all others."""
    classes = [cls for cls in installed() if cls.info.name in ASKED]
    return sorted(classes, key=lambda cls: cls.info.name == last)


def test_every_serial_driver_is_tried() -> None:
    serial = {name for name in driver_names() if (cls := driver_class(name)) and cls.info.lines}
    tried = {cls.info.name for cls in installed()}
    assert tried == serial - DESCRIBED_BY_A_LAB
    assert {cls.info.name for _, classes in line_settings(installed()) for cls in classes} == (
        tried - set(ASKED)
    )


@pytest.mark.parametrize("name", sorted(set(SPEAKING) - DESCRIBED_BY_A_LAB - WANTS_SETTINGS))
def test_what_speaks_is_heard_by_its_driver_and_by_no_other(name: str) -> None:
    first, *others = hear(simulated()[name](SEED))
    assert first.driver == HEARD_AS.get(name, name)
    assert first.confidence >= ENOUGH
    assert [fit.driver for fit in others if fit.confidence > 0.5 or fit.sure] == []


@pytest.mark.parametrize("name", sorted(WANTS_SETTINGS))
def test_what_wants_settings_is_recognised_after_them(name: str) -> None:
    cls = driver_class(name)
    driver = make(cls) if cls is not None else None
    assert isinstance(driver, Stream)
    assert not any(fit.sure for fit in hear(simulated()[name](SEED)))
    (fit,) = hear(simulated()[name](SEED), b"".join(driver.on_open()))
    assert fit.driver == name
    assert fit.confidence >= ENOUGH


@pytest.mark.parametrize("name", ASKED)
def test_what_answers_is_known_by_its_driver_and_by_no_other(name: str) -> None:
    found = question(simulated()[name](SEED), *asking(last=name))
    assert {fit.driver for fit in found.best} == {name}
    assert found.sure
    assert found.best[0].confidence >= SURE


@pytest.mark.parametrize("name", map_names())
def test_a_modbus_device_is_read_through_the_right_map(name: str) -> None:
    class Alone(SimulatedModbus):
        """Answers as unit 1 only."""

        def receive(self, data: bytes) -> bytes:
            return super().receive(data) if data[:1] == b"\x01" else b""

    cls = driver_class("modbus")
    assert cls is not None
    (fit,) = question(Alone(SEED, name), cls).best
    assert fit.options == {"map": SAME_REGISTERS.get(name, name), "unit": 1}
    assert fit.confidence >= 0.5


@pytest.mark.parametrize("seed", [1, 2])
def test_noise_is_nobody(seed: int) -> None:
    class Noise:
        interval_s = 1.0

        def __init__(self) -> None:
            self._random = random.Random(seed)

        def emit(self) -> bytes:
            return self._random.randbytes(960)

    assert not any(fit.sure or fit.confidence > 0.5 for fit in hear(Noise()))
