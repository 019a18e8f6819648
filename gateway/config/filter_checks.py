"""Checks of a sensor's filters: quantities and names that exist, options, and what makes sense."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from gateway.config.explain import explain, unknown_key
from gateway.config.merge import Document
from gateway.config.words import Loc, nearest
from gateway.driver import DriverInfo
from gateway.filters import (
    ALL_QUANTITIES,
    FILTERS,
    collisions,
    filters_for,
    parse_options,
    problems,
)
from gateway.quantities import registry

__all__ = ["check_filters"]

OTHERS = "; name the other quantities one by one"


def check_filters(
    document: Document, loc: Loc, table: Mapping[str, Any], info: DriverInfo | None
) -> None:
    """Report what is wrong with the filter table of one sensor, which stands at ``loc``.

    ``info`` is what its driver declares, None where the driver is not known.
    """
    declared = info.quantities if info is not None else tuple(registry())
    good = [
        _check_shape(document, (*loc, quantity), filters, declared)
        for quantity, filters in table.items()
    ]
    if info is not None and all(good):
        _check_sense(document, loc, table, declared)


def _check_shape(document: Document, loc: Loc, filters: object, declared: Sequence[str]) -> bool:
    """Tell whether the filters of one quantity can be read; report it if not."""
    quantity = str(loc[-1])
    if quantity != ALL_QUANTITIES and quantity not in declared:
        _unknown_quantity(document, loc, filters, declared)
        return False
    if not isinstance(filters, Mapping):
        return False  # the models say so
    good = True
    for name, raw in filters.items():
        here = (*loc, name)
        if name not in FILTERS:
            unknown_key(document, here, list(FILTERS))
            good = False
            continue
        try:
            needs = parse_options(name, raw).needs
        except ValidationError as error:
            bad_options = error
        else:
            _check_needs(document, here, needs, declared)
            continue
        explain(bad_options, document, here, FILTERS[name].Options)
        good = False
    return good


def _check_needs(
    document: Document, loc: Loc, needs: frozenset[str], declared: Sequence[str]
) -> None:
    for quantity in sorted(needs - set(declared)):
        problem = f"uses {quantity}, which this driver does not measure"
        document.report(loc, problem, nearest=nearest(quantity, declared))


def _unknown_quantity(
    document: Document, loc: Loc, filters: object, declared: Sequence[str]
) -> None:
    """Report a quantity; the commonest slip is ``[sensor.filter.air.pm25]`` without quotes."""
    quantity = str(loc[-1])
    for part in filters if isinstance(filters, Mapping) else ():
        if f"{quantity}.{part}" in registry():
            document.report(
                (*loc, part),
                "a quantity has a dot in it and stands in quotes",
                allowed=f'[sensor.filter."{quantity}.{part}"]',
            )
            return
    problem = "this driver does not measure it" if quantity in registry() else "unknown quantity"
    near = nearest(quantity, declared) if quantity not in registry() else ""
    words = "" if near else ", ".join((*declared, ALL_QUANTITIES))
    document.report(loc, problem, allowed=words, nearest=near)


def _check_sense(
    document: Document, loc: Loc, table: Mapping[str, Any], declared: Sequence[str]
) -> None:
    """Refuse filters that would falsify what a quantity means, each where it is written."""
    found: dict[Loc, dict[str, str]] = {}
    for quantity in declared:
        for name, text in problems(filters_for(table, quantity), quantity):
            key = quantity if name in table.get(quantity, {}) else ALL_QUANTITIES
            found.setdefault((*loc, key, name), {})[quantity] = text
    for here, texts in found.items():
        shared = here[-2] == ALL_QUANTITIES and len(texts) < len(declared)
        document.report(here, next(iter(texts.values())) + (OTHERS if shared else ""))
    if not found:
        _check_collisions(document, loc, table, declared)


def _check_collisions(
    document: Document, loc: Loc, table: Mapping[str, Any], declared: Sequence[str]
) -> None:
    """Refuse two chains that end in the same series: nobody could tell their readings apart."""
    found: dict[Loc, list[str]] = {}
    for quantity, text in collisions(table, declared):
        key = quantity if quantity in table else ALL_QUANTITIES
        found.setdefault((*loc, key), []).append(f"{quantity} {text}")
    for here, texts in found.items():
        document.report(here, "; ".join(texts) + ": nobody could tell the readings apart")
