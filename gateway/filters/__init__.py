"""Filters judge readings on their way into the ring: they flag, drop or thin them.

Each is one small module. They are configured per sensor and quantity (or ``"*"``), run in the
order written, keep O(1) state per series and work on event time.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gateway.filters.chain import Chain
from gateway.filters.contract import Filter, FilterOptions, Passed
from gateway.filters.deadband import Deadband
from gateway.filters.interval import Interval
from gateway.filters.range import Range

__all__ = [
    "ALL_QUANTITIES",
    "FILTERS",
    "Chain",
    "Filter",
    "FilterOptions",
    "Passed",
    "build_chain",
    "chain_builder",
    "filters_for",
    "parse_options",
]

ALL_QUANTITIES = "*"
"""The key of filters that are for every quantity of a sensor."""

FILTERS: Mapping[str, type[Filter]] = MappingProxyType(
    {"range": Range, "deadband": Deadband, "interval": Interval}
)
"""All filters by the name that the configuration uses."""


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


def build_chain(filters: Mapping[str, Any]) -> Callable[[], Chain]:
    """Return what makes a fresh chain for each series; the options are checked once, here.

    ``filters`` is filter name -> options, in order. Raises ``pydantic.ValidationError`` for bad
    options; the configuration has refused them, and unknown names, before.
    """
    parsed = [(FILTERS[name], parse_options(name, raw)) for name, raw in filters.items()]
    return lambda: Chain([kind(options) for kind, options in parsed])


def chain_builder(table: Mapping[str, Mapping[str, Any]]) -> Callable[[str], Chain | None]:
    """Return what makes the chain of a new series from its quantity, or None if it has no filter.

    ``table`` is a sensor's whole filter table. Without a filter there is nothing to call, so a
    series that has none pays nothing.
    """

    def build(quantity: str) -> Chain | None:
        filters = filters_for(table, quantity)
        return build_chain(filters)() if filters else None

    return build
