"""What systemd would receive, on a real datagram socket."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.observe import Notifier, Watchdog
from tests.observe.waiting import until


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Listen as systemd does; give the socket and what NOTIFY_SOCKET would say."""
    address = str(tmp_path / "notify")
    if request.param == "abstract":
        address = f"@citylab-gateway-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind(address.replace("@", "\0", 1))
        receiving.setblocking(False)
        yield receiving, address


def received(manager: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_the_life_of_a_service(manager: tuple[socket.socket, str]) -> None:
    receiving, address = manager
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with Notifier.from_environment({"NOTIFY_SOCKET": address}) as notifier:
        assert notifier.ready("3 sensors,\n2 links")
        assert notifier.reloading()
        assert notifier.ready()
        assert notifier.stopping()
    ready, reloading, again, stopping = received(receiving)
    assert ready == "READY=1\nSTATUS=3 sensors, 2 links", "one line, or systemd reads the next"
    kind, _, stamp = reloading.partition("\n")
    assert kind == "RELOADING=1"
    name, _, value = stamp.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before_us <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert (again, stopping) == ("READY=1", "STOPPING=1")


@pytest.mark.parametrize("address", ["", "relative", "/nonexistent/notify", "vsock:2:1234"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    with Notifier.from_environment({"NOTIFY_SOCKET": address}) as notifier:
        assert not notifier.ready()
        assert not notifier.watchdog()


def test_a_manager_that_does_not_read_delays_nobody(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving,
        Notifier(address) as notifier,
    ):
        receiving.bind(address)
        answers = [notifier.status(f"{count}") for count in range(2000)]
    assert answers[0]
    assert not answers[-1], "the queue is full and the call returned all the same"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_interval(environment: dict[str, str], seconds: float | None) -> None:
    assert Notifier.from_environment(environment).watchdog_s == seconds


def test_the_watchdog_is_fed_three_times_an_interval() -> None:
    def interval_s(watchdog_s: float | None) -> float:
        notifier = Notifier(watchdog_s=watchdog_s)
        return Watchdog(notifier, lambda: True, str).interval_s

    assert interval_s(15.0) == 5.0
    assert interval_s(60.0) == 10.0
    assert interval_s(None) == 10.0


async def test_only_progress_feeds_the_watchdog(
    manager: tuple[socket.socket, str], caplog: pytest.LogCaptureFixture
) -> None:
    receiving, address = manager
    moves = True
    with Notifier(address, watchdog_s=30.0) as notifier:
        watchdog = Watchdog(
            notifier, lambda: moves, lambda: "ok" if moves else "failing", interval_s=0.01
        )
        task = asyncio.create_task(watchdog.run())
        await until(lambda: watchdog.fed >= 3)
        moves = False
        await until(lambda: watchdog.withheld)
        received(receiving)
        await until(lambda: watchdog.withheld >= 4)
        task.cancel()
    assert received(receiving) == [], "not fed, and the same status is not sent twice"
    assert [record.message for record in caplog.records] == [
        "no progress, the watchdog is not fed: failing"
    ]


def test_the_status_line_follows_without_a_watchdog(manager: tuple[socket.socket, str]) -> None:
    receiving, address = manager
    lines = iter(["one", "one", "two"])
    with Notifier(address) as notifier:
        watchdog = Watchdog(notifier, lambda: True, lambda: next(lines))
        assert [watchdog.beat() for _ in range(3)] == [True, True, True]
    assert received(receiving) == ["STATUS=one", "STATUS=two"]
