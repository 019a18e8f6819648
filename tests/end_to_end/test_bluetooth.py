"""The radio, as far as a machine without one can have it: real bleak, real D-Bus, fake BlueZ.

PRIV-01: of the two hundred strangers who walk past the sensor nothing may remain anywhere.
"""

import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drivers.ble_ha.simulated import SimulatedBleHa
from drivers.bthome.simulated import SimulatedBTHome
from drivers.ruuvi.simulated import SimulatedRuuvi
from drivers.victron.simulated import SimulatedVictron
from gateway.reading import Measured
from tests.brokers import Mosquitto, free_port
from tests.drivers.driver_cases import make
from tests.end_to_end.gateway_process import GatewayProcess, broker
from tests.end_to_end.subscriber import Subscriber
from tests.transports.fake_bluez import FakeBlueZ, PrivateBus

pytestmark = [pytest.mark.dbus, pytest.mark.mosquitto]

TAG = "C4:7F:51:00:00:01"
STRANGERS = 200
MEASUREMENTS = 5
RUUVI = 0x0499
APPLE = 0x004C
EDDYSTONE = "0000feaa-0000-1000-8000-00805f9b34fb"
SECTIONS = f"""
    [log]
    level = "debug"
    [[sensor]]
    name = "air-square"
    driver = "ruuvi"
    address = "{TAG}"
"""


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    with tempfile.TemporaryDirectory(prefix="gw") as folder:  # a socket's path is short
        bus = PrivateBus(Path(folder))
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        bus.start()
        yield bus
        bus.kill()


@pytest.fixture
async def bluez(bus: PrivateBus, request: pytest.FixtureRequest) -> AsyncIterator[FakeBlueZ]:
    fake = FakeBlueZ(passive=getattr(request, "param", True))
    await fake.start()
    yield fake
    await fake.stop()


def stranger_addresses(rng: random.Random) -> list[str]:
    """Return random static addresses, the kind that phones and bands have."""
    return [
        ":".join(f"{byte:02X}" for byte in (0xC0 | rng.randrange(64), *rng.randbytes(5)))
        for _ in range(STRANGERS)
    ]


def texts(address: str) -> Iterator[bytes]:
    """Yield how an address may be written, in lower case."""
    raw = bytes.fromhex(address.replace(":", ""))
    for octets in (raw, raw[::-1]):
        for separator in ("", ":", "-", "_", " "):
            yield separator.join(f"{byte:02x}" for byte in octets).encode()
        yield b"%d" % int.from_bytes(octets, "big")


def traces(places: Mapping[str, bytes], addresses: list[str]) -> list[str]:
    """Return what of which address was found where: as bytes or as text, in either order."""
    found = []
    for place, content in places.items():
        folded = content.lower()
        for address in addresses:
            raw = bytes.fromhex(address.replace(":", ""))
            here = [form for form in (raw, raw[::-1]) if form in content]
            here += [form for form in texts(address) if form in folded]
            found += [f"{address} as {form!r} in {place}" for form in here]
    return found


async def pass_by(bluez: FakeBlueZ, address: str, rng: random.Random) -> None:
    """Let one stranger's device advertise, most of them with the address in the payload, too."""
    raw = bytes.fromhex(address.replace(":", ""))
    kind = rng.randrange(4)
    if kind == 0:  # a neighbour's RuuviTag: the very device that the driver knows
        advert = SimulatedRuuvi(rng.randrange(1 << 16), address).emit()
        heard = await bluez.advert(
            address, name=advert.name, manufacturer_data=advert.manufacturer_data
        )
    elif kind == 1:
        heard = await bluez.advert(address, manufacturer_data={APPLE: b"\x12\x19\x00" + raw})
    elif kind == 2:
        name = f"Band {address.replace(':', '')}"
        heard = await bluez.advert(address, name=name, service_data={EDDYSTONE: raw[::-1]})
    else:  # a broken one: right company, wrong length
        heard = await bluez.advert(address, manufacturer_data={RUUVI: b"\x05" + raw})
    assert heard, "BlueZ reported it, so the daemon had to make up its mind about it"


