"""thingsboard-gateway's own storage and sender, as installed in a virtual environment of its own.

Rows go into its MQTT connector while its ThingsBoard is away, so they pile up in its storage; then
ThingsBoard comes back, and the time runs from the first row that arrives to the last: only storage
and sender are in it, not the pause before it connects. ThingsBoard is played by a mosquitto and a
client that grants what the gateway asks for. A row has two values, so it counts as two readings.
"""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from tests.benchmarks.drain_look import SILENCE_MAX_S, cpu_s, memory_mib
from tests.benchmarks.drain_wire import publish_all
from tests.brokers import LOOPBACK, Mosquitto

__all__ = ["VALUES_PER_ROW", "Peer", "thingsboard"]

VALUES_PER_ROW = 2
DEVICES = 10
IN_FLIGHT = 100
FIRST_TIME_MS = 1_795_338_000_000
CONNECT_MAX_S = 40.0
CONNECTORS_S = 5.0
"""For its connector to subscribe after it has connected."""
IDLE_LOOK_S = 1.0
IDLE_CPU_S = 0.1
"""Less CPU than this in a look: everything is in the storage."""
LOOK_EVERY_S = 0.02
STOP_S = 8.0
BROKER_LINES = [
    "log_type none",
    "max_queued_bytes 0",
    "max_inflight_messages 200",
    "set_tcp_nodelay true",
]
NO_LIMIT = {"messages": "", "telemetryMessages": "", "telemetryDataPoints": ""}
GRANTED = {
    "maxPayloadSize": 65536,
    "maxInflightMessages": 100,
    "rateLimits": NO_LIMIT,
    "gatewayRateLimits": NO_LIMIT,
}
RATE_LIMITS = (
    *("rateLimits", "dpRateLimits", "messagesRateLimits", "deviceMessagesRateLimits"),
    *("deviceRateLimits", "deviceDpRateLimits"),
)
MAPPING = {
    "topicFilter": "sensor/+/data",
    "subscriptionQos": 1,
    "converter": {
        "type": "json",
        "deviceInfo": {
            "deviceNameExpressionSource": "topic",
            "deviceNameExpression": "(?<=sensor/)(.*?)(?=/data)",
            "deviceProfileExpressionSource": "constant",
            "deviceProfileExpression": "air",
        },
        "timeout": 60000,
        "attributes": [],
        "timeseries": [
            {"type": "double", "key": name, "value": f"${{{name}}}"} for name in ("pm25", "pm10")
        ],
    },
}


@dataclass(kw_only=True, slots=True)
class Peer:
    """What came of it. ``rows`` are those that arrived, each counted once."""

    rows: int
    seconds: float
    waited_s: float
    """From the return of ThingsBoard to the first row."""
    cpu_s: float
    rss_mib: tuple[float, float, float]
    """Before, at most since it began, after."""
    messages: int


