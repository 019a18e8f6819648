"""A city's name with several addresses: the dead ones cost an attempt each, and no reading."""

import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

import gateway.forward.dial
from tests.brokers import Mosquitto, free_port
from tests.forward.fakes import (
    Catalogue,
    FakeReader,
    broker_section,
    eventually,
    make_link,
    running,
)

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(90)]

NAME = "mqtt.city.example"


class Node(Mosquitto):
    """A Mosquitto on another address of this machine."""

    def __init__(self, directory: Path, host: str, port: int) -> None:
        super().__init__(directory, port=port)
        self.host = host


async def test_the_link_moves_on_to_the_address_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three addresses, of which one is alive at a time; each death moves the link to the next."""
    hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    port = free_port("0.0.0.0")  # on all of them
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)) for host in hosts
    ]
    ask = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        return answers if host == NAME else ask(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    reader, catalogue = FakeReader(), Catalogue()
    series = catalogue.add("air", "air.pm25")
    link = make_link(broker_section(port, url=f"mqtt://{NAME}:{port}"), reader, catalogue)
    async with running(link):
        for number, host in enumerate([*hosts, hosts[0]], start=1):
            async with Node(tmp_path / str(number), host, port) as node:
                reader.append(series, float(number))
                reader.notify()
                await eventually(lambda: reader.acknowledged == number)  # noqa: B023
                await node.kill()
    assert reader.pending == 0


async def test_an_address_that_says_nothing_does_not_use_up_the_time_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue of a listener that accepts nobody is full, so it is as silent as a dead machine."""
    hosts, port = ["127.0.0.2", "127.0.0.1"], free_port("0.0.0.0")
    ask = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        if host != NAME:
            return ask(host, *rest, **more)
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, port)) for address in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(gateway.forward.dial, "ADDRESS_TIMEOUT_S", 0.2)
    reader, catalogue = FakeReader(), Catalogue()
    series = catalogue.add("air", "air.pm25")
    section = broker_section(port, url=f"mqtt://{NAME}:{port}", connect_timeout="60 s")
    async with contextlib.AsyncExitStack() as stack:
        silent = stack.enter_context(socket.create_server((hosts[0], port), backlog=0))
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        await stack.enter_async_context(Node(tmp_path, hosts[1], port))
        await stack.enter_async_context(running(make_link(section, reader, catalogue)))
        reader.append(series, 1.0)
        reader.notify()
        await eventually(lambda: reader.acknowledged == 1)
