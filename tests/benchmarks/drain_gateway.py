"""Our side of the drain benchmarks, a process of its own: ring, link, and readings that come in.

``run`` starts it: ``python -m tests.benchmarks.drain_gateway fill '<job as JSON>'``, then the same
with ``drain``, which prints the outcome as JSON. Ring and link are wired together as the daemon
does it.
"""

import asyncio
import cProfile
import dataclasses
import json
import pstats
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.buffer import Buffer, DropReason, Reader
from gateway.clock import Clock
from gateway.config.model import BrokerSection
from gateway.forward import Format, Link, load_format
from tests.benchmarks.drain_look import memory_mib, reset_peak
from tests.benchmarks.drain_ring import LINK, Feed, context, fill, settings
from tests.brokers import LOOPBACK

__all__ = ["Job", "Outcome", "run"]

ROOT = Path(__file__).parents[2]
LOOK_EVERY_S = 0.001
FEED_CHUNK = 1000
TOP_ROWS = 45


@dataclass(kw_only=True, slots=True)
class Job:
    """What to measure."""

    folder: str
    port: int
    format: str
    readings: int
    live_per_s: int = 0
    """Readings that come in meanwhile."""
    alone_s: float = 0.0
    """For so long live readings go on when the backlog is gone."""
    linger_s: float = 1.0
    batch_readings: int = 200
    in_flight: int = 20
    history: str = ""
    """Empty: as the format has it."""
    profile: bool = False
    """Print what the event loop's thread did to stderr; the figures are then those of the tool."""


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What was measured, until the last reading of the backlog was acknowledged."""

    seconds: float
    cpu_s: float
    rss_mib: tuple[float, float, float]
    """Before, at most, after."""
    messages: int
    payload_bytes: int
    acknowledged: int
    dropped: int
    live_s: list[float] = field(default_factory=list)
    """From append to PUBACK, of each live reading that came meanwhile."""
    alone_s: list[float] = field(default_factory=list)
    """The same of those that came afterwards."""
    late_s: list[float] = field(default_factory=list)
    """How much too late the event loop came to each live reading."""
    thread_s: float = 0.0
    """CPU of the ring's thread that read the disk."""


async def run(job: Job) -> Outcome:
    """Fill the ring, then open and drain it, each in a process of its own."""
    await _child("fill", job)
    return Outcome(**json.loads(await _child("drain", job)))


async def _child(what: str, job: Job) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.drain_gateway"),
        *(what, json.dumps(dataclasses.asdict(job))),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise SystemExit(f"the gateway's side ended with {process.returncode}")
    return output


class Account:
    """Notes when each reading was settled."""

    def __init__(self, reader: Reader, backlog: int, end: int) -> None:
        """``backlog`` readings below the sequence ``end`` are waited for."""
        self.done = asyncio.Event()
        self.live_s: list[float] = []
        """From append to settlement, in the order of sequence: one lane has them all."""
        self.appended_s: list[float] = []
        """Of the readings from ``end`` on."""
        self.late_s: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._end = end
        self._left = backlog
        self._settle: Callable[..., None] = reader.settle
        reader.settle = self.settle  # type: ignore[method-assign]

    def settle(
        self,
        first: int,
        last: int,
        *,
        acknowledged: int = 0,
        dropped: Mapping[DropReason, int] | None = None,
    ) -> None:
        self._settle(first, last, acknowledged=acknowledged, dropped=dropped)
        if last >= self._end:
            now_s = self._loop.time()
            begin, stop = max(0, first - self._end), last + 1 - self._end
            self.live_s += [now_s - then_s for then_s in self.appended_s[begin:stop]]
        if self._left and first < self._end:
            self._left -= min(last + 1, self._end) - first
            if not self._left:
                self.done.set()


