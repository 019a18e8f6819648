"""The status page as it is now, made at most once in a moment for all who watch.

It is made in slices, between which the event loop does its work: a page of 800 series takes a tenth
of a second, more on a small machine.
"""

import asyncio
from types import TracebackType
from typing import Self

from gateway.observe.event_log import EventLog
from gateway.observe.history import History
from gateway.observe.leaving import Departures, LookLeaving, nothing_known
from gateway.observe.page import page_steps
from gateway.observe.page_cells import Snapshot
from gateway.observe.slices import Steps, in_slices
from gateway.observe.status import page_document_steps
from gateway.observe.view import Look

__all__ = ["NotMade", "Pages"]

LEAST_REST = 20.0
"""A page is kept so many times as long as it took: watching costs a twentieth of a core at most."""
LOOK_INTERVAL_S = 5.0
"""How often the last values are noted for the last hour."""


class NotMade(LookupError):
    """There is no page that is new enough: ``await`` its making, then ask again."""

    def __init__(self, language: str) -> None:
        self.language = language
        super().__init__(language)


class Pages:
    """Makes pages, and remembers what they show of the past while it is used with ``async with``.

    A page is made anew once it is ``keep_s`` old, or later where that takes long.
    """

    def __init__(
        self, look: Look, leaving: LookLeaving = nothing_known, *, keep_s: float = 1.0
    ) -> None:
        self.history = History()
        self._look = look
        self._departures = Departures(leaving)
        self._events = EventLog(look().clock.now_ns)
        self._keep_s = keep_s
        self._cost_s = 0.0
        self._made: dict[str, tuple[float, Snapshot]] = {}
        self._making = asyncio.Lock()
        """One page at a time, whatever the languages."""
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._events.__enter__()
        self._looking = asyncio.create_task(self._look_on(), name="status page")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._events.__exit__(kind, error, traceback)
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def now(self, language: str) -> Snapshot:
        """Return the page in one of ``LANGUAGES``; NotMade if there is none that is new enough."""
        made_s, snapshot = self._made.get(language, (0.0, None))
        rest_s = max(self._keep_s, LEAST_REST * self._cost_s)
        if snapshot is None or asyncio.get_running_loop().time() - made_s >= rest_s:
            raise NotMade(language)
        return snapshot

    async def fresh(self, language: str) -> Snapshot:
        """Return the page, made anew if there is none that is new enough."""
        async with self._making:
            try:
                return self.now(language)
            except NotMade:
                pass
            snapshot, self._cost_s = await in_slices(self._steps(language))
            self._made[language] = asyncio.get_running_loop().time(), snapshot
            return snapshot

    def _steps(self, language: str) -> Steps[Snapshot]:
        view = self._look()
        self.history.look(view)
        yield
        document = yield from page_document_steps(
            view,
            history=self.history,
            leaves=self._departures(view),
            events=self._events.events,
        )
        return (yield from page_steps(document, language))

    async def _look_on(self) -> None:
        while True:
            self.history.look(self._look())
            await asyncio.sleep(LOOK_INTERVAL_S)
