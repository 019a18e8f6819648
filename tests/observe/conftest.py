"""What the tests of this room share."""

import pytest

from tests.observe.figures import Room


@pytest.fixture
def room() -> Room:
    """Three sensors and two links that have been running for an hour; all is well."""
    return Room()
