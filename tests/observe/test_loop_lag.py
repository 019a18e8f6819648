"""The sampler notices a loop that stands still, and forgets it again."""

import asyncio

from gateway.observe import LoopLag
from gateway.observe.loop_lag import RECENT_S
from tests.observe.waiting import until


async def test_a_blocked_loop_shows() -> None:
    lag = LoopLag(interval_s=0.01)
    task = asyncio.create_task(lag.run())
    loop = asyncio.get_running_loop()
    await until(lambda: lag.samples)
    end_s = loop.time() + 0.2
    while loop.time() < end_s:
        pass  # the fault itself: the processor is busy and nobody else runs
    seen = lag.samples
    await until(lambda: lag.samples > seen)
    task.cancel()
    assert lag.max_s >= 0.15
    assert lag.recent_max_s == lag.max_s


def test_recent_forgets_and_max_does_not() -> None:
    lag = LoopLag()
    lag.observe(2.0, 100.0)
    lag.observe(-0.001, 101.0)
    assert (lag.last_s, lag.recent_max_s, lag.max_s) == (0.0, 2.0, 2.0)
    lag.observe(0.01, 101.0 + RECENT_S)
    assert lag.recent_max_s == 2.0, "at least one whole window is remembered"
    lag.observe(0.02, 102.0 + 2 * RECENT_S)
    assert lag.recent_max_s == 0.02
    assert lag.max_s == 2.0
