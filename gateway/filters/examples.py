"""How each filter is written, for the reference configuration, its schema and the pages."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["EXAMPLES", "SHORTHANDS"]

EXAMPLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "range": ('range = { min = 0, max = 999.9, action = "flag" }',),
        "rate": ('rate = { max = 5, per = "1 min", action = "flag" }',),
        "spike": ("spike = { n = 7, sigmas = 3, least = 2.0 }",),
        "stuck": ('stuck = "6 h"', 'stuck = { longer = "1 h", variance = 0.0001 }'),
        "median": ("median = 5",),
        "mean": ("mean = 10",),
        "ewma": ('ewma = "60 s"', "ewma = { n = 10 }"),
        "deadband": (
            "deadband = 0.5",
            'deadband = "5 %"',
            'deadband = { absolute = 0.5, percent = 5, heartbeat = "60 s" }',
        ),
        "interval": ('interval = "10 s"', 'interval = { every = "10 s", take = "mean" }'),
        "window": (
            'window = "15 min"',
            'window = { every = "1 h", give = ["mean", "max", "p95", "count"], weight = "time" }',
        ),
        "counter": (
            "counter = { rollover = 100000 }",
            'counter = { give = "rate", to = "power.active", keep_raw = true }',
        ),
        "linear": (
            "linear = { a = -1.2, b = 0.94 }",
            'linear = { b = 0.94, id = "17", date = "2026-09-01", expires = "2027-09-01" }',
        ),
        "table": ("table = [[0, 0.4], [50, 47], [200, 181]]",),
        "expression": (
            "expression = 'x / (1 + 0.25 * (\"air.humidity\" / 100) ** 2)'",
            'expression = { formula = \'x - 0.1 * "air.temperature"\', max_age = "5 min" }',
        ),
        "convert": (
            'convert = "[degF]"',
            'convert = { to = "air.no2", temperature = "air.temperature", pressure = 1013 }',
        ),
        "suppress_small": ("suppress_small = 5",),
    }
)
"""By filter name; the shorthands first. Each is one line of TOML."""

SHORTHANDS: Mapping[str, tuple[Mapping[str, Any], ...]] = MappingProxyType(
    {
        "deadband": (
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"},
        ),
        "interval": ({"type": "string"},),
        "stuck": ({"type": "string"},),
        "median": ({"type": "integer", "minimum": 3},),
        "mean": ({"type": "integer", "minimum": 2},),
        "ewma": ({"type": "string"}, {"type": "integer", "minimum": 1}),
        "window": ({"type": "string"},),
        "table": ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}},),
        "expression": ({"type": "string"},),
        "convert": ({"type": "string"},),
        "suppress_small": ({"type": "integer", "minimum": 3},),
    }
)
"""What may stand in place of a filter's table, as JSON Schema."""
