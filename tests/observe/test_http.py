"""The server as a client sees it: over real sockets, with good, clumsy and hostile clients."""

import asyncio
import base64
import gzip
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.observe import HttpLimits, StatusServer
from gateway.observe.hosts import WRONG_HOST
from tests.observe.client import Answer, ask
from tests.observe.figures import Room
from tests.observe.waiting import running, until

TOKEN = "b6c0ffee-token"

ASK = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], timeout=10)
for path in ("/metrics", "/status.json", "/", "/healthz"):
    connection.request("GET", path)
    answer = connection.getresponse()
    print(answer.status, path, answer.getheader("Content-Type"), len(answer.read()) > 2)
"""


@asynccontextmanager
async def connected(
    server: StatusServer,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


def serving(room: Room, *, token: str = "", **limits: float) -> StatusServer:
    return StatusServer(
        room.look,
        listen=("127.0.0.1", 0),
        token=token,
        limits=type("Limits", (HttpLimits,), dict(limits)),
    )


async def test_a_real_client_gets_all_four_over_one_connection(room: Room, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with output.open("w") as file:
        async with serving(room) as server:
            command = [sys.executable, "-c", ASK, server.address]
            with running(command, stdout=file) as client:
                await until(lambda: client.poll() is not None)
    assert output.read_text().splitlines() == [
        "200 /metrics text/plain; version=0.0.4; charset=utf-8 True",
        "200 /status.json application/json True",
        "200 / text/html; charset=utf-8 True",
        "200 /healthz text/plain; charset=utf-8 True",
    ]
    assert client.returncode == 0


async def test_metrics_are_given_as_asked_for(room: Room) -> None:
    async with serving(room) as server:
        plain = await ask(server.address, "GET /metrics HTTP/1.1")
        asked = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5"
        openmetrics = await ask(server.address, f"GET /metrics HTTP/1.1\r\nAccept: {asked}")
    assert plain.headers["content-type"].startswith("text/plain")
    assert b"citylab_gateway_build_info" in plain.body
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")


async def test_health_is_a_status_code_and_reasons(room: Room) -> None:
    async with serving(room) as server:
        well = await ask(server.address, "GET /healthz HTTP/1.1")
        room.buffer.degraded = True
        degraded = await ask(server.address, "GET /healthz HTTP/1.1")
        room.loop_lag.observe(9.0, 1.0)
        failing = await ask(server.address, "GET /healthz HTTP/1.1")
    assert (well.status, well.body) == (200, b"ok\n")
    assert (degraded.status, degraded.body.splitlines()[0]) == (200, b"degraded")
    assert (failing.status, failing.body.splitlines()[0]) == (503, b"failing")
    assert b"stood still for 9.0 s" in failing.body


async def test_status_json_is_the_live_document(room: Room) -> None:
    async with serving(room) as server:
        answer = await ask(server.address, "GET /status.json?now HTTP/1.1")
    document = json.loads(answer.body)
    assert document["sensors"]["air-roof"]["values"][0]["value"] == 12.1
    assert answer.headers["cache-control"] == "no-store"


async def test_the_page_comes_with_a_strict_policy(room: Room) -> None:
    async with serving(room) as server:
        answer = await ask(server.address, "GET / HTTP/1.1")
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


async def test_head_has_the_length_and_no_body(room: Room) -> None:
    async with serving(room) as server:
        head = await ask(server.address, "HEAD /healthz HTTP/1.1")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "3")


async def test_a_long_answer_is_compressed_for_who_takes_it(room: Room) -> None:
    async with serving(room) as server:
        plain = await ask(server.address, "GET /metrics HTTP/1.1\r\nAccept-Encoding: br, gzip;q=0")
        packed = await ask(
            server.address, "GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip, deflate"
        )
        short = await ask(server.address, "GET /healthz HTTP/1.1\r\nAccept-Encoding: gzip")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 3
    assert b"citylab_gateway_build_info" in gzip.decompress(packed.body)
    assert short.body == b"ok\n"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /etc/passwd HTTP/1.1", 404),
        ("GET /../metrics HTTP/1.1", 404),
        ("GET http://elsewhere/metrics HTTP/1.1", 404),
        ("POST /metrics HTTP/1.1", 405),
        ("DELETE / HTTP/1.1", 405),
        ("nonsense", 400),
        ("GET / HTTP/1.1\r\nContent-Length: 5", 413),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked", 413),
        ("GET / HTTP/1.1\r\nContent-Length: -1", 400),
    ],
)
async def test_what_is_not_offered_is_refused(room: Room, request_line: str, status: int) -> None:
    async with serving(room) as server:
        body = b"5\r\nhello\r\n0\r\n\r\n" if "chunked" in request_line else b"hello"
        answer = await ask(server.address, request_line, body=body)
        assert answer.status == status
        assert (await ask(server.address, "GET /healthz HTTP/1.1")).status == 200


async def test_sec_06_a_huge_head_is_refused(room: Room) -> None:
    async with serving(room) as server:
        answer = await ask(
            server.address, "GET / HTTP/1.1\r\nX-Long: " + "x" * 2 * HttpLimits.header_bytes
        )
        assert answer.status == 431
        assert (await ask(server.address, "GET /healthz HTTP/1.1")).status == 200


async def test_sec_06_a_silent_client_is_dropped(room: Room) -> None:
    async with (
        serving(room, request_timeout_s=0.1) as server,
        connected(server) as (reader, writer),
    ):
        writer.write(b"GET / HT")
        assert await reader.read() == b""


async def test_sec_06_a_client_that_does_not_read_is_dropped(room: Room) -> None:
    for index in range(2000):
        room.sensors[f"sensor-{index}"] = room.sensors["air-square"]
    async with (
        serving(room, answer_timeout_s=0.1) as server,
        connected(server) as (_, writer),
    ):
        writer.transport.pause_reading()  # type: ignore[attr-defined] # asyncio types the base
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        await until(lambda: server.requests)
        await until(lambda: not server._clients)
        assert (await ask(server.address, "GET /healthz HTTP/1.1")).status == 200


async def test_sec_06_connections_are_bounded(room: Room) -> None:
    async with serving(room, connections=2) as server:
        async with connected(server) as first, connected(server) as second:
            for _, writer in (first, second):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for reader, _ in (first, second):
                await reader.readuntil(b"\r\n\r\nok\n")
            async with connected(server) as (reader, _):
                assert (await reader.read()).startswith(b"HTTP/1.1 503")
            assert server.refused_connections == 1
        await until(lambda: not server._clients)
        assert (await ask(server.address, "GET /healthz HTTP/1.1")).status == 200


async def test_requests_may_come_in_one_packet(room: Room) -> None:
    async with serving(room) as server, connected(server) as (reader, writer):
        writer.write(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        raw = await reader.read()
    assert raw.count(b"HTTP/1.1 200") == 2
    assert raw.count(b"HTTP/1.1 404") == 1


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/status.json", "/healthz", "/page.css", "/nowhere"]
)
async def test_sec_04_with_a_token_nothing_is_told_without_it(room: Room, path: str) -> None:
    async with serving(room, token=TOKEN) as server:
        for authorization in (
            "",
            "\r\nAuthorization: Bearer",
            f"\r\nAuthorization: Bearer {TOKEN}x",
            f"\r\nAuthorization: Bearer {TOKEN[:-1]}",
            f"\r\nAuthorization: Digest {TOKEN}",
            "\r\nAuthorization: Basic !!!",
            f"\r\nAuthorization: Basic {_basic('somebody', 'wrong')}",
        ):
            answer = await ask(server.address, f"GET {path} HTTP/1.1{authorization}")
            assert (answer.status, answer.body) == (401, b"a token is needed\n")
            assert "Bearer" in answer.headers["www-authenticate"]


async def test_sec_04_the_token_opens(room: Room) -> None:
    async with serving(room, token=TOKEN) as server:
        for credentials in (
            f"Bearer {TOKEN}",
            f"bearer {TOKEN}",
            f"Basic {_basic('anybody', TOKEN)}",
        ):
            request = f"GET /healthz HTTP/1.1\r\nAuthorization: {credentials}"
            assert (await ask(server.address, request)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost.:80",
        "127.0.0.1",
        "127.0.0.1:9470",
        "127.8.8.8",
        "[::1]:9469",
        "[::ffff:127.0.0.1]",
        "[::1%25lo]",
    ],
)
async def test_sec_04_without_a_token_it_answers_to_this_machine(room: Room, host: str) -> None:
    async with serving(room) as server:
        assert (await asked_as(server, host, "/")).status == 200


@pytest.mark.parametrize("path", ["/", "/events", "/status.json", "/metrics", "/page.js", "/none"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9469",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.8.0.17:9469",
        "[fe80::1]",
        "[::1",
        "[]",
        ":80",
        "0.0.0.0",
        "127.0.0.1, evil",
        "\xe6",
    ],
)
async def test_sec_04_a_strange_page_cannot_read_it_by_a_name_of_its_own(
    room: Room, host: str, path: str
) -> None:
    """DNS rebinding: a name of somebody else leads here, and the browser says so in Host."""
    async with serving(room) as server:
        answer = await asked_as(server, host, path)
    assert answer.status == 421
    assert answer.body == WRONG_HOST.encode()


async def test_sec_04_with_a_token_any_name_will_do(room: Room) -> None:
    """Prometheus asks by the name of the box, a proxy by its own."""
    async with serving(room, token=TOKEN) as server:
        more = f"Authorization: Bearer {TOKEN}\r\n"
        assert (await asked_as(server, "box-17.city.example", "/metrics", more)).status == 200
        assert (await asked_as(server, "box-17.city.example", "/metrics")).status == 401


async def test_http_1_0_needs_no_host(room: Room) -> None:
    async with serving(room) as server, connected(server) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"ok\n")


async def test_closing_the_server_ends_its_connections(room: Room) -> None:
    server = serving(room)
    async with server:
        address = server.address
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\nok\n")
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(host, int(port))


async def asked_as(server: StatusServer, host: str, path: str, more: str = "") -> Answer:
    """Ask with another Host than the address that is connected to."""
    async with connected(server) as (reader, writer):
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"
        writer.write(head.encode("latin-1"))
        return Answer(await reader.read())


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()
