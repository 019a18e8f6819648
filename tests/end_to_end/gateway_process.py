"""The real daemon as a child process, started and watched the way systemd does it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.brokers import free_port
from tests.end_to_end.metrics_page import MetricsPage

__all__ = [
    "Answer",
    "GatewayProcess",
    "LinkFigures",
    "Notifications",
    "broker",
    "dust_sensor",
    "run_command",
]

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
"""Hangs, not promises; a stop that waits for an acknowledgement would take 30 s."""
WAIT_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.05
MAX_DATAGRAM = 4096


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit code."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class LinkFigures:
    """One link as one scrape of /metrics shows it."""

    accepted: int
    acknowledged: int
    pending: int
    dropped: Mapping[str, int]
    state: str
    connects: int


class Notifications:
    """What the daemon tells the service manager: a socket as systemd has it, and all it got."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        name = f"citylab-gateway-test-{uuid.uuid4()}"
        self.address = f"@{name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{name}")
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    @property
    def lines(self) -> list[str]:
        """All lines of all messages in the order in which they came."""
        return [line for message in self.messages for line in message.splitlines()]

    def close(self) -> None:
        """Take what is still there, and end."""
        self._read()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        while True:
            try:
                self.messages.append(self._socket.recv(MAX_DATAGRAM).decode())
            except BlockingIOError:
                return


class GatewayProcess:
    """``citylab-gateway run`` with a directory of its own; survives restarts of the process.

    ``sections`` is the TOML text of sensors, brokers and whatever else; ids and directories are
    written here. Use it as an asynchronous context manager, or with ``start`` and ``stop``.
    """

    def __init__(
        self,
        folder: Path,
        sections: str,
        *,
        flush_interval: str = "200 ms",
        size: str = "8 MiB",
        state: Path | None = None,
    ) -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.state = state or folder / "state"
        self.runtime = folder / "run"
        self.http_port = free_port()
        self.flush_interval = flush_interval
        self.size = size
        self.process: asyncio.subprocess.Process | None = None
        self.notified: Notifications | None = None
        """Of the last start."""
        self.log_path = folder / "gateway.log"
        self.write_config(sections)

    @property
    def log(self) -> str:
        """Everything that the daemon has logged, over all starts."""
        return self.log_path.read_text(encoding="utf-8") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        """Return the process id of the running daemon."""
        assert self.process is not None
        return self.process.pid

    def write_config(self, sections: str) -> None:
        """Write the whole file with these sections."""
        self.config.write_text(
            f"""
            schema = 1
            [gateway]
            id = "test-box"
            tenant = "testlab"
            location = {{ lon = 10.2134, lat = 56.1535 }}
            [buffer]
            directory = "{self.state}"
            runtime_directory = "{self.runtime}"
            size = "{self.size}"
            flush_interval = "{self.flush_interval}"
            open_interval = "100 ms"
            [clock]
            trusted = true
            [http]
            listen = "127.0.0.1:{self.http_port}"
            {sections}
            """,
            encoding="utf-8",
        )

    # ---- life and death

    async def spawn(self, **environment: str) -> None:
        """Start the process and do not wait for it."""
        self.notified = Notifications()
        notify = {"NOTIFY_SOCKET": self.notified.address}
        with self.log_path.open("a", encoding="utf-8") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", "-m", "gateway.cli"),
                *("run", "--config", str(self.config)),
                env={**os.environ, **notify, **environment},
                stdout=log,
                stderr=log,
            )

    async def start(self, **environment: str) -> None:
        """Start the process and return when it has said READY=1."""
        await self.spawn(**environment)
        try:
            await self.told("READY=1")
        except AssertionError:
            await self.kill()
            raise

    async def told(self, line: str, times: int = 1) -> None:
        """Return when the service manager has been told this so often."""
        assert self.notified is not None
        assert self.process is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while self.notified.lines.count(line) < times:
                    assert self.process.returncode is None, f"the daemon is gone:\n{self.log}"
                    await asyncio.sleep(POLL_INTERVAL_S / 5)
        except TimeoutError:
            raise AssertionError(f"the daemon never said {line}:\n{self.log}") from None

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the process to end and return the exit code."""
        return await self._end(number)

    async def kill(self) -> None:
        """Send SIGKILL: the process dies where it stands."""
        await self._end(signal.SIGKILL)

    @contextlib.asynccontextmanager
    async def by_hand(self) -> AsyncIterator[Self]:
        """Leave starts and ends to the test; what still runs at the end is killed."""
        try:
            yield self
        finally:
            if self.process is not None:
                await self.kill()

    def hang_up(self) -> None:
        """Send SIGHUP: read the configuration again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    async def _end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        assert process is not None
        if process.returncode is None:
            process.send_signal(number)
        try:
            return await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"{number.name} did not end the daemon:\n{self.log}") from None
        finally:
            if self.notified is not None:
                self.notified.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process is None:
            return
        if error is not None:
            await self.kill()
            if self.log not in str(error):
                error.add_note(f"the daemon's log:\n{self.log}")
        else:
            assert await self.stop() == 0, self.log

    # ---- what it shows

    async def get(self, path: str) -> bytes:
        """Return the body of a GET on the daemon's own HTTP port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.http_port)
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            answer = await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0], head
        return body

    async def metrics(self) -> MetricsPage:
        """Scrape."""
        return MetricsPage((await self.get("/metrics")).decode())

    async def status(self) -> dict[str, Any]:
        """Return what /status.json says, after a check of the promise that it has to keep, too."""
        document = json.loads(await self.get("/status.json"))
        assert isinstance(document, dict)
        for link in document["links"].values():
            accounted = link["acknowledged"] + link["pending"] + sum(link["dropped"].values())
            assert link["accepted"] == accounted, link
        return document

    async def live(self, sensor: str) -> dict[str, float]:
        """Return the newest value of each quantity that the ring has accepted from one sensor."""
        values = (await self.status())["sensors"][sensor]["values"]
        return {value["quantity"]: value["value"] for value in values}

    async def link(self, name: str) -> LinkFigures:
        """Return one link, after a check of the promise that every scrape has to keep."""
        return link_figures(await self.metrics(), name)

    async def until(
        self, name: str, timeout_s: float = WAIT_TIMEOUT_S, **wanted: int | str
    ) -> LinkFigures:
        """Return the link when its figures have the wanted values."""
        figures: list[LinkFigures] = []

        async def reached() -> bool:
            figures[:] = [await self.link(name)]
            return all(getattr(figures[0], key) == value for key, value in wanted.items())

        await self.eventually(reached, lambda: f"wanted {wanted}, stays at {figures}", timeout_s)
        return figures[0]

    async def until_metric(self, name: str, least: float, **labels: str) -> None:
        """Return when the samples of a metric add up to at least so much."""
        seen: list[float] = []

        async def reached() -> bool:
            seen[:] = [(await self.metrics()).total(name, **labels)]
            return seen[0] >= least

        await self.eventually(
            reached, lambda: f"wanted {name}{labels} >= {least}, stays at {seen}", WAIT_TIMEOUT_S
        )

    async def eventually(
        self,
        reached: Callable[[], Awaitable[bool]],
        describe: Callable[[], str],
        timeout_s: float = WAIT_TIMEOUT_S,
    ) -> None:
        """Return when it is so; fail with the log if it does not become so."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await reached():  # noqa: ASYNC110 - it happens in a process
                    await asyncio.sleep(POLL_INTERVAL_S)
        except TimeoutError:
            raise AssertionError(f"{describe()}\n{self.log}") from None

    async def logged(self, text: str, times: int = 1) -> None:
        """Return when the log holds the text so often."""

        async def reached() -> bool:
            return self.log.count(text) >= times

        await self.eventually(reached, lambda: f"{text!r} was not logged {times} times")


