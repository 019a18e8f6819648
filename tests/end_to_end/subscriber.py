"""What a city's data team would see: ``mosquitto_sub`` on the broker, everything it receives."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Received", "Subscriber"]

TIMEOUT_S = 20.0
POLL_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Received:
    topic: str
    payload: bytes


class Subscriber:
    """Subscribes to everything; reconnects by itself when the broker comes back.

    QoS 0 on purpose: the broker writes such a message to our socket before it acknowledges it to
    the sender, so that what was acknowledged can be read here even when the broker is killed.
    """

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.port = port
        self._path = folder / f"received-{port}.txt"
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self._probes = 0

    async def __aenter__(self) -> Self:
        with self._path.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                "mosquitto_sub",
                *("-h", "127.0.0.1", "-p", str(self.port), "-t", "#", "-F", "%t %x"),
                *self._options,
                stdout=output,
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
        """Return when messages that are published now are received."""
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
        return [
            json.loads(line)
            for message in self.messages("/json")
            for line in message.payload.splitlines()
        ]

    async def until(self, enough: Callable[["Subscriber"], bool]) -> None:
        """Return when what has arrived is enough."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while not enough(self):  # noqa: ASYNC110 - the messages come from a process
                    await asyncio.sleep(POLL_INTERVAL_S)
        except TimeoutError:
            raise AssertionError(f"only {len(self.messages())} messages arrived") from None

    def _all(self) -> list[Received]:
        lines = self._path.read_bytes().split(b"\n")[:-1]
        return [
            Received(topic.decode(), bytes.fromhex(payload.decode()))
            for topic, _, payload in (line.partition(b" ") for line in lines)
        ]
