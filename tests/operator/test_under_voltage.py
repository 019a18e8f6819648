"""A made-up /sys of a Raspberry Pi, of a Pi with another kernel, and of something else."""

from pathlib import Path

import pytest

from gateway.observe.metric_table import METRICS
from gateway.observe.under_voltage import (
    GET_THROTTLED,
    HWMON,
    MAX_HWMON,
    TROUBLES,
    power_troubles,
    under_voltage_seen,
)
from tests.observe.figures import Room

NAMES = ("citylab_gateway_power_trouble", "citylab_gateway_power_under_voltage_seen")


def pi(folder: Path, word: str) -> Path:
    """Return a /sys whose firmware says this."""
    file = folder / GET_THROTTLED
    file.parent.mkdir(parents=True)
    file.write_text(word, encoding="ascii")
    return folder


def hwmon(folder: Path, number: int, name: str, alarm: str | None) -> Path:
    """Return a /sys with one more monitor."""
    monitor = folder / HWMON / f"hwmon{number}"
    monitor.mkdir(parents=True)
    (monitor / "name").write_text(f"{name}\n", encoding="ascii")
    if alarm is not None:
        (monitor / "in0_lcrit_alarm").write_text(f"{alarm}\n", encoding="ascii")
    return folder


@pytest.mark.parametrize(
    ("word", "now", "seen"),
    [
        ("0\n", set(), False),
        ("50005\n", {"under_voltage", "throttled"}, True),
        ("50000\n", set(), True),
        ("1\n", {"under_voltage"}, True),
        ("80008\n", {"hot"}, False),
        ("2\n", {"frequency_capped"}, False),
        ("e0000\n", set(), False),
    ],
)
def test_the_firmware_of_a_pi_is_understood(
    tmp_path: Path, word: str, now: set[str], *, seen: bool
) -> None:
    system = pi(tmp_path, word)
    assert power_troubles(system) == {name: name in now for name in TROUBLES}
    assert under_voltage_seen(system) is seen


@pytest.mark.parametrize(("alarm", "told"), [("0", False), ("1", True)])
def test_another_kernel_tells_of_under_voltage_alone(
    tmp_path: Path, alarm: str, *, told: bool
) -> None:
    hwmon(tmp_path, 0, "cpu_thermal", "1")
    system = hwmon(tmp_path, MAX_HWMON - 1, "rpi_volt", alarm)
    assert power_troubles(system) == {"under_voltage": told}
    assert under_voltage_seen(system) is told


def test_the_word_of_the_firmware_goes_before_the_monitor(tmp_path: Path) -> None:
    system = hwmon(pi(tmp_path, "0"), 1, "rpi_volt", "1")
    assert under_voltage_seen(system) is False


@pytest.mark.parametrize("word", ["", "throttled=0x0", "0x"])
def test_what_is_no_word_is_not_guessed(tmp_path: Path, word: str) -> None:
    system = pi(tmp_path, word)
    assert power_troubles(system) == {}
    assert under_voltage_seen(system) is None


def test_a_monitor_without_its_alarm_tells_nothing(tmp_path: Path) -> None:
    assert power_troubles(hwmon(tmp_path, 0, "rpi_volt", None)) == {}
    assert under_voltage_seen(hwmon(tmp_path, 1, "rpi_volt", "yes")) is None


def test_another_box_tells_nothing(tmp_path: Path) -> None:
    assert power_troubles(tmp_path) == {}
    assert under_voltage_seen(tmp_path) is None


async def test_the_page_shows_it_without_blocking_and_only_where_it_is_told(
    tmp_path: Path, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {metric.name: metric for metric in METRICS if metric.name in NAMES}
    look = room.look()
    monkeypatch.setattr("gateway.observe.under_voltage.SYSTEM", tmp_path / "nothing")
    assert [list(shown[name].read(look)) for name in NAMES] == [[], []]
    monkeypatch.setattr("gateway.observe.under_voltage.SYSTEM", pi(tmp_path, "10004"))
    assert dict(shown[NAMES[0]].read(look)) == {
        ("under_voltage",): 0,
        ("frequency_capped",): 0,
        ("throttled",): 1,
        ("hot",): 0,
    }
    assert dict(shown[NAMES[1]].read(look)) == {(): 1}
