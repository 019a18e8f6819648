"""A boot id that is known, and a link that looks again soon."""

import pytest

import gateway.forward.time_fixes
from gateway.clock import BOOT_ID_VARIABLE


@pytest.fixture(autouse=True)
def known_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or each clock would read the kernel's file inside the event loop."""
    monkeypatch.setenv(BOOT_ID_VARIABLE, "00000000-0000-0000-0000-000000000001")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.forward.time_fixes, "LOOK_INTERVAL_S", 0.02)
    monkeypatch.setattr(gateway.forward.time_fixes, "WRITE_INTERVAL_S", 0.02)
