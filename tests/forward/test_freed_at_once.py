"""What a connection held is free when it is over, and not when the garbage collector comes by.

The collector counts objects, not bytes: some hundred connections with TLS, a MiB each, could lie
around before it looks at them.
"""

import asyncio
import gc
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.model import TlsSection
from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.connection import Connection
from gateway.forward.conversation import Conversation
from gateway.forward.mqtt import open_connection
from gateway.forward.outbox import Outbox
from tests.brokers import Mosquitto
from tests.forward.fake_broker import settings
from tests.forward.fakes import (
    Catalogue,
    FakeReader,
    broker_section,
    eventually,
    make_link,
    running,
)
from tests.forward.pki import FourDoors, listener, make_ca, make_certificate
from tests.proxy import GateProxy

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(120)]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Leave it to the counts of references to free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(*kinds: type) -> int:
    """Return how many such objects there are, in use or not."""
    return sum(isinstance(each, kinds) for each in gc.get_objects())


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    make_ca(folder, "city-ca")
    make_ca(folder, "other-ca")
    make_certificate(folder, "server", "city-ca", "DNS:localhost,IP:127.0.0.1")
    return folder


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("goodbye", [True, False])
@pytest.mark.parametrize("way", ["mqtt", "mqtts", "wss"])
async def test_a_connection_that_was(tmp_path: Path, pki: Path, way: str, *, goodbye: bool) -> None:
    contexts = alive(ssl.SSLContext)
    async with FourDoors(tmp_path, pki) as broker:
        connection = await open_connection(broker.through(way))
        await connection.send("a", b"b")
        assert alive(Connection) == 1
        assert alive(ssl.SSLContext) == contexts + (way != "mqtt")
        if goodbye:
            await connection.disconnect()
        await connection.close()
        del connection
        await eventually(lambda: alive(Connection) == 0)
        await eventually(lambda: alive(ssl.SSLContext) == contexts)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    ("authority", "more", "cause"),
    [
        ("other-ca", [], "tls_chain"),
        ("city-ca", ["require_certificate true"], "tls_client"),
        ("city-ca", ["allow_anonymous false"], "login"),
    ],
)
async def test_a_connection_that_was_refused(
    tmp_path: Path, pki: Path, authority: str, more: list[str], cause: str
) -> None:
    """For a week, say: there is an attempt every minute."""
    contexts, heard = alive(ssl.SSLContext), ""
    lines = listener(pki, "server", *more)
    async with Mosquitto(tmp_path, lines=lines) as broker:
        tls = TlsSection(ca_file=str(pki / f"{authority}.pem"))
        try:
            await open_connection(settings(broker.port, host="localhost", tls=tls))
        except (BrokerRefused, BrokerUnreachable) as error:
            heard = error.cause
        assert heard == cause
        await eventually(lambda: alive(Connection) == 0)
        await eventually(lambda: alive(ssl.SSLContext) == contexts)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("history", ["in-order", "beside"])
async def test_what_a_link_keeps_of_a_connection(tmp_path: Path, history: str) -> None:
    reader, catalogue = FakeReader(), Catalogue()
    series = catalogue.add("a", "air.pm25")
    async with Mosquitto(tmp_path) as broker, GateProxy(broker.port) as way:
        section = broker_section(way.port, history=history)
        link = make_link(section, reader, catalogue)
        async with running(link):
            for number in range(1, 4):
                reader.append(series, float(number))
                reader.notify()
                await eventually(lambda: link.stats.connects >= number)  # noqa: B023
                await eventually(lambda: reader.acknowledged >= number)  # noqa: B023
                way.shut()
                await eventually(lambda: link.stats.state == "waiting")
                await eventually(lambda: alive(Connection, Conversation, Outbox) == 0)
                way.open()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