@dataclass(slots=True)
class Cloud:
    """Plays ThingsBoard; reconnects by itself."""

    port: int
    seen: set[tuple[str, int]] = field(default_factory=set)
    messages: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(LOOPBACK, self.port) as client:
                    await client.subscribe("v1/#", qos=1)
                    self.subscribed.set()
                    async for message in client.messages:
                        payload = message.payload
                        text = payload if isinstance(payload, bytes) else b"{}"
                        await self._take(client, str(message.topic), text)
            self.subscribed.clear()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _take(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        if topic.startswith("v1/devices/me/rpc/request/"):
            if json.loads(payload).get("method") == "getSessionLimits":
                answer = json.dumps(GRANTED)
                await client.publish(topic.replace("request", "response"), answer, qos=1)
                self.is_ready.set()
        elif topic == "v1/gateway/telemetry":
            self.messages += 1
            self.last_s = time.perf_counter()
            self.first_s = self.first_s or self.last_s
            for device, rows in json.loads(payload).items():
                self.seen.update((device, row["ts"]) for row in rows if "ts" in row)


async def thingsboard(venv: Path, folder: Path, rows: int, *, tuned: bool) -> Peer:
    """Let so many rows pile up, and drain them. SQLite is its one storage that loses none.

    ``tuned``: larger packs, no pause between them, and no rate limits; else only the limits go,
    which its cloud sets and not the software.
    """
    source = Mosquitto(folder / "source", lines=BROKER_LINES)
    city = Mosquitto(folder / "city", lines=BROKER_LINES)
    await asyncio.to_thread(_configure, venv, folder, source.port, city.port, tuned=tuned)
    async with source, city, _playing(Cloud(city.port)) as cloud, _gateway(venv, folder) as pid:
        async with asyncio.timeout(CONNECT_MAX_S):
            await cloud.is_ready.wait()
        await asyncio.sleep(CONNECTORS_S)
        await city.stop()
        await publish_all(source.port, _rows(rows), IN_FLIGHT)
        await _idle(pid)
        before_mib, cpu = memory_mib("VmRSS", pid), cpu_s(pid)
        await city.start()
        began = time.perf_counter()
        await _all_of(cloud, rows)
        return Peer(
            rows=len(cloud.seen),
            seconds=cloud.last_s - cloud.first_s,
            waited_s=cloud.first_s - began,
            cpu_s=cpu_s(pid) - cpu,
            rss_mib=(before_mib, memory_mib("VmHWM", pid), memory_mib("VmRSS", pid)),
            messages=cloud.messages,
        )


def _rows(count: int) -> list[tuple[str, bytes]]:
    return [
        (
            f"sensor/air-{i % DEVICES}/data",
            json.dumps(
                {"pm25": i * 7 % 900 / 10, "pm10": i * 11 % 900 / 10, "ts": FIRST_TIME_MS + i}
            ).encode(),
        )
        for i in range(count)
    ]


async def _idle(pid: int) -> None:
    used_s = cpu_s(pid)
    while True:
        await asyncio.sleep(IDLE_LOOK_S)
        used_s, before_s = cpu_s(pid), used_s
        if used_s - before_s < IDLE_CPU_S:
            return


async def _all_of(cloud: Cloud, rows: int) -> None:
    began = time.perf_counter()
    while len(cloud.seen) < rows:
        await asyncio.sleep(LOOK_EVERY_S)
        if time.perf_counter() - max(cloud.last_s, began) > SILENCE_MAX_S:
            return


@contextlib.asynccontextmanager
async def _playing(cloud: Cloud) -> AsyncIterator[Cloud]:
    task = asyncio.create_task(cloud.run())
    try:
        await cloud.subscribed.wait()
        yield cloud
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def _gateway(venv: Path, folder: Path) -> AsyncIterator[int]:
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(venv / "bin" / "thingsboard-gateway"),
            cwd=folder,
            env={**os.environ, "TB_GW_CONFIG_DIR": str(folder / "config")},
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _configure(venv: Path, folder: Path, source: int, city: int, *, tuned: bool) -> None:
    """Write its configuration: as shipped, but for what a benchmark on loopback has to say."""
    (shipped,) = (venv / "lib").glob("python3*/site-packages/thingsboard_gateway/config")
    config = folder / "config"
    for each in (config / "statistics", folder / "logs", folder / "data"):
        each.mkdir(parents=True)
    whole: dict[str, Any] = json.loads((shipped / "tb_gateway.json").read_text("utf-8"))
    whole["thingsboard"].update(
        host=LOOPBACK,
        port=city,
        remoteShell=False,
        remoteConfiguration=False,
        maxPayloadSizeBytes=GRANTED["maxPayloadSize"],
        security={"type": "accessToken", "accessToken": "T"},
        statistics={"enable": False},
        **dict.fromkeys(RATE_LIMITS, "0:0,"),
    )
    whole["storage"].update(type="sqlite", data_file_path="./data/")
    if tuned:
        whole["storage"].update(max_read_records_count=1000, read_records_count=1000)
        whole["thingsboard"]["minPackSendDelayMS"] = 0
    whole["connectors"] = [{"name": "M", "type": "mqtt", "configuration": "mqtt.json", "id": "1"}]
    broker = {
        "host": LOOPBACK,
        "port": source,
        "clientId": "gateway",
        "version": 5,
        "maxMessageNumberPerWorker": 10,
        "maxNumberOfWorkers": 100,
        "cleanSession": True,
        "cleanStart": True,
        "sessionExpiryInterval": 0,
        "security": {"type": "anonymous"},
    }
    connector = {"broker": broker, "logLevel": "ERROR", "mapping": [MAPPING], "requestsMapping": {}}
    logs: dict[str, Any] = json.loads((shipped / "logs.json").read_text("utf-8"))
    for logger in logs.get("loggers", {}).values():
        logger["level"] = "ERROR"
    files = {"tb_gateway": whole, "mqtt": connector, "logs": logs}
    for name, content in {**files, "connected_devices": {}, "list": {}}.items():
        (config / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
