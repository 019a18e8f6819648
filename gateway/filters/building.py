"""Makes chains out of what the configuration says, and finds out what in it makes no sense."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.filters.chain import Chain
from gateway.filters.contract import (
    Environment,
    Filter,
    FilterOptions,
    Flow,
    Outbox,
    Output,
    Place,
    Placed,
)
from gateway.filters.convert import Convert
from gateway.filters.counter import Counter
from gateway.filters.deadband import Deadband
from gateway.filters.expression import Expression
from gateway.filters.interval import Interval
from gateway.filters.linear import Linear
from gateway.filters.range import Range
from gateway.filters.rate import Rate
from gateway.filters.siblings import Note, Siblings
from gateway.filters.smoothing import Ewma, Mean, Median
from gateway.filters.spike import Spike
from gateway.filters.step import Step
from gateway.filters.stuck import Stuck
from gateway.filters.suppress_small import SuppressSmall
from gateway.filters.table import Table
from gateway.filters.window import Outlet, Window
from gateway.filters.window_options import WindowOptions
from gateway.quantities import registry
from gateway.reading import Dims

__all__ = [
    "ALL_QUANTITIES",
    "FILTERS",
    "ChainBuilder",
    "Problem",
    "build_chain",
    "chain_builder",
    "collisions",
    "filters_for",
    "flow_of",
    "parse_options",
    "problems",
]

ALL_QUANTITIES = "*"
"""The key of filters that are for every quantity of a sensor."""

FILTERS: Mapping[str, type[Filter]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Range,
            Rate,
            Spike,
            Stuck,
            Median,
            Mean,
            Ewma,
            Deadband,
            Interval,
            Window,
            Counter,
            Linear,
            Table,
            Expression,
            Convert,
            SuppressSmall,
        )
    }
)
"""All filters by the name that the configuration uses."""
CALIBRATIONS = ("linear", "table", "expression", "convert")
JUDGES = ("range", "rate", "spike", "stuck")
"""Other chains see a value behind the last calibration and the judges that follow it."""

Parsed = Sequence[tuple[type[Filter], FilterOptions]]
ChainBuilder = Callable[..., Chain | None]
"""Makes the chain of a new series from its quantity and its dimensions."""


class Problem(NamedTuple):
    """Something that a filter would falsify, or that it cannot do."""

    filter: str
    text: str


def parse_options(name: str, raw: object) -> FilterOptions:
    """Check what the configuration says for one filter, shorthand or table.

    Raises ``pydantic.ValidationError`` whose locations are relative to that filter's key.
    ``name`` must be in ``FILTERS``.
    """
    return FILTERS[name].Options.model_validate(raw)


def filters_for(table: Mapping[str, Mapping[str, Any]], quantity: str) -> dict[str, Any]:
    """Return the filters of one quantity out of a sensor's whole filter table, in their order.

    Filters under ``"*"`` are for every quantity; a filter that the quantity has itself takes the
    place of the one of the same name under ``"*"``.
    """
    own = table.get(quantity, {})
    found: dict[str, Any] = {}
    for key, filters in table.items():
        if key == quantity:
            found.update(filters)
        elif key == ALL_QUANTITIES:
            found.update((name, raw) for name, raw in filters.items() if name not in own)
    return found


def flow_of(quantity: str) -> Flow:
    """Return what flows into the chain of a quantity; of one nobody knows nothing is known."""
    known = registry().get(quantity)
    return Flow(quantity) if known is None else Flow(quantity, known.kind, known.ucum)


def problems(filters: Mapping[str, Any], quantity: str) -> list[Problem]:
    """Return what makes no sense in the chain of one quantity; the options must be good by shape.

    ``filters`` is filter name -> options, in order. One problem for each filter at most.
    """
    found: dict[str, str] = {}
    for name, text in _refusals(_parsed(filters), flow_of(quantity)):
        found.setdefault(name, text)
    return [Problem(name, text) for name, text in found.items()]


def collisions(
    table: Mapping[str, Mapping[str, Any]], declared: Sequence[str]
) -> list[tuple[str, str]]:
    """Return (quantity, what is wrong) where two chains of one sensor end in the same series.

    ``declared`` is all that the sensor measures; the table must be without ``problems``.
    """
    build = chain_builder(table)
    owners: dict[tuple[str, Dims, str], str] = {}
    found = []
    for quantity in sorted(declared, key=lambda name: name in table):
        chain = build(quantity)
        outputs = [_output(flow_of(quantity), ())] if chain is None else list(chain.outputs)
        if chain is not None and chain.output is not None:
            outputs.append(chain.output)
        for output in outputs:
            key = output.quantity, output.dims, output.aggregation
            owner = owners.setdefault(key, quantity)
            if owner != quantity:
                found.append((quantity, f"ends as {output.quantity}, and so does {owner}"))
    return found


def _refusals(parsed: Parsed, flow: Flow) -> Iterator[tuple[str, str]]:
    for number, (kind, options) in enumerate(parsed):
        text = options.refuse(flow)
        if text:
            yield kind.name, text
            return
        if isinstance(options, WindowOptions):
            for figure in options.figures(flow):
                behind = _behind(parsed[number + 1 :], figure)
                yield from _refusals(behind, options.flow_of(figure, flow))
            if not options.keep_raw:
                return
        flow = options.after(flow)


def _parsed(filters: Mapping[str, Any]) -> Parsed:
    return [(FILTERS[name], parse_options(name, raw)) for name, raw in filters.items()]


def _behind(rest: Parsed, figure: str) -> Parsed:
    """Return the filters behind a window that one of its figures goes through.

    How many readings there were is no value of the quantity: it may only be hidden.
    """
    return [each for each in rest if figure != "count" or each[0] is SuppressSmall]


def build_chain(
    filters: Mapping[str, Any],
    quantity: str = "",
    *,
    environment: Environment | None = None,
    siblings: Siblings | None = None,
    noted: bool = False,
) -> Callable[..., Chain]:
    """Return what makes a fresh chain for each series; the options are checked once, here.

    ``filters`` is filter name -> options, in order; ``noted``: other chains of the sensor use this
    quantity. Raises ``pydantic.ValidationError`` for bad options; the configuration has refused
    them, unknown names and what ``problems`` finds before. What is returned takes the dimensions.
    """
    parsed = _parsed(filters)
    surroundings = environment or Environment()
    others = siblings if siblings is not None else Siblings()

    def make(dims: Dims = ()) -> Chain:
        place = Place(flow_of(quantity), dims, surroundings, others, Outbox())
        steps, everywhere, flow = _assemble(parsed, place, noted=noted)
        output = None if flow is None else _output(flow, dims)
        return Chain(steps, output=output, outbox=place.outbox, everywhere=everywhere)

    return make


def _output(flow: Flow, dims: Dims) -> Output:
    return Output(flow.quantity, dims, flow.aggregation, flow.unit, flow.calibration)


def _assemble(
    parsed: Parsed, place: Place, *, noted: bool = False
) -> tuple[list[Step], list[Step], Flow | None]:
    """Return the steps, all of them with those behind windows, and what flows out (or nothing)."""
    steps: list[Step] = []
    behind: list[Step] = []
    note_at = _note_at(parsed) if noted else -1
    for number, (kind, options) in enumerate(parsed):
        if number == note_at:
            steps.append(_note(place))
        one = kind(options)
        if isinstance(one, Placed):
            one.enter(place)
        steps.append(Step(one, "" if getattr(kind, "absorbs", False) else kind.name))
        if isinstance(one, Window) and isinstance(options, WindowOptions):
            behind += _connect(one, options, parsed[number + 1 :], place)
            if not options.keep_raw:
                return steps, [*steps, *behind], None
        place = replace(place, flow=options.after(place.flow))
    if note_at == len(parsed):
        steps.append(_note(place))
    return steps, [*steps, *behind], place.flow


def _note_at(parsed: Parsed) -> int:
    """Return before which step the other chains see a reading."""
    names = [kind.name for kind, _ in parsed]
    if Window.name in names:
        names = names[: names.index(Window.name)]
    at = max((number + 1 for number, name in enumerate(names) if name in CALIBRATIONS), default=0)
    while at < len(names) and names[at] in JUDGES:
        at += 1
    return at


def _note(place: Place) -> Step:
    return Step(Note(place.siblings, place.flow.quantity, place.dims), "")


def _connect(window: Window, options: WindowOptions, rest: Parsed, place: Place) -> list[Step]:
    """Give each figure of a window its own filters behind it, and its series; return all steps."""
    outlets = []
    found: list[Step] = []
    for figure in options.figures(place.flow):
        start = replace(place, flow=options.flow_of(figure, place.flow))
        steps, everywhere, flow = _assemble(_behind(rest, figure), start)
        found += everywhere
        index = place.outbox.declare(_output(flow or start.flow, place.dims))
        apply = Chain(steps, outbox=place.outbox).apply if steps else None
        outlets.append(Outlet(figure, apply, index))
    window.connect(outlets)
    return found


def chain_builder(
    table: Mapping[str, Mapping[str, Any]], environment: Environment | None = None
) -> ChainBuilder:
    """Return what makes the chain of a new series: quantity, dimensions -> chain or None.

    ``table`` is a sensor's whole filter table. Without a filter there is nothing to call, so a
    series that has none pays nothing. Call this once for each sensor: its chains share the values
    that they need of each other.
    """
    siblings = Siblings()
    used: frozenset[str] = frozenset()
    for filters in table.values():
        used = used.union(*(options.needs for _, options in _parsed(filters)))

    def build(quantity: str, dims: Dims = ()) -> Chain | None:
        filters = filters_for(table, quantity)
        noted = quantity in used
        if not filters and not noted:
            return None
        return build_chain(
            filters, quantity, environment=environment, siblings=siblings, noted=noted
        )(dims)

    return build
