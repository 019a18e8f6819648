"""Several adapters, chosen by name or by their own address, on the fake BlueZ."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from gateway.errors import PortError
from gateway.transports import BluetoothScanner
from gateway.transports.whereabouts import Found
from tests.transports.conftest import Bench
from tests.transports.fake_bluez import FakeBlueZ, PrivateBus, adapter_address
from tests.transports.parts import COMPANY, until

pytestmark = pytest.mark.dbus

OURS = "C4:7F:51:00:00:01"
AIRTHINGS = "58:93:D8:00:00:07"
STRANGER = "5A:12:34:56:78:9A"
NEVER_S = 3600.0


def temperature(hundredths: int) -> dict[int, bytes]:
    return {COMPANY: hundredths.to_bytes(2, "big")}


@pytest.fixture
async def two(private_bus: PrivateBus) -> AsyncIterator[FakeBlueZ]:
    fake = FakeBlueZ(adapters=2)
    await fake.start()
    yield fake
    await fake.stop()


def scanner_for(bench: Bench, *adapters: str, mode: str = "active") -> BluetoothScanner:
    return BluetoothScanner(
        beacons={OURS: ("air-square", bench.beacon)},
        sink=bench.sink,
        clock=bench.clock,
        adapters=adapters,
        mode=mode,
        silence_timeout_s=NEVER_S,
        connectable={AIRTHINGS},
    )


@pytest.mark.parametrize("mode", ["active", "passive"])
async def test_two_adapters_hear_together_what_each_hears(
    mode: str, two: FakeBlueZ, bench: Bench
) -> None:
    scanner = scanner_for(bench, "hci0", "hci1", mode=mode)
    bench.start(scanner.run)
    await until(lambda: two.scanning == {"hci0", "hci1"})
    await two.advert(OURS, manufacturer_data=temperature(1), adapter="hci0")
    await two.advert(OURS, manufacturer_data=temperature(2), adapter="hci1")
    await bench.sink.until(lambda: len(bench.sink.calls) == 2)
    for adapter in ("hci0", "hci1"):  # both hear this one
        await two.advert(OURS, manufacturer_data=temperature(3), adapter=adapter)
    await until(lambda: scanner.stats.adverts_received == 4)
    assert bench.sink.values() == [0.01, 0.02, 0.03]
    assert scanner.stats.adverts_doubled == 1
    assert [(each.open, each.mode) for each in scanner.stats.adapters.values()] == [
        (True, mode),
        (True, mode),
    ]


async def test_an_adapter_is_found_by_its_own_address(
    two: FakeBlueZ, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    scanner = scanner_for(bench, adapter_address(1))
    bench.start(scanner.run)
    await until(lambda: two.scanning == {"hci1"})
    await until(lambda: scanner.stats.adapters["adapter-1"].open)
    assert adapter_address(1) not in caplog.text + repr(scanner.stats)
    assert "adapter-1: scanning with hci1" in caplog.text


async def test_one_adapter_named_twice_is_used_once(two: FakeBlueZ, bench: Bench) -> None:
    scanner = scanner_for(bench, "hci1", adapter_address(1))
    bench.start(scanner.run)
    await until(lambda: any("twice" in each.last_error for each in scanner.stats.adapters.values()))
    await until(lambda: two.scanning == {"hci1"})
    assert len(two.sessions) == 1


async def test_without_a_choice_the_first_adapter_is_taken(two: FakeBlueZ, bench: Bench) -> None:
    await two.power(on=False, adapter="hci0")
    scanner = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: two.scanning == {"hci1"})
    await until(lambda: scanner.stats.adapters["default"].open)


async def test_an_adapter_that_is_pulled_out_and_comes_back_under_another_name(
    two: FakeBlueZ, bench: Bench
) -> None:
    scanner = scanner_for(bench, "hci0", adapter_address(1))
    bench.start(scanner.run)
    await until(lambda: two.scanning == {"hci0", "hci1"})
    await two.advert(OURS, manufacturer_data=temperature(1), adapter="hci1")
    await bench.sink.until(lambda: len(bench.sink.calls) == 1)
    await two.unplug("hci1")
    lost = scanner.stats.adapters["adapter-2"]
    await until(lambda: lost.restarts.get("error", 0) >= 1)
    assert lost.restarts["gone"] == 1
    assert not lost.open
    await two.advert(OURS, manufacturer_data=temperature(2), adapter="hci0")  # as if nothing was
    await bench.sink.until(lambda: len(bench.sink.calls) == 2)
    assert scanner.stats.adapters["hci0"].starts == 1

    await two.plug(3, address_of=1)
    await until(lambda: two.scanning == {"hci0", "hci3"})
    await two.advert(OURS, manufacturer_data=temperature(3), adapter="hci3")
    await bench.sink.until(lambda: len(bench.sink.calls) == 3)
    assert bench.sink.values() == [0.01, 0.02, 0.03]
    assert lost.recoveries == {}, "the ladder is for adapters that are there"


async def test_a_connection_is_told_where_the_device_is_heard_best(
    two: FakeBlueZ, bench: Bench
) -> None:
    scanner = scanner_for(bench, "hci0", "hci1")
    bench.start(scanner.run)
    await until(lambda: two.scanning == {"hci0", "hci1"})
    finding = asyncio.create_task(scanner.find(AIRTHINGS, 8.0))
    again = asyncio.create_task(scanner.find(AIRTHINGS, 8.0))
    await two.advert(STRANGER, adapter="hci1")
    await two.advert(AIRTHINGS, rssi=-80, adapter="hci1")
    device = f"dev_{AIRTHINGS.replace(':', '_')}"
    assert await finding == await again == Found(f"/org/bluez/hci1/{device}", "hci1")
    await two.advert(AIRTHINGS, rssi=-50, adapter="hci0")
    await until(lambda: len(two.devices) == 3)
    async with asyncio.timeout(8.0):
        while await scanner.find(AIRTHINGS, 8.0) != Found(f"/org/bluez/hci0/{device}", "hci0"):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
    assert STRANGER not in repr(vars(scanner._whereabouts))
    assert not bench.sink.calls


async def test_a_device_that_is_not_heard_is_not_found(two: FakeBlueZ, bench: Bench) -> None:
    scanner = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: two.mode == "active")
    with pytest.raises(PortError, match="not heard") as caught:
        await scanner.find(AIRTHINGS, 0.02)
    assert AIRTHINGS not in str(caught.value)
