"""The parts of doctor: each looks at one subject, beside the others, and never for too long."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway.cli.doctor.box import Box
from gateway.cli.doctor.finding import DEFECT, NO_ANSWER, Finding, Trouble

__all__ = ["Area", "examine", "within"]

USUAL_TIMEOUT_S = 20.0
"""A disk that hangs, a service that does not answer; what is asked is bounded by itself, too."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Area:
    """One part of doctor."""

    name: str
    title: str
    troubles: tuple[Trouble, ...]
    """What it can find; docs/operate.md lists them."""
    look: Callable[[Box], Iterable[Finding]]
    """Blocks, changes nothing, and expects every OSError that can come."""
    timeout_s: float = USUAL_TIMEOUT_S


def examine(box: Box, areas: Sequence[Area]) -> Iterator[tuple[Area, list[Finding]]]:
    """Look at everything at the same time; yield in order, each part as soon as it is done.

    Each has a thread of its own, because no time limit ends a look at a disk that hangs. Such a
    thread stays behind; it keeps no process alive.
    """
    running = [(area, _start(area.look, box)) for area in areas]
    began_s = time.monotonic()
    for area, results in running:
        found = list(_collect(area, results, began_s + area.timeout_s))
        yield area, [replace(finding, area=area.name) for finding in found]


def within(timeout_s: float, work: Callable[[], T]) -> T | None:
    """Return what ``work`` returns, None if it takes longer; then it is left to itself."""
    results = _start(lambda _: (work(),), None)
    try:
        first = results.get(timeout=timeout_s)
    except queue.Empty:
        return None
    return None if isinstance(first, _End) else first


class _End(threading.Event):
    """The last thing in a queue; set if the work came to its end."""


def _start(look: Callable[..., Iterable[T]], argument: object) -> "queue.SimpleQueue[T | _End]":
    results: queue.SimpleQueue[T | _End] = queue.SimpleQueue()

    def work() -> None:
        end = _End()
        try:
            for each in look(argument):
                results.put(each)
            end.set()
        finally:  # what it raised is printed by the thread itself
            results.put(end)

    threading.Thread(target=work, daemon=True, name="doctor").start()
    return results


def _collect(
    area: Area, results: "queue.SimpleQueue[Finding | _End]", until_s: float
) -> Iterator[Finding]:
    while True:
        try:
            found = results.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            yield NO_ANSWER.found(area.title, f"not finished after {area.timeout_s:g} s")
            return
        if isinstance(found, _End):
            if not found.is_set():
                yield DEFECT.found(area.title, "it ended with an error")
            return
        yield found
