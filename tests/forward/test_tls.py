"""TLS to a real broker: what is accepted, and which of our words each refusal gets."""

import asyncio
import contextlib
import random
import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.model import TlsSection
from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.causes import disconnect_error
from gateway.forward.dial import dial, tls_context
from gateway.forward.mqtt import ConnectionSettings, open_connection
from tests.brokers import Mosquitto, free_port
from tests.forward.fake_broker import FakeBroker, settings
from tests.forward.fakes import (
    Catalogue,
    FakeReader,
    broker_section,
    eventually,
    make_link,
    running,
)
from tests.forward.pki import FourDoors, listener, make_pki, openssl, serving

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("pki"))


def section(port: int, pki: Path, *, client: str = "", **changes: Any) -> Any:
    tls = {"ca_file": str(pki / "city-ca.pem")}
    if client:
        tls |= {"cert_file": f"{pki / client}.pem", "key_file": f"{pki / client}.key"}
    keys: dict[str, Any] = {"url": f"mqtts://localhost:{port}", "insecure": False, "tls": tls}
    return broker_section(port, **(keys | changes))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
async def test_own_ca_and_client_certificate(
    tmp_path: Path, pki: Path, protocol: str, version: str
) -> None:
    reader, catalogue = FakeReader(), Catalogue()
    series = catalogue.add("a", "air.pm25")
    for number in range(2000):
        reader.append(series, float(number))
    reader.notify()
    lines = listener(pki, "server", "require_certificate true", f"tls_version {version}")
    async with Mosquitto(tmp_path, lines=lines) as broker:
        keys = section(broker.port, pki, client="gateway", protocol=protocol)
        link = make_link(keys, reader, catalogue)
        async with running(link):
            await eventually(lambda: reader.acknowledged == 2000)
    assert link.stats.disconnects == {}


async def test_an_address_in_the_certificate_is_checked_as_well(tmp_path: Path, pki: Path) -> None:
    async with Mosquitto(tmp_path, lines=listener(pki)) as broker:
        keys = section(broker.port, pki, url=f"mqtts://127.0.0.1:{broker.port}")
        link = make_link(keys, FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: link.stats.state == "online")


@pytest.mark.parametrize(
    ("certificate", "cause"), [("elsewhere", "tls_name"), ("expired", "tls_expired")]
)
async def test_a_server_certificate_that_will_not_do(
    tmp_path: Path, pki: Path, certificate: str, cause: str
) -> None:
    async with Mosquitto(tmp_path, lines=listener(pki, certificate)) as broker:
        link = make_link(section(broker.port, pki), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: cause in link.stats.disconnects)
            await eventually(lambda: link.stats.state == "refused")
    assert set(link.stats.disconnects) == {cause}
    assert link.stats.connects == 0


@pytest.mark.parametrize("ca_file", ["", "other-ca.pem"])
async def test_an_unknown_authority_is_refused(tmp_path: Path, pki: Path, ca_file: str) -> None:
    """Neither a wrong private CA nor the system's own list makes up for the right one."""
    async with Mosquitto(tmp_path, lines=listener(pki)) as broker:
        tls = {"ca_file": str(pki / ca_file)} if ca_file else {}
        link = make_link(section(broker.port, pki, tls=tls), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: "tls_chain" in link.stats.disconnects)
            await eventually(lambda: link.stats.state == "refused")
    assert link.stats.connects == 0


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize("client", ["", "stranger"])
async def test_a_broker_that_wants_another_certificate_of_us(
    tmp_path: Path, pki: Path, client: str, version: str
) -> None:
    lines = listener(pki, "server", "require_certificate true", f"tls_version {version}")
    async with Mosquitto(tmp_path, lines=lines) as broker:
        link = make_link(section(broker.port, pki, client=client), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: link.stats.disconnects)
            first = next(iter(link.stats.disconnects))
    assert first == "tls_client"
    assert link.stats.connects == 0


