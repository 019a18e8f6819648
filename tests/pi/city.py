"""The city on this machine's loopback: a real broker, and somebody who takes all that comes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers import Mosquitto
from tests.end_to_end.subscriber import Subscriber
from tests.proxy import GateProxy

__all__ = ["City"]


class City:
    """A broker that can go away and come back; an asynchronous context manager.

    The Pi reaches it through a gate, which opens when the listener is there again: so nothing can
    be acknowledged that nobody hears.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.is_away = False
        self._broker = Mosquitto(folder)
        self._gate = GateProxy(self._broker.port)
        self.listener = Subscriber(folder, self._broker.port)
        self._stack = contextlib.AsyncExitStack()

    @property
    def port(self) -> int:
        """What the Pi connects to."""
        return self._gate.port

    async def __aenter__(self) -> Self:
        async with self._stack as stack:
            await stack.enter_async_context(self._broker)
            await stack.enter_async_context(self.listener)
            await stack.enter_async_context(self._gate)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    async def go_away(self) -> None:
        """Kill the broker."""
        self.is_away = True
        self._gate.shut()
        await self._broker.kill()

    async def come_back(self) -> None:
        """Start it again, with its listener, then let the Pi in."""
        await self._broker.start()
        await self.listener.subscribed()
        self._gate.open()
        self.is_away = False

    @contextlib.asynccontextmanager
    async def coming_back(self, after_s: float) -> AsyncIterator[None]:
        """Come back after so long, if it is away; it stays away if the context ends before."""
        begun = asyncio.Event()
        task = asyncio.create_task(self._come_back_after(after_s, begun))
        try:
            yield
        finally:
            if not begun.is_set():
                task.cancel()
            (end,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(end, Exception):
                raise end

    async def _come_back_after(self, seconds: float, begun: asyncio.Event) -> None:
        await asyncio.sleep(seconds)
        begun.set()
        if self.is_away:
            await self.come_back()
