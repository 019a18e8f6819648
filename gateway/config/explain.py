"""Turns what pydantic says about a value into a sentence that tells a person how to mend it."""

import re
from collections.abc import Callable, Collection, Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.merge import Document
from gateway.config.refusal import Refusal
from gateway.config.shape import allowed, field_at, fields, nested
from gateway.config.words import NAMED_LISTS, Loc, nearest, smells_of_secret, step

__all__ = ["check_options", "explain", "shown", "unknown_key"]

MAX_SHOWN_LENGTH = 60
"""A longer text is cut in messages."""

_TYPE_PROBLEMS: Mapping[str, str] = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false, without quotes",
    "bool_parsing": "must be true or false, without quotes",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "path_type": "must be text in quotes",
}
"""They say themselves what is allowed."""

_PROBLEMS: Mapping[str, str] = {
    "missing": "is missing",
    "literal_error": "is none of the choices",
    "greater_than_equal": "is too small",
    "greater_than": "is too small",
    "less_than_equal": "is too large",
    "less_than": "is too large",
    "string_pattern_mismatch": "is not spelled as it must be",
    "string_too_short": "is empty",
    "string_too_long": "is too long",
    "too_long": "has too many entries",
}


def shown(loc: Loc, value: object) -> object:
    """Return the value as a message may repeat it, or None where it may not.

    Only single values are repeated, none that stands under a key that smells of a secret, and no
    address with a user name in it.
    """
    if any(isinstance(part, str) and smells_of_secret(part) for part in loc):
        return None
    if isinstance(value, str):
        if "@" in value:
            return None
        return value if len(value) <= MAX_SHOWN_LENGTH else f"{value[:MAX_SHOWN_LENGTH]}..."
    return value if isinstance(value, bool | int | float) else None


def unknown_key(document: Document, loc: Loc, known: Collection[str]) -> None:
    """Report a key that nobody knows. Its value is never repeated: who knows what it is."""
    near = nearest(str(loc[-1]), known)
    document.report(loc, "unknown key", allowed="" if near else ", ".join(known), nearest=near)


def check_options(
    document: Document,
    loc: Loc,
    model: type[BaseModel],
    values: Mapping[str, object],
    *,
    given_elsewhere: Collection[str],
) -> None:
    """Report what the model of a driver or a format says against its options.

    Keys that are ``given_elsewhere`` are not missing.
    """
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        problems = error
    else:
        return

    def is_given(detail: ErrorDetails) -> bool:
        return detail["type"] == "missing" and detail["loc"][0] in given_elsewhere

    explain(problems, document, loc, model, skip=is_given)


def explain(
    error: ValidationError,
    document: Document,
    prefix: Loc,
    model: type[BaseModel],
    *,
    skip: Callable[[ErrorDetails], bool] = lambda _: False,
) -> None:
    """Report every problem of one model, which stands at ``prefix`` in the document."""
    done: set[Loc] = set()
    for detail in error.errors(include_url=False, include_input=False):
        if skip(detail):
            continue
        loc = _existing(document, prefix, detail)
        if loc in done:
            continue  # several alternatives of one value failed; the first says enough
        done.add(loc)
        if detail["type"] == "extra_forbidden":
            parent = field_at(model, detail["loc"][:-1])
            table = (nested(parent) if parent is not None else None) or model
            unknown_key(document, loc, list(fields(table)))
        else:
            _explain(detail, document, loc, model)


def _explain(detail: ErrorDetails, document: Document, loc: Loc, model: type[BaseModel]) -> None:
    kind = detail["type"]
    value = None if kind == "missing" else document.at(loc)
    if len(loc) == 1 and loc[0] in NAMED_LISTS and isinstance(value, Mapping):
        document.report(loc, f"is a single table; each {loc[0]} begins with [[{loc[0]}]]")
        return
    if kind in ("value_error", "assertion_error"):
        _refused(detail, document, loc, value)
        return
    info = field_at(model, detail["loc"])
    words = allowed(info) if info is not None else ""
    if kind in _TYPE_PROBLEMS:
        document.report(loc, _TYPE_PROBLEMS[kind], value=shown(loc, value))
        return
    near = ""
    if isinstance(value, str) and kind == "literal_error":
        near = nearest(value, words.split(", "))
    elif isinstance(value, str) and kind == "string_pattern_mismatch":
        near = _nearest_slug(value) if "hyphens" in words else ""
    problem = _PROBLEMS.get(kind, "is not accepted")
    if problem == "is not accepted" and shown(loc, value) is not None:
        problem = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"  # of a driver's own options
        words = ""
    document.report(loc, problem, value=shown(loc, value), allowed=words, nearest=near)


def _refused(detail: ErrorDetails, document: Document, loc: Loc, value: object) -> None:
    """Report the words of a validator."""
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, Refusal):
        near = error.nearest if shown(loc, value) is not None else ""
        value = shown(loc, value) if error.show else None
        document.report(loc, error.problem, value=value, allowed=error.allowed, nearest=near)
    elif any(isinstance(part, str) and smells_of_secret(part) for part in loc):
        document.report(loc, "is not accepted")  # a driver's own words may repeat the value
    else:
        document.report(loc, str(error), value=shown(loc, value))


def _existing(document: Document, prefix: Loc, detail: ErrorDetails) -> Loc:
    """Return the part of a location that really stands in the file.

    The rest was put there by a shorthand (``deadband = 0.5``) or names an alternative of a union.
    """
    loc = prefix
    here = document.at(prefix)
    for part in detail["loc"]:
        here = step(here, part)
        if here is None:
            missing = detail["type"] == "missing" and part == detail["loc"][-1]
            return (*loc, part) if missing else loc
        loc = (*loc, part)
    return loc


def _nearest_slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63]
