"""A bounded share of the fuzz of ``make fuzz``, and that it sees what it is there to see."""

from collections.abc import Iterable
from typing import Any

import pytest

from drivers.sds011 import Sds011, Sds011Options
from gateway.driver import Outcome
from gateway.reading import Fault, Measured
from tests.drivers import fuzz
from tests.drivers.connected_cases import connected_cases
from tests.drivers.crowd_cases import crowd_cases
from tests.drivers.driver_cases import BLUETOOTH, DRIVERS, POLLED, STREAMS, all_cases, make
from tests.drivers.footprint import footprint
from tests.drivers.fuzz import Findings, Run, main, run_share
from tests.drivers.polled_cases import polled_cases
from tests.drivers.ranges import ranges
from tests.drivers.repair import repair_of

INPUTS = 4000
NOISE_BYTES = 100_000
WITHOUT_CHECK = frozenset({"ld2410", "ld2450", "ops243", *BLUETOOTH})
"""Or with one that the radio has checked, or that nobody can make without the key."""
CASES = [*all_cases(beacons=False), *all_cases(beacons=True)]
POLLED_CASES = [case for name in POLLED for case in polled_cases(name)]
OTHER_CASES = [*POLLED_CASES, *connected_cases(), *crowd_cases()]


@pytest.mark.parametrize("name", DRIVERS)
def test_a_share_for_each_decoder(name: str) -> None:
    found = run_share(name, INPUTS, "ci")
    assert found.inputs == INPUTS
    assert found.readings > INPUTS / 100
    assert found.faults > INPUTS / 100


@pytest.mark.parametrize("name", STREAMS)
def test_a_long_run_of_noise_does_not_fill_memory_or_the_counters(name: str) -> None:
    run = Run(name, "noise")
    driver = make(name)
    faults = 0
    for _ in range(NOISE_BYTES // 1000):
        outcomes = list(driver.feed(run._random.randbytes(1000)))
        faults += len(outcomes)
        assert not any(isinstance(each, Measured) for each in outcomes)
        assert driver.buffered_bytes <= fuzz.MAX_BUFFERED_BYTES
    assert 0 < faults < NOISE_BYTES / 10


def test_the_same_seed_gives_the_same_inputs() -> None:
    assert run_share("modbus", 500, "7") == run_share("modbus", 500, "7")
    assert run_share("modbus", 500, "7") != run_share("modbus", 500, "8")


@pytest.mark.parametrize("case", [*CASES, *OTHER_CASES], ids=str)
def test_every_reading_of_the_test_cases_is_within_its_range(case: Any) -> None:
    limits = ranges(case.driver, case.options)
    for quantity, value, _ in case.readings:
        low, high = limits[quantity]
        assert low <= value <= high


def whole_frames(name: str) -> list[tuple[dict[str, Any], bytes]]:
    if name in POLLED:
        return [(c.options, data) for c in polled_cases(name) for _, data in c.talk if data]
    return [(case.options, part) for case in CASES if case.driver == name for part in case.parts]


@pytest.mark.parametrize("name", sorted({*DRIVERS} - WITHOUT_CHECK))
def test_a_changed_frame_is_repaired(name: str) -> None:
    """What the test cases hold is right as it is, most of it; with another byte it is not."""
    frames = whole_frames(name)
    repaired = right = 0
    for options, data in frames:
        repair = repair_of(name, options)
        if repair(data) == data:
            right += 1
            middle = len(data) // 2
            changed = data[:middle] + bytes((data[middle] ^ 1,)) + data[middle + 1 :]
            repaired += repair(changed) not in (changed, data)
    assert right >= len(frames) / 3
    assert repaired >= right / 5


# -- it sees what is wrong ----------------------------------------------------------------------


class Broken(Sds011):
    """Wrong in one way; which one is set by the tests."""

    wrong = ""
    leak: list[bytes]

    def feed(self, data: bytes) -> Iterable[Outcome]:
        if self.wrong == "raises" and data.endswith(b"\x07"):
            raise IndexError("out of range")
        outcomes = list(super().feed(data))
        if self.wrong == "range":
            outcomes = [
                Measured("air.pm25", 1000.1) if isinstance(each, Measured) else each
                for each in outcomes
            ]
        elif self.wrong == "chunking":
            outcomes += [Fault("noise", "more than one byte")] if len(data) > 1 else []
        elif self.wrong == "sample":
            outcomes = [
                each._replace(sample=bytes(100)) if isinstance(each, Fault) else each
                for each in outcomes
            ]
        elif self.wrong == "leak":
            vars(self).setdefault("leak", []).append(bytes(data))
        return outcomes


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        ("raises", "out of range"),
        ("range", "1000.1"),
        ("chunking", "other pieces"),
        ("sample", "sample"),
        ("leak", "it holds"),
    ],
)
def test_it_sees_a_decoder_that(wrong: str, seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "wrong", wrong)
    monkeypatch.setattr(fuzz, "make", lambda _, options: Broken(Sds011Options(**options)))
    with pytest.raises((AssertionError, IndexError), match=seen) as caught:
        run_share("sds011", 5 * fuzz.SHARE, "broken")
    notes = "\n".join(caught.value.__notes__)
    assert "driver sds011, seed broken" in notes
    assert "last inputs" in notes


def failing(name: str, inputs: int, seed: str) -> Findings:
    assert (name, seed) != ("p1", "3.1"), "as the test wants it"
    return Findings(inputs=inputs)


def test_the_command_counts_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seed", "3", "--inputs", str(2 * fuzz.SHARE + 5), "--processes", "1"]
    assert main([*options, "--driver", "p1", "--driver", "sml"], share=failing) == 1
    out, err = capsys.readouterr()
    inputs = 2 * (2 * fuzz.SHARE + 5) - fuzz.SHARE
    assert out.splitlines()[-1] == f"decoders=2 inputs={inputs} failures=1"
    assert "as the test wants it" in err
    assert f"--driver p1 --seed 3 --inputs {2 * fuzz.SHARE}\n" in err
    assert main([*options, "--driver", "sml"], share=failing) == 0


def test_the_command_with_real_decoders(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--inputs", "50", "--processes", "1"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"decoders={len(DRIVERS)} inputs={50 * len(DRIVERS)} failures=0"


def test_the_footprint_counts_what_an_object_holds_and_nothing_else() -> None:
    small, large = make("sds011"), make("sds011")
    large.feed(b"\xaa" * 9)
    assert 0 < footprint(small) < footprint(large) < 20_000
    large.more = [bytes(1000) for _ in range(5)]
    assert footprint(large) > 5000
