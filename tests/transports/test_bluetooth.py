"""The scanner with the real bleak, against our own small BlueZ on a private bus."""

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import struct
import subprocess
import sys
from collections.abc import Sequence

import pytest
from bleak.backends.bluezdbus.manager import get_global_bluez_manager
from bleak.backends.bluezdbus.scanner import BleakScannerBlueZDBus
from dbus_fast import Message

from gateway.transports import AdapterStats, BluetoothScanner
from tests.transports.conftest import Bench
from tests.transports.fake_bluez import FakeBlueZ, PrivateBus
from tests.transports.parts import COMPANY, until

pytestmark = pytest.mark.dbus

OURS = "C4:7F:51:00:00:01"
SECOND = "C4:7F:51:00:00:02"
STRANGER = "5A:12:34:56:78:9A"
SERVICE = "0000fcd2-0000-1000-8000-00805f9b34fb"
NEVER_S = 3600.0


def temperature(hundredths: int) -> dict[int, bytes]:
    return {COMPANY: struct.pack(">h", hundredths)}


def scanner_for(
    bench: Bench,
    *,
    mode: str = "active",
    adapters: Sequence[str] = (),
    silence_timeout_s: float = NEVER_S,
) -> BluetoothScanner:
    return BluetoothScanner(
        beacons={OURS: ("air-square", bench.beacon)},
        sink=bench.sink,
        clock=bench.clock,
        adapters=adapters,
        mode=mode,
        silence_timeout_s=silence_timeout_s,
    )


def state(scanner: BluetoothScanner) -> AdapterStats:
    """Return the numbers of the only adapter."""
    (only,) = scanner.stats.adapters.values()
    return only


@pytest.mark.parametrize("mode", ["active", "passive", "auto"])
async def test_an_advert_becomes_a_reading(
    mode: str,
    bluez: FakeBlueZ,
    bench: Bench,
) -> None:
    scanner = scanner_for(bench, mode=mode)
    before = bench.clock.now_ns()
    bench.start(scanner.run)
    await until(lambda: bluez.mode != "")
    assert await bluez.advert(
        OURS,
        rssi=-71,
        name="square",
        manufacturer_data=temperature(2150),
        service_data={SERVICE: b"\x40"},
    )
    await bench.sink.until(lambda: bool(bench.sink.calls))

    assert bluez.mode == ("active" if mode == "active" else "passive")
    assert state(scanner).mode == bluez.mode
    assert state(scanner).open
    assert bench.sink.values("air-square") == [21.5]
    assert before < bench.sink.calls[0][2] <= bench.clock.now_ns()
    (advert,) = bench.beacon.adverts
    assert (advert.address, advert.rssi, advert.name) == (OURS, -71, "square")
    assert advert.service_data == {SERVICE: b"\x40"}
    assert scanner.stats.adverts_received == scanner.stats.adverts_claimed == 1


async def test_a_repeated_advert_is_reported_again(bluez: FakeBlueZ, bench: Bench) -> None:
    bench.start(scanner_for(bench).run)
    await until(lambda: bluez.mode == "active")
    for _ in range(3):
        await bluez.advert(OURS, manufacturer_data=temperature(2150))
    await bench.sink.until(lambda: len(bench.sink.calls) == 3)
    assert bench.sink.values() == [21.5, 21.5, 21.5]


async def test_what_the_driver_does_not_claim_is_counted_and_goes_no_further(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    scanner = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: bluez.mode == "active")
    await bluez.advert(OURS, manufacturer_data={0x004C: b"\x10\x05"})
    await until(lambda: scanner.stats.adverts_received == 1)
    assert scanner.stats.adverts_claimed == 0
    assert not bench.sink.calls


async def test_priv_01_a_stranger_leaves_no_trace(
    bluez: FakeBlueZ,
    bench: Bench,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    scanner = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: bluez.mode == "active")
    before = repr(scanner.stats)
    for number in range(200):
        await bluez.advert(
            f"{STRANGER[:-2]}{number:02X}", name="Karen's phone", manufacturer_data=temperature(1)
        )
    after_strangers = repr(scanner.stats)
    await bluez.advert(OURS, manufacturer_data=temperature(2150))  # comes after all of them
    await bench.sink.until(lambda: bool(bench.sink.calls))

    assert bench.sink.values() == [21.5]
    assert after_strangers == before
    assert scanner.stats.adverts_received == 1
    ours = (caplog.text + repr(scanner.stats) + repr(vars(scanner))).lower()
    for form in (STRANGER[:-2], STRANGER[:-2].replace(":", "_"), STRANGER[:-2].replace(":", "")):
        assert form.lower() not in ours
    assert "karen" not in ours
    (backend,) = [each for each in gc.get_objects() if isinstance(each, BleakScannerBlueZDBus)]
    assert backend.seen_devices == {}


