"""What the scan does about a radio that is deaf, busy or stuck, on the fake BlueZ."""

import asyncio
import logging

import pytest
from bleak.backends.bluezdbus.manager import get_global_bluez_manager
from dbus_fast import Message, Variant

from gateway.transports import AdapterStats, BluetoothScanner
from gateway.transports.whereabouts import Found
from tests.transports.conftest import Bench
from tests.transports.fake_bluez import FakeBlueZ, PrivateBus
from tests.transports.parts import COMPANY, until

pytestmark = pytest.mark.dbus

OURS = "C4:7F:51:00:00:01"
STRANGER = "5A:12:34:56:78:9A"
NEVER_S = 3600.0
SOON_S = 0.05


def temperature(hundredths: int) -> dict[int, bytes]:
    return {COMPANY: hundredths.to_bytes(2, "big")}


def scanner_for(
    bench: Bench, *, silence_timeout_s: float = NEVER_S, mode: str = "active"
) -> tuple[BluetoothScanner, AdapterStats]:
    scanner = BluetoothScanner(
        beacons={OURS: ("air-square", bench.beacon)},
        sink=bench.sink,
        clock=bench.clock,
        mode=mode,
        silence_timeout_s=silence_timeout_s,
    )
    return scanner, scanner.stats.adapters["default"]


