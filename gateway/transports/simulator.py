"""Make-believe devices at real ports, for the demo and for tests of the whole path.

The device models come from the drivers (``SimulatedStream``, ``SimulatedBeacon``) and produce the
real bytes; here they get a pseudo-terminal or a pipe, and faults on request. The same seed gives
the same bytes.
"""

import asyncio
import contextlib
import heapq
import os
import random
import termios
import tty
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.driver import SimulatedBeacon, SimulatedStream
from gateway.transports.ending import Ending
from gateway.transports.recording import format_advert

__all__ = ["AdvertSimulator", "ByteNoise", "FaultPlan", "Faults", "PtySimulator"]

READ_BYTES = 4096
MAX_NOISE_BYTES = 16
"""Longest burst of noise."""
FIFO_MODE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """How often what goes wrong, as the probability per chunk that the device sends."""

    seed: int = 0
    dropped_byte: float = 0.0
    """One byte of the chunk is lost."""
    noise_burst: float = 0.0
    """1 to 16 random bytes come before the chunk."""
    duplicated_chunk: float = 0.0
    """The chunk comes twice."""
    pause: float = 0.0
    """The device is silent for ``pause_s`` before the chunk."""
    pause_s: float = 1.0
    damaged_bytes: float = 0.0
    """Share of all bytes, answers too, that arrive changed, not at all, or with one too many."""
    damage_run: int = 1
    """Damage comes in runs of so many bytes on average: interference lasts for a while."""


class ByteNoise:
    """Damages a share of the bytes of a line; the same seed and bytes give the same result."""

    def __init__(self, seed: int, share: float, run: int = 1) -> None:
        """``share`` is 0 (nothing ever) to below 1, ``run`` the mean length of what is damaged."""
        if not 0.0 <= share < 1.0 or run < 1:
            raise ValueError("noise damages a share of the bytes, and at least one at a time")
        self.damaged = 0
        """Bytes that did not arrive as they were sent."""
        self._random = random.Random(seed)  # noqa: S311 - reproduces a run, guards nothing
        self._run = run
        self._mean_gap = run * (1.0 - share) / share if share else 0.0
        self._clean = self._gap() if share else 0
        """Bytes until the next damage."""
        self._hit = 0
        """Bytes that are still to be damaged."""

    def apply(self, data: bytes) -> bytes:
        """Return what arrives of the bytes."""
        if not self._mean_gap:
            return data
        arrived = bytearray()
        at = 0
        while at < len(data):
            if self._clean:
                count = min(self._clean, len(data) - at)
                arrived += data[at : at + count]
                at += count
                self._clean -= count
                continue
            self._hit = self._hit or self._length()
            arrived += self._damage(data[at])
            at += 1
            self._hit -= 1
            if not self._hit:
                self._clean = self._gap()
        return bytes(arrived)

    def _damage(self, byte: int) -> bytes:
        self.damaged += 1
        kind = self._random.randrange(3)
        if kind == 0:
            return bytes((byte ^ self._random.randrange(1, 256),))
        return b"" if kind == 1 else bytes((self._random.randrange(256), byte))

    def _length(self) -> int:
        return 1 if self._run == 1 else 1 + round(self._random.expovariate(1.0 / (self._run - 1)))

    def _gap(self) -> int:
        return max(1, round(self._random.expovariate(1.0 / self._mean_gap)))


