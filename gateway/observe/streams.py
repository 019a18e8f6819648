"""The page as server-sent events: what changed since the last one, for one watcher.

``page`` carries the parts of the page and the cells outside them: at first, and when its shape
changed.
``cells`` carries those that changed, or none: it says that the gateway is there. Nothing is queued:
a slow watcher gets what is true when it can take more.
"""

import json
from typing import Any

from gateway.observe.page_cells import Cells, Snapshot, changed

__all__ = ["RECONNECT_MS", "EventWriter"]

RECONNECT_MS = 2000
"""After which a browser tries again."""


class EventWriter:
    """Remembers what one watcher has."""

    def __init__(self) -> None:
        self._cells: Cells = {}
        self._shape: str | None = None

    def event(self, now: Snapshot) -> bytes:
        """Return the bytes that bring the watcher from what it has to ``now``."""
        head = f"retry: {RECONNECT_MS}\n" if self._shape is None else ""
        if now.shape == self._shape:
            text = _event("cells", changed(self._cells, now.cells))
        else:
            text = _event("page", {"parts": dict(now.parts), "cells": now.fixed})
        self._cells, self._shape = now.cells, now.shape
        return (head + text).encode()


def _event(name: str, data: Any) -> str:
    # JSON has no line breaks of its own: one line of data is the whole event.
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
