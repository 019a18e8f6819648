"""What the daemon in the Pi says about itself while it runs: its metrics, twice a second."""

import asyncio
import time
from dataclasses import dataclass

from tests.end_to_end.metrics_page import MetricsPage

__all__ = ["Account", "Seen", "Watcher"]

LOOK_EVERY_S = 0.5
ANSWER_TIMEOUT_S = 20.0
LINK = "city"
SENSOR = "air"


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the readings of the link."""

    accepted: int
    acknowledged: int
    pending: int
    dropped: int

    @property
    def is_right(self) -> bool:
        """accepted = acknowledged + pending + dropped."""
        return self.accepted == self.acknowledged + self.pending + self.dropped


@dataclass(frozen=True, slots=True)
class Seen:
    """One scrape."""

    monotonic_s: float
    """When it was asked for."""
    appended: int
    unflushed: int
    flushes: int
    port_open: bool
    synced: bool
    degraded: bool
    damaged_blocks: int
    account: Account

    @property
    def durable(self) -> int:
        """Readings of this process that no power cut can take, as the daemon says."""
        return self.appended - self.unflushed


class Watcher:
    """Scrapes from the first answer to the cut."""

    def __init__(self, port: int, token: str) -> None:
        self.seen: list[Seen] = []
        self._port = port
        self._token = token

    async def run(self) -> None:
        """Look until cancelled; whoever does not answer is asked again."""
        while True:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    self.seen.append(await self._look())
            except (OSError, EOFError):  # TimeoutError is an OSError
                pass
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> Seen:
        asked_s = time.monotonic()
        page = MetricsPage(await self._get("/metrics"))
        account = Account(
            int(page.value("link_accepted_readings_total", link=LINK)),
            int(page.value("link_acknowledged_readings_total", link=LINK)),
            int(page.value("link_pending_readings", link=LINK)),
            int(page.total("link_dropped_readings_total", link=LINK)),
        )
        return Seen(
            asked_s,
            appended=int(page.value("buffer_appended_readings_total")),
            unflushed=int(page.value("buffer_unflushed_readings")),
            flushes=int(page.value("buffer_flushes_total")),
            port_open=bool(page.value("port_open", sensor=SENSOR)),
            synced=bool(page.value("clock_synced")),
            degraded=bool(page.value("buffer_degraded")),
            damaged_blocks=int(page.value("buffer_damaged_blocks_total")),
            account=account,
        )

    async def _get(self, path: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                f"Authorization: Bearer {self._token}\r\n\r\n".encode()
            )
            answer = await reader.read()
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        if b" 200 " not in lines[0] or f"content-length: {len(body)}".encode() not in lines:
            raise EOFError("no page, or half of one")
        return body.decode()
