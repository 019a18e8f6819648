"""A filter chain that counts what each of its filters does.

For n filters n chains are made: of the first filter, of the first two, and so on. All get the same
readings; what differs between two neighbours is what one filter did. Filters are deterministic, so
the last of them does exactly what the daemon's chain does.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, NamedTuple

from gateway.filters import (
    FILTERS,
    Chain,
    Environment,
    Output,
    build_chain,
    filters_for,
    flow_of,
    parse_options,
)
from gateway.filters.siblings import Siblings
from gateway.reading import Dims, flag_names

__all__ = ["Change", "Event", "SeriesName", "Tally", "TracedChain", "series_name", "traced_builder"]

EXAMPLES = 2
"""Of each kind, of each filter."""
REMEMBERED = 64
"""Newest readings that went into a filter: what it holds back comes out within so many."""
HIDING = "suppress_small"


SeriesName = tuple[str, Dims, str]
"""Quantity, dimensions, aggregation."""


def series_name(output: Output) -> SeriesName:
    """Return what tells the outputs of one sensor apart."""
    return output.quantity, output.dims, output.aggregation


class Event(NamedTuple):
    """A reading at one place of a chain."""

    output: Output
    time_ns: int
    value: float
    flags: int


class Change(NamedTuple):
    """An example of what a filter did with a reading; ``after`` is None if nothing came out."""

    kind: Literal["flagged", "dropped", "changed"]
    before: Event | None
    after: Event | None


@dataclass(slots=True)
class Tally:
    """What one filter did to one series."""

    name: str
    entered: int = 0
    left: int = 0
    dropped: int = 0
    absorbed: int = 0
    flagged: Counter[str] = field(default_factory=Counter)
    """By flag that the filter has set."""
    flagged_readings: int = 0
    figures: int = 0
    """Came out of windows."""
    kept_raw: int = 0
    """Came out as a raw series beside the calibrated one."""
    changes: dict[str, list[Change]] = field(default_factory=dict)

    @property
    def examples(self) -> list[Change]:
        """The gravest first."""
        return [each for kind in ("flagged", "dropped", "changed") for each in self.of(kind)]

    def of(self, kind: str) -> list[Change]:
        """Return the examples of one kind."""
        return self.changes.get(kind, [])

    def note(self, change: Change) -> None:
        """Keep an example, if there are not enough."""
        known = self.changes.setdefault(change.kind, [])
        if len(known) < EXAMPLES:
            known.append(change)


class _Stage:
    """The chain up to one filter, and what came out of it compared with the one before."""

    def __init__(self, chain: Chain, name: str, sides: frozenset[SeriesName]) -> None:
        self.chain = chain
        self.sides = sides
        """Raw series that were kept on the way; they do not flow on."""
        self.main = None if chain.output is None else series_name(chain.output)
        self.tally = Tally(name)
        self._recent: dict[tuple[int, str], Event] = {}
        self._flags = 0
        """Of all that went in since something came out."""
        self._absorbs = bool(getattr(FILTERS[name], "absorbs", False)) if name else False

    def events(self, main: tuple[int, float, int] | None) -> tuple[list[Event], list[Event]]:
        """Return what came out: what flows on, and what is a raw series."""
        flowing: list[Event] = []
        raw: list[Event] = []
        if main is not None and self.chain.output is not None:
            flowing.append(Event(self.chain.output, *main))
        for index, time_ns, value, flags in self.chain.pending:
            event = Event(self.chain.outputs[index], time_ns, value, flags)
            (raw if series_name(event.output) in self.sides else flowing).append(event)
        return flowing, raw

    def compare(self, before: Sequence[Event], after: Sequence[Event]) -> None:
        """Count what this filter made of what came to it."""
        entered = [event for event in before if self._reaches(event)]
        left = [event for event in after if self._reaches(event)]
        tally = self.tally
        tally.entered += len(entered)
        tally.left += len(left)
        figures = 0
        for event in left:
            figures += self._left(event, entered)
        tally.figures += figures
        lost = len(entered) - (len(left) - figures)
        if self._absorbs:
            tally.absorbed += lost
        else:
            tally.dropped += lost
        if lost > 0 and not self._absorbs:
            passed = {event.time_ns for event in left}
            for event in entered:
                if event.time_ns not in passed:
                    tally.note(Change("dropped", event, None))
        self._remember(entered, anew=figures > 0 if tally.name == "window" else bool(left))

    def _reaches(self, event: Event) -> bool:
        """How many readings a window had passes by all filters behind it but one."""
        name = self.tally.name
        return event.output.aggregation != "count" or name in ("window", HIDING)

    def _left(self, event: Event, entered: Sequence[Event]) -> bool:
        """Look at a reading that came out; tell whether it is a figure of a window."""
        source = self._source(event, entered)
        figure = self.tally.name == "window" and series_name(event.output) != self.main
        known = self._flags | (0 if source is None else source.flags)
        added = flag_names(event.flags & ~known)
        if added:
            self.tally.flagged.update(added)
            self.tally.flagged_readings += 1
            self.tally.note(Change("flagged", None if figure else source, event))
        elif not figure and source is not None and source.value != event.value:
            self.tally.note(Change("changed", source, event))
        return figure

    def _source(self, event: Event, entered: Sequence[Event]) -> Event | None:
        """Return the reading that came out as this one; one that was held back came earlier."""
        same = [each for each in entered if each.time_ns == event.time_ns]
        alike = [each for each in same if each.output.aggregation == event.output.aggregation]
        if same:
            return (alike or same)[0]
        return self._recent.get((event.time_ns, event.output.aggregation)) or self._recent.get(
            (event.time_ns, "instant")
        )

    def _remember(self, entered: Sequence[Event], *, anew: bool) -> None:
        if anew:
            self._flags = 0
        for event in entered:
            self._flags |= event.flags
            self._recent[event.time_ns, event.output.aggregation] = event
        surplus = len(self._recent) - REMEMBERED
        for key in list(islice(self._recent, max(0, surplus))):
            del self._recent[key]


class TracedChain:
    """Does what the chain of one series does, for an intake too, and knows what each filter did."""

    def __init__(self, quantity: str, dims: Dims, stages: Sequence[_Stage]) -> None:
        self.quantity = quantity
        self.dims = dims
        flow = flow_of(quantity)
        self._source = Output(quantity, dims, "instant", flow.unit, {})
        self._stages = stages
        self._last = stages[-1].chain
        self.output: Output | None = self._last.output
        self.outputs: Sequence[Output] = self._last.outputs
        self.pending = self._last.pending
        self.dropped_by = ""
        self.entered = 0
        self.came_out: dict[SeriesName, Counter[str]] = {}
        """By series: ``readings``, and how many of them were ``cut`` off by the end."""
        self.newest: dict[SeriesName, Event] = {}
        self._ending = False

    @property
    def tallies(self) -> list[Tally]:
        """One for each filter, in order."""
        return [stage.tally for stage in self._stages if stage.tally.name]

    @property
    def hides(self) -> bool:
        """Small counts are hidden somewhere in it, so that no value of it may be shown."""
        return any(tally.name == HIDING for tally in self.tallies)

    @property
    def ticks(self) -> bool:
        """Something may happen without a reading."""
        return self._last.ticks

    @property
    def expired(self) -> int:
        """How many of its calibrations are too old."""
        return self._last.expired

    def apply(self, time_ns: int, value: float, flags: int) -> tuple[int, float, int] | None:
        """Take a reading; the caller clears ``pending``."""
        self.entered += 1
        before = [Event(self._source, time_ns, value, flags)]
        return self._run(before, lambda chain: chain.apply(time_ns, value, flags))

    def tick(self, now_ns: int) -> None:
        """Let windows end and calibrations expire."""
        self._run([], lambda chain: chain.tick(now_ns))

    def close(self, now_ns: int | None) -> None:
        """Let windows put out what they hold."""
        self._ending = True
        self._run([], lambda chain: chain.close(now_ns))

    def _run(
        self, before: list[Event], step: Callable[[Chain], tuple[int, float, int] | None]
    ) -> tuple[int, float, int] | None:
        main = None
        sides: frozenset[SeriesName] = frozenset()
        self.pending.clear()  # if the caller did not
        for stage in self._stages:
            main = step(stage.chain)
            flowing, raw = stage.events(main)
            stage.tally.kept_raw += sum(series_name(each.output) not in sides for each in raw)
            sides = stage.sides
            stage.compare(before, flowing)
            if stage.chain is not self._last:
                stage.chain.pending.clear()
            else:
                self._came_out([*flowing, *raw])
            before = flowing
        self.dropped_by = self._last.dropped_by
        return main

    def _came_out(self, events: Sequence[Event]) -> None:
        for event in events:
            key = series_name(event.output)
            count = self.came_out.setdefault(key, Counter())
            count["readings"] += 1
            count["cut"] += self._ending
            self.newest[key] = event


def traced_builder(
    table: Mapping[str, Mapping[str, Any]], environment: Environment
) -> Callable[[str, Dims], TracedChain]:
    """Return what makes the traced chain of a new series; call it once for each sensor."""
    siblings = Siblings()
    used: frozenset[str] = frozenset()
    for filters in table.values():
        used = used.union(*(parse_options(name, raw).needs for name, raw in filters.items()))

    def build(quantity: str, dims: Dims) -> TracedChain:
        filters = list(filters_for(table, quantity).items())
        stages: list[_Stage] = []
        for count in range(1, len(filters) + 1) if filters else (0,):
            last = count == len(filters)
            chain = build_chain(
                dict(filters[:count]),
                quantity,
                environment=environment,
                siblings=siblings,
                noted=last and quantity in used,
            )(dims)
            name = filters[count - 1][0] if count else ""
            stages.append(_Stage(chain, name, _sides(chain, name, stages, dims)))
        return TracedChain(quantity, dims, stages)

    return build


def _sides(chain: Chain, name: str, before: Sequence[_Stage], dims: Dims) -> frozenset[SeriesName]:
    """Return the raw series among the outputs: with dimensions of their own, or a counter's."""
    earlier = before[-1].sides if before else frozenset()
    names = {series_name(each): each.dims != dims for each in chain.outputs}
    return frozenset(
        each for each, raw in names.items() if raw or each in earlier or name == "counter"
    )