def link_figures(page: MetricsPage, name: str) -> LinkFigures:
    """Read one link from a scrape. The identity has to hold in every single one."""
    figures = LinkFigures(
        accepted=int(page.value("link_accepted_readings_total", link=name)),
        acknowledged=int(page.value("link_acknowledged_readings_total", link=name)),
        pending=int(page.value("link_pending_readings", link=name)),
        dropped={
            sample.labels["reason"]: int(sample.value)
            for sample in page.samples("link_dropped_readings_total", link=name)
        },
        state=next(
            sample.labels["state"]
            for sample in page.samples("link_state", link=name)
            if sample.value
        ),
        connects=int(page.value("link_connects_total", link=name)),
    )
    accounted = figures.acknowledged + figures.pending + sum(figures.dropped.values())
    assert figures.accepted == accounted, figures
    return figures


def dust_sensor(name: str, folder: Path, more: str = "") -> str:
    """Return the section of an SDS011 at ``tty-<name>`` that may be silent for a whole test."""
    return f"""
            [[sensor]]
            name = "{name}"
            driver = "sds011"
            port = "{folder}/tty-{name}"
            silence_timeout = "1 h"
            {more}
    """


def broker(name: str, port: int, more: str = "") -> str:
    """Return the section of a broker on this machine that is asked again every second."""
    return f"""
            [[broker]]
            name = "{name}"
            url = "mqtt://127.0.0.1:{port}"
            insecure = true
            linger = "50 ms"
            backoff_max = "1 s"
            {more}
    """


async def run_command(*arguments: str, **environment: str) -> Answer:
    """Run a command of ``citylab-gateway`` to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "gateway.cli", *arguments),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), WAIT_TIMEOUT_S)
    assert process.returncode is not None
    return Answer(process.returncode, output.decode(), errors.decode())
