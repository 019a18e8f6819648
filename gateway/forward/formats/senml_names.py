"""The name of a series as a path of safe characters, for formats that know a value by one name.

``traffic.count/direction-inbound/lane-1/mean``: quantity, each dimension, aggregation unless it is
``instant``. Only characters that RFC 8428 section 4.5.1 allows; others are written as ``:`` and two
hexadecimal digits per byte of UTF-8, so that two series never share a name.
"""

import re

from gateway.quantities import registry
from gateway.reading import SeriesKey

__all__ = ["is_yes_or_no", "path_of", "safe"]

UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def _escaped(found: re.Match[str]) -> str:
    return "".join(f":{byte:02x}" for byte in found.group().encode(errors="surrogatepass"))


def safe(text: str) -> str:
    """Return the text with all but letters, digits, ``.``, ``_`` and ``-`` escaped."""
    return UNSAFE.sub(_escaped, text)


def path_of(key: SeriesKey) -> str:
    """Return what tells a series from the others of its sensor."""
    parts = [safe(key.quantity)]
    parts += [f"{safe(name)}-{safe(value)}" for name, value in key.dims]
    if key.aggregation != "instant":
        parts.append(safe(key.aggregation))
    return "/".join(parts)


def is_yes_or_no(key: SeriesKey) -> bool:
    """Say whether the values are booleans: a mean or a count of booleans is a number."""
    quantity = registry().get(key.quantity)
    return (
        quantity is not None
        and quantity.kind == "bool"
        and key.aggregation in ("instant", "last", "min", "max")
    )
