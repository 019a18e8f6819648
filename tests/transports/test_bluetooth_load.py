"""The real bleak under load, and with the bytes of real devices.

Two thousand advertisements a second, of seventy sensors and four hundred phones, for three
seconds, or as long as CITYLAB_SCAN_SECONDS says.
"""

import asyncio
import gc
import json
import os
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.driver import Advert, Outcome
from gateway.reading import Measured
from gateway.transports import BluetoothScanner
from tests.shared_material import shared
from tests.transports.conftest import Bench
from tests.transports.fake_bluez import FakeBlueZ
from tests.transports.parts import COMPANY, TemperatureBeacon, until

pytestmark = pytest.mark.dbus

ADVERTS_PER_S = 2000
SECONDS = int(os.environ.get("CITYLAB_SCAN_SECONDS", "3"))
BURST = 100
SENSORS, PHONES = 70, 400
GROWTH_MAX_BYTES = 4 << 20
APPLE = 0x004C


class Tally:
    """A sink that keeps no more than the last value of each sensor, and how many there were."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last: dict[str, float] = {}

    def accept(self, sensor: str, outcomes: Iterable[Outcome], received_ns: int) -> None:
        for outcome in outcomes:
            assert isinstance(outcome, Measured)
            self.counts[sensor] += 1
            self.last[sensor] = outcome.value


class ForgetfulBeacon(TemperatureBeacon):
    """Keeps nothing."""

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        yield from super().decode(advert)
        self.adverts.clear()


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


@pytest.mark.timeout(30 + 3 * SECONDS)
async def test_a_crowd_is_taken_whole_and_leaves_nothing(bluez: FakeBlueZ, clock: Clock) -> None:
    rng = random.Random(7)
    tags = [f"C4:7F:51:00:00:{number:02X}" for number in range(SENSORS)]
    phones = [f"5A:12:34:56:{number >> 8:02X}:{number & 0xFF:02X}" for number in range(PHONES)]
    names = {tag: f"air-{number}" for number, tag in enumerate(tags)}
    tally = Tally()
    scanner = BluetoothScanner(
        beacons={tag: (name, ForgetfulBeacon()) for tag, name in names.items()},
        sink=tally,
        clock=clock,
        mode="active",
        silence_timeout_s=3600.0,
    )
    task = asyncio.create_task(scanner.run())
    await until(lambda: bluez.mode == "active")
    sent: Counter[str] = Counter()
    settled_bytes = 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    for burst in range(SECONDS * ADVERTS_PER_S // BURST):
        for address in rng.choices(tags + phones, k=BURST):
            if address in names:
                data = {COMPANY: (sent[address] & 0x7FFF).to_bytes(2, "big")}
                sent[address] += 1
            else:
                data = {APPLE: rng.randbytes(8)}
            assert await bluez.advert(address, manufacturer_data=data)
        if burst == ADVERTS_PER_S // BURST:  # everybody was heard by now
            settled_bytes = resident_bytes()
        await asyncio.sleep(max(0.0, began + (burst + 1) * BURST / ADVERTS_PER_S - loop.time()))
    total = sent.total()
    await until(lambda: tally.counts.total() == total)
    assert tally.counts == {names[tag]: count for tag, count in sent.items()}
    assert tally.last == {names[tag]: (count - 1 & 0x7FFF) / 100 for tag, count in sent.items()}
    assert (scanner.stats.adverts_overflowed, scanner.stats.adverts_limited) == (0, {})
    assert resident_bytes() - settled_bytes < GROWTH_MAX_BYTES
    assert not [each for each in phones if each in repr(vars(scanner))]
    task.cancel()
    await asyncio.wait((task,))


class Listener(TemperatureBeacon):
    """Claims everything."""

    def claims(self, advert: Advert) -> bool:
        return True

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        self.adverts.append(advert)
        return ()


def captured() -> list[dict[str, Any]]:
    """Return every captured advertisement whose parts are told apart; none without captures."""
    folder = shared("captures")
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.json")) if folder else ():
        if path.name != "INDEX.json":
            frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
            found += [each for each in frames if isinstance(each.get("manufacturer_data"), dict)]
    return found


CAPTURED = captured()


@pytest.mark.skipif(not CAPTURED, reason="the captures are not beside this checkout")
async def test_captured_bytes_come_through_bleak_as_they_are(
    bluez: FakeBlueZ, bench: Bench
) -> None:
    addresses = [f"C4:7F:51:00:{n >> 8:02X}:{n & 0xFF:02X}" for n in range(len(CAPTURED))]
    listener = Listener()
    scanner = BluetoothScanner(
        beacons=dict.fromkeys(addresses, ("air-square", listener)),
        sink=bench.sink,
        clock=bench.clock,
        mode="active",
        silence_timeout_s=3600.0,
    )
    bench.start(scanner.run)
    await until(lambda: bluez.mode == "active")
    sent = []
    for address, frame in zip(addresses, CAPTURED, strict=True):
        manufacturer = {
            int(key): bytes.fromhex(each) for key, each in frame["manufacturer_data"].items()
        }
        service = {
            key: bytes.fromhex(each) for key, each in (frame.get("service_data") or {}).items()
        }
        rssi = frame.get("rssi") or -60
        assert await bluez.advert(
            address, rssi=rssi, manufacturer_data=manufacturer, service_data=service
        )
        sent.append((address, rssi, manufacturer, service))
    await until(lambda: len(listener.adverts) == len(sent))
    assert [
        (each.address, each.rssi, each.manufacturer_data, each.service_data)
        for each in listener.adverts
    ] == sent
