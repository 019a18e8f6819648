"""What the tests of forward/ share: a ring in memory, a catalogue, and a city that listens."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiomqtt
import paho.mqtt.client as paho

from gateway.buffer import Batch, DropReason, Gap
from gateway.clock import Clock
from gateway.config.model import BrokerSection, Position
from gateway.forward import FormatContext, Link, load_format
from gateway.forward.formats.base import Format
from gateway.forward.formats.json_lines import JsonLines
from gateway.forward.formats.ngsi_ld import NgsiLd
from gateway.quantities import registry
from gateway.reading import Dims, PrivacyClass, Series, SeriesKey
from tests.brokers import LOOPBACK

__all__ = [
    "CONTEXT",
    "DEFAULTS",
    "OFFSET_NS",
    "Catalogue",
    "FakeLane",
    "FakeReader",
    "Listener",
    "accounted",
    "broker_section",
    "eventually",
    "make_link",
    "running",
]

OFFSET_NS = 1_795_338_000_000_000_000
"""Boot time 0 is 2026-11-22T09:00:00Z."""
CONTEXT = FormatContext(
    tenant="aarhus",
    gateway="dokk1-03",
    location=Position(lon=10.2134, lat=56.1535),
    locations={"radar": Position(lon=10.2, lat=56.1)},
)
CLOCK = Clock(trusted=True)
"""Made outside the event loop, as the daemon does: it reads a file."""
PATIENCE_S = 30.0
"""Only a hang reaches it; most tests are ended by their own time limit before."""
LOOK_EVERY_S = 0.01
DEFAULTS: dict[str, Any] = {"history": "in-order"}
"""Of ``broker_section``; a suite that runs for every mode of a link changes them."""
FORMATS: Mapping[str, type[Format]] = {"json": JsonLines, "ngsi-ld": NgsiLd}
"""Made without looking for entry points, which would read files inside the event loop."""
registry()  # the same


async def eventually(what: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Return once ``what()`` is true; fail when it does not become so."""
    async with asyncio.timeout(patience_s):
        while not what():  # noqa: ASYNC110 - what is waited for has no event, by design
            await asyncio.sleep(LOOK_EVERY_S)


class Catalogue:
    """Series by id, made on demand; raises KeyError for an unknown one, as the ring's does."""

    def __init__(self) -> None:
        self.by_key: dict[SeriesKey, Series] = {}
        self.by_id: dict[int, Series] = {}

    def __call__(self, series_id: int) -> Series:
        return self.by_id[series_id]

    def of(self, sensor: str) -> list[Series]:
        return [one for one in self.by_id.values() if one.key.sensor == sensor]

    def add(
        self,
        sensor: str,
        quantity: str,
        dims: Dims = (),
        *,
        unit: str = "1",
        privacy: PrivacyClass = "P0",
    ) -> int:
        key = SeriesKey(sensor, quantity, dims)
        if key not in self.by_key:
            series = Series(len(self.by_key) + 1, key, unit, privacy)
            self.by_key[key] = self.by_id[series.id] = series
        return self.by_key[key].id


class FakeLane:
    """One read position of a FakeReader."""

    def __init__(self, reader: "FakeReader", begin: int, end: int | None) -> None:
        self.reader = reader
        self.position = begin
        self.end = end

    @property
    def stop(self) -> int:
        return self.reader.next_sequence if self.end is None else self.end

    @property
    def unread(self) -> int:
        return self.stop - self.position

    async def wait(self) -> None:
        while self.position >= self.stop:
            self.reader.news.clear()
            await self.reader.news.wait()

    async def read(self, limit: int) -> Batch | Gap | None:
        await asyncio.sleep(0)
        reader = self.reader
        while self.position in reader.settled:
            self.position += 1
        start = self.position
        if start >= self.stop:
            return None
        reason = reader.gaps.get(start)
        epoch, boot = reader.rows[start - reader.first][4:]
        end = start
        while (
            end < self.stop
            and end not in reader.settled
            and reader.gaps.get(end) == reason
            and reader.rows[end - reader.first][4:] == (epoch, boot)
            and (reason is not None or end - start < limit)
            and (end == start or end != reader.boundary)
        ):
            end += 1
        self.position = end
        reader.handed_out |= set(range(start, end))
        if reason is not None:
            return Gap(start, end - 1, reason, OFFSET_NS, OFFSET_NS + 1_000_000_000)
        rows = reader.rows[start - reader.first : end - reader.first]
        return Batch(
            epoch=epoch,
            boot=boot,
            first=start,
            series=[row[0] for row in rows],
            times_ns=[row[1] for row in rows],
            values=[row[2] for row in rows],
            flags=[row[3] for row in rows],
            offset_ns=OFFSET_NS,
            synced=reader.synced,
        )


