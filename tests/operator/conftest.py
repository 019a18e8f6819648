"""The same as for the tests of the status page, and of the whole daemon."""

from tests.end_to_end.conftest import children_are_reaped
from tests.observe.conftest import room

__all__ = ["children_are_reaped", "room"]