class Faults:
    """Applies a plan to chunk after chunk; the same seed and chunks give the same result."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)  # noqa: S311 - reproduces a run, guards nothing

    def apply(self, chunk: bytes) -> tuple[bytes, float]:
        """Return what arrives of a chunk, and the pause in seconds before it."""
        plan = self._plan
        # Always the same number of draws, so that one fault does not move all later ones.
        lost, noisy, twice, paused, where = (self._random.random() for _ in range(5))
        noise = self._random.randbytes(1 + int(where * MAX_NOISE_BYTES))
        if chunk and lost < plan.dropped_byte:
            index = int(where * len(chunk))
            chunk = chunk[:index] + chunk[index + 1 :]
        if twice < plan.duplicated_chunk:
            chunk += chunk
        if noisy < plan.noise_burst:
            chunk = noise + chunk
        return chunk, plan.pause_s if paused < plan.pause else 0.0


class PtySimulator:
    """A simulated serial device behind ``link_path``, a symlink to a real pseudo-terminal.

    What a host does not read in time is lost, as on a real line. Links are made and removed in the
    loop's default executor, because that is work on a file system.
    """

    def __init__(
        self, device: SimulatedStream, link_path: Path, *, faults: FaultPlan | None = None
    ) -> None:
        self.ready = asyncio.Event()
        """Set while the device is plugged in."""
        self.sent_bytes = 0
        """Written by the device and taken by the terminal."""
        self.received_bytes = 0
        self._device = device
        self._link_path = link_path
        plan = faults or FaultPlan()
        self._faults = Faults(plan)
        self.noise = ByteNoise(plan.seed, plan.damaged_bytes, plan.damage_run)
        self._terminal: tuple[int, int] | None = None
        """Our end and the host's. Ours stays open too, or it would hang up between two hosts."""
        self._ending: Ending | None = None

    async def run(self) -> None:
        """Plug in and talk until cancelled, then unplug."""
        self._ending = Ending()
        try:
            await self.replug()
            while True:
                chunk, pause_s = self._faults.apply(self._device.emit())
                # Waiting on the ending, not asleep: it raises what the device model raised.
                await self._ending.wait(pause_s)
                self._write(chunk)
                await self._ending.wait(self._device.interval_s)
        finally:
            self._ending = None
            await self.unplug()

    async def unplug(self) -> None:
        """Take the device away: the link disappears and the host's port hangs up."""
        if self._terminal is None:
            return
        ours, hosts = self._terminal
        self._terminal = None
        self.ready.clear()
        loop = asyncio.get_running_loop()
        loop.remove_reader(ours)
        try:
            # First, because the number of a closed terminal soon belongs to another device.
            await loop.run_in_executor(None, _remove_link, self._link_path)
        finally:
            os.close(ours)
            os.close(hosts)

    async def replug(self) -> None:
        """Bring the device back at the same link, with another terminal behind it."""
        if self._terminal is not None:
            return
        ours, hosts = os.openpty()
        self._terminal = (ours, hosts)
        tty.setraw(hosts, termios.TCSANOW)
        os.set_blocking(ours, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, self._on_host)
        await loop.run_in_executor(None, _make_link, self._link_path, os.ttyname(hosts))
        self.ready.set()

    def _on_host(self) -> None:
        if self._terminal is None or self._ending is None:
            return
        with self._ending:
            try:
                data = os.read(self._terminal[0], READ_BYTES)
            except BlockingIOError:
                return
            self.received_bytes += len(data)
            self._write(self._device.receive(data))

    def _write(self, data: bytes) -> None:
        if self._terminal is None or not data:
            return
        try:
            self.sent_bytes += os.write(self._terminal[0], self.noise.apply(data))
        except BlockingIOError:
            return


class AdvertSimulator:
    """Simulated beacons that write their advertisements into a pipe, as AdvertReplay reads it.

    The pipe is made if it is missing and stays. What nobody reads in time is lost, like in air.
    """

    def __init__(self, beacons: Sequence[SimulatedBeacon], fifo_path: Path) -> None:
        self.written_lines = 0
        self.lost_lines = 0
        self._beacons = tuple(beacons)
        self._fifo_path = fifo_path

    async def run(self) -> None:
        """Advertise until cancelled."""
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._fifo_path, FIFO_MODE)
        # O_RDWR, which Linux defines for pipes: neither waits for a reader nor fails without one.
        descriptor = os.open(self._fifo_path, os.O_RDWR | os.O_NONBLOCK)
        try:
            await self._advertise(descriptor)
        finally:
            os.close(descriptor)

    async def _advertise(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        schedule = [(0.0, index) for index in range(len(self._beacons))]
        while schedule:
            due_s, index = schedule[0]
            await asyncio.sleep(max(0.0, started_at + due_s - loop.time()))
            beacon = self._beacons[index]
            line = format_advert(due_s, beacon.emit())
            try:
                # Shorter than PIPE_BUF: the pipe takes a line whole or not at all.
                os.write(descriptor, line)
                self.written_lines += 1
            except BlockingIOError:
                self.lost_lines += 1
            heapq.heapreplace(schedule, (due_s + beacon.interval_s, index))
        await loop.create_future()


def _make_link(link_path: Path, target: str) -> None:
    temporary = link_path.with_name(f".{link_path.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link_path)


def _remove_link(link_path: Path) -> None:
    link_path.unlink(missing_ok=True)
