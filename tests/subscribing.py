"""A city's archive: ``mosquitto_sub`` with a session that the broker keeps while it is away."""

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers import LOOPBACK
from tests.end_to_end.subscriber import POLL_INTERVAL_S, TIMEOUT_S, Subscriber

__all__ = ["Archive", "publish", "retained"]

RESTART_S = 0.5
PUBLISH_TIMEOUT_S = 5.0
"""It waits for its acknowledgement for ever."""


class Archive(Subscriber):
    """Subscribes at QoS 1 with a kept session (clean session off), and reconnects by itself.

    What the broker has acknowledged to a sender has to arrive here, if the broker keeps its word
    over its own death. ``session`` False: QoS 0 and no session, for a broker that forgets, see
    ``Subscriber``. ``login`` are more options of the mosquitto clients: user, certificates.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        host: str = LOOPBACK,
        version: str = "311",
        session: bool = True,
        topics: Sequence[str] = ("#",),
        login: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, port)
        self.restarts = 0
        self._way = ("-V", version, "-h", host, "-p", str(port), *login)
        self._kept = ("-c", "-i", f"archive-{uuid.uuid4()}") if session else ()
        self._qos = "1" if session else "0"
        self._topics = [word for topic in (*topics, "probe/#") for word in ("-t", topic)]

    async def __aenter__(self) -> Self:
        self._path.touch()
        self._keeper = asyncio.create_task(self._keep_running())
        try:
            await self.subscribed()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        if self._process is not None and self._process.returncode is None:
            self._process.kill()  # what it received is in the file; SIGTERM may find it deaf
            await self._process.wait()

    async def _keep_running(self) -> None:
        """Start it again whenever it gives up, as a service manager would."""
        while True:
            with self._path.open("ab") as output:
                self._process = await asyncio.create_subprocess_exec(
                    "mosquitto_sub",
                    *self._way,
                    *self._kept,
                    *self._topics,
                    *("-q", self._qos, "-F", "%t %r %x "),
                    stdout=output,
                    stderr=asyncio.subprocess.DEVNULL,  # it complains while the broker is away
                )
            await self._process.wait()
            self.restarts += 1
            await asyncio.sleep(RESTART_S)

    async def subscribed(self) -> None:
        """Return when messages that are published now are received."""
        self._probes += 1
        topic = f"probe/{self._probes}"
        async with asyncio.timeout(TIMEOUT_S):
            while not any(message.topic == topic for message in self._all()):
                await publish(*self._way, "-t", topic, "-m", "x", "-q", self._qos)
                await asyncio.sleep(POLL_INTERVAL_S)


async def publish(*options: str) -> bool:
    """Publish one message with ``mosquitto_pub``; say whether the broker took it."""
    process = await asyncio.create_subprocess_exec(
        "mosquitto_pub", *options, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(PUBLISH_TIMEOUT_S):
            return await process.wait() == 0
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def retained(port: int, topic: str, *, version: str = "311") -> bytes:
    """Return what the broker keeps on a topic, as somebody sees it who comes now."""
    process = await asyncio.create_subprocess_exec(
        *("mosquitto_sub", "-V", version, "-h", LOOPBACK, "-p", str(port), "-t", topic),
        *("-q", "1", "-C", "1", "--retained-only", "-W", str(round(TIMEOUT_S))),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return output