async def test_auto_scans_actively_where_bluez_has_no_monitors(
    private_bus: PrivateBus, bench: Bench
) -> None:
    bluez = FakeBlueZ(passive=False)
    await bluez.start()
    scanner = scanner_for(bench, mode="auto")
    bench.start(scanner.run)
    await until(lambda: bluez.mode == "active")
    await bluez.advert(OURS, manufacturer_data=temperature(-5))
    await bench.sink.until(lambda: bool(bench.sink.calls))
    assert state(scanner).mode == "active"
    assert state(scanner).restarts == {}
    await bluez.stop()


async def test_auto_scans_actively_for_a_beacon_that_is_not_heard_passively(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    scanner = scanner_for(bench, mode="auto", silence_timeout_s=1.0)
    bench.start(scanner.run)
    await until(lambda: bluez.mode == "passive")
    assert not await bluez.advert(OURS, flags=None, manufacturer_data=temperature(1))
    await until(lambda: bluez.mode == "active")
    await bluez.advert(OURS, flags=None, manufacturer_data=temperature(2))
    await bench.sink.until(lambda: bool(bench.sink.calls))
    assert bench.sink.values() == [0.02]
    assert state(scanner).restarts["unheard"] == 1


async def test_passive_alone_stays_refused_where_bluez_has_no_monitors(
    private_bus: PrivateBus, bench: Bench
) -> None:
    bluez = FakeBlueZ(passive=False)
    await bluez.start()
    scanner = scanner_for(bench, mode="passive")
    bench.start(scanner.run)
    await until(lambda: state(scanner).restarts.get("error", 0) >= 2)
    assert not state(scanner).open
    assert bluez.mode == ""
    assert "experimental" in state(scanner).last_error
    await bluez.stop()


async def test_silence_starts_the_scan_again(bluez: FakeBlueZ, bench: Bench) -> None:
    scanner = scanner_for(bench, silence_timeout_s=0.5)
    bench.start(scanner.run)
    await until(lambda: bluez.starts >= 2 and bluez.mode == "active")
    assert state(scanner).restarts["silence"] >= 1
    await bluez.advert(OURS, manufacturer_data=temperature(7))
    await bench.sink.until(lambda: bool(bench.sink.calls))
    assert len(bluez.sessions) == 1


async def test_silent_scans_are_reported_as_an_error_once(
    bluez: FakeBlueZ,
    bench: Bench,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scanner = scanner_for(bench, silence_timeout_s=0.02)
    bench.start(scanner.run)
    await until(lambda: state(scanner).restarts.get("silence", 0) >= 5)
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "look at the adapter" in errors[0].getMessage()


async def test_scanning_goes_on_after_the_bus_died_and_returned(
    private_bus: PrivateBus, bench: Bench
) -> None:
    bluez = FakeBlueZ()
    await bluez.start()
    scanner = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: bluez.mode == "active")
    await bluez.advert(OURS, manufacturer_data=temperature(1))
    await bench.sink.until(lambda: len(bench.sink.calls) == 1)

    private_bus.kill()
    await until(lambda: state(scanner).restarts.get("error", 0) >= 1)
    assert not state(scanner).open
    private_bus.start()
    await bluez.stop()
    returned = FakeBlueZ()
    await returned.start()
    await until(lambda: returned.mode == "active")
    await returned.advert(OURS, manufacturer_data=temperature(2))
    await bench.sink.until(lambda: len(bench.sink.calls) >= 2)

    assert bench.sink.values() == [0.01, 0.02]  # each once: nothing of the old scan is left
    assert state(scanner).restarts["bus"] == 1
    await returned.stop()


async def test_a_dead_connection_of_bleak_is_replaced_and_never_written_to(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    scanner = scanner_for(bench, silence_timeout_s=1.0)
    bench.start(scanner.run)
    await until(lambda: bluez.mode == "active")
    bus = (await get_global_bluez_manager())._bus
    assert bus
    number = bus._fd
    bus._finalize(EOFError())  # as after a broken message: the bus daemon itself is well
    pipes = [os.pipe()]
    while number not in pipes[-1]:  # somebody else's port gets the same descriptor number
        pipes.append(os.pipe())

    await until(lambda: state(scanner).restarts.get("silence", 0) >= 1 and bluez.mode == "active")
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    assert number not in selector.get_map()
    await until(lambda: state(scanner).open)
    await bluez.advert(OURS, manufacturer_data=temperature(1))
    await bench.sink.until(lambda: bool(bench.sink.calls))
    assert bench.sink.values() == [0.01]
    for descriptor in itertools.chain(*pipes):
        os.close(descriptor)


@pytest.mark.parametrize("mode", ["active", "passive"])
async def test_scanning_goes_on_after_bluez_restarted(
    mode: str,
    private_bus: PrivateBus,
    bench: Bench,
) -> None:
    bluez = FakeBlueZ()
    await bluez.start()
    scanner = scanner_for(bench, mode=mode)
    bench.start(scanner.run)
    await until(lambda: bluez.mode == mode)
    await bluez.stop()
    returned = FakeBlueZ()
    await returned.start()
    await until(lambda: returned.mode == mode)
    await returned.advert(OURS, manufacturer_data=temperature(2))
    await bench.sink.until(lambda: bool(bench.sink.calls))
    assert bench.sink.values() == [0.02]
    assert state(scanner).restarts["bluez"] == 1
    await returned.stop()


async def test_scanning_goes_on_after_the_adapter_was_off(bluez: FakeBlueZ, bench: Bench) -> None:
    scanner = scanner_for(bench)
    bench.start(scanner.run)
    await until(lambda: bluez.mode == "active")
    await bluez.power(on=False)
    await until(lambda: state(scanner).restarts.get("error", 0) >= 1)
    assert state(scanner).restarts["power"] == 1
    assert "powered" in state(scanner).last_error.lower()
    await bluez.power(on=True)
    await until(lambda: bluez.mode == "active")
    await bluez.advert(OURS, manufacturer_data=temperature(3))
    await bench.sink.until(lambda: bool(bench.sink.calls))
    assert bench.sink.values() == [0.03]


@pytest.mark.parametrize("adapter", ["hci0", "hci7"])
async def test_the_configured_adapter_is_used(
    adapter: str,
    bluez: FakeBlueZ,
    bench: Bench,
) -> None:
    scanner = scanner_for(bench, adapters=[adapter])
    bench.start(scanner.run)
    if adapter == "hci0":
        await until(lambda: bluez.mode == "active")
        return
    await until(lambda: state(scanner).restarts.get("error", 0) >= 1)
    assert "hci7" in state(scanner).last_error


async def test_a_bug_in_a_driver_ends_the_run_and_the_next_run_works(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    scanner = scanner_for(bench)
    task = asyncio.create_task(scanner.run())
    await until(lambda: bluez.mode == "active")
    await bluez.advert(OURS, manufacturer_data={COMPANY: b"\x00"})  # one byte where two belong
    with pytest.raises(struct.error):
        await task
    assert not state(scanner).open

    bench.start(scanner.run)
    await until(lambda: bluez.mode == "active")
    await bluez.advert(OURS, manufacturer_data=temperature(4))
    await bench.sink.until(lambda: bool(bench.sink.calls))
    assert bench.sink.values() == [0.04]


async def test_stopping_in_the_middle_of_the_start_leaves_no_discovery(
    bluez: FakeBlueZ, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = scanner_for(bench)
    task = asyncio.create_task(scanner.run())
    answer = bluez._answers["StartDiscovery"]

    def answer_and_cancel(message: Message) -> Message:
        task.cancel()  # before the answer can have arrived
        return answer(message)

    monkeypatch.setitem(bluez._answers, "StartDiscovery", answer_and_cancel)
    await asyncio.wait((task,))
    await until(lambda: bluez.mode == "")
    assert bluez.starts == 1


async def test_stopping_stops_the_discovery(bluez: FakeBlueZ, bench: Bench) -> None:
    scanner = scanner_for(bench)
    task = asyncio.create_task(scanner.run())
    await until(lambda: bluez.mode == "active")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert bluez.mode == ""
    assert not state(scanner).open


def test_bleak_is_not_imported_without_bluetooth_sensors() -> None:
    program = "import sys, gateway.transports; print('bleak' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert output.stdout.split() == [b"False"]


async def test_an_unknown_mode_is_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match="mode"):
        scanner_for(bench, mode="loud")
