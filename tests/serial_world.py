"""Eight simulated devices and a bus at real pseudo-terminals, as fast as their lines carry."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from drivers.modbus.simulated import SimulatedModbus
from gateway.driver import SerialLine, driver_class, simulator_class
from gateway.reading import Dims, Measured
from gateway.transports import FaultPlan, PtySimulator

__all__ = ["BUS_UNITS", "PLACES", "FullRate", "Key", "Place", "SerialWorld", "truth"]

Check = Literal["crc", "sum", "none"]
Key = tuple[str, Dims, float]
"""Quantity, dimensions and value of a reading."""

BITS_A_CHARACTER = 10
CHUNK_INTERVAL_S = 0.02
MAX_CHUNK_BYTES = 2048
"""A terminal holds 4096 bytes: after a pause no more than half of it is made up for."""
DAMAGED = 0.05
BUS_UNITS = (1, 2)


@dataclass(frozen=True)
class Place:
    """One port, what is behind it, and how its line is disturbed."""

    driver: str
    check: Check
    """What protects its frames: with a sum of bytes one damaged frame in some hundreds passes."""
    damage_run: int = 1
    """Long telegrams need undisturbed time, so theirs is disturbed in fewer, longer runs."""
    options: str = ""

    @property
    def line(self) -> SerialLine:
        """Return the line setting that is used."""
        cls = driver_class(self.driver)
        assert cls is not None
        return cls.info.lines[0]


PLACES = (
    Place("sds011", "sum"),
    Place("plantower", "sum", 8),
    Place("ld2450", "none", options="window_s = 2"),
    Place("tfluna", "none", options="window_s = 2"),
    Place("p1", "crc", 100),
    Place("ops243", "none", 16),
    Place("vedirect", "sum", 32),
    Place("sml", "crc", 64),
)
"""The last frames of ``tfluna`` have a sum, too, but its readings tell of many frames at once."""


class FullRate:
    """A simulated device that never pauses: it sends as much as its line carries."""

    interval_s = CHUNK_INTERVAL_S

    def __init__(self, device: Any, line: SerialLine) -> None:
        self.sent = bytearray()
        """All that it sent by itself, before any damage."""
        self._device = device
        self._bytes_a_s = line.baud / BITS_A_CHARACTER
        self._waiting = b""
        self._due_from = time.monotonic()

    def emit(self) -> bytes:
        """Return what the line has carried since the last call."""
        now = time.monotonic()
        size = min(MAX_CHUNK_BYTES, int((now - self._due_from) * self._bytes_a_s))
        if not size:
            return b""
        self._due_from = now
        while len(self._waiting) < size:
            self._waiting += self._device.emit()
        chunk, self._waiting = self._waiting[:size], self._waiting[size:]
        self.sent += chunk
        return chunk

    def receive(self, data: bytes) -> bytes:
        """Let the device answer when it has sent what it has begun with."""
        self._waiting += self._device.receive(data)
        return b""


def truth(place: Place, sent: bytes) -> set[Key]:
    """Return every reading that the bytes of a device hold when nothing disturbs them."""
    cls = driver_class(place.driver)
    assert cls is not None
    driver: Any = cls(cls.Options())
    found = driver.feed(sent)
    return {(each.quantity, each.dims, each.value) for each in found if isinstance(each, Measured)}


class SerialWorld:
    """All of them plugged in; an asynchronous context manager."""

    def __init__(self, folder: Path, seed: int, *, damaged: float = DAMAGED) -> None:
        self.folder = folder
        self.devices: dict[str, FullRate] = {}
        self.simulators: dict[str, PtySimulator] = {}
        self._tasks: list[asyncio.Task[None]] = []
        for number, place in enumerate(PLACES):
            device = simulator_class(place.driver)(seed + number)
            self.devices[place.driver] = FullRate(device, place.line)
            plan = FaultPlan(seed=seed + number, damaged_bytes=damaged, damage_run=place.damage_run)
            self._add(place.driver, self.devices[place.driver], plan)
        plan = FaultPlan(seed=seed + len(PLACES), damaged_bytes=damaged, damage_run=64)
        self._add("bus", SimulatedModbus(seed), plan)

    def _add(self, name: str, device: Any, plan: FaultPlan) -> None:
        self.simulators[name] = PtySimulator(device, self.folder / name, faults=plan)

    @property
    def sensors(self) -> Mapping[str, str]:
        """Return the port of each sensor."""
        own = {place.driver: place.driver for place in PLACES}
        return own | {f"meter-{unit}": "bus" for unit in BUS_UNITS}

    def sections(self) -> str:
        """Return the sensors for a configuration file."""
        return "\n".join(self._sections())

    def _sections(self) -> Iterator[str]:
        for place in PLACES:
            yield (
                f'[[sensor]]\nname = "{place.driver}"\ndriver = "{place.driver}"\n'
                f'port = "{self.folder / place.driver}"\nprivacy = "P0"\n'
                f"options = {{ {place.options} }}\n"
            )
        for unit in BUS_UNITS:
            options = f'map = "sdm630", unit = {unit}, timeout_s = 0.05'
            yield (
                f'[[sensor]]\nname = "meter-{unit}"\ndriver = "modbus"\n'
                f'port = "{self.folder / "bus"}"\ninterval = "100 ms"\nprivacy = "P0"\n'
                f"options = {{ {options} }}\n"
            )

    async def __aenter__(self) -> Self:
        each = self.simulators.values()
        self._tasks = [asyncio.create_task(simulator.run()) for simulator in each]
        for simulator in each:
            await simulator.ready.wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        failures = [end for end in ends if isinstance(end, Exception)]
        assert not failures
