"""Runs something asynchronous to its end inside one part of doctor."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["finish"]

T = TypeVar("T")


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own; return what it returns.

    Unlike ``asyncio.run`` it does not wait for name look-ups that nobody waits for any more.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
