"""The same as for the end-to-end tests: faults are injected around the real daemon."""

from tests.end_to_end.conftest import children_are_reaped

__all__ = ["children_are_reaped"]
