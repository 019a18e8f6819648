"""Real brokers for tests: own configuration, free loopback port, started and killed at will.

Mosquitto is here because most tests need one; the other makes are in tests/other_brokers.
"""

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

__all__ = [
    "LOOPBACK",
    "BrokerProcess",
    "Mosquitto",
    "find_program",
    "free_port",
    "mosquitto_password_file",
]

LOOPBACK = "127.0.0.1"
STOP_TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.02
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


FIXED_PORTS = range(15_000, 32_000)
PORT_ATTEMPTS = 1000
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Tests that run at the same time share no port: each worker has every n-th."""
OWN_PORTS = FIXED_PORTS[WORKER::WORKERS]
PORTS_IN_TURN = itertools.cycle(secrets.SystemRandom().sample(OWN_PORTS, len(OWN_PORTS)))


def free_port(host: str = LOOPBACK) -> int:
    """Return a TCP port that nobody listens on at the moment, and that was not given before.

    From below the range that the kernel gives to outgoing connections: one of those could take a
    port between this look and the moment at which a server wants it. A test that asks for several
    before it uses the first gets different ones.
    """
    for port in itertools.islice(PORTS_IN_TURN, PORT_ATTEMPTS):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    raise OSError("all of these ports are taken")


def find_program(name: str) -> str:
    """Return the path of an installed program; daemons live in sbin, which a PATH may lack."""
    path = shutil.which(name, path=SEARCH_PATH)
    assert path is not None, f"{name} is missing; the test needs the marker that says so"
    return path


def mosquitto_password_file(path: Path, users: dict[str, str]) -> Path:
    """Write a password file for ``lines`` of a Mosquitto, and return its path."""
    path.touch()
    for user, password in users.items():
        subprocess.run(
            [find_program("mosquitto_passwd"), "-b", str(path), user, password], check=True
        )
    return path


class BrokerProcess:
    """One broker process with a directory of its own; its port stays the same over restarts.

    A make says how it is configured and called. Use it as an asynchronous context manager, or
    with ``start`` and ``stop``.
    """

    make: ClassVar[str]
    start_timeout_s: ClassVar[float] = 30.0
    """A hang, not a promise."""

    def __init__(self, directory: Path, *, host: str = LOOPBACK, port: int | None = None) -> None:
        self.host = host
        self.port = port or free_port(host)
        self.directory = directory
        self.process: asyncio.subprocess.Process | None = None
        directory.mkdir(parents=True, exist_ok=True)

    def command(self) -> Sequence[str]:
        """Write the configuration, and return what to call."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return what the process gets besides our own environment."""
        return {}

    def process_id(self) -> int | None:
        """Return whom signals go to, None when it is not running."""
        alive = self.process is not None and self.process.returncode is None
        return self.process.pid if alive and self.process is not None else None

    @property
    def log(self) -> str:
        """Everything that the broker has said so far."""
        path = self.directory / f"{self.make}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    async def start(self) -> None:
        """Start, and return once the port accepts connections."""
        await self.spawn()
        async with asyncio.timeout(self.start_timeout_s):
            while not await self._is_open():
                assert self.process is not None
                assert self.process.returncode is None, f"{self.make} did not start:\n{self.log}"
                await asyncio.sleep(LOOK_EVERY_S)

    async def spawn(self) -> None:
        """Start, and do not wait."""
        command = self.command()
        with (self.directory / f"{self.make}.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, stdout=log, stderr=log, env={**os.environ, **self.environment()}
            )

    async def stop(self) -> None:
        """End it in an orderly way; does nothing when it is not running."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Kill it as a power cut would."""
        await self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it in its tracks: the kernel still accepts connections and data."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        pid = self.process_id()
        assert pid is not None
        os.kill(pid, number)

    async def _is_open(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def _end(self, number: signal.Signals) -> None:
        pid = self.process_id()
        process, self.process = self.process, None
        if process is None or pid is None:
            return
        os.kill(pid, number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)  # or a frozen one would not see it
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            await process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


class Mosquitto(BrokerProcess):
    """Keeps everything in memory. ``lines`` are more configuration, for its one listener, too."""

    make = "mosquitto"

    def __init__(
        self,
        directory: Path,
        *,
        lines: Sequence[str] = (),
        anonymous: bool = True,
        port: int | None = None,
    ) -> None:
        super().__init__(directory, port=port)
        self.lines = list(lines)
        self.anonymous = anonymous

    def command(self) -> Sequence[str]:
        """Write the configuration, and return what to call."""
        path = self.directory / "mosquitto.conf"
        text = [
            "per_listener_settings false",
            "persistence false",
            "log_dest stderr",
            "log_type all",
            "max_queued_messages 100000",  # or a slow listener of a test would miss messages
            f"allow_anonymous {str(self.anonymous).lower()}",
            f"listener {self.port} {self.host}",
            *self.lines,
        ]
        if os.geteuid() == 0:
            text.insert(0, "user root")  # or it could not read what the test's user wrote
        path.write_text("\n".join(text) + "\n", encoding="utf-8")
        return find_program("mosquitto"), "-c", str(path)
