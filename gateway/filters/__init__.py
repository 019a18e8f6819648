"""Filters judge readings on their way into the ring: they flag, drop, thin, calibrate, sum up.

Each is one small module. They are configured per sensor and quantity (or ``"*"``), run in the
order written, keep bounded state per series and work on event time. See docs/filters.md.
"""

from gateway.filters.building import (
    ALL_QUANTITIES,
    FILTERS,
    ChainBuilder,
    Problem,
    build_chain,
    chain_builder,
    collisions,
    filters_for,
    flow_of,
    parse_options,
    problems,
)
from gateway.filters.chain import Chain
from gateway.filters.contract import Environment, Filter, FilterOptions, Flow, Output, Passed
from gateway.filters.examples import EXAMPLES, SHORTHANDS

__all__ = [
    "ALL_QUANTITIES",
    "EXAMPLES",
    "FILTERS",
    "SHORTHANDS",
    "Chain",
    "ChainBuilder",
    "Environment",
    "Filter",
    "FilterOptions",
    "Flow",
    "Output",
    "Passed",
    "Problem",
    "build_chain",
    "chain_builder",
    "collisions",
    "filters_for",
    "flow_of",
    "parse_options",
    "problems",
]