class FakeReader:
    """The Reader of gateway.buffer over a list; checks at every step what a link may do."""

    def __init__(self, *, first: int = 100, epoch: int = 1, boot: int = 1) -> None:
        self.name = "fake"
        self.first = self.boundary = first
        self.epoch, self.boot, self.synced = epoch, boot, True
        self.rows: list[tuple[int, int, float, int, int, int]] = []
        self.gaps: dict[int, DropReason] = {}
        self.settled: set[int] = set()
        self.handed_out: set[int] = set()
        self.cursor = first
        self.acknowledged = 0
        self.dropped: dict[DropReason, int] = {}
        self.oldest_pending_time_ns: int | None = None
        self.rewinds = 0
        self.settles: list[tuple[int, int]] = []
        self.news = asyncio.Event()

    @property
    def next_sequence(self) -> int:
        return self.first + len(self.rows)

    @property
    def accepted(self) -> int:
        return len(self.rows)

    @property
    def pending(self) -> int:
        return len(self.rows) - len(self.settled)

    def check(self) -> None:
        accounted = self.acknowledged + self.pending + sum(self.dropped.values())
        assert self.accepted == accounted

    def append(self, series_id: int, value: float, *, time_ns: int = 0, flags: int = 0) -> int:
        time_ns = time_ns or (len(self.rows) + 1) * 1_000_000
        self.rows.append((series_id, time_ns, value, flags, self.epoch, self.boot))
        return self.next_sequence - 1

    def notify(self) -> None:
        self.news.set()

    def lose(self, first: int, last: int, reason: DropReason) -> None:
        self.gaps |= dict.fromkeys(range(first, last + 1), reason)

    def begin(self, *, beside: bool = False) -> tuple[FakeLane, ...]:
        self.handed_out.clear()
        self.boundary = self.next_sequence
        if not beside:
            return (FakeLane(self, self.cursor, None),)
        history = FakeLane(self, self.cursor, self.boundary)
        return history, FakeLane(self, self.boundary, None)

    def rewind(self) -> None:
        self.rewinds += 1
        self.handed_out.clear()

    def drop_below(self, sequence: int, reason: DropReason) -> int:
        owed = [n for n in range(self.cursor, sequence) if n not in self.settled]
        self.handed_out |= set(owed)
        for number in owed:
            self.settle(number, number, dropped={reason: 1})
        return len(owed)

    def settle(
        self,
        first: int,
        last: int,
        *,
        acknowledged: int = 0,
        dropped: Mapping[DropReason, int] | None = None,
    ) -> None:
        count = last - first + 1
        assert acknowledged + sum((dropped or {}).values()) == count
        assert first >= self.cursor
        fresh = set(range(first, last + 1))
        assert fresh <= self.handed_out, "settled before it was read"
        assert not fresh & self.settled, "settled twice"
        self.settled |= fresh
        self.settles.append((first, last))
        self.acknowledged += acknowledged
        for reason, number in (dropped or {}).items():
            self.dropped[reason] = self.dropped.get(reason, 0) + number
        while self.cursor in self.settled:
            self.cursor += 1
        self.check()


