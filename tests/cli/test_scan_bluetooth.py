"""``scan --bluetooth``: the real bleak against our own small BlueZ on a private bus."""

import asyncio
import contextlib
import fcntl
import itertools
import json
import logging
import os
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from dbus_fast import Variant
from pydantic import BaseModel

from drivers.ruuvi import Ruuvi, RuuviOptions
from drivers.ruuvi.simulated import SimulatedRuuvi
from gateway.cli import main
from gateway.cli.scan.advice import radio_advice
from gateway.cli.scan.attempts import make_radio, radio_drivers
from gateway.cli.scan.bluetooth import discover, known_sensors
from gateway.cli.scan.radio import is_fixed
from gateway.cli.scan.radio_words import Scan, document, report, screen
from gateway.cli.scan.sightings import UNKNOWN_DBM, Configured, Rhythm, Sightings
from gateway.config.load import load
from gateway.driver import Advert, Driver, DriverInfo, GattClient, NoOptions, Outcome
from gateway.errors import ConfigErrors, PortError
from gateway.quantities import registry
from gateway.reading import Fault
from tests.transports import fake_bluez
from tests.transports.conftest import bluez, private_bus, short_directory
from tests.transports.fake_bluez import FakeBlueZ, PrivateBus
from tests.transports.parts import until

__all__ = ["bluez", "private_bus", "short_directory"]

NEAR = "C4:7F:51:00:00:01"
FAR = "C4:7F:51:00:00:02"
PUBLIC = "54:12:34:56:78:9A"
"""Looks like one that changes; only BlueZ knows that it is not."""
PHONE = "5A:9B:34:56:78:{:02X}"
WATCH = "C1:9B:34:56:78:{:02X}"
SEALED, GENERIC, WAVE = 0xFFF1, 0x004C, 0x0334
IBEACON = {GENERIC: b"\x02\x15" + bytes(21)}
LONG_S = 3600.0
Capture = pytest.CaptureFixture[str]


class _Driver:
    """What the make-believe drivers of this page have in common."""

    info: ClassVar[DriverInfo]
    Options: ClassVar[type[BaseModel]] = NoOptions
    company: ClassVar[int]

    def __init__(self, options: Any) -> None:
        del options

    def claims(self, advert: Advert) -> bool:
        return self.company in advert.manufacturer_data


def _info(name: str, *secrets: str) -> DriverInfo:
    return DriverInfo(
        name=name,
        title=name,
        domain="air",
        quantities=("air.temperature",),
        interval_s=1.0,
        document="tests",
        secrets=secrets,
    )


class SealedBeacon(_Driver):
    """Encrypts: the first byte says whether its key is missing or wrong."""

    info: ClassVar[DriverInfo] = _info("sealed", "bindkey")
    company: ClassVar[int] = SEALED

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        wrong = advert.manufacturer_data[SEALED][:1] == b"w"
        yield Fault("key_wrong" if wrong else "key_missing", "encrypted")


class GenericBeacon(_Driver):
    """Claims what many things are, and reads nothing of it; it has no key to give either."""

    info: ClassVar[DriverInfo] = _info("generic")
    company: ClassVar[int] = GENERIC

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        if advert.manufacturer_data[GENERIC][:1] == b"\xff":
            yield Fault("key_missing", "nobody has its key")


class WaveDriver:
    """Has to be connected to."""

    info: ClassVar[DriverInfo] = _info("wave")
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: Any) -> None:
        del options

    def due(self, advert: Advert, since_last_s: float | None) -> bool:
        return since_last_s is None and WAVE in advert.manufacturer_data

    async def read(self, client: GattClient) -> Iterable[Outcome]:
        raise AssertionError("nobody connects while looking around")


registry()  # the command reads it before its loop runs

DRIVERS: tuple[type[Driver], ...] = (GenericBeacon, Ruuvi, SealedBeacon, WaveDriver)


def ruuvi(number: int = 0, celsius: float = 21.5) -> dict[int, bytes]:
    """Return the payload of a tag's measurement with this number."""
    content = struct.pack(">BhHHhhhHBH6s", 5, round(celsius * 200), 0xFFFF, 0xFFFF,
                          0, 0, 0, 0xFFFF, 0, number, bytes(6))  # fmt: skip
    return {0x0499: content}