async def test_the_alert_is_found_when_the_first_write_fails(tmp_path: Path, pki: Path) -> None:
    """A broker that is faster than we are has hung up before we wrote, and before we read."""
    async with FourDoors(tmp_path, pki, "require_certificate true") as broker:
        context = await asyncio.to_thread(tls_context, broker.tls())
        sock = await dial("localhost", broker.ports["mqtts"], context)
        with contextlib.closing(sock), contextlib.suppress(OSError):
            while sock.send(b"x"):  # noqa: ASYNC110 - what is awaited is an error of this call
                await asyncio.sleep(0.02)
    assert "CERTIFICATE_REQUIRED" in str(sock.failure)


@contextlib.asynccontextmanager
async def alerting(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Serve TLS, say no with an alert, and stay until the other side has read it.

    The event loop's own TLS forgets to send it.
    """

    async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while data := await reader.read(16384):
            incoming.write(data)
            with contextlib.suppress(ssl.SSLError):
                tls.do_handshake()
            writer.write(outgoing.read())

    async with serving(shake_hands) as port:
        yield port


@pytest.mark.parametrize("client", ["", "stranger"])
async def test_the_alert_of_a_broker_that_dislikes_our_certificate_is_understood(
    pki: Path, client: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    context.load_verify_locations(pki / "city-ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    async with alerting(context) as port:
        link = make_link(section(port, pki, client=client), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: link.stats.disconnects)
            await eventually(lambda: link.stats.state == "refused")
    assert set(link.stats.disconnects) == {"tls_client"}


async def test_plain_text_where_tls_is_expected(tmp_path: Path, pki: Path) -> None:
    async with Mosquitto(tmp_path) as broker:  # no TLS there
        link = make_link(section(broker.port, pki), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: link.stats.disconnects)
    assert set(link.stats.disconnects) == {"not_tls"}


async def cause_of(settings: ConnectionSettings) -> str:
    """Return why that connection cannot be had."""
    try:
        await (await open_connection(settings)).close()
    except (BrokerRefused, BrokerUnreachable) as error:
        return error.cause
    return "none"


async def test_plain_text_where_tls_is_spoken(tmp_path: Path, pki: Path) -> None:
    async with FourDoors(tmp_path, pki) as broker:
        assert await cause_of(broker.through("mqtt", port=broker.ports["mqtts"])) == "tls_expected"


@pytest.mark.parametrize("way", ["mqtts", "wss"])
@pytest.mark.parametrize("client", ["", "stranger", "gateway"])
@pytest.mark.parametrize("attempt", range(5))
async def test_a_refused_client_certificate_is_told_at_once_and_each_time(
    tmp_path: Path, pki: Path, way: str, client: str, attempt: int
) -> None:
    """With TLS 1.3 the alert comes after the handshake, when our first write may have failed."""
    async with FourDoors(tmp_path, pki, "require_certificate true") as broker:
        cause = await cause_of(broker.through(way, tls=broker.tls(client)))
    assert cause == ("none" if client == "gateway" else "tls_client")


def server_context(pki: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    """Return a server of exactly that version, with ciphers that old ones need."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
    return context


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
async def test_sec_02_old_versions_of_tls_are_refused(pki: Path, version: str) -> None:
    context = server_context(pki, ssl.TLSVersion[version])
    tls = TlsSection(ca_file=str(pki / "city-ca.pem"))
    async with alerting(context) as port:
        assert await cause_of(settings(port, host="localhost", tls=tls)) == "tls_version"


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_new_versions_of_tls_are_spoken(pki: Path, version: str) -> None:
    context = server_context(pki, ssl.TLSVersion[version])
    tls = TlsSection(ca_file=str(pki / "city-ca.pem"))
    async with FakeBroker(context=context) as broker:
        assert await cause_of(settings(broker.port, host="localhost", tls=tls)) == "none"


async def test_sec_06_an_oversized_packet_is_not_read_through_tls_either(pki: Path) -> None:
    tls = TlsSection(ca_file=str(pki / "city-ca.pem"))
    async with FakeBroker(context=server_context(pki, ssl.TLSVersion.TLSv1_3)) as broker:
        connection = await open_connection(settings(broker.port, host="localhost", tls=tls))
        await broker.say(bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F]) + bytes(1_000_000))
        assert disconnect_error("city", await connection.ended).cause == "oversized"
        await connection.close()


