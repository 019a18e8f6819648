"""The clock asks the environment for the boot id here, never a file inside the event loop."""

import uuid

import pytest


@pytest.fixture(autouse=True)
def boot_id_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYLAB_GATEWAY_BOOT_ID", str(uuid.UUID(int=77)))
