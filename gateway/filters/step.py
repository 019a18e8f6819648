"""One filter in a chain, under the name by which what it drops is counted."""

from typing import Any, NamedTuple, Protocol

__all__ = ["Step"]


class Applying(Protocol):
    """Filters, and the one step that is none (``siblings.Note``)."""

    @property
    def apply(self) -> Any:
        """Take a reading, return what comes out."""
        ...


class Step(NamedTuple):
    """A filter and its name; empty for one that takes readings in but does not lose them."""

    filter: Applying
    drops_as: str
