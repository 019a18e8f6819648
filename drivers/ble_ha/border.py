"""The border to strangers' code: what a parser raises ends here, as a value.

A parser of the family may raise anything: IndexError and struct.error for a payload that is too
short, InvalidTag of ``cryptography``, KeyError and AssertionError for what it did not foresee. A
list of them would be complete until the next release of one of them, and one that is missing would
end the scan for all sensors. So this is, beside the supervisor, the one place that catches
``Exception``: docs/decisions/0017-ble-ha.md.
"""

from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

__all__ = ["Raised", "guarded"]

P = ParamSpec("P")
T = TypeVar("T")


class Raised(NamedTuple):
    """Strangers' code failed."""

    error: str
    """The name of the exception; its words may hold an address or a payload."""


def guarded(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Raised:
    """Return what strangers' code returns, or what it raised.

    What is about the whole process goes on: lack of memory, and all that is no ``Exception``.
    """
    try:
        return function(*args, **kwargs)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        return Raised(type(error).__name__)
