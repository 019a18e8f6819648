"""A box of one's own for each test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.doctor.world import PATIENCE_S, Material, World, make_material


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return make_material(tmp_path_factory.mktemp("doctor"))


@pytest.fixture
def world(material: Material, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # Short, for the path of a socket, and to be entered by the daemon's user.
    with tempfile.TemporaryDirectory(prefix="gw") as name:
        Path(name).chmod(0o755)
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={name}/bus")
        monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
        for limit in (
            "brokers.STEP_TIMEOUT_S",
            "box.CALL_TIMEOUT_S",
            "bluez_objects.ANSWER_TIMEOUT_S",
        ):
            monkeypatch.setattr(f"gateway.cli.doctor.{limit}", PATIENCE_S)
        yield World(Path(name), material)
