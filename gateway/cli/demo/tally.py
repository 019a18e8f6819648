"""What a city broker of the demo really received, counted from the payloads themselves."""

import json
from typing import Any

__all__ = ["Tally"]

MAX_KEPT = 2_000_000
"""A demo that runs for days stops telling repeats apart after so many readings."""


class Tally:
    """Counts the distinct readings in the messages of one broker and keeps the newest message."""

    def __init__(self) -> None:
        self.messages = 0
        self.gaps = 0
        self.last_topic = ""
        self.last_payload = b""
        self._seen: set[object] = set()
        self._uncounted = 0

    @property
    def readings(self) -> int:
        """Return how many different readings have arrived."""
        return len(self._seen) + self._uncounted

    def count(self, topic: str, payload: bytes) -> None:
        """Take one received message; status messages are not data."""
        if topic.endswith("/status"):
            return
        if topic.endswith("/gap"):
            self.gaps += 1
            return
        self.messages += 1
        self.last_topic, self.last_payload = topic, payload
        found = self._ngsi(payload) if payload.startswith(b"[") else self._lines(payload)
        if len(self._seen) < MAX_KEPT:
            self._seen.update(found)
        else:
            self._uncounted += len(found)

    @staticmethod
    def _lines(payload: bytes) -> list[object]:
        readings = [json.loads(line) for line in payload.splitlines()]
        return [(reading["epoch"], reading["sequence"]) for reading in readings]

    @staticmethod
    def _ngsi(payload: bytes) -> list[object]:
        found: list[object] = []
        for entity in json.loads(payload):
            for name, attribute in entity.items():
                if not isinstance(attribute, dict) or "observedAt" not in attribute:
                    continue
                value: Any = attribute["value"]
                parts = value if isinstance(value, dict) else {"": value}
                found += [(entity["id"], name, part, attribute["observedAt"]) for part in parts]
        return found
