"""``init`` with a person: a real pseudo-terminal as small as a phone, sensors behind others."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.mbus.simulated import SimulatedMbus
from drivers.p1.simulated import SimulatedP1
from drivers.sds011.simulated import SimulatedSds011
from gateway.config.load import load
from gateway.config.secrets import broker_password
from tests.brokers import Mosquitto, mosquitto_password_file
from tests.cli.simulated_ports import plugged
from tests.cli.terminals import OnTerminal

PASSWORD = "canary-7781"
PHONE = (40, 20)
STATED = ("--id", "box-1", "--tenant", "aarhus", "--location", "none")


def quick(device: Any) -> Any:
    device.interval_s = 0.02
    return device


async def beside(talk: Callable[[], None]) -> None:
    """Let a person type beside the loop that plays the devices and the broker."""
    await asyncio.get_running_loop().run_in_executor(None, talk)


@pytest.mark.mosquitto
@pytest.mark.timeout(60)
async def test_ten_minutes_of_a_technician_with_a_phone(tmp_path: Path) -> None:
    config = tmp_path / "etc" / "gateway.toml"
    users = mosquitto_password_file(tmp_path / "users", {"box": PASSWORD})
    lines = (f"password_file {users}",)
    devices = {
        tmp_path / "air": quick(SimulatedSds011(1)),
        tmp_path / "meter": quick(SimulatedP1(2)),
    }
    terminal = OnTerminal(
        [
            *("init", "--config", str(config), "--listen", "700 ms"),
            *(f"--sensor=roof={tmp_path}/air", f"--sensor=grid={tmp_path}/meter"),
        ],
        size=PHONE,
    )
    async with Mosquitto(tmp_path / "mqtt", lines=lines, anonymous=False) as broker:

        def talk() -> None:
            with terminal as person:
                person.answer("for ever:", "My Box")
                person.answer("is no name; allowed:", "box-1")
                person.answer("owns the data:", "")
                person.answer("(Enter: nowhere):", "north")
                person.answer("is no place", "56.1535, 10.2134")
                person.said("air.pm25")
                person.answer("- leaves it out", "Roof")
                person.answer("is no name", "")
                person.answer("- leaves it out", "roof")
                person.answer("is taken already", "")
                person.answer("household or a person?", "")
                person.answer("[y/n]", "n")
                person.answer("Look again?", "")
                person.answer("no broker):", f"mqtt://127.0.0.1:{broker.port}")
                person.answer("all the same?", "yes")
                person.answer("this gateway, for ever:", "")
                person.answer("User name there", "box")
                person.answer("Password", "wrong")
                person.said("It does not work: login")
                person.answer("Keep it as it is?", "n")
                person.answer("no broker):", f"mqtt://127.0.0.1:{broker.port}")
                person.answer("all the same?", "yes")
                person.answer("this gateway, for ever:", "")
                person.answer("User name there", "box")
                person.answer("Password", PASSWORD)
                person.said("It takes us.")
                person.answer("this machine only?", "n")
                person.answer("gateway.toml?", "")
                assert person.ended() == 0
                assert person.settings == person.before

        async with plugged(devices):
            await beside(talk)
    await beside(lambda: _look_at(terminal, tmp_path))


def _look_at(terminal: OnTerminal, folder: Path) -> None:
    assert PASSWORD not in terminal.written
    wide = [line for line in terminal.written.splitlines() if len(line.rstrip("\r")) > PHONE[0]]
    odd = [line for line in wide if str(folder) not in line]
    assert odd == [], "only a path is longer, to be copied as a whole"
    loaded = load(folder / "etc" / "gateway.toml")
    assert [(each.name, each.driver, each.privacy) for each in loaded.sensor] == [
        ("roof", "sds011", None),
        ("grid", "p1", "P0"),
    ]
    assert loaded.http is None
    assert broker_password(loaded.broker[0]) == PASSWORD


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_whoever_ends_it_finds_everything_as_it_was(tmp_path: Path, key: str) -> None:
    arguments = ["init", "--config", str(tmp_path / "etc" / "gateway.toml"), *STATED, "--no-scan"]
    with OnTerminal(arguments, size=PHONE) as person:
        person.answer("no broker):", "mqtts://127.0.0.1:1")
        person.answer("this gateway, for ever:", "")
        person.answer("User name there", "box")
        person.said("Password")
        person.said(">")
        person.until(lambda: person.settings != person.before)
        person.type(key)
        person.said("nothing was written")
        assert person.ended() == 130
        assert person.settings == person.before
    assert list(tmp_path.iterdir()) == []


async def test_ctrl_c_ends_the_listening(tmp_path: Path) -> None:
    config = tmp_path / "etc" / "gateway.toml"
    port = f"--sensor=a={tmp_path}/mute"
    stated = (*STATED, "--broker-url", "none", "--yes", "--listen", "60 s")

    def talk() -> None:
        with OnTerminal(["init", "--config", str(config), *stated, port]) as person:
            person.said("Listening at 1 serial port")
            person.type("\x03")
            person.said("nothing was written")
            assert person.ended() == 130

    async with plugged({tmp_path / "mute": SimulatedMbus(1)}):
        await beside(talk)
    assert not config.parent.exists()


def test_a_no_at_the_end_writes_nothing(tmp_path: Path) -> None:
    arguments = ["init", "--config", str(tmp_path / "gateway.toml"), *STATED, "--no-scan"]
    with OnTerminal([*arguments, "--broker-url", "none", "--http"], size=PHONE) as person:
        person.answer("gateway.toml?", "n")
        person.said("Nothing was written.")
        assert person.ended() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_household_says_its_terms(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    arguments = ["init", "--config", str(config), *STATED, "--broker-url", "none"]
    with OnTerminal([*arguments, "--sensor=m=p1@/dev/ttyUSB9"], size=PHONE) as person:
        person.answer("- leaves it out", "")
        person.answer("household or a person?", "ja")
        person.answer("What is its data for?", "Research")
        person.answer("Who answers", "")
        person.answer("something has to be said", "me@example.org")
        person.answer("By what right?", "consent")
        person.answer("stay in this box?", "80 h")
        person.answer("must be from", "")
        person.answer("Look again?", "")
        person.answer("this machine only?", "")
        person.answer("gateway.toml?", "")
        assert person.ended() == 0
    (sensor,) = load(config).sensor
    assert (sensor.privacy, sensor.purpose, sensor.retention) == ("P3", "Research", 86400.0)


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "init", "--config", str(tmp_path / "g.toml")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("nobody can be asked") == 4
