"""How fast a link drains a backlog into a real mosquitto, and what that costs our process.

Run by hand: ``python -m tests.benchmarks.bench_publish``. The reader is a list in memory, so the
figures are those of policy, format, MQTT and accounting; mosquitto runs beside it on another core.
Beside it: the same payloads through ``aiomqtt.Client.publish``, as many at a time.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import aiomqtt

from gateway.buffer import Batch, DropReason, Reader
from gateway.clock import Clock
from gateway.config.model import BrokerSection, Position
from gateway.forward import Format, FormatContext, Link
from gateway.forward.formats.json_lines import JsonLines
from gateway.forward.formats.ngsi_ld import NgsiLd
from tests.benchmarks.bench_formats import make_batch, make_series
from tests.brokers import LOOPBACK, Mosquitto

TOTAL = 400_000
IN_FLIGHT = 20
SENSORS = 1
LOOK_EVERY_S = 0.01
FORMATS: Mapping[str, Callable[[], Format]] = {"ngsi-ld": NgsiLd, "json": JsonLines}


class EndlessReader:
    """Hands out the same batch again and again until ``total`` readings are out."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.position = 0
        self.acknowledged = 0
        self.dropped: dict[DropReason, int] = {}
        self._batch = make_batch(SENSORS)

    @property
    def cursor(self) -> int:
        return self.acknowledged

    @property
    def pending(self) -> int:
        return self.total - self.acknowledged

    async def wait(self) -> None:
        if self.position >= self.total:
            await asyncio.Event().wait()

    async def read(self, limit: int) -> Batch:
        self._batch.first = self.position
        self.position += len(self._batch)
        return self._batch

    def rewind(self) -> None:
        self.position = self.acknowledged

    def settle(
        self,
        first: int,
        last: int,
        *,
        acknowledged: int = 0,
        dropped: Mapping[DropReason, int] | None = None,
    ) -> None:
        self.acknowledged += acknowledged


async def drain(port: int, name: str) -> tuple[float, float, int]:
    """Return seconds, CPU seconds of this process, and messages."""
    reader, series = EndlessReader(TOTAL), make_series(2 * SENSORS)
    broker = BrokerSection.model_validate(
        {
            "name": "city",
            "url": f"mqtt://{LOOPBACK}:{port}",
            "insecure": True,
            "format": name,
            "in_flight": IN_FLIGHT,
        }
    )
    link = Link(
        broker,
        reader=cast("Reader", reader),
        series=series.__getitem__,
        identity=FormatContext("aarhus", "dokk1-03", Position(lon=10.2134, lat=56.1535)),
        format=FORMATS[name](),
        password=None,
        clock=CLOCK,
        status=dict,
    )
    began, cpu = time.perf_counter(), time.process_time()
    task = asyncio.create_task(link.run())
    while reader.pending:  # noqa: ASYNC110 - nothing tells the end
        await asyncio.sleep(LOOK_EVERY_S)
    took, used = time.perf_counter() - began, time.process_time() - cpu
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return took, used, link.stats.sent_messages


async def plain(port: int, payload: bytes, messages: int) -> tuple[float, float]:
    """Send payloads with the library alone; return seconds and CPU seconds."""
    async with aiomqtt.Client(LOOPBACK, port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        client.pending_calls_threshold = IN_FLIGHT + 1
        began, cpu = time.perf_counter(), time.process_time()
        left = iter(range(messages))

        async def worker() -> None:
            for _ in left:
                await client.publish("city/aarhus/dokk1-03/air-0/x", payload, qos=1)

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        return time.perf_counter() - began, time.process_time() - cpu


async def measure() -> None:
    """Print one line per format."""
    with tempfile.TemporaryDirectory() as folder:
        async with Mosquitto(Path(folder), lines=["log_type none"]) as broker:
            for name in FORMATS:
                took, used, messages = await drain(broker.port, name)
                print(
                    f"{name:8} link: {TOTAL / took:10,.0f} readings/s, "
                    f"{used / TOTAL * 1e6:5.2f} us CPU a reading, {messages} messages"
                )
                batch: Any = make_batch(SENSORS)
                series = make_series(2 * SENSORS)
                encoder = FORMATS[name]()
                context = FormatContext(
                    "aarhus", "dokk1-03", Position(lon=10.2, lat=56.1), {}, encoder.topic
                )
                (sample,) = encoder.encode(batch, range(200), series.__getitem__, context)
                took, used = await plain(broker.port, sample.payload, messages)
                print(
                    f"{name:8} aiomqtt alone, payload ready: {TOTAL / took:10,.0f} readings/s, "
                    f"{used / TOTAL * 1e6:5.2f} us CPU a reading ({used / messages * 1e6:.0f} us "
                    f"a message of {len(sample.payload)} bytes)"
                )


CLOCK = Clock(trusted=True)

if __name__ == "__main__":
    asyncio.run(measure())
