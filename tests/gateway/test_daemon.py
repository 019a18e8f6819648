import asyncio
import logging
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from gateway import daemon as daemon_module
from gateway.config.model import Configuration
from gateway.daemon import Daemon
from gateway.errors import ConfigError


class Refuses:
    """A status server that finds out, when it starts, that it must not."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    async def __aenter__(self) -> None:
        raise ConfigError("listening on 192.0.2.1:9469 needs a token")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        raise AssertionError


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    """Made outside the event loop, as the command does it: it reads the boot id."""
    configuration = Configuration.model_validate(
        {
            "gateway": {"id": "box"},
            "buffer": {
                "directory": tmp_path / "state",
                "runtime_directory": tmp_path / "run",
                "size": "1 MiB",
                "retention": {"P0": "30 min"},
            },
            "http": {},
        }
    )
    return Daemon(tmp_path / "gateway.toml", configuration)


async def test_a_page_that_must_not_be_served_stops_nothing(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """systemd may hand over a socket that strangers can reach; without a token it stays closed."""
    monkeypatch.setattr(daemon_module, "StatusServer", Refuses)
    monkeypatch.setattr(daemon_module, "HTTP_RETRY_S", 0.01)
    with caplog.at_level(logging.INFO, "citylab_gateway"):
        running = asyncio.create_task(daemon.run())
        while "is ready" not in caplog.text:
            assert not running.done()
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # a few more attempts
        daemon._stop.set()
        await running
    assert caplog.text.count("needs a token") == 1
    assert "stopped; everything is flushed" in caplog.text


async def test_the_view_knows_how_long_readings_may_be_shown(daemon: Daemon) -> None:
    ready = asyncio.Event()
    daemon._on_ready = ready.set
    running = asyncio.create_task(daemon.run())
    await ready.wait()
    view = daemon.view()
    daemon._stop.set()
    await running
    assert view.retention_s == {"P0": 1800.0, "P1": None, "P2": None, "P3": 259200.0}
