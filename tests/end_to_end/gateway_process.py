"""The real daemon as a child process, started and watched the way systemd does it."""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["GatewayProcess", "free_port"]

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.05


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class GatewayProcess:
    """``citylab-gateway run`` with a directory of its own; survives restarts of the process.

    ``sections`` is the TOML text of the sensors and brokers; the rest is written here.
    """

    def __init__(self, folder: Path, sections: str, *, flush_interval: str = "200 ms") -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.http_port = free_port()
        self.flush_interval = flush_interval
        self.process: asyncio.subprocess.Process | None = None
        self.write_config(sections)
        self._log = folder / "gateway.log"

    @property
    def log(self) -> str:
        """Everything that the daemon has logged, over all starts."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def write_config(self, sections: str) -> None:
        self.config.write_text(
            f"""
            schema = 1
            [gateway]
            id = "test-box"
            tenant = "testlab"
            location = {{ lon = 10.2134, lat = 56.1535 }}
            [buffer]
            directory = "{self.folder}/state"
            runtime_directory = "{self.folder}/run"
            size = "8 MiB"
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

    async def start(self, **environment: str) -> None:
        """Start the daemon and return when it has said READY=1."""
        notify_path = self.folder / "notify"
        notify_path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
            self._log.open("a", encoding="utf-8") as log,
        ):
            notify.bind(str(notify_path))
            notify.setblocking(False)
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-W",
                "error",
                "-m",
                "gateway.cli",
                "run",
                "--config",
                str(self.config),
                env={**os.environ, "NOTIFY_SOCKET": str(notify_path), **environment},
                stdout=log,
                stderr=log,
            )
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    while b"READY=1" not in await loop.sock_recv(notify, 4096):
                        pass
            except TimeoutError:
                raise AssertionError(f"the daemon did not get ready:\n{self.log}") from None

    async def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        self.process = None
        return code

    async def kill(self) -> None:
        """Send SIGKILL: the process dies where it stands."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()
        self.process = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process is not None:
            if error is not None:
                await self.kill()
            else:
                assert await self.stop() == 0, self.log

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

    async def status(self) -> dict[str, Any]:
        document = json.loads(await self.get("/status.json"))
        assert isinstance(document, dict)
        return document

    async def link(self, name: str) -> dict[str, Any]:
        """Return the state of one link, with accepted, acknowledged, pending and dropped."""
        link = (await self.status())["links"][name]
        assert isinstance(link, dict)
        dropped = sum(link["dropped"].values())
        assert link["accepted"] == link["acknowledged"] + link["pending"] + dropped, link
        return link

    async def until(self, name: str, timeout_s: float = 20.0, **wanted: int | str) -> None:
        """Return when the link's fields have the wanted values."""
        link: dict[str, Any] = {}
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    link = await self.link(name)
                    if all(link[key] == value for key, value in wanted.items()):
                        return
                    await asyncio.sleep(POLL_INTERVAL_S)
        except TimeoutError:
            raise AssertionError(f"wanted {wanted}, stays at {link}\n{self.log}") from None