class Gateway:
    """Ring, link and what comes in, in one event loop."""

    def __init__(self, job: Job, buffer: Buffer, clock: Clock, encoder: Format) -> None:
        self.job = job
        self.buffer = buffer
        self.reader = buffer.reader(LINK, from_oldest=True)
        self.feed = Feed(buffer, clock, job.readings)
        self.clock = clock
        self.is_fed = encoder.history == "latest"
        """A backlog is not sent: readings come in as fast as they leave."""
        end = self.buffer.next_sequence + (job.readings if self.is_fed else 0)
        self.account = Account(self.reader, job.readings, end)
        keys: dict[str, Any] = {
            "name": LINK,
            "url": f"mqtt://{LOOPBACK}:{job.port}",
            "insecure": True,
            "format": job.format,
            "linger": f"{job.linger_s} s",
            "batch_readings": job.batch_readings,
            "in_flight": job.in_flight,
        }
        if job.history:
            keys["history"] = job.history
        self.link = Link(
            BrokerSection.model_validate(keys),
            reader=self.reader,
            series=buffer.series,
            series_of=buffer.series_of,
            identity=context(),
            format=encoder,
            password=None,
            clock=clock,
            status=dict,
            directory=Path(job.folder),
        )

    async def drain(self) -> Outcome:
        """Return what it took."""
        account, job = self.account, self.job
        thread_s = self._count_thread()
        reset_peak()
        before_mib = memory_mib("VmRSS")
        began, cpu = time.perf_counter(), time.process_time()
        jobs = [self.link.run, self.buffer.run]
        jobs += [self._feed] if self.is_fed else []
        jobs += [self._live] if job.live_per_s else []
        tasks = [asyncio.create_task(work()) for work in jobs]
        await account.done.wait()
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        live, late = len(account.appended_s), list(account.late_s)
        stats = self.link.stats
        messages, payload_bytes = stats.sent_messages, stats.sent_bytes
        peak_mib, after_mib = memory_mib("VmHWM"), memory_mib("VmRSS")
        await asyncio.sleep(job.alone_s)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if not isinstance(end, asyncio.CancelledError) and isinstance(end, BaseException):
                raise end
        return Outcome(
            seconds=took_s,
            cpu_s=cpu_s,
            rss_mib=(before_mib, peak_mib, after_mib),
            messages=messages,
            payload_bytes=payload_bytes,
            acknowledged=self.reader.acknowledged,
            dropped=sum(self.reader.dropped.values()),
            live_s=account.live_s[:live],
            alone_s=account.live_s[live:],
            late_s=late,
            thread_s=thread_s[0],
        )

    async def _live(self) -> None:
        """Append one reading after the other at the asked pace, once the backlog is moving."""
        account, loop = self.account, asyncio.get_running_loop()
        while not self.reader.acknowledged:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(LOOK_EVERY_S)
        due_s = loop.time()
        while True:
            account.late_s.append(max(0.0, loop.time() - due_s))
            account.appended_s.append(loop.time())
            self.feed.append_now(self.clock.now_ns())
            self.buffer.notify()
            due_s += 1 / self.job.live_per_s
            await asyncio.sleep(due_s - loop.time())

    async def _feed(self) -> None:
        """Keep twice of what the window holds waiting."""
        job, left = self.job, self.job.readings
        while not self.link.stats.acknowledged_messages:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(LOOK_EVERY_S)
        while left:
            if self.reader.pending < 2 * job.in_flight * job.batch_readings:
                self.feed.append(min(FEED_CHUNK, left))
                left -= min(FEED_CHUNK, left)
                self.buffer.notify()
            await asyncio.sleep(LOOK_EVERY_S)

    def _count_thread(self) -> list[float]:
        """Return a list whose one number grows with the CPU that reading the disk takes."""
        spent, fetch = [0.0], self.buffer._store.fetch

        def counted(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return fetch(*args, **kwargs)
            finally:
                spent[0] += time.thread_time() - began

        self.buffer._store.fetch = counted  # type: ignore[method-assign]
        return spent


async def measure(job: Job, clock: Clock, encoder: Format) -> Outcome:
    """Open the ring as after a restart, and drain it."""
    buffer = await Buffer.open(settings(Path(job.folder), job.readings), clock)
    try:
        gateway = Gateway(job, buffer, clock, encoder)
        if not job.profile:
            return await gateway.drain()
        profiler = cProfile.Profile()
        profiler.enable()
        try:
            return await gateway.drain()
        finally:
            profiler.disable()
            pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(TOP_ROWS)
    finally:
        await buffer.close()


def main() -> None:
    """Do what the arguments say."""
    job, clock = Job(**json.loads(sys.argv[2])), Clock(trusted=True)
    encoder = load_format(job.format)
    if sys.argv[1] == "fill":
        backlog = 0 if encoder.history == "latest" else job.readings
        asyncio.run(fill(Path(job.folder), backlog, clock))
        return
    outcome = asyncio.run(measure(job, clock, encoder))
    print(json.dumps(dataclasses.asdict(outcome)))


if __name__ == "__main__":
    main()