@pytest.mark.parametrize("client", ["", "stranger"])
async def test_the_refusal_of_tls_1_2_inside_the_handshake_is_understood(
    pki: Path, client: str
) -> None:
    """There a missing certificate is a "handshake failure" like any other, but for its time."""
    context = server_context(pki, ssl.TLSVersion.TLSv1_2)
    context.load_verify_locations(pki / "city-ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    files = {"cert_file": f"{pki / client}.pem", "key_file": f"{pki / client}.key"}
    tls = TlsSection(ca_file=str(pki / "city-ca.pem"), **(files if client else {}))
    async with alerting(context) as port:
        assert await cause_of(settings(port, host="localhost", tls=tls)) == "tls_client"


async def test_without_a_shared_cipher_it_is_no_certificate_that_is_wrong(pki: Path) -> None:
    context = server_context(pki, ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("NULL-SHA256:@SECLEVEL=0")
    tls = TlsSection(ca_file=str(pki / "city-ca.pem"))
    async with alerting(context) as port:
        assert await cause_of(settings(port, host="localhost", tls=tls)) == "tls"


async def test_an_encrypted_key_is_an_unusable_file_and_asks_nobody(
    tmp_path: Path, pki: Path
) -> None:
    key = tmp_path / "encrypted.key"
    openssl("ec", "-in", pki / "gateway.key", "-out", key, "-aes128", "-passout", "pass:canary")
    tls = TlsSection(cert_file=str(pki / "gateway.pem"), key_file=str(key))
    async with FakeBroker() as broker:
        assert await cause_of(settings(broker.port, tls=tls)) == "tls_files"


@pytest.mark.parametrize("seed", range(10), ids=lambda seed: f"seed{seed}")
async def test_sec_06_noise_in_the_handshake_ends_the_attempt(pki: Path, seed: int) -> None:
    noise = random.Random(seed).randbytes(400)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(noise)

    tls = TlsSection(ca_file=str(pki / "city-ca.pem"))
    async with serving(serve) as port:
        cause = await cause_of(settings(port, host="localhost", tls=tls))
    assert cause in {"not_tls", "tls", "closed", "tls_version"}


async def test_a_missing_or_broken_certificate_file_is_told_with_its_name(
    tmp_path: Path, pki: Path
) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("this is no certificate\n", encoding="ascii")
    for ca_file in (tmp_path / "absent.pem", broken):
        tls = {"ca_file": str(ca_file)}
        link = make_link(section(free_port(), pki, tls=tls), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: "tls_files" in link.stats.disconnects)  # noqa: B023
            await eventually(lambda: link.stats.state == "refused")  # noqa: B023


async def test_a_renewed_certificate_is_used_at_the_next_connection(
    tmp_path: Path, pki: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for kind in ("pem", "key"):
        (own / f"gateway.{kind}").write_bytes((pki / f"stranger.{kind}").read_bytes())
    lines = listener(pki, "server", "require_certificate true")
    async with Mosquitto(tmp_path, lines=lines) as broker:
        tls = {
            "ca_file": str(pki / "city-ca.pem"),
            "cert_file": str(own / "gateway.pem"),
            "key_file": str(own / "gateway.key"),
        }
        link = make_link(section(broker.port, pki, tls=tls), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: link.stats.state == "refused")
            for kind in ("pem", "key"):
                (own / f"gateway.{kind}").write_bytes((pki / f"gateway.{kind}").read_bytes())
            await eventually(lambda: link.stats.state == "online")
