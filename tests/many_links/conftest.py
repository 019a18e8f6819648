"""What tests with child processes need."""

from tests.end_to_end.conftest import children_are_reaped

__all__ = ["children_are_reaped"]