async def test_a_deaf_adapter_is_restarted_then_switched_off_and_on_then_reported(
    bluez: FakeBlueZ, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    scanner, stats = scanner_for(bench, silence_timeout_s=SOON_S)
    bench.start(scanner.run)
    await until(lambda: stats.restarts.get("silence", 0) >= 5)
    assert bluez.switched == [("hci0", False), ("hci0", True)]
    assert stats.recoveries == {"restart": 1, "power_cycle": 1, "report": 1}
    assert stats.recovery_step == 3
    assert [each.levelno for each in caplog.records].count(logging.ERROR) == 1

    await until(lambda: bluez.mode == "active")
    while stats.recovery_step:  # the scan may just be ending
        await bluez.advert(OURS, manufacturer_data=temperature(7))
        await asyncio.sleep(0.005)
    await bench.sink.until(lambda: bool(bench.sink.calls))


async def test_a_switch_that_is_refused_is_counted_and_passed_over(
    bluez: FakeBlueZ, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bluez.switchable = False
    scanner, stats = scanner_for(bench, silence_timeout_s=SOON_S)
    bench.start(scanner.run)
    await until(lambda: stats.restarts.get("silence", 0) >= 5)
    assert stats.recoveries == {"restart": 1, "power_cycle_skipped": 1, "report": 1}
    assert caplog.text.count("AccessDenied") == 1
    await until(lambda: bluez.mode == "active")


async def test_stopping_in_the_middle_leaves_no_adapter_switched_off(
    bluez: FakeBlueZ, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.bluez_bus.OFF_S", NEVER_S)
    scanner, _ = scanner_for(bench, silence_timeout_s=SOON_S)
    task = asyncio.create_task(scanner.run())
    await until(lambda: bluez.switched == [("hci0", False)])
    task.cancel()
    await asyncio.wait((task,))
    assert bluez.switched == [("hci0", False), ("hci0", True)]


async def test_an_adapter_that_would_not_switch_on_again_is_asked_again(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    bluez.refusals_on = 2
    scanner, stats = scanner_for(bench, silence_timeout_s=SOON_S)
    bench.start(scanner.run)
    await until(lambda: bluez.switched == [("hci0", False), ("hci0", True)])
    await until(lambda: bluez.mode == "active")
    assert bluez.refusals_on == 0
    assert stats.recoveries["power_cycle"] == 1


async def test_a_discovery_of_ours_that_was_left_over_is_stopped(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    bus = (await get_global_bluez_manager())._bus
    assert bus
    start = Message(
        destination="org.bluez",
        path="/org/bluez/hci0",
        interface="org.bluez.Adapter1",
        member="StartDiscovery",
    )
    await bus.call(start)  # its stop was never answered
    scanner, stats = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: stats.open)
    assert stats.restarts == {}
    (filters,) = bluez.sessions.values()
    assert filters["DuplicateData"], "it is the new one"
    await bluez.advert(OURS, manufacturer_data=temperature(1))
    await bench.sink.until(lambda: bool(bench.sink.calls))


async def test_an_adapter_that_is_busy_for_a_moment_is_awaited(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    bluez.busy = 2
    scanner, stats = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: stats.open)
    assert stats.restarts == {}


async def test_an_adapter_that_stays_busy_is_switched_off_and_on(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    bluez.busy = 1_000_000
    scanner, stats = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: bluez.switched == [("hci0", False), ("hci0", True)])
    assert "InProgress" in stats.last_error
    bluez.busy = 0
    await until(lambda: stats.open)
    assert stats.recoveries["power_cycle"] == 1


async def test_an_adapter_that_never_comes_is_reported_and_not_restarted(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    await bluez.unplug()
    scanner, stats = scanner_for(bench, silence_timeout_s=0.2)
    bench.start(scanner.run)
    await until(lambda: stats.recovery_step == 3)
    assert stats.recoveries == {"report": 1}
    assert bluez.switched == []
    await bluez.plug()
    await until(lambda: bluez.mode == "active")


async def test_silence_while_a_connection_is_made_is_no_deafness(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    scanner, stats = scanner_for(bench, silence_timeout_s=0.1)
    bench.start(scanner.run)
    await until(lambda: stats.open)
    with scanner.connecting(Found("/org/bluez/hci0/dev", "default")):
        await asyncio.sleep(0.3)
        assert stats.restarts == {}
        assert stats.open
    await until(lambda: stats.restarts.get("silence") == 1)


async def test_a_connection_that_never_ends_does_not_blind_the_watchdog(
    bluez: FakeBlueZ, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.adapter_scan.CONNECTING_MAX_S", 0.2)
    scanner, stats = scanner_for(bench, silence_timeout_s=0.1)
    bench.start(scanner.run)
    await until(lambda: stats.open)
    with scanner.connecting(Found("/org/bluez/hci0/dev", "default")):
        await until(lambda: stats.restarts.get("silence") == 1)


async def test_what_a_connection_changes_is_no_advertisement(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    scanner, stats = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: stats.open)
    await bluez.advert(OURS, manufacturer_data=temperature(1))
    await bluez.change(OURS, Connected=Variant("b", True))
    await bluez.change(OURS, ServicesResolved=Variant("b", True))
    await bluez.change(OURS, RSSI=Variant("n", -40))  # the same again, nearer
    await bluez.advert(OURS, manufacturer_data=temperature(2))
    await bench.sink.until(lambda: len(bench.sink.calls) >= 3)
    assert bench.sink.values() == [0.01, 0.01, 0.02]


async def test_priv_01_bleak_forgets_strangers_when_bluez_does(
    private_bus: PrivateBus, bench: Bench
) -> None:
    bluez = FakeBlueZ()
    await bluez.start()
    scanner, stats = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: stats.open)
    manager = await get_global_bluez_manager()
    removed = f"{STRANGER[:-2]}FF"
    await bluez.advert(removed, manufacturer_data=temperature(1))
    await until(lambda: "FF" in repr(manager._properties))
    await bluez.forget(removed)
    await until(lambda: "FF" not in repr(manager._properties))

    await bluez.advert(STRANGER, manufacturer_data=temperature(1))
    await until(lambda: STRANGER in repr(manager._properties))
    await bluez.stop()  # takes leave of nobody
    returned = FakeBlueZ()
    await returned.start()
    await until(lambda: returned.mode == "active")
    assert STRANGER not in repr(manager._properties)
    await returned.advert(OURS, manufacturer_data=temperature(3))
    await bench.sink.until(lambda: bool(bench.sink.calls))
    await returned.stop()
