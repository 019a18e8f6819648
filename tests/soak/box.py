"""The box of a soak: the daemon as a child process, what it reports, and its accounts."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.metrics_page import MetricsPage

__all__ = ["Account", "Box", "Held"]

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "citylab-gateway.service"
EXACT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
"""Without the small stocks of freed pieces that each thread keeps: to malloc they are in use, and
with a dozen threads their filling up looks like a leak for half an hour."""
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
HTTP_TIMEOUT_S = 30.0
RELOAD_TIMEOUT_S = 60.0
RELOAD_LOOK_S = 0.5
READ_BYTES = 1 << 16
KEPT_LOG_LINES = 200


@dataclass(frozen=True, slots=True)
class Held:
    """What the process holds at one moment."""

    at_s: float
    rss: int
    blocks: int
    """Pieces of memory that Python has given to its objects: exact, where rss has noise."""
    malloc: int
    """Bytes that the C library has given to all the rest: the same, for what is larger."""
    descriptors: int
    tasks: int
    threads: int


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the readings of one link."""

    state: str
    accepted: int
    acknowledged: int
    pending: int
    dropped: int

    @property
    def is_right(self) -> bool:
        """accepted = acknowledged + pending + dropped."""
        return self.accepted == self.acknowledged + self.pending + self.dropped


class Box:
    """One daemon from start to stop."""

    def __init__(self, config: Path, http_port: int, *, leaked_bytes_per_h: float = 0.0) -> None:
        self.held: list[Held] = []
        """Once a second."""
        self.levels: Counter[str] = Counter()
        """Lines of the log by level."""
        self.log: deque[str] = deque(maxlen=KEPT_LOG_LINES)
        self._config = config
        self.http_port = http_port
        self._leaked_bytes_per_h = leaked_bytes_per_h
        self._readers: list[asyncio.Task[None]] = []
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        """Start, and return when the status page answers."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "tests.soak.child"),
            *(str(self._config), str(self._leaked_bytes_per_h)),
            env={**os.environ, **unit_environment(), **EXACT},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Not a file: the faults limit the size of this process's files.
            stderr=asyncio.subprocess.PIPE,
        )
        self._readers = [
            asyncio.create_task(self._read_reports()),
            asyncio.create_task(self._read_log()),
        ]
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                assert self.process.returncode is None, "\n".join(self.log)
                try:
                    await self.metrics()
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    return

    async def stop(self) -> int:
        """Ask it to end; return its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        finally:
            if self.process.returncode is None:
                self.process.kill()
            await asyncio.gather(*self._readers)
        code = self.process.returncode
        assert code is not None
        return code

    def step_clock(self, seconds: float) -> None:
        """Set its wall clock by so much."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"step {seconds}\n".encode())

    def collect(self) -> None:
        """Have it collect its garbage, so that what it holds afterwards is in use."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"collect\n")

    def limit_files(self, size_bytes: int) -> None:
        """Let its writes beyond this fail, as on a full disk; RLIM_INFINITY ends it."""
        resource.prlimit(
            self.process.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY)
        )

    async def reload(self) -> None:
        """Have the configuration read again, and return when that is done."""
        before = await self._reloads()
        self.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(RELOAD_TIMEOUT_S):
            while True:
                await asyncio.sleep(RELOAD_LOOK_S)
                if await self._reloads() > before:
                    return

    async def _reloads(self) -> float:
        return (await self.metrics()).total("config_reloads_total")

    async def watch(self, seconds: float) -> None:
        """Follow the status page for so long, then be gone without a word.

        Leave at once if too many do already; the server notices late who has gone.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.http_port)
        try:
            writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    head = await reader.readline()
                    if not any(status in head for status in (b" 200 ", b" 503 ")):
                        raise OSError(f"no page to follow: {head!r}")
                    while await reader.read(READ_BYTES):
                        pass
        finally:
            writer.transport.abort()

    async def metrics(self) -> MetricsPage:
        """Scrape."""
        async with asyncio.timeout(HTTP_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.http_port)
            try:
                writer.write(
                    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                answer = await reader.read()
            finally:
                writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise OSError("the status page does not answer")
        return MetricsPage(body.decode())

    async def accounts(self) -> Mapping[str, Account]:
        """Return the account of each link."""
        page = await self.metrics()
        found = {}
        for sample in page.samples("link_accepted_readings_total"):
            name = sample.labels["link"]
            states = page.samples("link_state", link=name)
            found[name] = Account(
                next(each.labels["state"] for each in states if each.value),
                int(sample.value),
                int(page.value("link_acknowledged_readings_total", link=name)),
                int(page.value("link_pending_readings", link=name)),
                int(page.total("link_dropped_readings_total", link=name)),
            )
        return found

    async def _read_reports(self) -> None:
        assert self.process.stdout is not None
        loop = asyncio.get_running_loop()
        async for line in self.process.stdout:
            self.held.append(Held(at_s=loop.time(), **json.loads(line)))

    async def _read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            text = line.decode(errors="replace").rstrip()
            self.log.append(text)
            for level in ("WARNING", "ERROR", "CRITICAL"):
                if f" {level} " in text:
                    self.levels[level] += 1


def unit_environment() -> Mapping[str, str]:
    """Return what the service has in its environment, but for what systemd fills in."""
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    settings = [line.partition("=")[2] for line in lines if line.startswith("Environment=")]
    return dict(setting.split("=", 1) for setting in settings if "%" not in setting)
