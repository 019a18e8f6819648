"""What the tests of forward/ share: a ring in memory, a catalogue, and a city that listens."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import aiomqtt
import paho.mqtt.client as paho

from gateway.buffer import Batch, DropReason, Gap
from gateway.clock import Clock
from gateway.config.model import BrokerSection, Position
from gateway.forward import FormatContext, Link, load_format
from gateway.forward.formats.json_lines import JsonLines
from gateway.forward.formats.ngsi_ld import NgsiLd
from gateway.reading import Dims, PrivacyClass, Series, SeriesKey
from tests.brokers import LOOPBACK

__all__ = [
    "CONTEXT",
    "OFFSET_NS",
    "Catalogue",
    "FakeReader",
    "Listener",
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
PATIENCE_S = 8.0
LOOK_EVERY_S = 0.01
FORMATS: Mapping[str, Callable[[], Any]] = {"json": JsonLines, "ngsi-ld": NgsiLd}


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


class FakeReader:
    """The Reader of gateway.buffer over a list; checks at every step what a link may do."""

    def __init__(self, *, first: int = 100, epoch: int = 1, boot: int = 1) -> None:
        self.name = "fake"
        self.first = first
        self.epoch, self.boot, self.synced = epoch, boot, True
        self.rows: list[tuple[int, int, float, int, int, int]] = []
        self.gaps: dict[int, DropReason] = {}
        self.settled: set[int] = set()
        self.cursor = self.position = first
        self.acknowledged = 0
        self.dropped: dict[DropReason, int] = {}
        self.oldest_pending_time_ns: int | None = None
        self.rewinds = 0
        self.settles: list[tuple[int, int]] = []
        self._news = asyncio.Event()

    @property
    def next_sequence(self) -> int:
        return self.first + len(self.rows)

    @property
    def accepted(self) -> int:
        return len(self.rows)

    @property
    def pending(self) -> int:
        return sum(n not in self.settled for n in range(self.cursor, self.next_sequence))

    def check(self) -> None:
        accounted = self.acknowledged + self.pending + sum(self.dropped.values())
        assert self.accepted == accounted

    def append(self, series_id: int, value: float, *, time_ns: int = 0, flags: int = 0) -> int:
        time_ns = time_ns or (len(self.rows) + 1) * 1_000_000
        self.rows.append((series_id, time_ns, value, flags, self.epoch, self.boot))
        return self.next_sequence - 1

    def notify(self) -> None:
        self._news.set()

    def lose(self, first: int, last: int, reason: DropReason) -> None:
        self.gaps |= dict.fromkeys(range(first, last + 1), reason)

    async def wait(self) -> None:
        while self.position >= self.next_sequence:
            self._news.clear()
            await self._news.wait()

    async def read(self, limit: int) -> Batch | Gap | None:
        await asyncio.sleep(0)
        while self.position in self.settled:
            self.position += 1
        start = self.position
        if start >= self.next_sequence:
            return None
        reason = self.gaps.get(start)
        epoch, boot = self.rows[start - self.first][4:]
        end = start
        while (
            end < self.next_sequence
            and end not in self.settled
            and self.gaps.get(end) == reason
            and self.rows[end - self.first][4:] == (epoch, boot)
            and (reason is not None or end - start < limit)
        ):
            end += 1
        self.position = end
        if reason is not None:
            return Gap(start, end - 1, reason, OFFSET_NS, OFFSET_NS + 1_000_000_000)
        rows = self.rows[start - self.first : end - self.first]
        return Batch(
            epoch=epoch,
            boot=boot,
            first=start,
            series=[row[0] for row in rows],
            times_ns=[row[1] for row in rows],
            values=[row[2] for row in rows],
            flags=[row[3] for row in rows],
            offset_ns=OFFSET_NS,
            synced=self.synced,
        )

    def rewind(self) -> None:
        self.rewinds += 1
        self.position = self.cursor

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
        assert last < self.position, "settled before it was read"
        fresh = set(range(first, last + 1))
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
        texts = [payload.decode() for payload in self.payloads("/json")]
        return [json.loads(line) for text in texts for line in text.splitlines()]

    def sequences(self) -> set[int]:
        return {line["sequence"] for line in self.lines()}

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
    keys |= changes
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
) -> Link:
    """Return a link of that configuration with everything else real."""
    return Link(
        broker,
        reader=reader,
        series=series,
        identity=context,
        format=FORMATS[broker.format]() if broker.format in FORMATS else load_format(broker.format),
        password=password,
        clock=clock or CLOCK,
        status=status,
    )


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
