"""``init`` and the air: the real bleak, our own small BlueZ on a private bus, a phone."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from drivers.airthings.simulated import SimulatedAirthings
from drivers.ruuvi import Ruuvi, RuuviOptions
from drivers.ruuvi.simulated import SimulatedRuuvi
from drivers.victron.simulated import SimulatedVictron
from gateway.cli.init.find import find_all
from gateway.cli.init.find_bluetooth import _candidate
from gateway.cli.init.looking import Search
from gateway.cli.scan.sightings import Configured, Sightings
from gateway.config.load import load
from tests.cli.terminals import OnTerminal
from tests.end_to_end.gateway_process import run_command
from tests.transports.conftest import bluez, private_bus, short_directory
from tests.transports.fake_bluez import FakeBlueZ
from tests.transports.parts import until

__all__ = ["bluez", "private_bus", "short_directory"]

pytestmark = pytest.mark.dbus

TAG, WAVE, SOLAR = "C4:7F:51:00:00:01", "C4:7F:51:00:00:02", "C4:7F:51:00:00:03"
NEIGHBOUR = "C4:7F:51:00:00:04"
PHONE_NEARBY = "5A:9B:34:56:78:01"
BAND = "D1:9B:34:56:78:02"
BAND_NAME = "Karens band"
IBEACON = {0x004C: b"\x02\x15" + bytes(21)}
PHONE = (40, 20)
HEAR = "3 s"
"""Of a busy machine: each device speaks twenty times a second."""
PAUSE_S = 0.05
STATED = ("--id", "box-1", "--tenant", "aarhus", "--location", "none", "--broker-url", "none")


@asynccontextmanager
async def on_the_air(bluez: FakeBlueZ) -> AsyncIterator[None]:
    """Let three sensors of ours, a neighbour's, a phone and a band be heard all the time."""

    async def speak() -> None:
        tags = {TAG: (SimulatedRuuvi(1, TAG), -50), NEIGHBOUR: (SimulatedRuuvi(2, NEIGHBOUR), -90)}
        wave, solar = SimulatedAirthings(1, WAVE), SimulatedVictron(1, SOLAR)
        for number in itertools.count():
            for address, (tag, rssi) in tags.items():
                said = tag.emit().manufacturer_data
                await bluez.advert(address, rssi=rssi, manufacturer_data=said)
            said = wave.emit().manufacturer_data
            await bluez.advert(WAVE, rssi=-60, manufacturer_data=said)
            said = solar.emit().manufacturer_data
            await bluez.advert(SOLAR, rssi=-70, manufacturer_data=said)
            await bluez.advert(PHONE_NEARBY, rssi=-30, manufacturer_data=IBEACON)
            await bluez.advert(BAND, rssi=-30 - number % 3, name=BAND_NAME,
                               manufacturer_data={0x0075: b"\x01"})  # fmt: skip
            await asyncio.sleep(PAUSE_S)

    speaking = asyncio.create_task(speak())
    try:
        yield
    finally:
        speaking.cancel()
        with suppress(asyncio.CancelledError):
            await speaking


async def beside(talk: Callable[[], None]) -> None:
    """Let a person type beside the loop that plays the radio."""
    await asyncio.get_running_loop().run_in_executor(None, talk)


@pytest.mark.timeout(60)
async def test_a_technician_with_a_phone_and_sensors_in_the_air(
    tmp_path: Path, bluez: FakeBlueZ
) -> None:
    config = tmp_path / "etc" / "gateway.toml"
    key = SimulatedVictron.OPTIONS["key"]
    arguments = ["init", "--config", str(config), *STATED, "--for", HEAR, "--no-serial"]
    terminal = OnTerminal(arguments, size=PHONE)

    def talk() -> None:
        with terminal as person:
            person.said("Listening for Bluetooth sensors, 3 s.")
            person.said("1 of 4: ruuvi")
            person.said(TAG)
            person.said("-50 dBm")
            person.said("air.temperature")
            person.answer("Is it yours?", "y")
            person.answer("- leaves it out", "air-square")
            person.said("airthings")
            person.said("is read over a connection")
            person.answer("Is it yours?", "y")
            person.answer("- leaves it out", "")
            person.said("victron")
            person.said("encrypted")
            person.answer("Is it yours?", "y")
            person.answer("- leaves it out", "solar")
            person.answer("Its key", "not-a-key")
            person.answer("no such key; most", key)
            person.said("4 of 4: ruuvi")
            person.answer("Is it yours?", "")
            person.answer("Look again?", "n")
            person.answer("this machine only?", "n")
            person.answer("gateway.toml?", "")
            assert person.ended() == 0
            assert person.settings == person.before

    async with on_the_air(bluez):
        await beside(talk)
    assert bluez.mode == "", "nobody listens any more"
    await beside(lambda: _look_at(terminal, tmp_path, key))


