"""The same payloads through a mosquitto bridge: a broker on the box that forwards to the city's."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.drain_look import cpu_s, memory_mib, subscriber
from tests.benchmarks.drain_wire import publish_all
from tests.brokers import LOOPBACK, Mosquitto

__all__ = ["Passage", "bridge"]

SETTLE_S = 0.5
"""For a bridge to connect, and for acknowledgements to come back."""
LINES = ["log_type none"]


@dataclass(kw_only=True, slots=True)
class Passage:
    """How long it took until everything was at the far end's subscriber."""

    seconds: float
    cpu_s: float
    """Of the forwarding process."""
    rss_mib: tuple[float, float, float]
    """Before, at most since it began, after."""
    arrived: int
    """Messages."""


async def bridge(
    folder: Path, messages: Sequence[tuple[str, bytes]], in_flight: int, *, frozen: bool
) -> Passage:
    """Send the messages through a bridge.

    ``frozen``: the city's broker stands still until the box has taken all of them, and the time
    is that of the backlog alone; else the time includes our publishing into the box.
    """
    name = "backlog" if frozen else "through"
    async with Mosquitto(folder / f"far-{name}", lines=LINES) as far:
        near_lines = [
            *LINES,
            f"max_inflight_messages {in_flight}",
            "connection city",
            f"address {LOOPBACK}:{far.port}",
            "topic # out 1",
            "bridge_protocol_version mqttv50",
            "notifications false",
            "try_private false",
        ]
        near = Mosquitto(folder / f"near-{name}", lines=near_lines)
        async with near, subscriber(far.port) as arrivals:
            await asyncio.sleep(SETTLE_S)
            pid = near.process_id()
            assert pid is not None
            before_mib, began, cpu = memory_mib("VmRSS", pid), time.perf_counter(), cpu_s(pid)
            if frozen:
                far.freeze()
                await publish_all(near.port, messages, in_flight)
                before_mib, began, cpu = memory_mib("VmRSS", pid), time.perf_counter(), cpu_s(pid)
                far.thaw()
            else:
                await publish_all(near.port, messages, in_flight)
            await arrivals.reach(len(messages))
            used_s = cpu_s(pid) - cpu
            await asyncio.sleep(SETTLE_S)
            rss_mib = before_mib, memory_mib("VmHWM", pid), memory_mib("VmRSS", pid)
            return Passage(
                seconds=arrivals.last_s - began,
                cpu_s=used_s,
                rss_mib=rss_mib,
                arrived=arrivals.count,
            )
