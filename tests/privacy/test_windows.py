"""PRIV-03: when a window ends, what is known of it, and that it is forgotten."""

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway.clock import Clock
from gateway.driver import Crowd, DriverInfo, NoOptions, Outcome
from gateway.reading import Measured
from gateway.transports import CrowdWindows
from tests.drivers.driver_cases import make

S = 1_000_000_000
WINDOW_S = 300
MIDNIGHT_S = 1_800_000_000 - 1_800_000_000 % 86400


class Street:
    """Time moved by hand, a crowd that remembers what it was told, and a sink."""

    info: ClassVar[DriverInfo] = make("footfall").info
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, since_midnight_s: float = 0.0, adapters: Iterable[str] = ("",)) -> None:
        self.boot_s = 1000.0
        self.offset_s = MIDNIGHT_S + since_midnight_s - self.boot_s
        self.clock = Clock(
            boottime_ns=lambda: round(self.boot_s * S),
            realtime_ns=lambda: round((self.boot_s + self.offset_s) * S),
        )
        self.window_s = float(WINDOW_S)
        self.open: list[str] = []
        """What was heard in the window that is open."""
        self.closed: list[tuple[int, object]] = []
        """How many devices, and how much of the window was heard."""
        self.accepted: list[tuple[int, int]] = []
        """Seconds since midnight at which a reading is stamped, and its value."""
        self.windows = CrowdWindows(
            sensor="square", crowd=self, sink=self, clock=self.clock, adapters=tuple(adapters)
        )

    def hear(self, address: str, rssi: int, *, random: bool) -> None:
        self.open.append(address)

    def close(self, heard: float) -> Iterable[Outcome]:
        self.closed.append((len(self.open), heard))
        yield Measured("devices.count", float(len(self.open)))
        self.open.clear()

    def accept(self, sensor: str, outcomes: Iterable[Outcome], received_ns: int) -> None:
        assert sensor == "square"
        (outcome,) = outcomes
        assert isinstance(outcome, Measured)
        wall_s = received_ns / S + self.offset_s - MIDNIGHT_S
        self.accepted.append((round(wall_s), int(outcome.value)))

    def passes(self, number: int = 1) -> None:
        for _ in range(number):
            self.windows.hear("C2:5D:E7:00:00:01", -60, random=True)

    def wait(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass as the transport's own task sees it."""
        end_s = self.boot_s + seconds
        while self.boot_s < end_s:
            self.boot_s = min(end_s, self.boot_s + step_s)
            self.clock.sample()
            self.windows.look()


def test_the_street_is_a_crowd() -> None:
    assert isinstance(Street(), Crowd)


def test_priv_03_windows_end_at_multiples_of_their_length_of_wall_time() -> None:
    street = Street(since_midnight_s=120)
    street.windows.began()
    street.passes(3)
    street.wait(180)
    assert street.accepted == [(300, 3)]
    assert street.closed == [(3, pytest.approx(0.6))]
    street.passes(7)
    street.wait(299)
    assert len(street.accepted) == 1
    street.wait(1)
    assert street.accepted[1:] == [(600, 7)]
    assert street.closed[1:] == [(7, 1.0)]
    assert street.windows.results == {"whole": 1, "partly": 1, "deaf": 0}


def test_an_advertisement_after_the_end_belongs_to_the_next_window() -> None:
    street = Street()
    street.windows.began()
    street.passes(2)
    street.boot_s += 300.4  # nobody looked at the clock in time
    street.passes(5)
    assert street.accepted == [(300, 2)]
    assert len(street.open) == 5
    street.wait(299.6)
    assert street.closed == [(2, 1.0), (5, 1.0)]


def test_without_an_advertisement_of_anybody_nothing_was_heard() -> None:
    street = Street()
    street.windows.began()
    street.wait(300)
    street.windows.heard_own()
    street.wait(300)
    street.wait(300)
    assert street.closed == [(0, 0.0), (0, 1.0), (0, 0.0)]
    assert street.windows.results == {"whole": 1, "partly": 0, "deaf": 2}


@pytest.mark.parametrize(("gap_s", "heard"), [(3, 0.99), (30, 0.9), (150, 0.5)])
def test_a_gap_is_the_part_that_was_not_heard(gap_s: int, heard: float) -> None:
    street = Street()
    street.windows.began()
    street.passes()
    street.wait(100)
    street.windows.ended()
    street.wait(gap_s)
    street.windows.began()
    street.wait(200 - gap_s)
    assert street.closed == [(1, pytest.approx(heard))]
    assert street.windows.results["whole" if gap_s < 5 else "partly"] == 1


def test_a_silent_adapter_has_not_listened_since_it_was_heard_last() -> None:
    street = Street()
    street.windows.began()
    street.passes()
    last_ns = street.clock.now_ns() + 60 * S
    street.wait(150)
    street.windows.ended(since_ns=last_ns)
    street.windows.began()
    street.wait(150)
    assert street.closed == [(1, pytest.approx(1 - 90 / 300))]


def test_silence_that_began_in_the_window_before_is_counted_in_this_one_only() -> None:
    street = Street()
    street.windows.began()
    street.passes()
    last_ns = street.clock.now_ns() + 290 * S
    street.wait(300)
    street.passes()
    street.wait(30)
    street.windows.ended(since_ns=last_ns)
    street.wait(30)
    street.windows.began()
    street.wait(240)
    assert street.closed == [(1, 1.0), (1, pytest.approx(0.8))]


def test_a_window_is_heard_while_all_adapters_listen() -> None:
    street = Street(adapters=("hci0", "hci1"))
    street.windows.began("hci0")
    street.passes()
    street.wait(60)
    street.windows.began("hci1")
    street.wait(240)
    street.windows.ended("hci0")
    street.wait(30)
    street.windows.ended("hci1")
    street.windows.began("hci0")
    street.wait(30)
    street.windows.began("hci1")
    street.passes()
    street.wait(240)
    assert street.closed == [(1, pytest.approx(0.8)), (1, pytest.approx(0.8))]


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 100.0, -100.0])
def test_priv_03_a_clock_that_is_set_makes_no_window_longer(step_s: float) -> None:
    street = Street()
    street.windows.began()
    street.passes()
    street.wait(200)
    street.offset_s += step_s
    street.wait(700)
    assert len(street.closed) >= 3
    assert street.closed[0] == (1, 1.0)
    ends = [seconds for seconds, _ in street.accepted]
    assert all(later - sooner <= WINDOW_S + 1 for sooner, later in pairwise(ends[1:]))
    assert ends[-1] % WINDOW_S == 0


