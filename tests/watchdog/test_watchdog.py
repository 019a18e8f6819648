"""What starves the watchdog and what does not (docs/decisions/0018-watchdog.md)."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.end_to_end.gateway_process import GatewayProcess, Notifications

WATCHDOG_S = 3.0
"""Fed every second; the sampler of the loop, which has to move between, runs twice as often."""
FED = "WATCHDOG=1"
NOT_FED = "no progress, the watchdog is not fed: all that reads sensors has stood still"

LINE = """
    [[sensor]]
    name = "roof"
    driver = "sds011"
    port = "{folder}/tty-roof"
"""
BUS = """
    [[sensor]]
    name = "wall"
    driver = "pm1006_polled"
    port = "{folder}/tty-wall"
"""


class Impatient(GatewayProcess):
    """A daemon with a watchdog, whose kernel hangs at some ports."""

    def __init__(self, folder: Path, *, hanging: str = "") -> None:
        super().__init__(folder, (LINE + BUS).format(folder=folder))
        self.hanging = folder / "hanging"
        self.hang(hanging)

    def hang(self, names: str) -> None:
        """Let the kernel hang at the ports of these sensors."""
        ports = [f"{self.folder}/tty-{name}" for name in names.split()]
        self.hanging.write_text("\n".join(ports), encoding="utf-8")

    async def spawn(self, **environment: str) -> None:
        self.notified = Notifications()
        settings = {
            "NOTIFY_SOCKET": self.notified.address,
            "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6)),
        }
        with self.log_path.open("a", encoding="utf-8") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", "-m", "tests.watchdog.stuck_daemon"),
                *(str(self.hanging), "run", "--config", str(self.config)),
                env={**os.environ, **settings, **environment},
                stdout=log,
                stderr=log,
            )

    @property
    def fed(self) -> int:
        """How often the watchdog was fed."""
        assert self.notified is not None
        return self.notified.lines.count(FED)

    async def abort_when_starved(self) -> int:
        """Do what systemd does: SIGABRT after WatchdogSec= without a word; return the exit code."""
        assert self.process is not None
        before = -1
        while before != self.fed:
            before = self.fed
            await asyncio.sleep(WATCHDOG_S)
        return await self.stop(signal.SIGABRT)

    async def answer(self, path: str) -> str:
        """Return status line and body of an answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.http_port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        text = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        head, _, body = text.partition("\r\n\r\n")
        return f"{head.splitlines()[0]}\n{body}"


@pytest.mark.timeout(120)
async def test_all_drivers_stuck_starves_it_and_a_restart_mends_it(tmp_path: Path) -> None:
    gateway = Impatient(tmp_path, hanging="roof wall")
    async with gateway.by_hand():
        await gateway.start()
        await gateway.told(FED)  # at first nobody knows
        assert await gateway.answer("/readyz") == "HTTP/1.1 200 OK\nready\n"
        await gateway.logged(NOT_FED)
        told = await gateway.answer("/healthz")
        assert told.startswith("HTTP/1.1 503 Service Unavailable\nfailing\n")
        assert "sensor:roof, bus:1" in told
        assert (await gateway.metrics()).value("stuck_driver_tasks") == 2
        assert await gateway.abort_when_starved() == -signal.SIGABRT
        gateway.hang("")
        await gateway.start()
        await gateway.told(FED, times=2)
        assert (await gateway.metrics()).value("stuck_driver_tasks") == 0
        assert await gateway.stop() == 0, gateway.log


@pytest.mark.timeout(120)
async def test_one_of_two_stuck_is_reported_and_the_other_one_goes_on(tmp_path: Path) -> None:
    gateway = Impatient(tmp_path, hanging="roof")
    async with gateway.by_hand():
        await gateway.start()
        await gateway.until_metric("stuck_driver_tasks", 1)
        fed = gateway.fed
        await gateway.told(FED, times=fed + 3)
        told = await gateway.answer("/healthz")
        assert told.startswith("HTTP/1.1 200 OK\ndegraded\n1 of 2 tasks that read sensors stand")
        assert NOT_FED not in gateway.log
        assert await gateway.stop() == 0, "not even a hanging port delays the stop"


@pytest.mark.timeout(120)
async def test_unplugged_sensors_do_not_starve_it(tmp_path: Path) -> None:
    gateway = Impatient(tmp_path)
    async with gateway.by_hand():
        await gateway.start()
        await gateway.told(FED, times=5)  # for longer than a stuck task would be given
        page = await gateway.metrics()
        assert page.value("stuck_driver_tasks") == 0
        assert page.value("port_open", sensor="roof") == page.value("port_open", sensor="wall") == 0
        assert "no progress" not in gateway.log
        assert await gateway.stop() == 0, gateway.log
