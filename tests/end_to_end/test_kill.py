"""``kill -9`` mid-traffic, ten times: what was kept is forwarded, and nothing is invented.

What is claimed, for each life of the daemon from its start to its SIGKILL:

* A report that was written to the line after the port was open, and that the ring had accepted
  (/status.json shows it or a later one) for longer than some open intervals when the process
  died, reaches the broker. The promise is 250 ms by default; here it is 100 ms.
* What reaches the broker are reports that were written to the line, each with both of its values
  and in its order. Only the last report of a life may be without its second value.
* One (epoch, sequence) never names two different readings.

What is not claimed: a byte that was in the kernel's buffer of the line when the process died, or
that came while no process ran, was never accepted. The next process clears a part of that buffer
when it opens the port, so that a whole number of reports plus a fragment may be missing there. A
reading accepted within the last open interval may be missing, or may have arrived.
"""

import asyncio
import random
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Mosquitto
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor
from tests.end_to_end.held_line import HeldLine, Traffic, number_of
from tests.end_to_end.subscriber import Subscriber, first_arrivals
from tests.proxy import GateProxy

pytestmark = pytest.mark.mosquitto

KILLS = 10
OPEN_INTERVAL_S = 0.1
TURNS = 5
"""Open intervals before a kill, in each of which the daemon has answered: on a busy machine saving
the open block waits for its turn like everybody else."""
SENSOR = "air"


@dataclass
class Life:
    """What the test knows of one life of the daemon: these numbers have to arrive."""

    first: int
    last: int = -1


@dataclass
class Epoch:
    """What arrived of one life of the daemon."""

    numbers: list[int] = field(default_factory=list)
    halves: int = 0


async def live_and_die(
    gateway: GatewayProcess, gate: GateProxy, traffic: Traffic, rng: random.Random
) -> Life | None:
    """Start, run for a while and kill; None for a life that ended before it was ready."""
    if rng.random() < 0.25:
        await gateway.spawn()
        await asyncio.sleep(rng.uniform(0.0, 0.6))
        await gateway.kill()
        return None
    if rng.random() < 0.5:  # nobody takes what is accepted: all of it has to come from the ring
        gate.shut()
    else:
        gate.open()
    await gateway.start()
    await gateway.until_metric("port_open", 1)
    life = Life(traffic.next_number)
    await asyncio.sleep(rng.uniform(0.0, 0.5))
    wanted = life.first
    if rng.random() < 0.5:  # the newest of all stand in a block that is not full
        await traffic.pause()
        wanted = traffic.next_number - 1

    async def accepted() -> bool:
        values = await gateway.live(SENSOR)
        if values:
            life.last = number_of(values["air.pm25"], values["air.pm10"])
        return life.last >= wanted

    await gateway.eventually(accepted, lambda: f"report {wanted} is not accepted: {life}")
    for _ in range(TURNS):
        await gateway.link("aarhus")  # the identity
        await asyncio.sleep(OPEN_INTERVAL_S)
    await gateway.kill()
    traffic.resume()
    return life


def by_epoch(readings: dict[tuple[int, int], dict[str, Any]]) -> dict[int, Epoch]:
    """Put the two values of each report together again, in the order of the ring."""
    epochs: dict[int, Epoch] = {}
    pairs: dict[tuple[int, int], dict[str, float]] = {}
    for (epoch, _), reading in sorted(readings.items()):
        pair = pairs.setdefault((epoch, reading["boottime_ns"]), {})
        assert reading["quantity"] not in pair, reading
        pair[reading["quantity"]] = reading["value"]
    for (epoch, _), pair in pairs.items():
        found = epochs.setdefault(epoch, Epoch())
        assert not found.halves, "only the last report of a life may be without its second value"
        if len(pair) == 2:
            found.numbers.append(number_of(pair["air.pm25"], pair["air.pm10"]))
        else:
            assert list(pair) == ["air.pm25"]
            found.halves += 1
    return epochs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flush_interval", "seed"),
    [("60 s", 1), ("200 ms", 2)],
    ids=["never-flushed-seed1", "flushed-seed2"],
)
@pytest.mark.timeout(120)
async def test_ten_kills_lose_nothing_that_was_kept(
    tmp_path: Path, flush_interval: str, seed: int
) -> None:
    rng = random.Random(seed)
    lives: list[Life] = []
    async with Mosquitto(tmp_path / "broker") as mosquitto, GateProxy(mosquitto.port) as gate:
        sections = dust_sensor("air", tmp_path) + broker("aarhus", gate.port, 'format = "json"')
        with HeldLine(tmp_path / "tty-air") as line:
            gateway = GatewayProcess(tmp_path, sections, flush_interval=flush_interval)
            async with Subscriber(tmp_path, mosquitto.port) as city, gateway.by_hand():
                traffic = Traffic(line)
                async with traffic.flowing():
                    for _ in range(KILLS):
                        life = await live_and_die(gateway, gate, traffic, rng)
                        lives += [life] if life is not None else []
                    await traffic.pause()
                gate.open()
                async with gateway:
                    await gateway.until("aarhus", pending=0, state="online")
                    end = await gateway.link("aarhus")
                    page = await gateway.metrics()
                await city.subscribed()  # all that was acknowledged stands in the file now
    arrived = first_arrivals(city.readings())
    epochs = by_epoch(arrived)
    every = [number for epoch in epochs.values() for number in epoch.numbers]
    assert all(low < high for low, high in pairwise(every)), "out of order, or twice"
    assert set(every) <= set(range(traffic.next_number)), "invented"
    assert len(lives) >= KILLS // 2
    for life in lives:
        missing = set(range(life.first, life.last + 1)) - set(every)
        assert not missing, f"{len(missing)} of {life}, from {min(missing)} on"
    assert page.value("buffer_damaged_blocks_total") == 0
    assert not any(end.dropped.values())
    assert city.messages("/gap") == []
