import random
from pathlib import Path

import pytest

from gateway.backoff import Backoff
from gateway.clock import BOOT_ID_VARIABLE, STEP_THRESHOLD_NS, Clock, boot_id

BOOT = "6f1d2c3b-0000-4000-8000-0000000000aa"


class Machine:
    """A machine whose clocks are moved by hand."""

    def __init__(self, boottime_ns: int = 10**9, realtime_ns: int = 1_800_000_000 * 10**9) -> None:
        self.boottime_ns = boottime_ns
        self.realtime_ns = realtime_ns

    def advance(self, ns: int) -> None:
        self.boottime_ns += ns
        self.realtime_ns += ns

    def clock(self, *, trusted: bool = False, mark: Path = Path("/nonexistent")) -> Clock:
        return Clock(
            trusted=trusted,
            boottime_ns=lambda: self.boottime_ns,
            realtime_ns=lambda: self.realtime_ns,
            synchronized_mark=mark,
        )


def test_wall_time_is_boot_time_plus_the_offset() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.advance(5)
    assert clock.wall_ns(clock.now_ns()) == machine.realtime_ns
    assert not clock.synced


@pytest.mark.parametrize("change_ns", [3_600 * 10**9, -3_600 * 10**9])
def test_a_step_is_reported_once_and_moves_the_offset(change_ns: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.realtime_ns += change_ns
    step = clock.sample()
    assert step is not None
    assert step.change_ns == change_ns
    assert clock.sample() is None
    assert clock.steps == 1
    assert clock.wall_ns(machine.boottime_ns) == machine.realtime_ns


def test_a_slew_is_followed_and_is_no_step() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.realtime_ns += STEP_THRESHOLD_NS
    assert clock.sample() is None
    assert clock.wall_ns(machine.boottime_ns) == machine.realtime_ns
    assert clock.steps == 0


def test_the_tightest_sample_counts() -> None:
    times = iter([0, 1_000, 2_000, 2_010, 3_000, 5_000] * 2)
    clock = Clock(
        boottime_ns=lambda: next(times),
        realtime_ns=lambda: 1_000_000,
        synchronized_mark=Path("/nonexistent"),
    )
    assert clock.offset_ns == 1_000_000 - 2_005


def test_synced_once_the_network_has_set_it_and_for_good(tmp_path: Path) -> None:
    mark = tmp_path / "synchronized"
    clock = Machine().clock(mark=mark)
    states = [clock.synced]
    mark.touch()
    clock.sample()
    states.append(clock.synced)
    mark.unlink()
    clock.sample()
    states.append(clock.synced)
    assert states == [False, True, True]


def test_a_trusted_clock_is_synced_from_the_start() -> None:
    assert Machine().clock(trusted=True).synced


def test_the_boot_id_comes_from_the_unit_or_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BOOT_ID_VARIABLE, BOOT)
    assert boot_id().hex() == BOOT.replace("-", "")
    monkeypatch.setenv(BOOT_ID_VARIABLE, BOOT.replace("-", ""))  # systemd's %b has no hyphens
    assert boot_id().hex() == BOOT.replace("-", "")
    monkeypatch.delenv(BOOT_ID_VARIABLE)
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    assert boot_id().hex() == kernel.replace("-", "")


def test_a_boot_id_that_makes_no_sense_is_not_shared_with_another_boot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(BOOT_ID_VARIABLE, "nonsense")
    assert boot_id() != boot_id()


@pytest.mark.parametrize("seed", range(5))
def test_waits_grow_stay_below_the_cap_and_begin_again(seed: int) -> None:
    backoff = Backoff(first_s=1.0, max_s=60.0, rng=random.Random(seed))
    waits = [backoff.next_s() for _ in range(200)]
    assert all(0.5 <= wait <= 60.0 for wait in waits)
    assert waits[0] <= 1.0
    assert max(waits[6:]) > 30.0
    backoff.reset()
    assert backoff.next_s() <= 1.0
