"""A box whose true time the test knows, and a city that does what docs/payloads.md tells it."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from gateway.buffer import Buffer, Reader
from gateway.clock import Clock
from gateway.forward import Format, Link
from gateway.reading import SeriesKey
from tests.buffer.support import abandon, open_buffer
from tests.forward.fakes import Listener, accounted, broker_section, eventually, make_link, running

__all__ = ["HOUR_S", "TRUE_NS", "YEAR_S", "Box", "BoxClock", "City"]

NS = 1_000_000_000
HOUR_S = 3600.0
YEAR_S = 365 * 24 * HOUR_S
TRUE_NS = 1_795_338_000 * NS
"""2026-11-22T09:00:00Z, when the first boot of every test begins."""
UPTIME_NS = 20 * NS
"""Of the machine, when the gateway starts."""
KEY = SeriesKey("air-roof", "air.pm25")
DOUBTS = {"clock_unsynced", "estimated"}


class Mark:
    """The file of timesyncd, which appears when the test says so."""

    def __init__(self) -> None:
        self.is_there = False

    def exists(self) -> bool:
        return self.is_there


class BoxClock(Clock):
    """The real clock over a machine whose hands the test moves, beside the true time."""

    def __init__(self, boot: int, *, shown_ns: int, true_ns: int = TRUE_NS) -> None:
        self.boot_ns = UPTIME_NS
        self.true_ns = true_ns
        self.real_ns = shown_ns
        self.mark = Mark()
        super().__init__(
            boottime_ns=lambda: self.boot_ns,
            realtime_ns=lambda: self.real_ns,
            synchronized_mark=cast("Path", self.mark),
        )
        self.boot_id = bytes([boot]) * 16

    def advance(self, seconds: float) -> None:
        """Let time pass, awake or asleep: boot time counts through suspend."""
        for name in ("boot_ns", "true_ns", "real_ns"):
            setattr(self, name, getattr(self, name) + int(seconds * NS))
        self.sample()

    def step(self, seconds: float) -> None:
        """Set the clock, rightly or wrongly."""
        self.real_ns += int(seconds * NS)
        self.sample()

    def sync(self) -> None:
        """Reach a time server."""
        self.real_ns = self.true_ns
        self.mark.is_there = True
        self.sample()


class Box:
    """One process on the box: real ring, real link. What it measures is the true time."""

    def __init__(
        self,
        folder: Path,
        clock: BoxClock,
        port: int,
        *,
        hold_s: float = 0.0,
        encoder: Format | None = None,
        **changes: Any,
    ) -> None:
        """``changes`` are keys of the broker's section."""
        self.changes = {"batch_readings": 7} | changes
        self.encoder = encoder
        self.folder = folder
        self.clock = clock
        self.port = port
        self.hold_s = hold_s
        self.buffer: Buffer
        self.link: Link
        self.reader: Reader

    async def __aenter__(self) -> Self:
        self.buffer = await open_buffer(self.folder, clock=self.clock, hold_unsynced_s=self.hold_s)
        self.reader = self.buffer.reader("city")
        self.link = make_link(
            broker_section(self.port, **self.changes),
            self.reader,
            self.buffer.series,
            clock=self.clock,
            encoder=self.encoder,
            directory=self.folder / "data",
        )
        self._running = running(self.link)
        self._accounted = accounted(self.reader)
        await self._running.__aenter__()
        await self._accounted.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._accounted.__aexit__(kind, error, traceback)
        await self._running.__aexit__(kind, error, traceback)
        await self.buffer.close()

    @property
    def file(self) -> Path:
        """Where the link keeps what it has to mend."""
        return self.folder / "data" / "unsure-times-city"

    async def die(self) -> bytes:
        """End as the death of the process would; return what the link had kept by then."""
        await abandon(self.buffer)
        return await asyncio.to_thread(self.file.read_bytes)

    def measure(self, count: int, every_s: float = 1.0) -> None:
        """Append readings whose value is the true time, in s."""
        series = self.buffer.series_id(KEY, unit="ug/m3", privacy="P0")
        for _ in range(count):
            self.clock.advance(every_s)
            self.buffer.append(series, self.clock.now_ns(), self.clock.true_ns / NS, 0)
        self.tick()

    def tick(self) -> None:
        """Do what the daemon does once a second and when the clock changed."""
        self.buffer.note_clock()
        self.buffer.notify()

    async def all_acknowledged(self) -> None:
        await eventually(lambda: self.reader.pending == 0)


class City(Listener):
    """A consumer that mends times as docs/payloads.md says."""

    def fixes(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.payloads("/time-fix")]

    def assert_order(self) -> None:
        """First arrivals come in the order of measurement, and of true time."""
        seen: dict[tuple[int, int], float] = {}
        for line in self.lines():
            seen.setdefault((line["epoch"], line["sequence"]), line["value"])
        assert list(seen) == sorted(seen)
        assert list(seen.values()) == sorted(seen.values())

    def errors_s(self) -> dict[int, tuple[float, float, bool]]:
        """Return error, bound and remaining doubt of each reading by sequence, mended."""
        found: dict[int, tuple[float, float, bool]] = {}
        epochs: dict[int, int] = {}
        for message in self.messages:
            assert isinstance(message.payload, bytes)
            text = message.payload.decode()
            if message.topic.value.endswith("/json"):
                for line in map(json.loads, text.splitlines()):
                    number, doubt = line["sequence"], bool(DOUBTS & set(line.get("flags", ())))
                    if number in found and not found[number][2]:
                        continue
                    epochs[number] = line["epoch"]
                    found[number] = (_seconds(line["time"]) - line["value"], 0.0, doubt)
            elif message.topic.value.endswith("/time-fix"):
                fix = json.loads(text)
                for number, (error_s, _, doubt) in found.items():
                    in_range = fix["from"] <= number <= fix["to"]
                    if doubt and in_range and epochs[number] == fix["epoch"]:
                        bound_s = fix["bound_s"]
                        mended_s = error_s + fix["correction_s"]
                        found[number] = (mended_s, bound_s, fix["estimated"])
        return found

    async def has(self, count: int) -> None:
        await eventually(lambda: len(self.sequences()) >= count)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0.005)
