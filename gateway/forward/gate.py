"""Whose turn it is at the window: each lane has a gate, with a share, and its own refusals."""

import asyncio
import math
from collections import deque
from collections.abc import Sequence

from gateway.backoff import Backoff
from gateway.forward.window import Parcel, Window

__all__ = ["Gate", "Pace", "Share"]

QUEUE_TARGET_S = 0.5
"""An answer may take so much longer than the fastest one before history takes less."""
KEPT_PART = 0.7
"""Of the share that history keeps when answers are held up."""
MIN_READINGS = 10
"""Of history that may be on their way however slow the broker is."""


class Share:
    """How many readings of history may be on their way, so that new ones never queue behind them.

    Grows while answers come quickly and shrinks when they are held up, as TCP does: what waits in
    front of a new reading is what was sent before it and not acknowledged.
    """

    def __init__(self, batch_readings: int, most_messages: int) -> None:
        self._batch = batch_readings
        self._most = batch_readings * most_messages
        self._was_cut = False
        self._settling = 0
        self.readings = float(min(2 * batch_readings, self._most))

    @property
    def batch_readings(self) -> int:
        """How many readings a message of history may hold now."""
        return max(1, min(self._batch, int(self.readings)))

    def answered(self, count: int, queued_s: float, in_flight: int) -> None:
        """Learn from the answer to ``count`` readings that was ``queued_s`` late.

        ``in_flight`` are the readings that were sent before this and are not answered.
        """
        self._settling = max(0, self._settling - count)
        if queued_s <= QUEUE_TARGET_S:
            grown = count if not self._was_cut else max(1.0, count * count / self.readings)
            self.readings = min(self._most, self.readings + grown)
        elif not self._settling:
            self.readings = max(min(MIN_READINGS, self._batch), self.readings * KEPT_PART)
            self._was_cut = True
            self._settling = in_flight  # their delay is not the fault of the new share


class Pace:
    """At most ``rate`` readings in a second; None: as many as the window lets through."""

    def __init__(self, rate: int | None) -> None:
        self.rate = rate
        self._free_at = -math.inf

    def at_most(self, limit: int) -> int:
        """Return how many readings may leave at once: never more than those of one second."""
        return limit if self.rate is None else min(limit, self.rate)

    async def take(self, count: int) -> None:
        """Return when ``count`` readings may leave."""
        if self.rate is None or not count:
            return
        now = asyncio.get_running_loop().time()
        begin = max(self._free_at, now)
        self._free_at = begin + count / self.rate
        await asyncio.sleep(begin - now)


class Gate:
    """One lane's way into the window.

    A refusal stops this lane alone: its gate is shut until what was refused has been sent again.
    ``above`` are gates that go first when there is room.
    """

    def __init__(
        self,
        window: Window,
        pause: Backoff,
        *,
        above: Sequence["Gate"] = (),
        limit: int | None = None,
        share: Share | None = None,
    ) -> None:
        self.pause = pause
        """Between the attempts with what was refused; outlives the connection."""
        self.share = share
        self.in_flight = 0
        self.readings = 0
        """In flight."""
        self.waiting = 0
        self.careful = False
        """One message at a time, because one was refused."""
        self.refused: deque[Parcel] = deque()
        self.is_shut = False
        self.something_refused = asyncio.Event()
        self._window = window
        self._limit = limit
        self._above = above

    @property
    def has_room(self) -> bool:
        """This lane may send another message now, if it is not shut."""
        window = self._window
        if not window.has_room or (self.careful and self.in_flight):
            return False
        if self._limit is not None and self.in_flight >= min(self._limit, window.limit):
            return False
        if self.share is not None and self.readings >= self.share.readings:
            return False
        return not any(gate.wants_room for gate in self._above)

    @property
    def wants_room(self) -> bool:
        """Something waits that only needs room: a refusal is not what holds it up."""
        held_up = self.is_shut or (self.careful and self.in_flight > 0)
        return self.waiting > 0 and not held_up

    def sent(self, parcel: Parcel) -> None:
        """Count what was sent."""
        self.in_flight += 1
        self.readings += parcel.count

    def answered(self, parcel: Parcel, took_s: float) -> None:
        """Count what was answered."""
        self.in_flight -= 1
        self.readings -= parcel.count
        if self.share is not None and parcel.count:
            queued_s = took_s - self._window.fastest_s
            self.share.answered(parcel.count, queued_s, self.readings)

    def shut(self, parcel: Parcel) -> None:
        """Send this again before anything else of the lane."""
        self.careful = self.is_shut = True
        self.refused.append(parcel)
        self.something_refused.set()
