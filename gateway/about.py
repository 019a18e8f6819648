"""Whom the work at hand is about: the name of the supervised task that it belongs to.

What a task starts, and what it lets the event loop call back, inherits it; so a line of the log
knows its sensor or link without being told.
"""

from contextvars import ContextVar

__all__ = ["ABOUT"]

ABOUT: ContextVar[str] = ContextVar("citylab_gateway_about", default="")
"""``sensor:air-roof``, ``link:aarhus``; empty outside the supervised tasks."""
