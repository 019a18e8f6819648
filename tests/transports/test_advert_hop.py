"""The bounded hop: what is queued, what is dropped, and what is no advertisement at all."""

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.driver import Advert
from gateway.transports.advert_entry import ECHO_NS, AdvertEntry
from gateway.transports.advert_hop import BATCH, BURST, HOP_SIZE, RATE_PER_S, AdvertHop
from gateway.transports.stats import AdapterStats, ScannerStats
from tests.transports.parts import COMPANY, Recorder, TemperatureBeacon

OURS = "C4:7F:51:00:00:01"
SERVICE = "0000fcd2-0000-1000-8000-00805f9b34fb"
SECOND = 1_000_000_000


class Hop:
    """A hop with a clock of the test's, and devices whose signals the test makes."""

    def __init__(
        self, sink: Recorder, clock: Clock, *, devices: int = 1, adapters: int = 1
    ) -> None:
        self.now_ns = SECOND
        clock.now_ns = lambda: self.now_ns
        self.stats = ScannerStats({f"hci{number}": AdapterStats() for number in range(adapters)})
        self.beacon = TemperatureBeacon()
        self.addresses = [f"C4:7F:51:00:00:{number:02X}" for number in range(1, devices + 1)]
        self.beacons = {
            address: (f"air-{number}", self.beacon)
            for number, address in enumerate(self.addresses, 1)
        }
        self.sink = sink
        self.hop = AdvertHop(AdvertEntry(self.beacons, sink, self.stats), clock, self.stats)

    def hear(self, value: int, address: str = OURS, *, adapter: str = "hci0", **more: Any) -> None:
        data = {COMPANY: value.to_bytes(2, "big")}
        props = {"Address": address, "RSSI": -60, "ManufacturerData": data, **more}
        self.hop.take(adapter, props)

    def drain(self) -> list[float]:
        while self.hop._queue:
            self.hop.drain()
        return [round(100 * value) for value in self.sink.values()]


@pytest.fixture
def make(sink: Recorder, clock: Clock) -> Callable[..., Hop]:
    return lambda **more: Hop(sink, clock, **more)


async def test_it_decodes_in_order_with_the_time_of_hearing(make: Callable[..., Hop]) -> None:
    hop = make()
    for value in range(5):
        hop.now_ns += SECOND
        hop.hear(value)
    hop.now_ns += 60 * SECOND  # it waited
    assert hop.drain() == list(range(5))
    assert [received_ns for _, _, received_ns in hop.sink.calls] == [
        SECOND * number for number in range(2, 7)
    ]
    assert hop.stats.last_received_ns == 6 * SECOND


async def test_one_device_is_limited_and_the_others_are_not(make: Callable[..., Hop]) -> None:
    hop = make(devices=2)
    for number in range(10 * RATE_PER_S):  # ten times what is allowed, for a second
        hop.hear(number)
        if number % RATE_PER_S == 0:
            hop.hear(1000 + number, hop.addresses[1])
        hop.now_ns += SECOND // (10 * RATE_PER_S)
    hop.drain()
    passed = len(hop.sink.values("air-1"))
    assert BURST + RATE_PER_S - 2 <= passed <= BURST + RATE_PER_S + 2
    assert hop.stats.adverts_limited == {"air-1": 10 * RATE_PER_S - passed}
    assert len(hop.sink.values("air-2")) == 10
    assert hop.stats.adverts_received == passed + 10


async def test_a_device_within_its_rate_is_never_limited(make: Callable[..., Hop]) -> None:
    hop = make()
    rng = random.Random(5)
    for number in range(2000):
        hop.now_ns += round(rng.uniform(0.7, 1.5) * SECOND / RATE_PER_S)
        hop.hear(number % 1000)
    assert len(hop.drain()) == 2000
    assert hop.stats.adverts_limited == {}


