"""One ring, many links, traffic at a steady pace, and a look at everything all the time."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from gateway.buffer import Buffer, BufferSettings
from gateway.clock import Clock
from gateway.reading import SeriesKey
from tests.forward.fakes import make_link, running
from tests.many_links.city import QUANTITIES, SENSORS, City, Plan, recording

__all__ = ["Network", "percentile", "rss_bytes"]

TICK_S = 0.05
READINGS_PER_TICK = 6
"""120 readings a second: a well-equipped box."""
LOOK_EVERY_S = 0.005
RING_BYTES = 8 << 20
CLOCK = Clock(trusted=True)
"""Made outside the event loop: it reads a file."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def rss_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Network:
    """The box with its ring and links, and the cities around it."""

    def __init__(self, cities: Sequence[City], buffer: Buffer, folder: Path) -> None:
        self.cities = cities
        self.appended_s: dict[int, float] = {}
        """Sequence -> time of the loop."""
        self.sensors: dict[int, str] = {}
        self.rss_bytes: list[int] = []
        """Once a second."""
        self._buffer = buffer
        self._folder = folder
        self._flowing = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, plans: Sequence[Plan], folder: Path) -> AsyncIterator[Self]:
        """Start everything; traffic has to be asked for."""
        settings = BufferSettings(
            directory=folder / "ring",
            runtime_directory=folder / "run",
            size_bytes=RING_BYTES,
            flush_interval_s=1.0,
        )
        async with contextlib.AsyncExitStack() as stack:
            cities = [City(plan, folder) for plan in plans]
            for city in cities:
                await city.open(stack)
            buffer = await Buffer.open(settings, CLOCK)
            stack.push_async_callback(buffer.close)
            network = cls(cities, buffer, folder)
            for city in cities:
                network.link(city)
            await stack.enter_async_context(running(*(city.link for city in cities)))
            await stack.enter_async_context(_beside(buffer.run, network.flow, network.look))
            yield network

    def link(self, city: City) -> None:
        """Give the city its place in the ring and its link."""
        reader = self._buffer.reader(city.plan.name)
        link = make_link(
            city.section,
            reader,
            self._buffer.series,
            context=city.context,
            encoder=recording(city.plan.cls, city.book),
            series_of=self._buffer.series_of,
            directory=self._folder,
        )
        city.take(link, reader)

    def resume(self) -> None:
        """Let readings flow."""
        self._flowing.set()

    def pause(self) -> None:
        """Let no more readings flow."""
        self._flowing.clear()

    def of_trouble(self, *troubles: str) -> list[City]:
        """Return the cities that have one of these."""
        return [city for city in self.cities if city.plan.trouble in troubles]

    def owed(self, city: City) -> set[int]:
        """Return the sequences of the readings that the policy lets this city have."""
        policy = city.section.select.sensors[0]
        if policy == "*":
            return set(self.sensors)
        return {number for number, sensor in self.sensors.items() if sensor <= "air-5"}

    async def flow(self) -> None:
        """Append readings while they flow. Runs until cancelled."""
        loop, number = asyncio.get_running_loop(), 0
        while True:
            await self._flowing.wait()
            for _ in range(READINGS_PER_TICK):
                sensor = SENSORS[number % len(SENSORS)]
                quantity, unit = list(QUANTITIES.items())[number % len(QUANTITIES)]
                key = SeriesKey(sensor, quantity)
                series_id = self._buffer.series_id(key, unit=unit, privacy="P0")
                sequence = self._buffer.next_sequence
                self.appended_s[sequence], self.sensors[sequence] = loop.time(), sensor
                self._buffer.append(series_id, CLOCK.now_ns(), number / 100, 0)
                number += 1
            self._buffer.notify()
            await asyncio.sleep(TICK_S)

    async def look(self) -> None:
        """Measure, check every account, note the memory. Runs until cancelled."""
        loop = asyncio.get_running_loop()
        noted_s = loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for city in self.cities:
                city.check()
                city.measure(self.appended_s, loop.time())
            if loop.time() - noted_s >= 1.0:
                noted_s = loop.time()
                self.rss_bytes.append(rss_bytes())

    def latencies(self) -> Mapping[str, tuple[float, float, int]]:
        """Return p50 and p99 in s of what goes beyond the linger, and the count, per trouble."""
        found: dict[str, list[float]] = {}
        for city in self.cities:
            beyond = [took - city.plan.linger_s for took in city.latencies_s]
            found.setdefault(city.plan.trouble, []).extend(beyond)
        return {
            trouble: (percentile(values, 0.5), percentile(values, 0.99), len(values))
            for trouble, values in found.items()
            if values
        }

    def table(self) -> str:
        """Return the latencies for people."""
        lines = [
            f"{trouble:12} beyond linger: p50 {1000 * p50:8.1f} ms, p99 {1000 * p99:8.1f} ms"
            f" ({count} readings)"
            for trouble, (p50, p99, count) in self.latencies().items()
        ]
        return "\n".join(lines)


@contextlib.asynccontextmanager
async def _beside(*jobs: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(job()) for job in jobs]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