@given(st.floats(-0.45, 0.45), st.floats(0, 299))
def test_a_clock_that_drifts_makes_no_window_of_an_instant(drift_s: float, start_s: float) -> None:
    street = Street(since_midnight_s=start_s)
    street.windows.began()
    for _ in range(4):
        for _ in range(30):
            street.passes()
            street.wait(10)
        street.offset_s += drift_s
    assert len(street.closed) >= 3
    for _, heard in street.closed[1:]:
        assert isinstance(heard, float)
        assert heard >= 0.99


def test_a_box_that_slept_has_not_heard() -> None:
    street = Street()
    street.windows.began()
    street.passes(4)
    street.boot_s += 3600 + 100
    street.clock.sample()
    street.windows.look()
    street.passes()
    street.wait(200)
    assert street.accepted == [(300, 4), (3900, 1)]
    assert street.closed[1] == (1, pytest.approx(200 / 300))


@given(
    st.lists(
        st.tuples(st.sampled_from(["wait", "began", "ended", "own", "hear"]), st.floats(0.1, 400)),
        max_size=40,
    )
)
def test_whatever_happens_what_was_heard_is_a_share(acts: list[tuple[str, float]]) -> None:
    street = Street(since_midnight_s=77)
    act: dict[str, Any] = {
        "wait": lambda s: street.wait(s, step_s=50.0),
        "began": lambda s: street.windows.began(),
        "ended": lambda s: street.windows.ended(since_ns=street.clock.now_ns() - round(s * S)),
        "own": lambda s: street.windows.heard_own(),
        "hear": lambda s: street.passes(),
    }
    for name, seconds in acts:
        act[name](seconds)
    assert all(isinstance(heard, float) and 0 <= heard <= 1 for _, heard in street.closed)


@pytest.fixture
def street() -> Street:
    """Return one that is made outside the event loop: the clock reads a file."""
    return Street()


async def test_priv_03_a_window_that_is_cut_off_is_forgotten_without_a_count(
    street: Street,
) -> None:
    street.windows.began()
    street.passes(9)
    task = asyncio.create_task(street.windows.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert street.open == []
    assert street.accepted == []
    assert street.closed == [(9, 0.0)]