def planned(configured: Mapping[str, Configured] | None = None, *, adapter: str = "") -> Scan:
    return Scan(Sightings(DRIVERS, configured or {}), adapter, LONG_S)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.scan.bluetooth.REFRESH_S", 0.02)


@contextlib.asynccontextmanager
async def listening(scan: Scan, bluez: FakeBlueZ, *, active: bool = False) -> AsyncIterator[None]:
    """Put advertisements on the air inside; what was sent is heard at the end."""
    task = asyncio.create_task(discover(scan, active=active, live=False))
    await until(lambda: bool(scan.mode and bluez.mode))
    yield
    await bluez.advert("C0:00:00:00:00:0E", rssi=-127, manufacturer_data=ruuvi())
    await until(lambda: any(each.address.endswith("0E") for each in scan.sightings.sensors))
    scan.duration_s = 0.0
    await task


def shown(scan: Scan) -> dict[str, Any]:
    """Return the JSON document as programs get it, without the last device on the air."""
    text: dict[str, Any] = json.loads(json.dumps(document(scan)))
    text["devices"] = [each for each in text["devices"] if not each["address"].endswith("0E")]
    return text


@pytest.mark.dbus
async def test_sensors_are_listed_by_signal_with_driver_values_and_rhythm(
    bluez: FakeBlueZ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.scan.sightings.SAME_S", 0.0)  # whatever the bus holds up
    scan = planned()
    async with listening(scan, bluez):
        assert bluez.mode == "passive", "listening sends nothing"
        for number in range(3):
            await bluez.advert(FAR, rssi=-80, manufacturer_data=ruuvi(number, 4.0))
            await bluez.advert(NEAR, rssi=-50, manufacturer_data=ruuvi(number, 20.0 + number))
    found = shown(scan)
    near, far = found["devices"]
    assert (near["address"], near["signal_dbm"], far["address"]) == (NEAR, -50, FAR)
    (fit,) = near["fits"]
    assert (fit["driver"], fit["readings"]) == ("ruuvi", 3)
    assert fit["values"] == [
        {"quantity": "air.temperature", "value": 22.0, "unit": "Cel", "dims": {}}
    ]
    assert near["heard"] == far["heard"] == 3
    assert near["longest_pause_s"] >= near["interval_s"] >= 0.0
    assert (found["mode"], found["ended"]) == ("passive", "")
    text = report(scan, shortened=False)
    assert f"{NEAR}  -50 dBm  ruuvi\n    heard 3 x, every 0.0 s, at most " in text
    assert text.index(NEAR) < text.index(FAR)
    assert "air.temperature 22 Cel" in text
    assert "neighbour" in text

    path = tmp_path / "gateway.toml"  # what is offered can be pasted
    sections = [each["config"] for each in found["devices"]]
    assert all(each in text for each in sections)
    path.write_text("\n".join(('schema = 1\n[gateway]\nid = "box"', *sections)))
    sensors = (await asyncio.to_thread(load, path)).sensor
    assert [(each.name, each.driver, each.address) for each in sensors] == [
        ("ruuvi-0001", "ruuvi", NEAR),
        ("ruuvi-0002", "ruuvi", FAR),
    ]


@pytest.mark.dbus
@pytest.mark.parametrize("content", [b"m", b"w"])
async def test_what_is_encrypted_says_which_key_it_needs(content: bytes, bluez: FakeBlueZ) -> None:
    scan = planned()
    async with listening(scan, bluez):
        await bluez.advert(NEAR, manufacturer_data={SEALED: content})
    (device,) = shown(scan)["devices"]
    (fit,) = device["fits"]
    assert fit["problem"] == ("key_wrong" if content == b"w" else "key_missing")
    assert fit["secrets"] == ["bindkey"]
    text = report(scan, shortened=False)
    assert ("bindkey does not fit" if content == b"w" else "encrypted: needs bindkey") in text
    assert 'bindkey_file = "/etc/citylab-gateway/secrets/sealed-0001-bindkey"' in text


@pytest.mark.dbus
async def test_what_has_to_be_connected_to_is_named_and_not_connected_to(bluez: FakeBlueZ) -> None:
    scan = planned()
    async with listening(scan, bluez):
        await bluez.advert(NEAR, manufacturer_data={WAVE: b"\x00"})
    (device,) = shown(scan)["devices"]
    assert [(fit["driver"], fit["connects"]) for fit in device["fits"]] == [("wave", True)]
    assert "read over a connection" in report(scan, shortened=False)


@pytest.mark.dbus
async def test_priv_01_strangers_are_nothing_but_a_number(
    bluez: FakeBlueZ, caplog: pytest.LogCaptureFixture, capsys: Capture
) -> None:
    """Phones, a tag whose address changes, iBeacons, trackers, and what nobody claims."""
    caplog.set_level(logging.DEBUG)
    scan = planned()
    async with listening(scan, bluez):
        for number in range(20):
            data = (IBEACON, ruuvi(number), {SEALED: b"m"}, {0x0006: b"\x01"})[number % 4]
            await bluez.advert(
                PHONE.format(number), rssi=-40, name="Karen's phone", manufacturer_data=data
            )
        await bluez.advert(WATCH.format(1), rssi=-44, name="Karen's", manufacturer_data=IBEACON)
        await bluez.advert(WATCH.format(2), rssi=-60, manufacturer_data={GENERIC: b"\xff"})
        await bluez.advert(WATCH.format(3), rssi=-70, manufacturer_data={0x0075: b"\x42"})
        drawn = "\n".join(screen(scan, 80, 24))
    found = shown(scan)
    assert found["devices"] == []
    assert found["others"] == {
        "fixed": 3,
        "changing": 20,
        "more": False,
        "strongest_dbm": -40,
        "claimed": {"generic": 2},
    }
    text = report(scan, shortened=True)
    assert "23 other devices, the strongest at -40 dBm" in text
    assert "2 of a family that generic knows, without a value" in text
    written = report(scan, shortened=False) + json.dumps(document(scan))
    output = capsys.readouterr()
    everything = f"{text}{drawn}{written}{output.out}{output.err}{caplog.text}".lower()
    for stranger in (PHONE, WATCH):
        for form in (
            stranger[:14],
            stranger[:14].replace(":", ""),
            stranger[:14].replace(":", "_"),
        ):
            assert form.lower() not in everything
    assert "karen" not in everything
    assert "C1:9B:.." in text
    assert "5a:9b" not in everything, "of a phone not even the beginning"
    assert "c1:9b" not in written.lower(), "what may become a file has no piece of an address"
    kept = repr(scan.sightings._strangers)
    assert "5A:9B" not in kept
    assert WATCH.format(3) not in kept


@pytest.mark.dbus
@pytest.mark.parametrize("address_type", ["public", "random"])
async def test_a_public_address_stays_whatever_it_looks_like(
    address_type: str, bluez: FakeBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = fake_bluez._new_device

    def new_device(*what: Any) -> dict[str, Variant]:
        return {**make(*what), "AddressType": Variant("s", address_type)}

    monkeypatch.setattr(fake_bluez, "_new_device", new_device)
    scan = planned()
    async with listening(scan, bluez):
        await bluez.advert(PUBLIC, manufacturer_data=ruuvi(1))
    found = [each["address"] for each in shown(scan)["devices"]]
    assert found == ([PUBLIC] if address_type == "public" else [])


@pytest.mark.parametrize(
    ("address", "address_type", "fixed"),
    [
        ("C4:7F:51:00:00:01", "random", True),
        ("FF:7F:51:00:00:01", "random", True),
        ("54:12:34:56:78:9A", "public", True),
        ("54:12:34:56:78:9A", "random", False),
        ("3F:12:34:56:78:9A", "random", False),
        ("9F:12:34:56:78:9A", "random", False),
        ("54:12:34:56:78:9A", "", False),
    ],
)
def test_addresses_that_stay(address: str, address_type: str, *, fixed: bool) -> None:
    assert is_fixed(address, address_type) is fixed


@pytest.mark.dbus
async def test_what_is_configured_is_marked_and_read_with_its_options(
    bluez: FakeBlueZ, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        f"""
schema = 1
[gateway]
id = "box"
[[sensor]]
name = "ruuvi-0002"
driver = "ruuvi"
address = "{NEAR}"
options = {{ rssi = true }}
[[sensor]]
name = "phone-like"
driver = "ruuvi"
address = "{PUBLIC}"
[[sensor]]
name = "at-home"
driver = "ruuvi"
address = "C4:7F:51:00:00:03"
privacy = "P3"
purpose = "a test"
controller = "us"
legal_basis = "none"
retention = "1 h"
[[sensor]]
name = "away"
driver = "ruuvi"
address = "C4:7F:51:00:00:04"
"""
    )
    scan = planned(await asyncio.to_thread(known_sensors, path))
    async with listening(scan, bluez):
        await bluez.advert(NEAR, rssi=-50, manufacturer_data=ruuvi(1))
        await bluez.advert(FAR, rssi=-60, manufacturer_data=ruuvi(1))
        await bluez.advert(PUBLIC, rssi=-70, manufacturer_data=IBEACON)
        await bluez.advert("C4:7F:51:00:00:03", rssi=-75, manufacturer_data=ruuvi(1, 19.25))
    found = shown(scan)
    assert [(each["sensor"], each["config"] != "") for each in found["devices"]] == [
        ("ruuvi-0002", False),
        ("", True),
        ("phone-like", False),
        ("at-home", False),
    ]
    quantities = [each["quantity"] for each in found["devices"][0]["fits"][0]["values"]]
    assert quantities == ["air.temperature", "device.rssi"]
    assert 'name = "ruuvi-c47f51000002"' in found["devices"][1]["config"], "the short one is taken"
    assert [each["sensor"] for each in found["unheard"]] == ["away"]
    text = report(scan, shortened=False)
    assert f"{NEAR}  -50 dBm  ruuvi, configured as ruuvi-0002" in text
    assert "no values yet" in text
    assert "not shown" in text
    assert "19.25" not in text + json.dumps(found), "a household's values are shown nowhere"
    assert "configured and not heard: away" in text


def test_a_configuration_that_is_asked_for_must_be_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    path = tmp_path / "gateway.toml"
    monkeypatch.setattr("gateway.cli.scan.bluetooth.DEFAULT_CONFIG", path)
    assert known_sensors(None) == {}
    path.write_text("nonsense")
    with pytest.raises(ConfigErrors):
        known_sensors(path)
    assert not capsys.readouterr().err
    assert known_sensors(None) == {}
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.dbus
@pytest.mark.parametrize("passive", [True, False])
async def test_it_scans_actively_where_asked_to_or_bluez_cannot_else(
    private_bus: PrivateBus, *, passive: bool
) -> None:
    bluez = FakeBlueZ(passive=passive)
    await bluez.start()
    scan = planned()
    async with listening(scan, bluez, active=passive):
        assert bluez.mode == scan.mode == "active"
        await bluez.advert(NEAR, flags=None, manufacturer_data=ruuvi(1))
    assert len(shown(scan)["devices"]) == 1
    assert "--active" not in report(scan, shortened=False)
    assert bluez.mode == ""
    await bluez.stop()


@pytest.mark.dbus
async def test_what_was_found_is_told_when_the_adapter_goes(bluez: FakeBlueZ) -> None:
    scan = planned()
    task = asyncio.create_task(discover(scan, active=False, live=False))
    await until(lambda: bool(scan.mode and bluez.mode))
    await bluez.advert(NEAR, manufacturer_data=ruuvi(1))
    await until(lambda: bool(scan.sightings.sensors))
    await bluez.power(on=False)
    await task
    assert scan.cause == "power"
    text = report(scan, shortened=False)
    assert text.startswith("ended early: the adapter was switched off")
    assert NEAR in text


def kernel(folder: Path, monkeypatch: pytest.MonkeyPatch, **rfkill: str) -> None:
    """Let the kernel know one adapter, and one switch of a radio."""
    monkeypatch.setattr("gateway.cli.scan.advice.BLUETOOTH", folder / "bluetooth")
    monkeypatch.setattr("gateway.cli.scan.advice.RFKILL", folder / "rfkill")
    for name in ("bluetooth/hci0", "bluetooth/hci0:11", "rfkill/rfkill0", "rfkill/rfkill1"):
        (folder / name).mkdir(parents=True)
    (folder / "rfkill/rfkill0/type").write_text("wlan\n")
    (folder / "rfkill/rfkill0/soft").write_text("1\n")
    (folder / "rfkill/rfkill1/type").write_text("bluetooth\n")
    for name in ("hard", "soft"):
        (folder / "rfkill/rfkill1" / name).write_text(f"{rfkill.get(name, '0')}\n")


async def why_not(adapter: str = "") -> str:
    """Return what is advised when a scan cannot be started."""
    with pytest.raises(PortError) as caught:
        await discover(planned(adapter=adapter), active=False, live=False)
    return await asyncio.to_thread(radio_advice, caught.value.port, caught.value.reason)


@pytest.mark.dbus
async def test_what_is_missing_is_named_with_what_mends_it(
    private_bus: PrivateBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(tmp_path, monkeypatch)
    assert "systemctl enable --now bluetooth" in await why_not()
    bluez = FakeBlueZ(powered=False)
    await bluez.start()
    assert await why_not() == "bluetoothctl power on"
    assert await why_not("hci7") == "there is hci0"
    await bluez.stop()


async def test_no_system_bus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_directory: Path
) -> None:
    kernel(tmp_path, monkeypatch)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={short_directory}/bus")
    assert "apt install dbus" in await why_not()


@pytest.mark.parametrize(
    ("reason", "rfkill", "help_"),
    [
        ("org.freedesktop.DBus.Error.AccessDenied", {}, "usermod -aG bluetooth"),
        ("the adapter is not powered", {"soft": "1"}, "rfkill unblock bluetooth"),
        ("the adapter is not powered", {"soft": "1", "hard": "1"}, "at the machine itself"),
        ("org.bluez.Error.NotReady", {}, "bluetoothctl power on"),
        ("org.bluez.Error.InProgress", {}, ""),
    ],
)
def test_advice(
    reason: str,
    rfkill: dict[str, str],
    help_: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel(tmp_path, monkeypatch, **rfkill)
    found = radio_advice("hci0", reason)
    assert help_ in found
    assert bool(help_) == bool(found)


def test_advice_without_an_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.scan.advice.BLUETOOTH", tmp_path / "nothing")
    assert "plug one in" in radio_advice("bluetooth", "No Bluetooth adapters found.")


def test_rhythm() -> None:
    rhythm = Rhythm()
    assert Rhythm().interval_s is None
    for now_s in (5.0, 5.001, 7.0, 7.01, 10.0):  # two of them are second halves
        rhythm.beat(now_s)
    assert (rhythm.count, rhythm.interval_s, rhythm.longest_s) == (3, 2.5, 3.0)


def test_whoever_becomes_a_sensor_is_no_stranger_any_more() -> None:
    sightings = Sightings(DRIVERS, {})
    sightings.hear(Advert(NEAR, -60, manufacturer_data=IBEACON), 1.0, fixed=True)
    assert (sightings.others.fixed, sightings.sensors) == (1, [])
    sightings.hear(Advert(NEAR, -60, manufacturer_data=ruuvi(1)), 2.0, fixed=True)
    assert (sightings.others.fixed, len(sightings.sensors)) == (0, 1)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.scan.sightings.MAX_STRANGERS", 5)
    monkeypatch.setattr("gateway.cli.scan.sightings.MAX_DEVICES", 3)
    sightings = Sightings(DRIVERS, {})
    for number in range(20):
        advert = Advert(WATCH.format(number), -60, manufacturer_data=ruuvi(1))
        sightings.hear(advert, 1.0, fixed=True)
    assert len(sightings.sensors) == 3
    assert (sightings.others.fixed, sightings.others.more) == (5, True)


def test_a_signal_strength_that_the_adapter_does_not_know() -> None:
    sightings = Sightings(DRIVERS, {})
    sightings.hear(Advert(NEAR, 127, manufacturer_data=ruuvi(1)), 1.0, fixed=True)
    sightings.hear(Advert(WATCH.format(1), 127), 1.0, fixed=True)
    (sensor,) = sightings.sensors
    assert sensor.signal_dbm == UNKNOWN_DBM
    assert sightings.others.strongest_dbm is None
    sightings.hear(Advert(NEAR, -60, manufacturer_data=ruuvi(2)), 2.0, fixed=True)
    sightings.hear(Advert(NEAR, 127, manufacturer_data=ruuvi(3)), 3.0, fixed=True)
    assert sensor.signal_dbm == -60


@pytest.mark.parametrize(("width", "height"), [(79, 24), (40, 8), (200, 60)])
def test_the_table_fits_the_screen(width: int, height: int) -> None:
    scan = planned({FAR: Configured("air-yard", Ruuvi(RuuviOptions()))})
    for number in range(30):
        advert = Advert(WATCH.format(number), -40 - number, manufacturer_data=ruuvi(1))
        scan.sightings.hear(advert, 1.0, fixed=True)
    scan.sightings.hear(Advert(FAR, -30, manufacturer_data=ruuvi(1)), 1.0, fixed=True)
    scan.sightings.hear(Advert(PUBLIC, -30), 1.0, fixed=True)
    lines = screen(scan, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert FAR in lines[3], "the strongest first"
    if width >= 79:
        assert re.search(r" air-yard +1 +21.5 Cel$", lines[3])
    assert any("weaker ones" in line for line in lines) == (height < 40)
    assert any("1 other device" in line for line in lines)


def test_drivers_that_can_be_tried() -> None:
    found = radio_drivers()
    assert Ruuvi in found
    assert all(make_radio(cls) is not None and not cls.info.lines for cls in found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--bluetooth", "--serial"), "one after the other"),
        (("--bluetooth", "--probe"), "one after the other"),
        (("--bluetooth", "--for", "2 h"), "up to an hour"),
        (("--bluetooth", "--for", "soon"), "--for"),
        (("--bluetooth", "--driver", "sds011"), "ruuvi"),
        ((), "--serial or --bluetooth"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], words: str, capsys: Capture) -> None:
    assert main(["scan", *arguments]) == 2
    assert words in capsys.readouterr().err


class _Terminal:
    """A pseudo-terminal of 80 x 24, and all that was written to it."""

    def __init__(self) -> None:
        self.output = b""
        self.ours, self.theirs = os.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.set_blocking(self.ours, False)
        asyncio.get_running_loop().add_reader(self.ours, self._read)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the last one has closed it
            self.output += os.read(self.ours, 65536)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.ours)
        os.close(self.ours)
        os.close(self.theirs)


@pytest.mark.dbus
@pytest.mark.timeout(60)
async def test_live_on_a_terminal_until_somebody_interrupts(bluez: FakeBlueZ) -> None:
    terminal = _Terminal()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "gateway.cli",
        "scan", "--bluetooth", "--for", "1 h", "--driver", "ruuvi",
        stdout=terminal.theirs, stderr=terminal.theirs, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    try:
        tag = SimulatedRuuvi(1, NEAR)
        for number in itertools.count():  # whenever it begins to listen
            sent = tag.emit()
            await bluez.advert(NEAR, rssi=-60, manufacturer_data=sent.manufacturer_data)
            await bluez.advert(PHONE.format(number % 200), manufacturer_data=IBEACON)
            if b" Cel, " in terminal.output:
                break
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
        await until(lambda: terminal.output.endswith(b'address = "%s"\r\n' % NEAR.encode()))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        terminal.close()
    text = terminal.output.decode()
    live, _, after = text.partition("\x1b[?25h\x1b[?1049l")
    assert live.startswith("\x1b[?1049h\x1b[?25l\x1b[Hlistening passively, 3600 s left")
    assert "\x1b[2J" not in live, "nothing is wiped, so nothing flickers"
    assert re.search(rf"-60  {NEAR}  ruuvi .* Cel, ", live)
    assert f"{NEAR}  -60 dBm  ruuvi\r\n" in after
    assert "\x1b" not in after
    assert "with changing addresses" in after
    assert PHONE[:5] not in text


@pytest.mark.dbus
@pytest.mark.timeout(60)
async def test_plain_json_in_a_pipe(bluez: FakeBlueZ) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "gateway.cli",
        "scan", "--bluetooth", "--json", "--for", "0.5 s",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    reading = asyncio.create_task(process.communicate())
    while not reading.done():  # whenever it begins to listen
        await bluez.advert(
            WATCH.format(1), name="Karen's watch", manufacturer_data={0x0075: b"\x01"}
        )
        await bluez.advert(NEAR, name="Karen's tag", manufacturer_data=ruuvi(1))
        await asyncio.sleep(0.02)
    output, errors = reading.result()
    assert process.returncode == 0
    found = json.loads(output)
    assert [each["address"] for each in found["devices"]] == [NEAR]
    assert found["others"]["fixed"] == 1
    assert errors.decode() == "listening passively, 0.5 s; Ctrl-C ends it\n"
    assert b"C1:9B" not in output + errors
    assert b"Karen" not in output + errors
