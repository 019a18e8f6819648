# ruff: noqa: INP001 - a plugin that is laid beside the tests
"""A pytest plugin for an emulated machine: more time for each test, none judged by its pace."""

import pytest
from hypothesis import HealthCheck, settings

__all__ = ["pytest_collection_modifyitems"]

TIMES_SLOWER = 10

settings.register_profile(
    "slow", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every test its own limit, or the general one, that many times."""
    general = float(config.getini("timeout"))
    for item in items:
        marker = item.get_closest_marker("timeout")
        limit = float(marker.args[0]) if marker is not None and marker.args else general
        item.add_marker(pytest.mark.timeout(limit * TIMES_SLOWER), append=False)
