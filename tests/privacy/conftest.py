"""A private bus with the tests' own BlueZ, as the end-to-end tests have it."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import children_are_reaped
from tests.transports.fake_bluez import FakeBlueZ, PrivateBus

__all__ = ["bluez", "bus", "children_are_reaped"]


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    with tempfile.TemporaryDirectory(prefix="gw") as folder:  # a socket's path is short
        bus = PrivateBus(Path(folder))
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        bus.start()
        yield bus
        bus.kill()


@pytest.fixture
async def bluez(bus: PrivateBus) -> AsyncIterator[FakeBlueZ]:
    fake = FakeBlueZ()
    await fake.start()
    yield fake
    await fake.stop()