def _look_at(terminal: OnTerminal, folder: Path, key: str) -> None:
    wide = [line for line in terminal.written.splitlines() if len(line.rstrip("\r")) > PHONE[0]]
    assert [line for line in wide if str(folder) not in line] == []
    for hidden in (key, PHONE_NEARBY, PHONE_NEARBY[:5], BAND, BAND[:5], BAND_NAME):
        assert hidden not in terminal.written
    loaded = load(folder / "etc" / "gateway.toml")
    assert [(each.name, each.driver, each.address) for each in loaded.sensor] == [
        ("air-square", "ruuvi", TAG),
        ("air", "airthings", WAVE),
        ("solar", "victron", SOLAR),
    ]
    (file,) = loaded.sensor[2].options.values()
    assert Path(file).read_text().strip() == key
    written = (folder / "etc" / "gateway.toml").read_text()
    assert key not in written
    assert NEIGHBOUR not in written


@pytest.mark.timeout(60)
async def test_a_script_names_the_addresses_that_are_its_own(
    tmp_path: Path, bluez: FakeBlueZ
) -> None:
    config = tmp_path / "gateway.toml"
    flags = ("--config", str(config), *STATED, "--for", HEAR)
    tags = (f"--sensor=tag={TAG}", f"--sensor=radon={WAVE}", f"--sensor=solar={SOLAR}")
    async with on_the_air(bluez):
        said = await run_command("init", *flags, *tags)
    assert said.code == 0, said.errors
    loaded = await asyncio.to_thread(load, config)
    assert [(each.name, each.driver, each.address) for each in loaded.sensor] == [
        ("tag", "ruuvi", TAG),
        ("radon", "airthings", WAVE),
        ("solar", "victron", SOLAR),
    ]
    text = await asyncio.to_thread(config.read_text)
    assert "#options = { key_file" in text
    for hidden in (NEIGHBOUR, BAND[:5], PHONE_NEARBY[:5]):
        assert hidden not in text + said.output + said.errors


@pytest.mark.timeout(60)
async def test_an_address_that_is_not_heard_is_an_error(tmp_path: Path, bluez: FakeBlueZ) -> None:
    del bluez
    flags = (*STATED, "--for", "200 ms", f"--sensor=tag={TAG}")
    said = await run_command("init", "--config", str(tmp_path / "g.toml"), *flags)
    assert said.code == 2
    assert "nothing was recognised" in said.errors


@pytest.mark.timeout(60)
async def test_somebody_looks_again_after_the_adapter_was_gone(
    tmp_path: Path, bluez: FakeBlueZ
) -> None:
    terminal = OnTerminal(
        ["init", "--config", str(tmp_path / "g.toml"), *STATED, "--for", "9 min", "--no-serial"],
        size=PHONE,
    )

    def talk() -> None:
        with terminal as person:
            person.said("ended early: Bluetooth is gone")
            person.said("no Bluetooth sensor is heard")
            person.answer("Look again?", "y")
            person.said("Listening for Bluetooth sensors")
            person.said("Ended; nothing was written.")
            assert person.ended() == 130

    talking = asyncio.create_task(beside(talk))
    await until(lambda: bool(bluez.mode))
    await bluez.power(on=False)
    await until(lambda: not bluez.mode)
    await bluez.power(on=True)
    await until(lambda: bool(bluez.mode))
    terminal.type("\x03")
    await talking
    assert "Traceback" not in terminal.written
    await until(lambda: not bluez.mode)


def test_what_is_a_households_in_the_old_configuration_is_not_shown() -> None:
    old = {TAG: Configured("at-home", Ruuvi(RuuviOptions()), discreet=True)}
    sightings = Sightings([Ruuvi], old)
    sightings.hear(SimulatedRuuvi(1, TAG).emit(), 1.0, fixed=True)
    (sighting,) = sightings.sensors
    candidate = _candidate(sighting)
    assert candidate.values == ()
    assert "was configured as at-home" in candidate.note
    assert "not shown" in candidate.note


def test_a_box_without_bluetooth_is_told_what_mends_it(
    short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={short_directory}/bus")
    told: list[str] = []
    assert find_all(Search(told.append, lambda count: False, 0.1, 0.1, addresses=[TAG])) == []
    assert told[-1].startswith("- no Bluetooth: ")
    assert "apt install" in told[-1]
