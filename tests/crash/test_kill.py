"""kill -9 at random points: what flush returned for is there, and all but the last moment."""

import asyncio
from pathlib import Path

import pytest

from tests.crash.kill import kill_rounds

ROUNDS = 15


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [20])
def test_nothing_older_than_the_open_interval_is_missing(tmp_path: Path, seed: int) -> None:
    report = asyncio.run(kill_rounds(tmp_path, seed=seed, rounds=ROUNDS))
    assert report.problems == []
    assert report.kills == ROUNDS


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_process_that_does_not_save_the_open_block_is_noticed(tmp_path: Path) -> None:
    rounds = kill_rounds(
        tmp_path, seed=3, rounds=4, open_interval_s=3600.0, shortest_life_s=2.0, pace="quiet"
    )
    assert any("is missing" in one for one in asyncio.run(rounds).problems)
