"""A bus for tests: a pseudo-terminal with devices in the hands of the test, and a cable."""

import asyncio
import contextlib
import os
import termios
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from gateway.driver import DriverInfo, NoOptions, Outcome, Request, Restarted, SerialLine
from gateway.reading import Fault, Measured

LINE = SerialLine(115200)
TIMEOUT_S = 5.0
"""For a device that answers: only a hang reaches it, however busy the machine is."""
DEAD_S = 0.1
"""For one that does not; the test waits for it."""
SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in (300, 2400, 9600, 19200, 115200)}

INFO = DriverInfo(
    name="asked",
    title="Answers lines",
    domain="air",
    quantities=("air.temperature",),
    interval_s=1.0,
    document="tests",
    lines=(LINE,),
)


class LinePoll:
    """Asks ``name?`` line by line and expects ``name=21.5``; an answer ``boot`` is a restart."""

    info: ClassVar[DriverInfo] = INFO
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, *names: str, timeout_s: float = TIMEOUT_S, quiet_s: float = 0.0) -> None:
        self.names = names
        self.seen: list[bytes] = []
        """All that was handed over."""
        self.crash = False
        self.timeout_s = timeout_s
        """Of the questions from now on."""
        self._quiet_s = quiet_s

    def requests(self) -> Iterable[Request]:
        for name in self.names:
            yield Request(
                f"{name}?\n".encode(),
                None,
                b"\n",
                timeout_s=self.timeout_s,
                quiet_s=self._quiet_s,
                tag=name,
            )

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
        self.seen.append(data)
        if self.crash:
            raise ZeroDivisionError("a bug in a driver")
        name, _, value = data.decode("latin-1").strip().partition("=")
        if not data:
            return (Fault("timeout", "no answer"),)
        if data == b"boot\n":
            return (Restarted("boot"),)
        if name != request.tag:
            return (Fault("noise", "not for us"),)
        return (Measured("air.temperature", float(value)),)


class Bus:
    """A pseudo-terminal at a path; ``devices`` answer what the host writes, line by line."""

    def __init__(self, link: Path) -> None:
        self.devices: dict[str, Callable[[], bytes]] = {}
        """Name -> what it answers to ``name?``."""
        self.asked: list[str] = []
        self.echo = False
        self._ours, self._hosts = os.openpty()
        tty.setraw(self._hosts)
        os.set_blocking(self._ours, False)
        self._link = link
        self._rest = b""
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._hosts))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._on_host)

    def send(self, data: bytes) -> None:
        os.write(self._ours, data)

    @property
    def speed(self) -> int:
        """The speed that the host's end is set to."""
        return SPEEDS[termios.tcgetattr(self._hosts)[4]]

    def later(self, delay_s: float, data: bytes) -> None:
        self._loop.call_later(delay_s, self.send, data)

    def _on_host(self) -> None:
        data = os.read(self._ours, 4096)
        if self.echo:
            self.send(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            name = line.decode("latin-1").removesuffix("?")
            self.asked.append(name)
            answer = self.devices.get(name)
            if answer is not None:
                self.send(answer())

    def close(self) -> None:
        if self._ours >= 0:
            self._loop.remove_reader(self._ours)
            os.close(self._ours)
            os.close(self._hosts)
            self._link.unlink(missing_ok=True)
            self._ours = -1


class Counter:
    """An answer that counts: ``a=0``, ``a=1`` and so on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.count = 0

    def __call__(self) -> bytes:
        self.count += 1
        return f"{self._name}={self.count - 1}\n".encode()


class Cable:
    """Two pseudo-terminals that are one wire, with an adapter at the host's end."""

    def __init__(self, host: Path, device: Path) -> None:
        self.echo = False
        """The host hears itself, as with a two-wire adapter without RTS control."""
        self.mangle: Callable[[bytes], bytes] = lambda data: data
        """What becomes of the device's bytes on their way."""
        self.sent: list[bytes] = []
        """What the host sent."""
        self._loop = asyncio.get_running_loop()
        self._ends: list[tuple[int, int]] = []
        for link in (host, device):
            ours, theirs = os.openpty()
            tty.setraw(theirs)
            os.set_blocking(ours, False)
            link.unlink(missing_ok=True)
            link.symlink_to(os.ttyname(theirs))
            self._ends.append((ours, theirs))
        self._loop.add_reader(self._ends[0][0], self._from_host)
        self._loop.add_reader(self._ends[1][0], self._from_device)

    def _from_host(self) -> None:
        data = os.read(self._ends[0][0], 4096)
        self.sent.append(data)
        if self.echo:
            os.write(self._ends[0][0], data)
        os.write(self._ends[1][0], data)

    def _from_device(self) -> None:
        data = self.mangle(os.read(self._ends[1][0], 4096))
        if data:
            os.write(self._ends[0][0], data)

    def close(self) -> None:
        for ours, theirs in self._ends:
            self._loop.remove_reader(ours)
            with contextlib.suppress(OSError):
                os.close(ours)
            os.close(theirs)


Start = Callable[[Callable[[], Awaitable[None]]], None]


@contextlib.asynccontextmanager
async def starting() -> AsyncIterator[Start]:
    """Run transports until the end of the block; fail if one of them failed."""
    tasks: list[asyncio.Task[None]] = []

    def start(run: Callable[[], Awaitable[None]]) -> None:
        async def keep() -> None:
            await run()

        tasks.append(asyncio.create_task(keep()))

    yield start
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [end for end in ends if isinstance(end, Exception)]
