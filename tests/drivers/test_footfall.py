"""Counting devices: what is counted, what is hidden, and what nothing is said about."""

import math
import tomllib
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.footfall import Footfall, FootfallOptions
from drivers.footfall import window as window_module
from drivers.footfall.simulated import SimulatedFootfall
from drivers.footfall.suppression import shown
from drivers.footfall.window import CountingWindow
from gateway.config.model import SensorSection
from gateway.driver import Beacon, Crowd, Outcome, Polled, Stream
from gateway.filters.suppress_small import SuppressSmall, SuppressSmallOptions
from gateway.quantities import SUPPRESSED_COUNTS, registry
from gateway.reading import Fault, Flag, Measured

FOLDER = Path(__file__).parents[2] / "drivers" / "footfall"
HIDDEN = int(Flag.SUPPRESSED)
ESTIMATED = int(Flag.ESTIMATED)
ZONED = {"near_dbm": -60, "middle_dbm": -75}


def footfall(**options: int) -> Footfall:
    return Footfall(FootfallOptions.model_validate(options))


def address(number: int, first: int = 0xC2) -> str:
    return f"{first:02X}:5D:E7:{number >> 16:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"


def told(outcomes: object) -> dict[tuple[str, str], tuple[float, int]]:
    """Return value and flags by the end of the quantity's name and the kind of address."""
    assert isinstance(outcomes, list)
    assert all(isinstance(each, Measured) for each in outcomes)
    return {
        (each.quantity.removeprefix("devices.count").lstrip("_"), each.dims[0][1]): (
            each.value,
            each.flags,
        )
        for each in outcomes
    }


# -- what it declares ---------------------------------------------------------------------------


def test_it_is_a_crowd_and_nothing_else() -> None:
    driver = footfall()
    assert isinstance(driver, Crowd)
    assert not isinstance(driver, Beacon | Stream | Polled)
    assert driver.info.privacy == "P2"
    assert set(driver.info.quantities) == SUPPRESSED_COUNTS
    assert set(driver.info.quantities) <= registry().keys()
    assert {registry()[name].kind for name in driver.info.quantities} == {"delta"}


def test_its_folder_explains_every_option_and_quantity() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for word in (*FootfallOptions.model_fields, *Footfall.info.quantities, Footfall.info.document):
        assert word in readme, word
    sample = tomllib.loads((FOLDER / "sample.toml").read_text(encoding="utf-8"))
    for section in sample["sensor"]:
        sensor = SensorSection.model_validate(section)
        footfall(**sensor.options)
        assert sensor.address == "*"
        assert sensor.sign


