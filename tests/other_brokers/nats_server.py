"""NATS server with its MQTT gateway: MQTT 3.1.1, sessions and retained messages in JetStream."""

from collections.abc import Sequence
from pathlib import Path

from tests.brokers import LOOPBACK, BrokerProcess, find_program, free_port

__all__ = ["NatsServer"]


class NatsServer(BrokerProcess):
    """One server. ``configuration`` is its whole configuration instead of the default one."""

    make = "nats-server"

    def __init__(
        self,
        directory: Path,
        *,
        lines: Sequence[str] = (),
        configuration: str = "",
        host: str = LOOPBACK,
        port: int | None = None,
    ) -> None:
        super().__init__(directory, host=host, port=port)
        self.lines = list(lines)
        self.configuration = configuration
        self.client_port = free_port(host)

    def command(self) -> Sequence[str]:
        """Write the configuration, and return what to call."""
        path = self.directory / "nats-server.conf"
        text = self.configuration or "\n".join(
            [
                "server_name: city",
                f"listen: {self.host}:{self.client_port}",
                f'jetstream {{ store_dir: "{self.directory}" }}',
                f"mqtt {{ listen: {self.host}:{self.port} }}",
                *self.lines,
            ]
        )
        path.write_text(text + "\n", encoding="utf-8")
        return find_program("nats-server"), "-c", str(path)
