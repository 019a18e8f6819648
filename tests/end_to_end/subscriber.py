"""What a city's data team would see: ``mosquitto_sub`` on the broker, everything it receives."""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Received", "Subscriber", "first_arrivals"]

TIMEOUT_S = 60.0
"""A hang, not a promise."""
POLL_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Received:
    """One message, as it came."""

    topic: str
    retained: bool
    payload: bytes
    properties: str
    """User properties of MQTT 5, ``name:value name:value``."""


class Subscriber:
    """Subscribes to everything; reconnects by itself when the broker comes back.

    QoS 0 on purpose: the broker writes such a message to our socket before it acknowledges it to
    the sender, so that what was acknowledged can be read here even when the broker is killed.
    That holds while we are subscribed: keep the gateway away from a broker that has just started
    until ``subscribed`` has returned.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._path = folder / f"received-{port}-{uuid.uuid4()}.txt"
        self._offset = 0
        self._received: list[Received] = []
        self._readings: list[dict[str, Any]] = []
        self._decoded = 0
        self._process: asyncio.subprocess.Process | None = None
        self._probes = 0

    async def __aenter__(self) -> Self:
        with self._path.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                "mosquitto_sub",
                *("-V", "5", "-h", "127.0.0.1", "-p", str(self.port), "-t", "#"),
                *("-F", "%t %r %x %P"),
                stdout=output,
                stderr=asyncio.subprocess.DEVNULL,  # it complains while the broker is away
            )
        await self.subscribed()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        await self._process.wait()

    async def subscribed(self) -> None:
        """Return when messages that are published now are received, and all earlier ones were."""
        self._probes += 1
        topic = f"probe/{self._probes}"
        async with asyncio.timeout(TIMEOUT_S):
            while not any(message.topic == topic for message in self._all()):
                publish = await asyncio.create_subprocess_exec(
                    "mosquitto_pub",
                    *("-h", "127.0.0.1", "-p", str(self.port), "-t", topic, "-m", "x"),
                    stderr=asyncio.subprocess.DEVNULL,
                )
                await publish.wait()
                await asyncio.sleep(POLL_INTERVAL_S)

    def messages(self, ending: str = "") -> list[Received]:
        """Return what arrived on topics with this ending, in order of arrival."""
        return [
            message
            for message in self._all()
            if message.topic.endswith(ending) and not message.topic.startswith("probe/")
        ]

    def readings(self) -> list[dict[str, Any]]:
        """Return the readings of all ``json`` messages, in order of arrival."""
        messages = self._all()
        for message in messages[self._decoded :]:
            if message.topic.endswith("/json"):
                self._readings += map(json.loads, message.payload.splitlines())
        self._decoded = len(messages)
        return self._readings

    def status(self) -> dict[str, Any]:
        """Return the newest status of the gateway."""
        status = json.loads(self.messages("/status")[-1].payload)
        assert isinstance(status, dict)
        return status

    async def until(self, enough: Callable[["Subscriber"], bool]) -> None:
        """Return when what has arrived is enough."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while not enough(self):  # noqa: ASYNC110 - the messages come from a process
                    await asyncio.sleep(POLL_INTERVAL_S)
        except TimeoutError:
            readings = len(self.readings())
            raise AssertionError(
                f"only {len(self.messages())} messages with {readings} readings arrived"
            ) from None

    def _all(self) -> list[Received]:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            *lines, rest = file.read().split(b"\n")
            self._offset = file.tell() - len(rest)
        for line in lines:
            topic, retained, payload, *properties = line.decode().split(" ", 3)
            self._received.append(
                Received(topic, retained == "1", bytes.fromhex(payload), *properties)
            )
        return self._received


def first_arrivals(readings: list[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
    """Return the readings by (epoch, sequence), in the order in which each came first.

    A repeat has to be the same reading: two different ones under one name are a fault. Only its
    wall time may be better known by then.
    """
    seen: dict[tuple[int, int], dict[str, Any]] = {}
    for reading in readings:
        known = seen.setdefault((reading["epoch"], reading["sequence"]), reading)
        assert {**known, "time": ""} == {**reading, "time": ""}, "one name for two readings"
    return seen
