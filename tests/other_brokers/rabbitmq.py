"""RabbitMQ with its MQTT plugin (3.1.1 in version 3.10): own node, own port mapper, no service.

Debian's wrapper in /usr/sbin wants to be root or a user of its own, so the program behind it is
called. Erlang nodes find each other through ``epmd``, which they would start and leave behind: here
it is a child like the broker itself, on a port that no other Erlang of the machine uses.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tests.brokers import BrokerProcess, find_program, free_port

__all__ = ["RabbitMq"]

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
CONTROL = PROGRAM.with_name("rabbitmqctl")


class RabbitMq(BrokerProcess):
    """One node. ``lines`` are more lines of rabbitmq.conf."""

    make = "rabbitmq"
    start_timeout_s: ClassVar[float] = 60.0

    def __init__(
        self, directory: Path, *, lines: Sequence[str] = (), port: int | None = None
    ) -> None:
        super().__init__(directory, port=port)
        self.lines = list(lines)
        self._ports = {"ERL_EPMD_PORT": free_port(), "RABBITMQ_DIST_PORT": free_port()}
        self._port_mapper: asyncio.subprocess.Process | None = None

    def command(self) -> Sequence[str]:
        """Write the configuration, and return what to call."""
        text = [
            "listeners.tcp = none",
            f"mqtt.listeners.tcp.1 = {self.host}:{self.port}",
            "mqtt.allow_anonymous = true",
            *self.lines,
        ]
        (self.directory / "rabbitmq.conf").write_text("\n".join(text) + "\n", encoding="utf-8")
        (self.directory / "enabled_plugins").write_text("[rabbitmq_mqtt].\n", encoding="utf-8")
        return (str(PROGRAM),)

    def environment(self) -> Mapping[str, str]:
        """Return what keeps it away from every other RabbitMQ of the machine."""
        folder = self.directory
        return {
            "HOME": str(folder),  # for the Erlang cookie
            "ERL_EPMD_ADDRESS": self.host,
            "RABBITMQ_NODENAME": f"citylab-test-{self.port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(self._pid_file),
            **{name: str(port) for name, port in self._ports.items()},
        }

    @property
    def _pid_file(self) -> Path:
        return self.directory / "pid"

    def process_id(self) -> int | None:
        """Return the Erlang machine, not the shell script around it."""
        if super().process_id() is None or not self._pid_file.exists():
            return super().process_id()
        return int(self._pid_file.read_text(encoding="ascii"))

    async def spawn(self) -> None:
        """Start the port mapper, if it is not there, and the node."""
        if self._port_mapper is None:
            port = str(self._ports["ERL_EPMD_PORT"])
            self._port_mapper = await asyncio.create_subprocess_exec(
                find_program("epmd"), "-address", self.host, "-port", port
            )
        self._pid_file.unlink(missing_ok=True)
        await super().spawn()

    async def control(self, *words: str) -> None:
        """Call ``rabbitmqctl`` for this node."""
        process = await asyncio.create_subprocess_exec(
            *(str(CONTROL), *words), env={**os.environ, **self.environment()}
        )
        assert await process.wait() == 0

    async def stop(self) -> None:
        """End the node in an orderly way, and the port mapper."""
        await super().stop()
        port_mapper, self._port_mapper = self._port_mapper, None
        if port_mapper is not None:
            os.kill(port_mapper.pid, signal.SIGKILL)
            await port_mapper.wait()