@pytest.mark.parametrize(
    "options",
    [
        {"window_s": 59},
        {"window_s": 901},
        {"suppress_below": 2},
        {"middle_dbm": -70},
        {"near_dbm": -80, "middle_dbm": -70},
        {"near_dbm": -80, "weakest_dbm": -70},
        {"near_dbm": -70, "weakest_dbm": -70},
        {"resident": 1},
    ],
)
def test_priv_03_and_05_limits_are_no_matter_of_taste(options: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        footfall(**options)


def test_priv_03_a_window_is_five_minutes_unless_somebody_says_otherwise() -> None:
    assert footfall().window_s == 300
    assert footfall(window_s=60).window_s == 60
    assert footfall(window_s=900).window_s == 900


# -- counting -----------------------------------------------------------------------------------


def test_a_device_counts_once_in_its_strongest_zone() -> None:
    driver = footfall(**ZONED)
    for number in range(30):
        for rssi in (-90, -70, -50, -90)[: 1 + number // 10]:
            driver.hear(address(number), rssi, random=False)
    assert told(driver.close(1.0)) == {
        ("", "public"): (30.0, 0),
        ("near", "public"): (10.0, 0),
        ("middle", "public"): (10.0, 0),
        ("far", "public"): (10.0, 0),
        ("", "random"): (0.0, ESTIMATED),
        ("near", "random"): (0.0, ESTIMATED),
        ("middle", "random"): (0.0, ESTIMATED),
        ("far", "random"): (0.0, ESTIMATED),
    }


@pytest.mark.parametrize(
    ("options", "quantities"),
    [
        ({}, {""}),
        ({"near_dbm": -60}, {"", "near", "far"}),
        (ZONED, {"", "near", "middle", "far"}),
    ],
)
def test_zones_are_there_if_they_are_asked_for(
    options: dict[str, int], quantities: set[str]
) -> None:
    assert {name for name, _ in told(footfall(**options).close(1.0))} == quantities


def test_the_limits_of_zones_belong_to_the_nearer_one() -> None:
    driver = footfall(**ZONED, suppress_below=3, weakest_dbm=-80)
    for number, rssi in enumerate((-60, -60, -60, -61, -75, -75, -76, -80, -80, -81, -81, -127)):
        driver.hear(address(number), rssi, random=False)
    counts = told(driver.close(1.0))
    zones = {name: counts[name, "public"][0] for name in ("", "near", "middle", "far")}
    assert zones == {"": 9, "near": 3, "middle": 3, "far": 3}


def test_priv_06_random_addresses_are_an_estimate_of_their_own() -> None:
    driver = footfall()
    for number in range(8):
        driver.hear(address(number), -60, random=number < 5)
        driver.hear(address(number), -60, random=number < 5)
    driver.hear(address(0), -60, random=False)  # the same number is another device
    assert told(driver.close(1.0)) == {
        ("", "public"): (0.0, HIDDEN),
        ("", "random"): (5.0, ESTIMATED),
    }


@pytest.mark.parametrize("random", [True, False])
def test_priv_06_nothing_looks_into_an_address(random: bool) -> None:  # noqa: FBT001
    """Static, resolvable, private or of whichever vendor: each counts as one."""
    driver = footfall()
    for first in range(0, 256, 16):
        driver.hear(address(1, first), -60, random=random)
    counts = told(driver.close(1.0))
    assert counts["", "random" if random else "public"][0] == 16


def test_a_value_without_a_signal_strength_is_no_advertisement() -> None:
    driver = footfall()
    for number in range(9):
        driver.hear(address(number), -127, random=False)
    assert told(driver.close(1.0))["", "public"] == (0.0, 0)


# -- windows ------------------------------------------------------------------------------------


def test_nobody_passed_is_told_from_could_not_hear() -> None:
    driver = footfall()
    assert told(driver.close(1.0))["", "public"] == (0.0, 0)
    assert driver.close(0.0) == (Fault("timeout", "too little of a window was heard to count"),)


@pytest.mark.parametrize(
    ("heard", "flags"), [(1.0, 0), (0.98, 0), (0.97, ESTIMATED), (0.8, ESTIMATED), (0.79, None)]
)
def test_an_interrupted_window_is_flagged_or_says_nothing(heard: float, flags: int | None) -> None:
    driver = footfall()
    for number in range(7):
        driver.hear(address(number), -60, random=False)
    outcomes = list(driver.close(heard))
    if flags is None:
        assert all(isinstance(each, Fault) for each in outcomes)
    else:
        assert told(outcomes)["", "public"] == (7.0, flags)


@pytest.mark.parametrize("heard", [1.0, 0.0])
def test_priv_03_what_was_heard_is_gone_when_the_window_ends(heard: float) -> None:
    driver = footfall()
    window = driver._window
    for number in range(100):
        driver.hear(address(number), -60, random=True)
    assert not window.is_empty()
    driver.close(heard)
    assert window.is_empty()
    assert told(driver.close(1.0))["", "random"] == (0.0, ESTIMATED)


def tokens(window: CountingWindow, addresses: list[str]) -> list[bytes]:
    """Return what is kept of each address when it comes into an empty window by itself."""
    found = []
    for each in addresses:
        before = bytes(window._tokens)
        window.add(each, 0, random=True)
        after = bytes(window._tokens)
        changed = [
            at for at in range(0, len(after), 8) if before[at : at + 8] != after[at : at + 8]
        ]
        found += [after[at : at + 8] for at in changed]
    return found


def test_priv_02_the_same_address_has_unrelated_tokens_in_two_windows() -> None:
    addresses = [address(number) for number in range(20)]
    window = CountingWindow()
    first = tokens(window, addresses)
    key = bytes(window._key)
    window.close(1)
    second = tokens(window, addresses)
    assert len(first) == len(second) == 20
    assert not set(first) & set(second)
    assert bytes(window._key) != key
    bits = sum(
        (a[n] ^ b[n]).bit_count() for a, b in zip(first, second, strict=True) for n in range(8)
    )
    assert math.isclose(bits / (20 * 64), 0.5, abs_tol=0.1), "half of the bits, as by chance"


def test_priv_02_a_restart_and_another_gateway_have_other_keys() -> None:
    addresses = [address(number) for number in range(20)]
    windows = [CountingWindow() for _ in range(4)]
    assert len({bytes(each._key) for each in windows}) == 4
    assert all(any(each._key) for each in windows)
    assert len({token for each in windows for token in tokens(each, addresses)}) == 80


def test_the_memory_of_a_window_is_bounded_and_more_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window_module, "MAX_DEVICES", 50)
    driver = footfall()
    for number in range(60):
        driver.hear(address(number), -60, random=False)
        driver.hear(address(0), -60, random=False)
    *counts, fault = list(driver.close(1.0))
    assert told(counts)["", "public"] == (50.0, ESTIMATED)
    assert fault == Fault("device_error", "more devices than a window has room for")
    assert len(list(driver.close(1.0))) == 2, "the next window has room again"


def test_a_full_window_still_finds_everybody() -> None:
    window = CountingWindow()
    size = len(window._tokens) + len(window._notes)
    for number in range(window_module.MAX_DEVICES):
        window.add(address(number), number % 3, random=number % 2 == 0)
    for number in range(0, window_module.MAX_DEVICES, 7):
        window.add(address(number), 2, random=number % 2 == 0)
    public, random, overflows = window.close(3)
    assert sum(public) == sum(random) == window_module.MAX_DEVICES // 2
    assert overflows == 0
    assert len(window._tokens) + len(window._notes) == size < 1 << 19


# -- suppression --------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 25), min_size=1, max_size=3),
    st.integers(3, 12),
)
def test_priv_05_no_small_count_is_ever_shown(zones: list[int], k: int) -> None:
    total, split = shown(zones, k)
    for value, flags in (total, *split):
        assert value == 0 or value >= k
        assert flags in (0, HIDDEN)
        assert value == 0 or not flags
    known = SuppressSmall(SuppressSmallOptions(k=k)).apply(0, float(sum(zones)), 0)
    assert known == (0, *total), "the same rule as the filter's"
    if not any(flags for _, flags in split):
        assert [value for value, _ in split] == zones
    if not sum(zones):
        assert [total, *split] == [(0.0, 0)] * (len(zones) + 1), "zero is published"


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("number", [2, 3])
def test_priv_05_no_small_count_can_be_worked_out_from_the_rest(k: int, number: int) -> None:
    """Whoever knows the rule and sees a window has at least two values left for a small zone."""
    possible: dict[object, list[tuple[int, ...]]] = {}
    for zones in product(range(3 * k + 1), repeat=number):
        if sum(zones) > 3 * k:
            continue  # or some of those with the same total would be missing
        total, split = shown(zones, k)
        possible.setdefault((total, tuple(split)), []).append(zones)
    for candidates in possible.values():
        for zone in range(number):
            values = {each[zone] for each in candidates}
            if any(0 < value < k for value in values):
                assert len(values) >= k - 1


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(-100, -40), st.booleans()), max_size=80),
    st.integers(3, 8),
)
def test_priv_04_and_05_whatever_passes_only_counts_come_out(
    heard: list[tuple[int, int, bool]], k: int
) -> None:
    driver = footfall(**ZONED, suppress_below=k)
    for number, rssi, random in heard:
        driver.hear(address(number), rssi, random=random)
    outcomes: list[Outcome] = list(driver.close(1.0))
    assert len(outcomes) == 8, "as many whoever passed"
    for each in outcomes:
        assert isinstance(each, Measured)
        assert each.quantity in SUPPRESSED_COUNTS
        assert each.value.is_integer()
        assert each.value == 0 or each.value >= k
        assert each.dims in ((("channel", "public"),), (("channel", "random"),))
        assert each.age_s == 0
    for kind in (True, False):
        passed = len({number for number, _, random in heard if random is kind})
        value = told(outcomes)["", "random" if kind else "public"][0]
        assert value == (passed if passed >= k else 0)


# -- simulator ----------------------------------------------------------------------------------


def test_the_simulated_street_is_the_same_for_the_same_seed_and_is_counted() -> None:
    streets = [SimulatedFootfall(seed, "") for seed in (1, 1, 2)]
    heard = [[list(street.emit()) for _ in range(60)] for street in streets]
    assert heard[0] == heard[1] != heard[2]
    driver = footfall()
    for second in heard[0]:
        for who, rssi, random in second:
            driver.hear(who, rssi, random=random)
    counts = told(driver.close(1.0))
    assert counts["", "public"] == (6.0, 0)
    assert counts["", "random"][0] > 40
