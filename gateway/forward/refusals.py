"""What the broker has refused so far; outlives the connection, because a refusal may end it."""

from gateway.backoff import Backoff
from gateway.forward.causes import QUOTA_EXCEEDED, REFUSING
from gateway.forward.window import Parcel

__all__ = ["Refusals"]

ATTEMPTS = 2
"""A message refused so often is set aside."""
ATTEMPTS_UNCLEAR = 10
"""The same for reason codes that may be trouble inside the broker (0x80, 0x83)."""
FIRST_PAUSE_S = 0.1


class Refusals:
    """Counts refusals per message and paces the attempts.

    As long as no reading is accepted the pauses grow, so that a city that closed its door by
    mistake costs a message a minute and not the whole ring.
    """

    def __init__(self, *, max_pause_s: float) -> None:
        self.careful_until = -1
        """Up to this sequence only one message at a time: one of them ended the connection."""
        self._pause = Backoff(first_s=min(FIRST_PAUSE_S, max_pause_s), max_s=max_pause_s)
        self._ended_connection: dict[tuple[int | None, int, str], int] = {}

    def pause_s(self) -> float:
        """Return how long to wait before the next attempt."""
        return self._pause.next_s()

    def readings_accepted(self) -> None:
        """Begin again with short pauses."""
        self._pause.reset()

    def is_final(self, parcel: Parcel, code: int) -> bool:
        """Count a refusal by PUBACK and say whether the message has to be set aside."""
        if code == QUOTA_EXCEEDED:
            return False  # the broker is full, the message is fine
        parcel.refusals += 1
        return parcel.refusals >= (ATTEMPTS if code in REFUSING else ATTEMPTS_UNCLEAR)

    def connection_ended(self, code: int | None, in_flight: list[Parcel]) -> None:
        """Note a DISCONNECT that says why a message will not do.

        Of several messages in flight nobody knows which one was meant: the next connection sends
        these one at a time. Without such a code (and always with MQTT 3.1.1) a lost connection is
        just that, and no message is ever set aside for it.
        """
        readings = [parcel for parcel in in_flight if parcel.holds_readings]
        if code not in REFUSING or not readings:
            return
        self.careful_until = max(parcel.last for parcel in readings)
        if len(in_flight) == 1:
            key = _key(readings[0])
            self._ended_connection[key] = self._ended_connection.get(key, 0) + 1

    def has_ended_connections(self, parcel: Parcel) -> bool:
        """Say whether this message alone has ended the connection often enough to be set aside."""
        return self._ended_connection.get(_key(parcel), 0) >= ATTEMPTS

    def settled_to(self, cursor: int) -> None:
        """Forget what lies before ``cursor``."""
        past = [key for key in self._ended_connection if key[1] < cursor]
        for key in past:
            del self._ended_connection[key]


def _key(parcel: Parcel) -> tuple[int | None, int, str]:
    return parcel.epoch, parcel.first, parcel.topic
