"""The Grafana dashboards, which ``python -m tests.operator.write_dashboards`` writes.

What stands where is in fleet.py and gateway_board.py; this is the JSON that Grafana reads.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "Board", "Panel", "Query", "document", "text"]

FOLDER = Path(__file__).parents[2] / "config" / "grafana"
SCHEMA_VERSION = 39
"""Grafana 10 and later."""
COLUMNS = 24
SOURCE: Mapping[str, str] = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and the name of what it returns."""

    expr: str
    name: str = ""
    """Legend, with labels as {{label}}; the column of a table."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; a row is a panel of kind ``row`` with a title alone."""

    title: str
    kind: str = "row"
    about: str = ""
    queries: Sequence[Query] = ()
    width: int = COLUMNS
    height: int = 8
    unit: str = "short"
    steps: Mapping[float, str] = field(default_factory=dict)
    """Value -> colour from there on; below the first it is green."""
    options: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Value -> what is shown instead, and its colour."""
    links: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; ``variable`` is the one that chooses gateways."""

    uid: str
    title: str
    about: str
    many: bool
    panels: Sequence[Panel]


DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "none",
    },
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "state-timeline": {"showValue": "never", "mergeValues": True},
    "table": {"showHeader": True, "footer": {"show": False}},
    "row": {},
}


def document(board: Board) -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    panels, x, y, row_height = [], 0, 0, 0
    for number, panel in enumerate(board.panels, start=1):
        height = 1 if panel.kind == "row" else panel.height
        if x + panel.width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        place = {"x": x, "y": y, "w": panel.width, "h": height}
        panels.append(
            _row(panel, number, place) if panel.kind == "row" else _panel(panel, number, place)
        )
        x, row_height = x + panel.width, max(row_height, height)
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["citylab-gateway"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables(board)},
        "annotations": {"list": []},
        "links": [
            {
                "title": "All dashboards of the gateways",
                "type": "dashboards",
                "tags": ["citylab-gateway"],
                "asDropdown": True,
                "includeVars": False,
                "keepTime": True,
            }
        ],
        "panels": panels,
    }


def _variables(board: Board) -> list[dict[str, Any]]:
    query = "label_values(citylab_gateway_uptime_seconds, instance)"
    everything: dict[str, Any] = {"text": "All", "value": "$__all"}
    return [
        {
            "name": "DS_PROMETHEUS",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "hide": 0,
        },
        {
            "name": "gateway",
            "label": "Gateways" if board.many else "Gateway",
            "type": "query",
            "datasource": dict(SOURCE),
            "query": {"query": query, "refId": "gateway"},
            "definition": query,
            "refresh": 2,
            "sort": 1,
            "multi": board.many,
            "includeAll": board.many,
            # Not a list of all: it also finds boxes that do not answer and so have no metrics.
            "allValue": ".*" if board.many else None,
            "current": everything if board.many else {},
        },
    ]


def _row(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": panel.title,
        "gridPos": dict(place),
        "collapsed": False,
        "panels": [],
    }


def _panel(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    table = panel.kind == "table"
    thresholds: list[dict[str, Any]] = [{"color": "green", "value": None}]
    thresholds += [{"color": color, "value": value} for value, color in panel.steps.items()]
    mappings = {
        value: {"text": word, "color": color} for value, (word, color) in panel.texts.items()
    }
    found = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": dict(SOURCE),
        "gridPos": dict(place),
        "targets": [
            _target(query, index, instant=table or panel.kind == "stat", table=table)
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "thresholds": {"mode": "absolute", "steps": thresholds},
                "mappings": [{"type": "value", "options": mappings}] if mappings else [],
                "links": [dict(link) for link in panel.links],
            },
            "overrides": [],
        },
        "options": {**DEFAULTS[panel.kind], **panel.options},
    }
    if table:
        found["transformations"] = _columns(panel)
    return found


def _target(query: Query, index: int, *, instant: bool, table: bool) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + index),
        "datasource": dict(SOURCE),
        "expr": query.expr,
        "legendFormat": query.name,
        "instant": instant,
        "range": not instant,
        "format": "table" if table else "time_series",
    }


def _columns(panel: Panel) -> list[dict[str, Any]]:
    """Return what makes one table of all queries, a column each, without the time."""
    values = {
        f"Value #{chr(ord('A') + index)}" if len(panel.queries) > 1 else "Value": query.name
        for index, query in enumerate(panel.queries)
    }
    hidden = {"Time": True} | {value: True for value, name in values.items() if not name}
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": hidden,
                "renameByName": {value: name for value, name in values.items() if name},
                "indexByName": {},
            },
        },
    ]


def text(board: Board) -> str:
    """Return the file."""
    return json.dumps(document(board), indent=2, ensure_ascii=False) + "\n"
