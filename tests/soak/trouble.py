"""Faults around the box, chosen by a seed: brokers, ports, clock, disk, configuration, the page.

Every fault ends by itself; ``mend`` waits for that.
"""

import asyncio
import contextlib
import random
import resource
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.soak.box import Box
from tests.soak.city import City

__all__ = ["KINDS", "Trouble"]

PAUSE_S = 3.0
"""Mean time between two faults; several last at the same time."""
OUTAGE_S = 25.0
"""How long a killed broker is away, on average."""
BALLAST_BYTES = 1 << 16
LIMIT_BYTES = 32 << 10
"""Hardly any block of the ring lies before it."""
STEPS_S = (-3600.0, -5.0, 0.2, 5.0, 3600.0)
KINDS = {
    "broker killed": 4,
    "broker restarted": 3,
    "broker frozen": 2,
    "port unplugged": 8,
    "clock set": 1,
    "disk full": 2,
    "sensor removed": 1,
    "page watched": 2,
}
"""Kind of fault -> its share."""
Fault = Callable[[random.Random], Coroutine[Any, Any, None]]


class Trouble:
    """Brings one fault after the other; the same seed brings the same ones at the same times.

    Which broker or port has it depends on which are free by then.
    """

    def __init__(
        self,
        city: City,
        box: Box,
        seed: int,
        *,
        longest_s: float,
        own_disk: bool,
        kinds: Sequence[str] = tuple(KINDS),
        rate: float = 1.0,
    ) -> None:
        """A broker is away for ``longest_s`` at most.

        Only these ``kinds`` come, ``rate`` times as often, and each is over so much sooner: what
        grows with one kind of fault is then seen in minutes.
        """
        self.counts: Counter[str] = Counter()
        self._city = city
        self._box = box
        self._random = random.Random(seed)
        self._longest_s = longest_s
        self._own_disk = own_disk
        self._kinds = kinds
        self._rate = rate
        self._lasting: set[asyncio.Task[None]] = set()
        self._failed: list[Exception] = []
        self._busy: set[str] = set()
        """Brokers and ports that have a fault already, and ``disk`` and ``config``."""

    async def run(self) -> None:
        """Bring faults until cancelled."""
        faults: dict[str, Fault] = {
            "broker killed": self._kill_broker,
            "broker restarted": self._restart_broker,
            "broker frozen": self._freeze_broker,
            "port unplugged": self._unplug,
            "clock set": self._step_clock,
            "disk full": self._fill_disk,
            "sensor removed": self._reload,
            "page watched": self._watch_page,
        }
        weights = [KINDS[kind] for kind in self._kinds]
        while True:
            await asyncio.sleep(self._random.expovariate(self._rate / PAUSE_S))
            (kind,) = self._random.choices(self._kinds, weights)
            task = asyncio.create_task(faults[kind](random.Random(self._random.random())))
            self._lasting.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._lasting.discard(task)
        error = task.exception()
        if isinstance(error, Exception):
            self._failed.append(error)

    def check(self) -> None:
        """Raise if a fault could not be brought, or not be taken away."""
        if self._failed:
            raise ExceptionGroup("faults failed", self._failed)

    async def mend(self) -> None:
        """Return when no fault lasts any more."""
        while self._lasting:
            await asyncio.wait(self._lasting)
        self.check()

    @contextlib.contextmanager
    def _one_of(self, rng: random.Random, kind: str, things: Iterable[str]) -> Iterator[str | None]:
        """Choose one that has no fault yet, and keep others away from it; None: there is none."""
        free = sorted(set(things) - self._busy)
        if not free:
            yield None
            return
        chosen = rng.choice(free)
        self._busy.add(chosen)
        self.counts[kind] += 1
        try:
            yield chosen
        finally:
            self._busy.discard(chosen)

    async def _last(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._rate)

    async def _kill_broker(self, rng: random.Random) -> None:
        with self._one_of(rng, "broker killed", self._city.brokers) as name:
            if name is not None:
                await self._city.brokers[name].kill()
                await self._last(min(self._longest_s, rng.expovariate(1 / OUTAGE_S)))
                await self._city.brokers[name].start()

    async def _restart_broker(self, rng: random.Random) -> None:
        with self._one_of(rng, "broker restarted", self._city.brokers) as name:
            if name is not None:
                await self._city.brokers[name].stop()
                await self._city.brokers[name].start()

    async def _freeze_broker(self, rng: random.Random) -> None:
        with self._one_of(rng, "broker frozen", self._city.brokers) as name:
            if name is not None:
                self._city.brokers[name].freeze()
                await self._last(rng.uniform(1.0, 30.0))
                self._city.brokers[name].thaw()

    async def _unplug(self, rng: random.Random) -> None:
        with self._one_of(rng, "port unplugged", self._city.ports) as name:
            if name is not None:
                await self._city.ports[name].unplug()
                await self._last(rng.uniform(0.1, 20.0))
                await self._city.ports[name].replug()

    async def _step_clock(self, rng: random.Random) -> None:
        self.counts["clock set"] += 1
        self._box.step_clock(rng.choice(STEPS_S))

    async def _fill_disk(self, rng: random.Random) -> None:
        with self._one_of(rng, "disk full", ["disk"]) as disk:
            if disk is None:
                return
            ballast = self._city.state.parent / "ballast"
            if self._own_disk:
                await asyncio.to_thread(_fill, ballast)
            # The ring has its full size already and would not notice a full file system: its
            # writes fail by a limit on the size of files.
            self._box.limit_files(LIMIT_BYTES)
            try:
                await self._last(rng.uniform(1.0, 10.0))
            finally:
                self._box.limit_files(resource.RLIM_INFINITY)
                ballast.unlink(missing_ok=True)

    async def _reload(self, rng: random.Random) -> None:
        """Take one sensor out of the configuration, and bring it back."""
        with self._one_of(rng, "sensor removed", ["config"]) as config:
            if config is not None:
                self._city.write_config(without=rng.choice(self._city.lines))
                await self._box.reload()
                await self._last(rng.uniform(1.0, 5.0))
                self._city.write_config()
                await self._box.reload()

    async def _watch_page(self, rng: random.Random) -> None:
        """Open the status page, follow it for a while, and be gone without a word."""
        self.counts["page watched"] += 1
        await self._box.watch(rng.uniform(1.0, 30.0) / self._rate)


def _fill(path: Path) -> None:
    """Write until the file system takes nothing more."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(BALLAST_BYTES))
