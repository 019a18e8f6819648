"""What the two serializations of SenML have in common: the pieces that a pack consists of."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from typing import AnyStr, Generic, NamedTuple

__all__ = ["Base", "Head", "Writer"]


class Base(NamedTuple):
    """Base fields, valid from the record that carries them on; what is empty is not written."""

    name: str = ""
    time_us: int = 0
    unit: str = ""
    version: int = 0


class Head(NamedTuple, Generic[AnyStr]):
    """A record up to its value: for the base time, and for a time of its own."""

    plain: AnyStr
    timed: AnyStr


class Writer(ABC, Generic[AnyStr]):
    """Writes one record as head + value + tail."""

    @abstractmethod
    def head(self, name: str, unit: str, label: str) -> Head[AnyStr]:
        """Return a record up to the value of ``label``: ``v``, ``vb`` or ``vs``.

        Name and unit may be empty, where the base fields say them.
        """

    @abstractmethod
    def number(self, value: float) -> AnyStr:
        """Return a finite double, shortest form that gives the same double."""

    @abstractmethod
    def decimal(self, value: Decimal) -> AnyStr:
        """Return a finite decimal of at most 19 digits, exactly."""

    @abstractmethod
    def boolean(self, value: bool) -> AnyStr:  # noqa: FBT001 - it is the value
        """Return true or false."""

    @abstractmethod
    def text(self, value: str) -> AnyStr:
        """Return a string."""

    @abstractmethod
    def tail(self, us: int) -> AnyStr:
        """Return the end of a record, ``us`` after the base time; 0 goes with a plain head."""

    @abstractmethod
    def based(self, base: Base, record: AnyStr) -> AnyStr:
        """Return the record with base fields put in front."""

    @abstractmethod
    def pack(self, records: Sequence[AnyStr]) -> bytes:
        """Return the payload of these records."""
