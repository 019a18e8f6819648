"""Sockets from systemd, sockets of our own, and who must show a token (SEC-04)."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.observe import StatusServer, split_address, systemd_sockets
from gateway.observe.listening import address_text, bound_socket, check_exposure
from tests.observe.figures import Room

ROOT = Path(__file__).parents[2]

SERVE_ONE_REQUEST = """
import asyncio, os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
from gateway.observe import StatusServer, systemd_sockets
from tests.observe.figures import Room
async def main():
    async with StatusServer(Room().look, sockets=systemd_sockets()) as server:
        assert "LISTEN_FDS" not in os.environ
        print(server.address, flush=True)
        while server.requests == 0:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
asyncio.run(main())
"""


@pytest.fixture
def loopback() -> Iterator[socket.socket]:
    with bound_socket("127.0.0.1", 0) as listening:
        yield listening


@pytest.mark.timeout(90)
def test_sec_05_a_socket_passed_by_systemd_is_served(loopback: socket.socket) -> None:
    """Do as systemd does: the socket is descriptor 3, LISTEN_FDS says that there is one."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE_ONE_REQUEST, str(loopback.fileno())],
        pass_fds=[loopback.fileno()],
        env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == address_text(loopback)
        with socket.create_connection(loopback.getsockname(), timeout=10) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = client.makefile("rb").read()
        assert process.wait(10) == 0
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\nok\n")


@pytest.mark.systemd
@pytest.mark.timeout(90)
def test_sec_05_systemd_itself_passes_the_socket() -> None:
    """The program is started by the first connection, with the variables that systemd sets."""
    with bound_socket("127.0.0.1", 0) as free:
        host, port = free.getsockname()
    program = "\n".join(
        line for line in SERVE_ONE_REQUEST.splitlines() if not line.startswith("os.")
    )
    command = ["systemd-socket-activate", f"--listen={host}:{port}", f"--setenv=PYTHONPATH={ROOT}"]
    with subprocess.Popen(
        [*command, sys.executable, "-c", program], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "Listening on" in process.stderr.readline()
        with socket.create_connection((host, port), timeout=10) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = client.makefile("rb").read()
        process.communicate(timeout=10)
    assert process.returncode == 0
    assert answer.endswith(b"\r\n\r\nok\n")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_sockets_that_are_not_for_us_are_left_alone(environment: dict[str, str]) -> None:
    assert systemd_sockets(environment) == []
    assert environment == {}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9469", ("127.0.0.1", 9469)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses_are_split(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000"])
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        split_address(text)


def test_names_are_not_looked_up() -> None:
    with pytest.raises(ConfigError, match="numeric address"):
        bound_socket("gateway.example.org", 0)
    with bound_socket("localhost", 0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_a_taken_address_is_an_error(loopback: socket.socket) -> None:
    with pytest.raises(OSError, match="in use"):
        bound_socket(*loopback.getsockname())


def test_sec_04_loopback_needs_no_token(loopback: socket.socket) -> None:
    check_exposure([loopback], "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_sec_04_the_world_needs_a_token(host: str) -> None:
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with bound_socket(host, 0) as listening:
        with pytest.raises(ConfigError, match="needs a token"):
            check_exposure([listening], "")
        check_exposure([listening], "secret")


async def test_sec_04_a_refused_server_listens_nowhere(room: Room) -> None:
    exposed = bound_socket("0.0.0.0", 0)
    port = exposed.getsockname()[1]
    with pytest.raises(ConfigError):
        async with StatusServer(room.look, sockets=[exposed]):
            pass
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
