"""Keeps each transport and each link running on its own, whatever happens to its neighbours."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from types import TracebackType
from typing import Any, Self

from gateway.about import ABOUT
from gateway.backoff import Backoff

__all__ = ["Supervisor"]

LOGGER = logging.getLogger("citylab_gateway.supervisor")

STABLE_S = 60.0
"""A task that ran so long before it failed begins again with the shortest wait."""
MAX_WAIT_S = 60.0


class Supervisor:
    """Named tasks in one TaskGroup; one that raises is counted, logged and started again.

    This is the only place that catches ``Exception``: what arrives here is a bug or a fault that
    nobody foresaw, and the other sensors and links must not pay for it.
    """

    def __init__(self) -> None:
        self.restarts: dict[str, int] = {}
        """Unforeseen ends by task name."""
        self.steps: dict[str, int] = {}
        """How often the loop has moved each running task on: a wait that ended is a step."""
        self._group = asyncio.TaskGroup()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks.values():
            task.cancel()
        try:
            await self._group.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            if error is not None and group.exceptions == (error,):
                raise error from None  # the body's own error, as it was
            raise

    @property
    def names(self) -> list[str]:
        """Return the names of the tasks that are kept running."""
        return list(self._tasks)

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run ``run()`` until it is stopped; a name is used once at a time."""
        if name in self._tasks:
            raise ValueError(f"{name} is running already")
        self.restarts.setdefault(name, 0)
        self.steps[name] = 0
        self._tasks[name] = self._group.create_task(self._keep_running(name, run), name=name)

    async def stop(self, name: str) -> None:
        """Cancel one task and wait until it is gone."""
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait([task])
        del self.steps[name]

    async def _keep_running(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        ABOUT.set(name)  # for this task and all that it starts
        backoff = Backoff(max_s=MAX_WAIT_S)
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            try:
                await _Stepping(run(), partial(self._step, name))
            except Exception:
                LOGGER.exception("%s failed; it is started again, the others go on", name)
            else:
                LOGGER.warning("%s ended by itself; it is started again", name)
            self.restarts[name] += 1
            if loop.time() - started_s > STABLE_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    def _step(self, name: str) -> None:
        self.steps[name] += 1


class _Stepping:
    """Awaits something, and calls ``step`` each time that the event loop moves it on.

    Of the task itself only: what runs in tasks that it started is not seen here.
    """

    def __init__(self, awaitable: Awaitable[None], step: Callable[[], None]) -> None:
        self._awaitable = awaitable
        self._step = step

    def __await__(self) -> Generator[Any, Any, None]:
        inner = self._awaitable.__await__()
        move: Callable[[], Any] = partial(next, inner)
        while True:
            self._step()
            try:
                waited_for = move()
            except StopIteration:
                return
            try:
                answer = yield waited_for
            except BaseException as error:  # noqa: BLE001 - all of it belongs to the inner one
                move = partial(inner.throw, error)
            else:
                move = partial(inner.send, answer)
