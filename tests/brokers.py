"""A real mosquitto for tests: own configuration, free loopback port, started and killed at will."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["LOOPBACK", "Mosquitto", "free_port", "mosquitto_password_file"]

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 5.0
LOOK_EVERY_S = 0.02
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def free_port() -> int:
    """Return a TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def mosquitto_password_file(path: Path, users: dict[str, str]) -> Path:
    """Write a password file for ``lines`` of a Mosquitto, and return its path."""
    tool = shutil.which("mosquitto_passwd", path=SEARCH_PATH)
    assert tool is not None, "mosquitto_passwd comes with mosquitto"
    path.touch()
    for user, password in users.items():
        subprocess.run([tool, "-b", str(path), user, password], check=True)
    return path


class Mosquitto:
    """One broker process; the port stays the same over restarts.

    ``lines`` are more lines of configuration, for its one listener too (TLS, limits). Use it as
    an asynchronous context manager, or with ``start`` and ``stop``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        lines: Sequence[str] = (),
        anonymous: bool = True,
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        self.directory = directory
        self.lines = list(lines)
        self.anonymous = anonymous
        self.process: asyncio.subprocess.Process | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def log(self) -> str:
        """Everything that the broker has said so far."""
        path = self.directory / "mosquitto.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _write_configuration(self) -> Path:
        path = self.directory / "mosquitto.conf"
        text = [
            "per_listener_settings false",
            "persistence false",
            "log_dest stderr",
            "log_type all",
            "max_queued_messages 100000",  # or a slow listener of a test would miss messages
            f"allow_anonymous {str(self.anonymous).lower()}",
            f"listener {self.port} {LOOPBACK}",
            *self.lines,
        ]
        if os.geteuid() == 0:
            text.insert(0, "user root")  # or it could not read what the test's user wrote
        path.write_text("\n".join(text) + "\n", encoding="utf-8")
        return path

    async def start(self) -> None:
        """Start, and return once the port accepts connections."""
        program = shutil.which("mosquitto", path=SEARCH_PATH)
        assert program is not None, "the test needs the marker mosquitto"
        configuration = self._write_configuration()
        with (self.directory / "mosquitto.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                program, "-c", str(configuration), stdout=log, stderr=log
            )
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                assert self.process.returncode is None, f"mosquitto did not start:\n{self.log}"
                try:
                    _, writer = await asyncio.open_connection(LOOPBACK, self.port)
                except OSError:
                    await asyncio.sleep(LOOK_EVERY_S)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return

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
        assert self.process is not None
        self.process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
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
