"""The real daemon with a journal of the test's own."""

import asyncio
import os
import sys
from pathlib import Path

from tests.end_to_end.gateway_process import Answer, GatewayProcess, Notifications
from tests.logs.stand_in import StandIn

__all__ = ["JournaledGateway", "command"]

TIMEOUT_S = 60.0


class JournaledGateway(GatewayProcess):
    """A daemon that takes its standard error for the journal's, and finds the journal's socket."""

    def __init__(self, folder: Path, sections: str, journal: StandIn) -> None:
        super().__init__(folder, sections)
        self.journal = journal

    async def spawn(self, **environment: str) -> None:
        self.notified = Notifications()
        with self.log_path.open("a", encoding="utf-8") as log:
            status = os.fstat(log.fileno())
            systemd = {
                "NOTIFY_SOCKET": self.notified.address,
                "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}",
            }
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", "-m", "tests.logs.with_journal"),
                *(str(self.journal.path), "run", "--config", str(self.config)),
                env={**os.environ, **systemd, **environment},
                stdout=log,
                stderr=log,
            )

    def audited(self) -> list[tuple[str, str]]:
        """Return event and message of each audit entry."""
        return [(each["EVENT"], each["MESSAGE"]) for each in self.journal.of(AUDIT="1")]

    async def until_audited(self, event: str, times: int = 1) -> None:
        """Return when the journal has an audit entry of that kind so often."""

        async def is_there() -> bool:
            return [each for each, _ in self.audited()].count(event) >= times

        await self.eventually(is_there, lambda: f"no {event} in {self.audited()}")


async def command(journal: StandIn, *arguments: str) -> Answer:
    """Run a command of ``citylab-gateway`` to its end, with that journal."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "tests.logs.with_journal", str(journal.path)),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    assert process.returncode is not None
    return Answer(process.returncode, output.decode(), errors.decode())