def files_below(*folders: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() + str(path).encode()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("bluez", [True, False], indirect=True, ids=["passive", "active"])
@pytest.mark.timeout(120)
async def test_a_configured_tag_arrives_and_strangers_leave_no_trace(
    tmp_path: Path, bluez: FakeBlueZ
) -> None:
    rng = random.Random(1)
    tag = SimulatedRuuvi(1, TAG)
    strangers = stranger_addresses(rng)
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        sections = (
            SECTIONS
            + broker("aarhus", mosquitto.port, 'format = "json"')
            + broker("vejle", mosquitto.port)
        )
        async with (
            Subscriber(tmp_path, mosquitto.port) as city,
            GatewayProcess(tmp_path, sections, size="1 MiB") as gateway,
        ):
            await gateway.until_metric("scanner_open", 1)
            await bluez.until_scanned()
            for _ in range(MEASUREMENTS):
                for address in strangers[:: rng.randrange(1, 4)]:
                    await pass_by(bluez, address, rng)
                advert = tag.emit()
                assert await bluez.advert(
                    TAG,
                    rssi=advert.rssi,
                    name=advert.name,
                    manufacturer_data=advert.manufacturer_data,
                )
            for address in strangers:
                await pass_by(bluez, address, rng)
            last = tag.emit()
            assert await bluez.advert(TAG, manufacturer_data=last.manufacturer_data)
            total = 4 * (MEASUREMENTS + 1)  # the bus keeps the order: all before it was heard
            await gateway.until("aarhus", acknowledged=total)
            await gateway.until("vejle", acknowledged=total)
            page = await gateway.metrics()
            assert page.value("scanner_adverts_total") == MEASUREMENTS + 1
            assert page.value("scanner_claimed_adverts_total") == MEASUREMENTS + 1
            assert page.value("buffer_appended_readings_total") == total
            await city.subscribed()
            places = {
                "/metrics": page.text.encode(),
                "/status.json": await gateway.get("/status.json"),
                "/": await gateway.get("/"),
                **files_below(gateway.state, gateway.runtime),
            }
        places |= files_below(gateway.state, gateway.runtime)
        places["log"] = gateway.log.encode()
    for number, message in enumerate(city.messages()):
        content = message.topic.encode() + b" " + message.payload + message.properties.encode()
        places[f"message {number} on {message.topic}"] = content
    assert len(city.readings()) == total
    assert {reading["sensor"] for reading in city.readings()} == {"air-square"}
    assert str(gateway.state / "ring") in places
    assert traces(places, strangers) == []
    # Nor has the city to know the address of its own tag, which is in no place but the file.
    assert traces(places, [TAG]) == []


SEVERAL = """
    [[sensor]]
    name = "node"
    driver = "bthome"
    address = "C4:7F:51:00:00:02"
    [[sensor]]
    name = "shed"
    driver = "ble_ha"
    address = "C4:7F:51:00:00:03"
    options = {{ package = "govee-ble" }}
    [[sensor]]
    name = "charger"
    driver = "victron"
    address = "C4:7F:51:00:00:04"
    options = {{ key_file = "{key}" }}
"""


@pytest.mark.timeout(40)
async def test_other_families_arrive_through_the_real_radio(
    tmp_path: Path, bluez: FakeBlueZ
) -> None:
    """A value repeated by a library's memory, or by a device's copies, would be counted here."""
    pytest.importorskip("govee_ble")
    key = tmp_path / "key"
    key.write_text(SimulatedVictron.OPTIONS["key"])
    key.chmod(0o600)
    models: dict[str, Any] = {
        "node": SimulatedBTHome(1, "C4:7F:51:00:00:02"),
        "shed": SimulatedBleHa(1, "C4:7F:51:00:00:03"),
        "charger": SimulatedVictron(1, "C4:7F:51:00:00:04"),
    }
    adverts = [model.emit() for _ in range(3) for model in models.values()]
    drivers = {
        "C4:7F:51:00:00:02": make("bthome"),
        "C4:7F:51:00:00:03": make("ble_ha", SimulatedBleHa.OPTIONS),
        "C4:7F:51:00:00:04": make("victron", SimulatedVictron.OPTIONS),
    }
    outcomes = [out for advert in adverts for out in drivers[advert.address].decode(advert)]
    expected = Counter(each.quantity for each in outcomes if isinstance(each, Measured))
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        sections = SEVERAL.format(key=key) + broker("aarhus", mosquitto.port, 'format = "json"')
        async with (
            Subscriber(tmp_path, mosquitto.port) as city,
            GatewayProcess(tmp_path, sections, size="1 MiB") as gateway,
        ):
            await gateway.until_metric("scanner_open", 1)
            await bluez.until_scanned()
            for advert in adverts:
                assert await bluez.advert(
                    advert.address,
                    rssi=advert.rssi,
                    name=advert.name,
                    manufacturer_data=advert.manufacturer_data or None,
                    service_data=advert.service_data or None,
                )
            await gateway.until("aarhus", acknowledged=expected.total())
            page = await gateway.metrics()
            assert page.value("scanner_adverts_total") == len(adverts)
            assert page.total("sensor_faults_total") == 0
            await city.subscribed()
        readings = city.readings()
    assert Counter(each["quantity"] for each in readings) == expected
    assert {each["sensor"] for each in readings} == models.keys()


def test_the_search_finds_what_it_looks_for() -> None:
    address = "C4:7F:51:0A:0B:0C"
    raw = bytes.fromhex("c47f510a0b0c")
    for trace in (
        raw,
        raw[::-1],
        b"dev_C4_7F_51_0A_0B_0C",
        b"c4:7f:51:0a:0b:0c",
        b"C47F510A0B0C",
        b"0c0b0a517fc4",
        b"0C-0B-0A-51-7F-C4",
        b"%d" % 0xC47F510A0B0C,
    ):
        assert traces({"somewhere": b"\x00x" + trace + b"y"}, [address])
    assert not traces({"somewhere": b"C4:7F:51:0A:0B:0D"}, [address])


@pytest.mark.timeout(30)
async def test_scanning_goes_on_whatever_the_brokers_do(tmp_path: Path, bluez: FakeBlueZ) -> None:
    tag = SimulatedRuuvi(1, TAG)
    sections = SECTIONS + broker("aarhus", free_port())  # nobody is there
    async with GatewayProcess(tmp_path, sections, size="1 MiB") as gateway:
        await gateway.until_metric("scanner_open", 1)
        await bluez.until_scanned()
        for _ in range(MEASUREMENTS):
            await bluez.advert(TAG, manufacturer_data=tag.emit().manufacturer_data)
        await gateway.until_metric("buffer_appended_readings_total", 4 * MEASUREMENTS)
        page = await gateway.metrics()
        assert page.value("scanner_open") == 1
        assert page.total("scanner_restarts_total") == 0
        assert page.total("scanner_recovery_step") == 0
        assert page.value("scanner_decode_seconds_total") > 0
        assert page.value("link_connects_total") == 0
