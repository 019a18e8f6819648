"""What the broker has refused so far; outlives the connection, because a refusal may end it.

A broker can refuse with a reason code, with a DISCONNECT that says why, or (MQTT 3.1.1) by hanging
up without a word. The last of these looks like any lost connection, so it takes a lot of proof:
docs/architecture.md promises that an outage costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.backoff import Backoff
from gateway.forward.causes import QUOTA_EXCEEDED, REFUSING
from gateway.forward.window import Parcel

__all__ = ["Refusals", "Suspect"]

ATTEMPTS = 2
"""A message refused so often is set aside."""
ATTEMPTS_UNCLEAR = 10
"""The same for reason codes that may be trouble inside the broker (0x80, 0x83)."""
ATTEMPTS_UNSAID = 3
"""The same for consecutive connections that the broker ended without saying why."""
PROOFS = (0, 8, 32)
"""Messages that a connection has to have acknowledged before a message goes out alone that has
ended so many. A way that breaks every few messages, whatever they are, breaks before that."""
STATUS_ATTEMPTS = 3
"""So many connections that ended at the status alone, and it waits until readings have left."""
UNSAID = frozenset({None, 0x81, 0x82, 0x83})
"""Ends that may mean a message: no code; malformed, protocol error, implementation specific."""
FIRST_PAUSE_S = 0.1
MAX_SUSPECTS = 256


@dataclass(slots=True)
class Suspect:
    """Readings, a gap or an announcement that were on their way when a connection ended."""

    topic: str
    epoch: int | None
    first: int
    last: int
    holds: bool
    """It stands for sequences of the ring, so it is forgotten once these are settled."""
    said: int = 0
    """Connections that ended with this alone on its way, and with a code that says why."""
    unsaid: int = 0
    """Consecutive ones without such a code, which had acknowledged something else before."""
    alone: int = 0
    """The same, whether they had or not."""

    def touches(self, parcel: Parcel) -> bool:
        """Tell whether the parcel may hold what this is about; batches are cut anew each time."""
        return (
            self.topic == parcel.topic
            and self.epoch == parcel.epoch
            and self.first <= parcel.last
            and parcel.first <= self.last
        )

    def is_in(self, parcel: Parcel) -> bool:
        """Tell whether the parcel holds all that this is about."""
        return self.touches(parcel) and parcel.first <= self.first and self.last <= parcel.last


class Refusals:
    """Counts refusals per message and paces the attempts.

    As long as no reading of a lane is accepted its pauses grow, so that a city that closed its
    door by mistake costs a message a minute and not the whole ring.
    """

    def __init__(self, *, max_pause_s: float) -> None:
        self.suspects: list[Suspect] = []
        self._max_pause_s = max_pause_s
        self._pauses: dict[str, Backoff] = {}
        self._ended_at_status = 0

    def pause(self, lane: str) -> Backoff:
        """Return the pauses of a lane between attempts; the same over all connections."""
        if lane not in self._pauses:
            first_s = min(FIRST_PAUSE_S, self._max_pause_s)
            self._pauses[lane] = Backoff(first_s=first_s, max_s=self._max_pause_s)
        return self._pauses[lane]

    def is_final(self, parcel: Parcel, code: int) -> bool:
        """Count a refusal by PUBACK and say whether the message has to be set aside."""
        if code == QUOTA_EXCEEDED:
            return False  # the broker is full, the message is fine
        parcel.refusals += 1
        return parcel.refusals >= (ATTEMPTS if code in REFUSING else ATTEMPTS_UNCLEAR)

    @property
    def status_may_wait(self) -> bool:
        """The status ended several connections on end; readings may have better luck."""
        return self._ended_at_status >= STATUS_ATTEMPTS

    def connection_ended(
        self, code: int | None, in_flight: Sequence[Parcel], *, at_once: bool
    ) -> None:
        """Learn from an end that the broker, or the way to it, gave a connection.

        ``at_once``: so soon after the last message that no time-out on our side can be the cause.
        Of several messages in flight nobody knows which one was meant: the next connection sends
        these one at a time.
        """
        if code not in REFUSING and code not in UNSAID:
            self.acquit()
            return
        marked = [self._suspect(parcel) for parcel in in_flight if not parcel.is_status]
        if not marked:
            self._ended_at_status = self._ended_at_status + 1 if in_flight else 0
            if code not in REFUSING:
                self._clear_unsaid()  # it ends without them, too
            return
        if len(in_flight) != 1:
            return
        suspect, parcel = marked[0], in_flight[0]
        if code in REFUSING:
            suspect.said += 1
        elif at_once:
            suspect.alone += 1
            suspect.unsaid += parcel.is_proven
        else:
            suspect.unsaid = suspect.alone = 0

    def acquit(self) -> None:
        """Note an end that has nothing to do with any message."""
        self._ended_at_status = 0
        self._clear_unsaid()

    def suspect(self, parcel: Parcel) -> Suspect | None:
        """Return what speaks against a message: it has to go out alone."""
        return next((one for one in self.suspects if one.touches(parcel)), None)

    def proofs(self, parcel: Parcel) -> int:
        """Return how many messages the connection has to have acknowledged before this one."""
        alone = max((one.alone for one in self.suspects if one.touches(parcel)), default=0)
        return PROOFS[min(alone, len(PROOFS) - 1)]

    def is_poison(self, parcel: Parcel) -> bool:
        """Say whether this message has ended connections often enough to be set aside."""
        return any(
            one.said >= ATTEMPTS or one.unsaid >= ATTEMPTS_UNSAID
            for one in self.suspects
            if one.is_in(parcel)
        )

    def accepted(self, parcel: Parcel) -> None:
        """Forget what spoke against a message that the broker took."""
        self._ended_at_status = 0
        if self.suspects:
            self.suspects = [one for one in self.suspects if not one.is_in(parcel)]

    def settled_to(self, cursor: int) -> None:
        """Forget what lies before ``cursor``."""
        if self.suspects:
            self.suspects = [one for one in self.suspects if not one.holds or one.last >= cursor]

    def _suspect(self, parcel: Parcel) -> Suspect:
        known = self.suspect(parcel)
        if known is not None:
            known.first = max(known.first, parcel.first)
            known.last = min(known.last, parcel.last)
            return known
        one = Suspect(
            parcel.topic, parcel.epoch, parcel.first, parcel.last, parcel.held is not None
        )
        self.suspects = [*self.suspects, one][-MAX_SUSPECTS:]
        return one

    def _clear_unsaid(self) -> None:
        for suspect in self.suspects:
            suspect.unsaid = suspect.alone = 0
