"""The side of the sensors with some that are connected to: who runs when, and what comes in."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from drivers.airthings import Airthings
from drivers.airthings.simulated import SimulatedAirthings
from gateway.assembly import Sensor
from gateway.config.model import BluetoothSection, SensorSection
from gateway.driver import NoOptions, Outcome
from gateway.intake import Intake
from gateway.reading import Measured
from gateway.station import CONNECTOR, SCANNER, SensorSide
from gateway.supervisor import Supervisor
from tests.transports.conftest import private_bus, short_directory  # noqa: F401 - fixtures
from tests.transports.fake_bluez import PrivateBus
from tests.transports.fake_gatt import FakeGatt, Peripheral
from tests.transports.parts import CLOCK, until

ADDRESS = "C0:FF:EE:00:00:01"
OTHER = "C0:FF:EE:00:00:02"
MODEL = "00002a24-0000-1000-8000-00805f9b34fb"
VALUES = "b42e2a68-ade7-11e4-89d3-123b93f75cba"
COMMAND = "b42e2d06-ade7-11e4-89d3-123b93f75cba"


class Books:
    """What the side of the sensors asks of the intake."""

    def __init__(self) -> None:
        self.sensors: dict[str, Any] = {}
        self.accepted: list[tuple[str, list[Outcome]]] = []

    def add_sensor(self, name: str, info: Any, **_: Any) -> None:
        self.sensors[name] = info

    def remove_sensor(self, name: str) -> None:
        del self.sensors[name]

    def accept(self, sensor: str, outcomes: Iterable[Outcome], received_ns: int) -> None:
        self.accepted.append((sensor, list(outcomes)))


def airthings(name: str, address: str, **keys: Any) -> Sensor:
    section = SensorSection.model_validate(
        {"name": name, "driver": "airthings", "address": address, **keys}
    )
    return Sensor(section, Airthings(NoOptions()), "P0")


@pytest.fixture
async def gatt(private_bus: PrivateBus) -> AsyncIterator[FakeGatt]:  # noqa: F811
    fake = FakeGatt()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.mark.dbus
async def test_sensors_come_and_go_and_are_read(gatt: FakeGatt) -> None:
    books = Books()
    radio = BluetoothSection(mode="active")
    device = SimulatedAirthings(1, ADDRESS)
    await device.write(COMMAND, b"\x6d")
    parts = [part async for part in device.notifications(COMMAND)]
    for address in (ADDRESS, OTHER):
        values = {uuid: await device.read(uuid) for uuid in (MODEL, VALUES)}
        gatt.add_peripheral(
            address, Peripheral(values, answers={(COMMAND, b"\x6d"): (COMMAND, parts)})
        )
    async with Supervisor() as tasks:
        side = SensorSide(cast("Intake", books), CLOCK, tasks)
        await side.scan(radio)
        assert tasks.names == []
        side.add(airthings("one", ADDRESS, interval="10 min"))
        await side.scan(radio)
        assert tasks.names == [SCANNER, CONNECTOR]
        assert books.sensors["one"].interval_s == 600.0
        side.add(airthings("two", OTHER))
        await side.scan(radio)
        assert side.connector is not None
        assert side.connector.sensors == ["one", "two"]

        await until(lambda: gatt.mode == "active")
        await gatt.advert(ADDRESS, manufacturer_data=dict(device.emit().manufacturer_data))
        async with asyncio.timeout(9.0):
            await until(lambda: bool(books.accepted))
        (name, outcomes) = books.accepted[0]
        assert name == "one"
        assert {"air.radon", "air.co2"} <= {
            each.quantity for each in outcomes if isinstance(each, Measured)
        }

        connector = side.connector
        await side.scan(radio, anew=True)  # another scanner: whoever connects needs that one
        assert side.connector is not None
        assert side.connector is not connector
        assert side.connector.radio is side.scanner
        assert side.connector.sensors == ["one", "two"]

        await side.remove("one")
        await side.scan(radio)
        assert side.connector.sensors == ["two"]
        await side.remove("two")
        await side.scan(radio)
        assert tasks.names == []
        assert getattr(side, "connector", "") is None
        await until(lambda: not gatt.connected)


async def test_while_the_radio_is_a_recording_nobody_connects(tmp_path: Path) -> None:
    books = Books()
    async with Supervisor() as tasks:
        side = SensorSide(cast("Intake", books), CLOCK, tasks)
        side.add(airthings("one", ADDRESS))
        await side.scan(BluetoothSection(replay=str(tmp_path / "adverts.jsonl")))
        assert tasks.names == [SCANNER]
        assert side.connector is None
        await side.remove("one")
