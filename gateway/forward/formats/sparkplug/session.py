"""The conversation of one connection: birth, death, sequence numbers, the two things it hears.

Whatever else arrives, a write to a metric or a command to a device, changes nothing (SEC-09).
Sources: chapters 5 and 6 of the Sparkplug 3.0 specification; the tck-ids are listed and checked in
tests/forward/sparkplug/.
"""

import json
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from gateway.forward.formats.base import Heard, Message, Session
from gateway.forward.formats.sparkplug import wire
from gateway.forward.formats.sparkplug.births import named_metrics
from gateway.forward.formats.sparkplug.metrics import Properties
from gateway.forward.formats.sparkplug.payload import (
    TIMESTAMP,
    DataType,
    counted,
    decode_payload,
)
from gateway.forward.formats.sparkplug.topics import EdgeTopics, state_topic

__all__ = ["CONTENT_TYPE", "NS_PER_MS", "EdgeSession", "Memory"]

NS_PER_MS = 1_000_000
CONTENT_TYPE = "application/protobuf"
NUMBERS = 256
"""Sequence numbers and birth-death numbers are 0 to 255."""
BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
MAX_STATE_BYTES = 512
"""Of a STATE message: two short members, and room for those of later versions."""


@dataclass(slots=True)
class Memory:
    """What the format and its sessions tell each other, from one connection to the next."""

    now_ms: int = 0
    """The latest wall time that anybody mentioned; the time of the messages that go out."""
    host_ms: int | None = None
    """Timestamp of the last STATE message of the primary host."""


class _State(NamedTuple):
    """What a host application says of itself."""

    online: bool
    timestamp_ms: int


class EdgeSession(Session):
    """One connection of the edge node."""

    def __init__(  # noqa: PLR0913 - what one connection is made of
        self,
        topics: EdgeTopics,
        *,
        connection_number: int,
        primary_host: str,
        properties: Properties,
        memory: Memory,
        wall_ns: int,
    ) -> None:
        self._topics = topics
        self._bd_seq = connection_number % NUMBERS
        self._properties = properties
        self._memory = memory
        self._command_topic = topics.node("NCMD")
        self._state_topic = state_topic(primary_host) if primary_host else ""
        self.subscriptions = tuple(filter(None, (self._command_topic, self._state_topic)))
        self.begins_at_once = not primary_host
        self._begun = self.begins_at_once
        self._over = False
        self._birth: bytes | None = None
        """The payload that restarts the count."""
        self._born = False
        """The birth has gone out."""
        self._seq = 0
        memory.now_ms = wall_ns // NS_PER_MS
        self._death = b""
        """The payload without a number: the will's, or the one of ``leave``."""
        self.will = self._last_message(wall_ns)

    def greet(self, wall_ns: int) -> list[Message]:
        """Return NBIRTH."""
        self._memory.now_ms = now_ms = wall_ns // NS_PER_MS
        metrics = {
            BD_SEQ: (DataType.INT64, self._bd_seq),
            REBIRTH: (DataType.BOOLEAN, False),
            **self._properties,
        }
        self._born = False
        self._birth = named_metrics(metrics, now_ms)
        topic = self._topics.node("NBIRTH")
        return [Message(topic=topic, payload=self._birth, content_type=CONTENT_TYPE)]

    def hear(self, topic: str, payload: bytes) -> Heard:
        """Take a command or the state of the primary host."""
        if self._over:
            return "nothing"
        try:
            if topic == self._command_topic:
                return self._hear_command(payload)
            if topic and topic == self._state_topic:
                return self._hear_state(payload)
        except (ValueError, RecursionError):  # not UTF-8, not JSON, not protobuf, too large
            return "nothing"
        return "nothing"

    def leave(self, wall_ns: int) -> list[Message]:
        """Return NDEATH; nothing where there was no birth, because a birth has to be first."""
        return [] if self._birth is None else [self._last_message(wall_ns)]

    def complete(self, payload: bytes) -> bytes:
        """Append time and sequence number; NBIRTH begins at 0, NDEATH has neither."""
        if payload == self._death:
            return payload
        if payload == self._birth:
            self._born = True
            self._seq = 0
        seq, self._seq = self._seq, (self._seq + 1) % NUMBERS
        return counted(payload, self._memory.now_ms, seq)

    def _last_message(self, wall_ns: int) -> Message:
        timestamp_ms = wall_ns // NS_PER_MS
        metrics = named_metrics({BD_SEQ: (DataType.INT64, self._bd_seq)}, timestamp_ms)
        self._death = metrics + wire.unsigned(TIMESTAMP, timestamp_ms)
        topic = self._topics.node("NDEATH")
        return Message(topic=topic, payload=self._death, content_type=CONTENT_TYPE)

    def _hear_command(self, command: bytes) -> Heard:
        """Look for a rebirth request; one before the birth went out is answered by that birth."""
        if not self._born:
            return "nothing"
        wanted = any(
            metric.name == REBIRTH and metric.value is True
            for metric in decode_payload(command).metrics
        )
        if not wanted:
            return "nothing"
        self._born = False  # until the birth that answers it is out
        return "begin-again"

    def _hear_state(self, text: bytes) -> Heard:
        state = _state(text)
        last_ms = self._memory.host_ms
        if last_ms is not None and state.timestamp_ms < last_ms:
            return "nothing"
        self._memory.host_ms = state.timestamp_ms
        if state.online == self._begun:
            return "nothing"
        self._begun = state.online
        self._over = not state.online
        return "leave" if self._over else "begin"


def _state(text: bytes) -> _State:
    """Read a STATE message. Raises ValueError for anything else."""
    if len(text) > MAX_STATE_BYTES:
        raise ValueError("a state that is too large")
    found = json.loads(text.decode())
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - a value from outside, not a wrong call
    online, timestamp = found.get("online"), found.get("timestamp")
    if not isinstance(online, bool) or isinstance(timestamp, bool):
        raise ValueError("no state")  # noqa: TRY004
    if isinstance(timestamp, float) and isfinite(timestamp):
        timestamp = int(timestamp)
    if not isinstance(timestamp, int) or timestamp < 0:
        raise ValueError("no timestamp")
    return _State(online, timestamp)
