"""Work that would hold up the event loop, done in slices with room for everybody else between."""

import asyncio
from collections.abc import Generator
from time import perf_counter
from typing import TypeVar

__all__ = ["SLICE_S", "Steps", "at_once", "in_slices"]

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Yields where it may be interrupted, and returns what it has made."""

SLICE_S = 0.002
"""One step more may follow; a page of 800 series is made in about twenty slices."""


def at_once(steps: Steps[T]) -> T:
    """Return what the steps make, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            made: T = done.value
            return made


async def in_slices(steps: Steps[T], slice_s: float = SLICE_S) -> tuple[T, float]:
    """Return what the steps make and the seconds of work in it; others run in between."""
    worked_s = 0.0
    while True:
        started_s = perf_counter()
        try:
            while perf_counter() - started_s < slice_s:
                next(steps)
        except StopIteration as done:
            return done.value, worked_s + perf_counter() - started_s
        worked_s += perf_counter() - started_s
        await asyncio.sleep(0)
