"""The demo's city brokers: real MQTT brokers inside this process, which can be taken down."""

import socket
from dataclasses import dataclass, field
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import BaseContext
from amqtt.plugins.base import BasePlugin
from amqtt.session import ApplicationMessage

from gateway.cli.demo.tally import Tally

__all__ = ["CityBroker", "TallyPlugin", "free_port"]

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses at the moment."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


class TallyPlugin(BasePlugin[BaseContext]):  # type: ignore[misc] # amqtt has no type marker
    """Hands every message that the broker received to the tally named in its settings."""

    async def on_broker_message_received(
        self, *, client_id: str, message: ApplicationMessage
    ) -> None:
        """Count one message; called by amqtt."""
        del client_id
        tally: Tally = self.config.tally
        tally.count(message.topic, bytes(message.data or b""))

    @dataclass
    class Config:
        """What CityBroker passes."""

        tally: Any = None


@dataclass
class CityBroker:
    """One city: a broker on a port of its own, and the tally of what it received."""

    name: str
    format: str
    port: int = field(default_factory=free_port)
    tally: Tally = field(default_factory=Tally)
    _broker: Broker | None = None

    @property
    def is_up(self) -> bool:
        """Tell whether it accepts connections."""
        return self._broker is not None

    async def start(self) -> None:
        """Start listening; what a city forgot while it was down stays forgotten."""
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{self.port}"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
                    f"{__name__}.{TallyPlugin.__name__}": {"tally": self.tally},
                },
            }
        )
        await broker.start()
        self._broker = broker

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._broker is not None:
            await self._broker.shutdown()
            self._broker = None
