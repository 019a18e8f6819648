"""The brokers that the same tests run against, and in what they differ."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.brokers import BrokerProcess, Mosquitto
from tests.other_brokers.nats_server import NatsServer
from tests.other_brokers.rabbitmq import RabbitMq
from tests.subscribing import Archive

__all__ = ["MAKES", "Make"]


@dataclass(frozen=True)
class Make:
    """One make of broker, spoken to in one version of MQTT."""

    protocol: str
    start: Callable[[Path], BrokerProcess]
    keeps_its_word: bool
    """What it acknowledged survives its own kill -9 (in a session that it keeps)."""
    outages: int = 2

    def archive(self, folder: Path, port: int) -> Archive:
        """Return a subscriber that misses nothing of what this make acknowledges."""
        version = "5" if self.protocol == "5" else "311"
        return Archive(folder, port, version=version, session=self.keeps_its_word)


MAKES = [
    pytest.param(Make("5", Mosquitto, keeps_its_word=False), id="mosquitto-5"),
    pytest.param(Make("3.1.1", Mosquitto, keeps_its_word=False), id="mosquitto-3.1.1"),
    pytest.param(Make("3.1.1", NatsServer, keeps_its_word=True), id="nats", marks=pytest.mark.nats),
    pytest.param(
        Make("3.1.1", RabbitMq, keeps_its_word=True, outages=1),  # it takes seconds to start
        id="rabbitmq",
        marks=[pytest.mark.rabbitmq, pytest.mark.slow],
    ),
]
"""All need the mosquitto clients, too."""
