"""Fourteen links, ten of them in trouble: the others notice nothing, and all catch up."""

import asyncio
from pathlib import Path

import pytest

from tests.forward.fakes import eventually
from tests.many_links.city import Plan
from tests.many_links.plans import DEAD, GOOD, fourteen
from tests.many_links.running import Network

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(180)]

TROUBLED_S = 16.0
"""Long enough for three resets and several attempts of each dead link."""
RESETS = 2
"""So many there are in any case; on a busy machine they take longer."""
WARM_UP_S = 4
CATCH_UP_S = 60.0
MORE_MEMORY_BYTES = 48 << 20
"""Generous: what is judged is that fourteen links do not pile up what they cannot send."""


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    """Return the plans, made outside the event loop because that reads files."""
    return fourteen()


async def test_the_healthy_notice_nothing_and_all_catch_up(
    tmp_path: Path, plans: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sum(plan.trouble in {"refused", "black-hole"} for plan in plans) * 2 == len(plans)
    async with Network.of(plans, tmp_path) as network:
        good = network.of_trouble(*GOOD)
        dead = network.of_trouble(*DEAD)
        await eventually(
            lambda: all(city.link.stats.state == "online" for city in good), CATCH_UP_S
        )
        network.resume()
        await asyncio.sleep(TROUBLED_S)
        (reset,) = network.of_trouble("reset")
        await eventually(lambda: reset.link.stats.disconnects.get("lost", 0) >= RESETS, CATCH_UP_S)
        await eventually(lambda: all(city.link.stats.disconnects for city in dead), CATCH_UP_S)
        network.pause()
        await eventually(lambda: not any(city.reader.pending for city in good), CATCH_UP_S)
        memory = network.rss_bytes
        table = network.table()
        for city in good:
            assert city.link.stats.connects == 1, city.plan
            await eventually(lambda: city.received() >= network.owed(city), CATCH_UP_S)  # noqa: B023
            assert city.received() == network.owed(city), city.plan
        for city in dead:
            assert city.reader.acknowledged == 0, city.plan

        network.resume()
        await asyncio.gather(*(city.mend() for city in network.cities if city not in good))
        await eventually(
            lambda: all(city.link.stats.state == "online" for city in network.cities), CATCH_UP_S
        )
        network.pause()
        await eventually(
            lambda: not any(city.reader.pending for city in network.cities), CATCH_UP_S
        )
        for city in network.cities:
            reader = city.reader
            await eventually(
                lambda: len(city.received()) >= reader.acknowledged,  # noqa: B023
                CATCH_UP_S,
            )
            lost = {reason for reason, count in reader.dropped.items() if count}
            assert lost <= {"policy"}, city.plan
            if city.is_complete_by_design:
                assert city.received() == network.owed(city), city.plan
    with capsys.disabled():
        print(f"\n{table}\nmemory {memory[WARM_UP_S] >> 20} to {max(memory) >> 20} MiB")
    assert max(memory[WARM_UP_S:]) - memory[WARM_UP_S] <= MORE_MEMORY_BYTES