class Listener:
    """The city's side: everything that arrived, in order."""

    def __init__(self) -> None:
        self.messages: list[aiomqtt.Message] = []
        self._lines: list[dict[str, Any]] = []
        self._sequences: set[int] = set()
        self._read = 0
        """So many messages stand in ``_lines``: who asks again and again pays for each once."""

    def topics(self) -> list[str]:
        return [message.topic.value for message in self.messages]

    def payloads(self, ending: str) -> list[bytes]:
        return [
            bytes(message.payload)
            for message in self.messages
            if message.topic.value.endswith(ending) and isinstance(message.payload, bytes)
        ]

    def lines(self) -> list[dict[str, Any]]:
        """Return all readings of the json format."""
        for message in self.messages[self._read :]:
            if message.topic.value.endswith("/json") and isinstance(message.payload, bytes):
                lines = [json.loads(line) for line in message.payload.decode().splitlines()]
                self._lines += lines
                self._sequences.update(line["sequence"] for line in lines)
        self._read = len(self.messages)
        return self._lines

    def sequences(self) -> set[int]:
        self.lines()
        return self._sequences

    def gaps(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.payloads("/gap")]

    def states(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.payloads("/status")]

    @contextlib.asynccontextmanager
    async def on(self, port: int, **login: str) -> AsyncIterator["Listener"]:
        """Listen while the context lasts; return once subscribed."""
        client = aiomqtt.Client(
            LOOPBACK,
            port,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=paho.MQTT_CLEAN_START_FIRST_ONLY,
            username=login.get("username"),
            password=login.get("password"),
        )
        async with client:
            await client.subscribe("#", qos=1)

            async def collect() -> None:
                with contextlib.suppress(aiomqtt.MqttError):
                    async for message in client.messages:
                        self.messages.append(message)

            task = asyncio.create_task(collect())
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.wait({task})
                if client._disconnected.done():
                    client._disconnected.exception()  # or asyncio complains that nobody looked


@contextlib.asynccontextmanager
async def accounted(*readers: Any) -> AsyncIterator[None]:
    """Fail unless accepted = acknowledged + pending + dropped in every iteration of the loop."""
    wrong: list[str] = []

    async def look() -> None:
        while True:
            for reader in readers:
                done = reader.acknowledged + sum(reader.dropped.values())
                if reader.accepted != done + reader.pending:
                    wrong.append(f"{reader.accepted} != {done} + {reader.pending}")
            await asyncio.sleep(0)

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert wrong == []


def broker_section(port: int, **changes: Any) -> BrokerSection:
    """Return a configuration for a plain-text broker on loopback, impatient as tests are."""
    keys: dict[str, Any] = {
        "name": "city",
        "url": f"mqtt://{LOOPBACK}:{port}",
        "insecure": True,
        "format": "json",
        "linger": 0.02,
        "backoff_max": 1.0,
    }
    keys |= DEFAULTS | changes
    for key, value in keys.items():
        if isinstance(value, float):
            keys[key] = f"{value} s"
    return BrokerSection.model_validate(keys)


def make_link(
    broker: BrokerSection,
    reader: Any,
    series: Callable[[int], Series],
    *,
    password: str | None = None,
    context: FormatContext = CONTEXT,
    status: Callable[[], Mapping[str, Any]] = dict,
    clock: Clock | None = None,
    encoder: Format | None = None,
    series_of: Callable[[str], Sequence[Series]] | None = None,
    directory: Path | None = None,
) -> Link:
    """Return a link of that configuration with everything else real."""
    of: Callable[[str], Sequence[Series]] = getattr(series, "of", lambda _: ())
    return Link(
        broker,
        reader=reader,
        series=series,
        series_of=series_of or of,
        identity=context,
        format=encoder or _format(broker),
        password=password,
        clock=clock or CLOCK,
        status=status,
        directory=directory,
    )


def _format(broker: BrokerSection) -> Format:
    known = FORMATS.get(broker.format)
    if known is None:
        return load_format(broker.format, broker.options)
    return known(known.Options.model_validate(dict(broker.options)))


@contextlib.asynccontextmanager
async def running(*links: Link) -> AsyncIterator[None]:
    """Run links while the context lasts; a link that raises fails the test."""
    tasks = [asyncio.create_task(link.run()) for link in links]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results: Iterable[object] = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            assert isinstance(result, asyncio.CancelledError), result
