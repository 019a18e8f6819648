"""A minute of the soak, and what its verdict is worth."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.brokers import free_port
from tests.forward.fakes import eventually
from tests.soak.box import Box, Held
from tests.soak.verdict import LIMITS_PER_H, is_settled, problems, slope_per_h

ROOT = Path(__file__).parents[2]
SECONDS = 60
MIB = 1 << 20
SAMPLES = 8
ALONE = """\
schema = 1
[gateway]
id = "soak-box"
tenant = "citylab"
location = {{ lon = 10.2134, lat = 56.1535 }}
[buffer]
directory = "{folder}/state"
runtime_directory = "{folder}/run"
[http]
listen = "127.0.0.1:{port}"
"""
REST = {"blocks": 500_000, "malloc": 20 << 20, "descriptors": 230, "tasks": 110, "threads": 12}
"""What the box holds when nothing happens."""


def held(seconds: int, rss: Callable[[int], float], **more: int) -> list[Held]:
    """Return a sample a second."""
    return [Held(at_s=float(at), rss=int(rss(at)), **(REST | more)) for at in range(seconds)]


FLAT = held(600, lambda at: 70 * MIB + at % 7 * 100_000)


def test_what_is_flat_is_no_problem() -> None:
    assert abs(slope_per_h(FLAT)) < MIB / 2
    assert problems(FLAT, FLAT, FLAT) == []


def test_a_burst_is_no_growth() -> None:
    burst = held(600, lambda at: 70 * MIB + (30 * MIB if 200 < at < 280 else 0))
    assert problems(FLAT, burst, FLAT) == []


@pytest.mark.parametrize("what", LIMITS_PER_H)
@pytest.mark.parametrize(("seconds", "times"), [(600, 3.6), (1900, 1.2), (3000, 1.2)])
def test_steady_growth_is_found_and_measured(what: str, seconds: int, times: float) -> None:
    base = {"rss": 70 * MIB, **REST}[what]

    def run(per_h: float) -> list[Held]:
        return [
            replace(each, **{what: round(base + per_h * each.at_s / 3600)})
            for each in held(seconds, lambda _: 70 * MIB)
        ]

    growing = run(times * LIMITS_PER_H[what])
    assert slope_per_h(growing, what) == pytest.approx(times * LIMITS_PER_H[what], rel=0.01)
    (problem,) = problems(FLAT, growing, FLAT)
    assert problem.startswith(f"{what} grew")
    assert problems(FLAT, run(0.8 * LIMITS_PER_H[what]), FLAT) == []


async def test_a_planted_leak_is_found(tmp_path: Path) -> None:
    """In what a real daemon says of itself."""
    config, port = tmp_path / "gateway.toml", free_port()
    config.write_text(ALONE.format(folder=tmp_path, port=port), encoding="utf-8")
    box = Box(config, port, leaked_bytes_per_h=8 << 30)
    await box.start()
    try:
        await eventually(lambda: len(box.held) >= SAMPLES)
    finally:
        assert await box.stop() == 0
    found = {problem.partition(" ")[0] for problem in problems(FLAT, box.held, FLAT)}
    assert found >= {"blocks", "rss"}


@pytest.mark.parametrize(
    ("what", "more"), [("descriptors", 1), ("tasks", 1), ("threads", 21), ("blocks", 80_000)]
)
def test_what_does_not_come_back_is_found(what: str, more: int) -> None:
    after = held(20, lambda _: 70 * MIB, **{what: REST[what] + more})
    (problem,) = problems(FLAT, FLAT, after)
    assert problem.startswith(what)
    busy = [*held(9, lambda _: 70 * MIB, **{what: 999_999}), FLAT[-1]]
    assert problems(FLAT, FLAT, busy) == [], "the least of the last samples counts"


def test_what_still_comes_or_goes_is_not_settled() -> None:
    few, more = (held(5, lambda _: 70 * MIB, tasks=tasks) for tasks in (109, 111))
    assert is_settled(FLAT)
    assert is_settled([*more, *few, *few])
    assert not is_settled([*few, *more])


@pytest.mark.mosquitto
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_minute_of_faults_leaves_nothing_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.run", "--seconds", str(SECONDS), "--seed", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    end = re.search(r"sensors=(\d+) accepted=(\d+) unaccounted=0 problems=0", done.stdout)
    assert end is not None
    assert int(end[1]) == 100
    assert int(end[2]) > 0
    faults = re.search(r"^faults: (.*)$", done.stdout, re.MULTILINE)
    assert faults is not None
    assert faults[1].count(",") >= 3, "several kinds"