async def test_too_many_waiting_costs_the_oldest(make: Callable[..., Hop]) -> None:
    hop = make(devices=HOP_SIZE // BURST + 2)
    total = 0
    for address in hop.addresses:
        for _ in range(BURST):
            hop.hear(total, address)
            total += 1
    assert total > HOP_SIZE
    assert hop.drain() == list(range(total - HOP_SIZE, total))
    assert hop.stats.adverts_overflowed == total - HOP_SIZE
    assert hop.stats.adverts_received == HOP_SIZE


async def test_others_have_their_turn_between_batches(make: Callable[..., Hop]) -> None:
    hop = make(devices=10)
    for address in hop.addresses:
        for value in range(BURST):
            hop.hear(value, address)
    task = asyncio.create_task(hop.hop.run())
    seen = []
    for _ in range(10 * BURST):
        await asyncio.sleep(0)
        seen.append(len(hop.sink.calls))
    assert max(after - before for before, after in itertools.pairwise(seen)) <= BATCH
    assert seen[-1] == 10 * BURST
    hop.now_ns += SECOND  # and it goes on
    hop.hear(7)
    await hop.sink.until(lambda: len(hop.sink.calls) > 10 * BURST)
    task.cancel()
    await asyncio.wait((task,))


async def test_decoding_is_timed(make: Callable[..., Hop], monkeypatch: pytest.MonkeyPatch) -> None:
    hop = make()

    def slow(advert: Advert) -> bool:
        hop.now_ns += 5_000
        return False

    monkeypatch.setattr(hop.beacon, "claims", slow)
    for value in range(3):
        hop.hear(value)
    hop.drain()
    assert hop.stats.decode_ns == 15_000


async def test_a_signal_about_something_else_is_no_advertisement(make: Callable[..., Hop]) -> None:
    hop = make()
    data = {COMPANY: b"\x00\x07"}
    props = {"Address": OURS, "RSSI": -60, "ManufacturerData": data}
    hop.hop.take("hci0", props)
    hop.hop.take("hci0", {**props, "Connected": True})
    hop.hop.take("hci0", {**props, "ServicesResolved": True})
    hop.hop.take("hci0", {key: each for key, each in props.items() if key != "RSSI"})
    assert hop.drain() == [7]
    hop.hop.take("hci0", {**props, "RSSI": -61})  # heard again, as a passive scan tells it
    assert hop.drain() == [7, 7]


async def test_only_what_the_signal_brought_is_decoded(make: Callable[..., Hop]) -> None:
    hop = make()
    first: dict[str, Any] = {"ManufacturerData": {COMPANY: b"\x00\x01"}}
    second = {**first, "ServiceData": {SERVICE: b"\x40"}}
    third = {**second, "ManufacturerData": {COMPANY: b"\x00\x01"}}
    fourth = {**third, "ManufacturerData": {COMPANY: b"\x00\x01", 0x004C: b"\x02\x15"}}
    for number, props in enumerate((first, second, third, fourth)):
        hop.hop.take("hci0", {"Address": OURS, "RSSI": -60 - number, **props})
    hop.hop.take("hci0", {"Address": OURS, "RSSI": -40, **fourth})  # of which of the two kinds?
    hop.drain()
    assert [each.manufacturer_data for each in hop.beacon.adverts] == [
        {COMPANY: b"\x00\x01"},
        {COMPANY: b"\x00\x01"},
    ]
    assert hop.stats.adverts_received == 4
    assert hop.stats.adverts_claimed == 2


async def test_an_advert_that_two_adapters_heard_is_decoded_once(make: Callable[..., Hop]) -> None:
    hop = make(adapters=2)
    for value in (1, 2, 3):
        hop.hear(value, adapter="hci0")
        hop.now_ns += SECOND // 100
        hop.hear(value, adapter="hci1", RSSI=-80)
        hop.now_ns += SECOND
    hop.hear(4, adapter="hci1")  # hci0 missed it
    hop.hear(5, adapter="hci0")
    hop.now_ns += ECHO_NS
    hop.hear(5, adapter="hci1")  # sent again, much later
    assert hop.drain() == [1, 2, 3, 4, 5, 5]
    assert hop.stats.adverts_doubled == 3


async def test_a_repetition_that_one_adapter_heard_is_decoded_again(
    make: Callable[..., Hop],
) -> None:
    hop = make(adapters=2)
    for _ in range(3):
        hop.hear(1)
    assert hop.drain() == [1, 1, 1]


async def test_a_sensor_that_was_removed_is_forgotten(make: Callable[..., Hop]) -> None:
    hop = make(devices=3, adapters=2)
    for address in hop.addresses:
        hop.hear(1, address)
    assert hop.hop.all_heard_since(SECOND)
    del hop.beacons[OURS]
    assert hop.drain() == [1, 1]
    hop.beacons["C4:7F:51:00:00:FF"] = ("air-new", hop.beacon)
    assert not hop.hop.all_heard_since(SECOND)
    hop.hear(2, "C4:7F:51:00:00:FF")
    kept = ["C4:7F:51:00:00:02", "C4:7F:51:00:00:03", "C4:7F:51:00:00:FF"]
    assert sorted(hop.hop._devices) == kept
