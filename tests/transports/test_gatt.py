"""Visits to devices: the queue with parts of the tests, the connection with the real bleak."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from drivers.airthings import Airthings
from drivers.airthings.simulated import SimulatedAirthings
from gateway.driver import Advert, Connected, DriverInfo, GattClient, NoOptions, Outcome
from gateway.errors import PortError
from gateway.reading import Fault, Measured
from gateway.transports import BluetoothScanner, ConnectedDevice, GattConnector
from gateway.transports import gatt as room
from gateway.transports.adapter_scan import CONNECTING_MAX_S
from gateway.transports.bleak_gatt import CONNECT_TIMEOUT_S, DISCONNECT_TIMEOUT_S
from gateway.transports.gatt import rest_s
from gateway.transports.gatt_device import DEAD_SHARE, FIRST_RETRY_S, MAX_RETRY_S
from gateway.transports.whereabouts import Found
from tests.transports.conftest import Bench, Start
from tests.transports.fake_bluez import PrivateBus
from tests.transports.fake_gatt import FakeGatt, How, Peripheral
from tests.transports.parts import CLOCK, COMPANY, INFO, Recorder, until

ADDRESS = "C0:FF:EE:00:00:01"
OTHER = "C0:FF:EE:00:00:02"
BEACON = "C4:7F:51:00:00:01"
VALUE = "00002a6e-0000-1000-8000-00805f9b34fb"
COMMAND = "b42e2d06-ade7-11e4-89d3-123b93f75cba"
ADVERT = Advert(ADDRESS, -60)
NEVER_S = 3600.0
BLUEZ_FORGETS_S = 30.0
"""A device that was not heard for so long; it hears none while it connects."""


class TextConnected:
    """Reads one characteristic, a number in text; always due unless it is told not to be."""

    info: ClassVar[DriverInfo] = INFO
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: Any = None) -> None:
        self.is_due = True
        self.since: list[float | None] = []

    def due(self, advert: Advert, since_last_s: float | None) -> bool:
        self.since.append(since_last_s)
        return self.is_due

    async def read(self, client: GattClient) -> Iterable[Outcome]:
        text = await client.read(VALUE)
        if text == b"crash":
            raise ZeroDivisionError("a bug in a driver")
        return [Measured("air.temperature", float(text))] if text else []


class Listening(TextConnected):
    """Writes, and yields each notification as a reading."""

    async def read(self, client: GattClient) -> Iterable[Outcome]:
        parts = client.notifications(COMMAND)
        await client.write(COMMAND, b"go")
        return [Measured("air.temperature", float(part)) async for part in parts]


@dataclass
class Air:
    """A radio and the devices in reach, without Bluetooth."""

    answers: dict[str, Any] = field(default_factory=dict)
    """Address -> bytes, an exception, or an event to wait for before it answers."""
    visited: list[str] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    held: int = 0

    async def find(self, address: str, timeout_s: float) -> Found:
        if isinstance(self.answers[address], PortError):
            raise self.answers[address]
        return Found(f"/dev/{address}", "hci0")

    @contextlib.contextmanager
    def connecting(self, found: Found) -> Iterator[None]:
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1

    @contextlib.asynccontextmanager
    async def connect(self, found: Found, address: str) -> AsyncIterator[GattClient]:
        assert found.path == f"/dev/{address}"
        self.visited.append(address)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if isinstance(self.answers[address], OSError):
                raise self.answers[address]
            yield _Answering(self.answers[address])
        finally:
            self.open -= 1


class _Answering:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def read(self, characteristic: str) -> bytes:
        if isinstance(self._answer, asyncio.Event):
            await self._answer.wait()
            return b"1.5"
        return bytes(self._answer)

    async def write(self, characteristic: str, data: bytes) -> None:
        raise NotImplementedError

    def notifications(self, characteristic: str) -> AsyncIterator[bytes]:
        raise NotImplementedError


def device(name: str, address: str = ADDRESS, driver: Connected | None = None) -> ConnectedDevice:
    return ConnectedDevice(
        sensor=name, address=address, driver=driver or TextConnected(), interval_s=0.0
    )


@pytest.fixture
async def air(monkeypatch: pytest.MonkeyPatch) -> Air:
    monkeypatch.setattr(room, "MIN_REST_S", 0.0)
    monkeypatch.setattr(room, "READ_TIMEOUT_S", 0.05)
    return Air()


@pytest.fixture
def connector(air: Air, sink: Recorder) -> GattConnector:
    return GattConnector(air, sink=sink, clock=CLOCK, connect=air.connect)


# -- when a device is due ------------------------------------------------------------------------


@pytest.fixture
async def clock_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the time of the loop; for what does not wait."""
    loop = asyncio.get_running_loop()
    return lambda now: monkeypatch.setattr(loop, "time", lambda: now)


async def test_it_is_asked_when_the_interval_is_over(clock_at: Callable[[float], None]) -> None:
    driver = TextConnected()
    one = ConnectedDevice(sensor="one", address=ADDRESS, driver=driver, interval_s=300.0)
    wanted: list[ConnectedDevice] = []
    one.wants = wanted.append
    clock_at(1000.0)
    assert one.claims(ADVERT)
    assert list(one.decode(ADVERT)) == []
    assert wanted == [one]
    one.begin(1000.0)
    one.succeeded(1000.0)
    for now in (1001.0, 1299.0, 1300.0):
        clock_at(now)
        one.decode(ADVERT)
    assert driver.since == [None, 300.0]
    driver.is_due = False
    one.decode(ADVERT)
    assert wanted == [one, one]


async def test_after_failures_it_is_left_alone_longer_and_longer(
    clock_at: Callable[[float], None],
) -> None:
    one = device("one")
    wanted: list[ConnectedDevice] = []
    one.wants = wanted.append
    now, waits = 0.0, []
    for _ in range(10):
        one.begin(now)
        one.failed(now, 0.1, 1)
        low, high = 0.0, 2 * MAX_RETRY_S
        while high - low > 0.5:  # the first second at which it is due again
            middle = (low + high) / 2
            clock_at(now + middle)
            wanted.clear()
            one.decode(ADVERT)
            low, high = (low, middle) if wanted else (middle, high)
        waits.append(round(high))
        now += high
    assert waits == [min(FIRST_RETRY_S * 2**number, MAX_RETRY_S) for number in range(10)]
    one.begin(now)
    one.succeeded(now)
    clock_at(now)
    wanted.clear()
    one.decode(ADVERT)
    assert wanted == [one]


async def test_many_dead_devices_take_a_tenth_of_the_time(
    clock_at: Callable[[float], None],
) -> None:
    one = device("one")
    wanted: list[ConnectedDevice] = []
    one.wants = wanted.append
    one.begin(0.0)
    one.failed(20.0, wasted_s=20.0, dead=30)
    for now, count in ((20.0 + 30 * 20.0 / DEAD_SHARE - 1, 0), (20.0 + 30 * 20.0 / DEAD_SHARE, 1)):
        clock_at(now)
        one.decode(ADVERT)
        assert len(wanted) == count


# -- the queue -----------------------------------------------------------------------------------


async def test_one_at_a_time_and_who_was_due_first_is_first(
    air: Air, connector: GattConnector, sink: Recorder, start: Start
) -> None:
    devices = [device(f"air-{number}", f"C0:FF:EE:00:00:{number:02X}") for number in range(5)]
    for number, each in enumerate(devices):
        air.answers[each.address] = b"%d" % number
        connector.add(each)
    order = [3, 1, 4, 0, 2]
    for number in (*order, *order):  # twice due is once in the queue
        devices[number].decode(ADVERT)
    assert connector.stats.waiting == 5
    start(connector.run)
    await sink.until(lambda: len(sink.calls) == 5)
    assert sink.values() == [float(number) for number in order]
    assert air.most_open == 1
    assert connector.stats.visits["read"] == 5
    await until(lambda: connector.stats.waiting == 0)
    devices[0].decode(ADVERT)  # and again, after all was quiet
    await sink.until(lambda: len(sink.calls) == 6)


async def test_a_device_that_never_answers_costs_the_others_its_time_out(
    air: Air, connector: GattConnector, sink: Recorder, start: Start
) -> None:
    dead, live = device("dead"), device("live", OTHER)
    air.answers = {ADDRESS: asyncio.Event(), OTHER: b"2"}
    connector.add(dead)
    connector.add(live)
    dead.decode(ADVERT)
    live.decode(ADVERT)
    start(connector.run)
    await sink.until(lambda: len(sink.calls) == 2)
    assert sink.values("live") == [2.0]
    assert sink.faults() == [Fault("timeout", "the device did not answer")]
    assert connector.stats.visits == {"read": 1, "empty": 0, "timeout": 1, "error": 0}
    assert air.held == air.open == 0
    for _ in range(10):
        dead.decode(ADVERT)
        live.decode(ADVERT)
        await until(lambda: connector.stats.waiting == 0)
    assert air.visited.count(ADDRESS) == 1
    assert air.visited.count(OTHER) == 11
    assert connector.stats.visit_s > 0.04


@pytest.mark.parametrize(
    ("answer", "result", "faults"),
    [
        (b"", "empty", []),
        (TimeoutError(), "timeout", [Fault("timeout", "the device did not answer")]),
        (ConnectionError("refused"), "error", [Fault("device_error", "refused")]),
        (ConnectionError(), "error", [Fault("device_error", "the connection failed")]),
        (
            PortError("bluetooth", "not heard"),
            "timeout",
            [Fault("timeout", "the device was heard no more")],
        ),
    ],
    ids=["empty", "silent", "refused", "without a word", "unheard"],
)
async def test_how_a_visit_ends_is_counted(  # noqa: PLR0917 - fixtures
    answer: Any,
    result: str,
    faults: list[Fault],
    air: Air,
    connector: GattConnector,
    sink: Recorder,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    one = device("air-office")
    air.answers[ADDRESS] = answer
    connector.add(one)
    one.decode(ADVERT)
    start(connector.run)
    await until(lambda: connector.stats.visits[result] == 1)
    assert sink.faults() == faults
    assert sink.values() == []
    assert one.failures == 1
    assert "air-office" in caplog.text
    assert ADDRESS not in caplog.text


async def test_a_bug_in_a_driver_ends_the_run_and_its_device_is_not_next_again(
    air: Air, connector: GattConnector, sink: Recorder, start: Start
) -> None:
    broken, live = device("broken"), device("live", OTHER)
    air.answers = {ADDRESS: b"crash", OTHER: b"2"}
    connector.add(broken)
    connector.add(live)
    broken.decode(ADVERT)
    live.decode(ADVERT)
    with pytest.raises(ZeroDivisionError):
        await connector.run()
    assert not connector.stats.open
    assert air.open == air.held == 0
    broken.decode(ADVERT)
    start(connector.run)
    await sink.until(lambda: len(sink.calls) == 1)
    await until(lambda: connector.stats.waiting == 0)
    assert sink.values("live") == [2.0]
    assert air.visited == [ADDRESS, OTHER]


async def test_a_removed_sensor_is_visited_no_more_and_what_is_under_way_is_dropped(
    air: Air, connector: GattConnector, sink: Recorder, start: Start
) -> None:
    first, second, third = device("first"), device("second", OTHER), device("third", BEACON)
    slow = asyncio.Event()
    air.answers = {ADDRESS: slow, OTHER: b"2", BEACON: b"3"}
    for each in (first, second, third):
        connector.add(each)
        each.decode(ADVERT)
    start(connector.run)
    await until(lambda: air.visited == [ADDRESS])
    connector.remove("first")
    connector.remove("second")
    second.decode(ADVERT)
    slow.set()
    await sink.until(lambda: bool(sink.calls))
    assert sink.calls[0][0] == "third"
    assert air.visited == [ADDRESS, BEACON]
    assert connector.sensors == ["third"]
    connector.add(device("first"))
    with pytest.raises(ValueError, match="first"):
        connector.add(device("first"))


async def test_stopping_in_the_middle_of_a_visit_disconnects(
    air: Air, connector: GattConnector, sink: Recorder
) -> None:
    one = device("one")
    air.answers[ADDRESS] = asyncio.Event()
    connector.add(one)
    one.decode(ADVERT)
    task = asyncio.create_task(connector.run())
    await until(lambda: air.open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert air.open == 0
    assert not connector.stats.open
    assert sink.calls == []


def test_the_scan_has_the_air_at_least_as_long_as_a_visit_had() -> None:
    assert rest_s(0.2) == 1.0
    assert rest_s(20.0) == 20.0


def test_the_time_outs_fit_each_other() -> None:
    assert CONNECT_TIMEOUT_S < BLUEZ_FORGETS_S
    # Giving up a connection, reading, disconnecting: the watchdog is held back all the time.
    assert CONNECT_TIMEOUT_S + 3 * DISCONNECT_TIMEOUT_S + room.READ_TIMEOUT_S < CONNECTING_MAX_S


# -- with the real bleak -------------------------------------------------------------------------


@pytest.fixture
async def gatt(private_bus: PrivateBus) -> AsyncIterator[FakeGatt]:
    fake = FakeGatt()
    await fake.start()
    yield fake
    await fake.stop()


@dataclass
class Site:
    """A scanner that hears a beacon and a sensor, and who visits the sensor."""

    bench: Bench
    gatt: FakeGatt
    scanner: BluetoothScanner
    connector: GattConnector
    devices: dict[str, ConnectedDevice]

    async def beacon_is_heard(self) -> None:
        """Fail unless the scan is alive."""
        before = len(self.bench.sink.values("beacon"))
        async with asyncio.timeout(5.0):
            while len(self.bench.sink.values("beacon")) == before:
                await self.gatt.advert(BEACON, manufacturer_data={COMPANY: b"\x00\x01"})
                await asyncio.sleep(0.01)


@pytest.fixture
async def make_site(
    gatt: FakeGatt, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    monkeypatch.setattr(room, "MIN_REST_S", 0.0)
    monkeypatch.setattr(room, "FIND_TIMEOUT_S", 0.5)
    for name, value in (("CONNECT", 0.4), ("ANSWER", 0.3), ("SILENCE", 0.2), ("DISCONNECT", 0.3)):
        monkeypatch.setattr(f"gateway.transports.bleak_gatt.{name}_TIMEOUT_S", value)

    async def make(
        *devices: ConnectedDevice,
        mode: str = "active",
        silence_timeout_s: float = NEVER_S,
        visiting: bool = True,
    ) -> Site:
        known = {each.address: each for each in devices}
        beacons: dict[str, Any] = {BEACON: ("beacon", bench.beacon)}
        beacons |= {address: (each.sensor, each) for address, each in known.items()}
        scanner = BluetoothScanner(
            beacons=beacons,
            sink=bench.sink,
            clock=bench.clock,
            mode=mode,
            silence_timeout_s=silence_timeout_s,
            connectable=known,
        )
        connector = GattConnector(scanner, sink=bench.sink, clock=bench.clock)
        for each in devices:
            connector.add(each)
        bench.start(scanner.run)
        if visiting:
            bench.start(connector.run)
        await until(lambda: gatt.mode == mode)
        return Site(bench, gatt, scanner, connector, known)

    return make


@pytest.mark.dbus
@pytest.mark.parametrize("mode", ["active", "passive"])
async def test_a_device_is_read_end_to_end_and_the_scan_goes_on(
    mode: str, gatt: FakeGatt, bench: Bench, make_site: Callable[..., Any]
) -> None:
    model = SimulatedAirthings(1, ADDRESS)
    values = {uuid: await model.read(uuid) for uuid in (AIRTHINGS_MODEL, AIRTHINGS_VALUES)}
    await model.write(COMMAND, b"\x6d")
    parts = [part async for part in model.notifications(COMMAND)]
    peripheral = Peripheral(values, answers={(COMMAND, b"\x6d"): (COMMAND, parts)})
    gatt.add_peripheral(ADDRESS, peripheral)
    site = await make_site(device("office", driver=Airthings(NoOptions())), mode=mode)

    await site.beacon_is_heard()
    before = bench.clock.now_ns()
    await gatt.advert(ADDRESS, manufacturer_data=dict(model.emit().manufacturer_data))
    await bench.sink.until(lambda: bool(bench.sink.values("office")))
    (_, outcomes, received_ns) = next(call for call in bench.sink.calls if call[0] == "office")

    assert [each.quantity for each in outcomes if isinstance(each, Measured)] == [
        "air.humidity",
        "air.temperature",
        "air.radon",
        "air.radon",
        "air.pressure",
        "air.co2",
        "air.tvoc_mole_fraction",
        "device.voltage",  # which takes a command and its notifications
    ]
    assert bench.sink.faults() == []
    assert before < received_ns <= bench.clock.now_ns()
    await until(lambda: gatt.connected == set())
    assert (peripheral.connects, peripheral.disconnects) == (1, 1)
    assert site.connector.stats.visits["read"] == 1
    await site.beacon_is_heard()
    assert gatt.starts == 1
    assert gatt.mode == mode


AIRTHINGS_MODEL = "00002a24-0000-1000-8000-00805f9b34fb"
AIRTHINGS_VALUES = "b42e2a68-ade7-11e4-89d3-123b93f75cba"


@pytest.mark.dbus
async def test_two_devices_again_and_again_one_at_a_time(
    gatt: FakeGatt, bench: Bench, make_site: Callable[..., Any]
) -> None:
    for address, text in ((ADDRESS, b"1"), (OTHER, b"2")):
        gatt.add_peripheral(address, Peripheral({VALUE: text}))
    site = await make_site(device("one"), device("two", OTHER))
    for number in range(4):
        for address in (ADDRESS, OTHER):
            await gatt.advert(address, manufacturer_data={0x0334: bytes([number])})
        await bench.sink.until(lambda n=number: len(bench.sink.calls) == 2 * n + 2)  # type: ignore[misc]
        await until(lambda: site.connector.stats.waiting == 0)
    assert sorted(bench.sink.values()) == [1.0] * 4 + [2.0] * 4
    assert gatt.most_connected == 1
    assert gatt.connected == set()
    await site.beacon_is_heard()


@pytest.mark.dbus
@pytest.mark.parametrize(
    ("connect", "read", "kind", "detail"),
    [
        ("refuses", "answers", "device_error", "org.bluez.Error.Failed"),
        ("hangs", "answers", "timeout", "the device did not answer"),
        ("answers", "refuses", "device_error", "the device says read not permitted"),
        ("answers", "hangs", "timeout", "the device did not answer"),
        ("answers", "drops", "device_error", "org.bluez.Error.Failed"),
        ("answers", "vanishes", "timeout", "the device did not answer"),
    ],
)
async def test_what_goes_wrong_is_a_fault_and_the_next_device_is_read(  # noqa: PLR0917
    connect: How,
    read: How,
    kind: str,
    detail: str,
    gatt: FakeGatt,
    bench: Bench,
    make_site: Callable[..., Any],
) -> None:
    bad = Peripheral({VALUE: b"1"}, connect=connect, read=read)
    gatt.add_peripheral(ADDRESS, bad)
    gatt.add_peripheral(OTHER, Peripheral({VALUE: b"2"}))
    site = await make_site(device("bad"), device("good", OTHER))
    await gatt.advert(ADDRESS, manufacturer_data={0x0334: b"\x01"})
    await bench.sink.until(lambda: bool(bench.sink.faults()))
    assert bench.sink.faults() == [Fault(kind, detail)]  # type: ignore[arg-type]
    await until(lambda: not gatt.connected and not gatt.connecting)
    await gatt.advert(OTHER, manufacturer_data={0x0334: b"\x01"})
    await bench.sink.until(lambda: bool(bench.sink.values("good")))
    await site.beacon_is_heard()
    assert gatt.starts == 1

    bad.connect = bad.read = "answers"
    site.devices[ADDRESS]._not_before = 0.0
    await until(lambda: site.connector.stats.waiting == 0)
    await gatt.advert(ADDRESS, manufacturer_data={0x0334: b"\x02"})
    await bench.sink.until(lambda: bench.sink.values("bad") == [1.0])
    assert site.devices[ADDRESS].failures == 0


@pytest.mark.dbus
async def test_a_device_without_what_is_asked_for(
    gatt: FakeGatt, bench: Bench, make_site: Callable[..., Any]
) -> None:
    gatt.add_peripheral(ADDRESS, Peripheral({COMMAND: b"1"}))
    await make_site(device("one"))
    await gatt.advert(ADDRESS, manufacturer_data={0x0334: b"\x01"})
    await bench.sink.until(lambda: bool(bench.sink.calls))
    assert bench.sink.faults() == [
        Fault("device_error", "the device does not have what was asked for")
    ]
    await until(lambda: not gatt.connected)


@pytest.mark.dbus
async def test_notifications_end_with_a_silence(
    gatt: FakeGatt, bench: Bench, make_site: Callable[..., Any]
) -> None:
    answers = {(COMMAND, b"go"): (COMMAND, [b"%d" % number for number in range(20)])}
    gatt.add_peripheral(ADDRESS, Peripheral({VALUE: b"1"}, answers=answers))
    await make_site(device("one", driver=Listening()))
    await gatt.advert(ADDRESS, manufacturer_data={0x0334: b"\x01"})
    await bench.sink.until(lambda: bool(bench.sink.calls))
    assert bench.sink.values() == [float(number) for number in range(20)]


@pytest.mark.dbus
async def test_a_bluez_that_does_not_answer_holds_up_nobody(
    gatt: FakeGatt, bench: Bench, make_site: Callable[..., Any]
) -> None:
    gatt.mute = True
    gatt.add_peripheral(ADDRESS, Peripheral({VALUE: b"1"}, connect="hangs"))
    gatt.add_peripheral(OTHER, Peripheral({VALUE: b"2"}))
    site = await make_site(device("bad"), device("good", OTHER))
    await gatt.advert(ADDRESS, manufacturer_data={0x0334: b"\x01"})
    await bench.sink.until(lambda: bool(bench.sink.faults()))
    gatt._connecting.clear()
    await gatt.advert(OTHER, manufacturer_data={0x0334: b"\x01"})
    await bench.sink.until(lambda: bool(bench.sink.values("good")))
    await until(lambda: site.connector.stats.waiting == 0)


@pytest.mark.dbus
async def test_a_bus_that_dies_in_the_middle_costs_one_visit(
    private_bus: PrivateBus, gatt: FakeGatt, bench: Bench, make_site: Callable[..., Any]
) -> None:
    peripheral = Peripheral({VALUE: b"1"}, read="hangs")
    gatt.add_peripheral(ADDRESS, peripheral)
    site = await make_site(device("one"))
    await gatt.advert(ADDRESS, manufacturer_data={0x0334: b"\x01"})
    await until(lambda: bool(peripheral.reads))
    private_bus.kill()
    await bench.sink.until(lambda: bool(bench.sink.faults()))
    assert bench.sink.faults()[0].kind in ("device_error", "timeout")

    private_bus.start()
    returned = FakeGatt()
    returned.add_peripheral(ADDRESS, Peripheral({VALUE: b"1"}))
    await returned.start()
    await until(lambda: returned.mode == "active")
    site.devices[ADDRESS]._not_before = 0.0
    await until(lambda: site.connector.stats.waiting == 0)
    await returned.advert(ADDRESS, manufacturer_data={0x0334: b"\x01"})
    await bench.sink.until(lambda: bench.sink.values("one") == [1.0])
    await returned.stop()


@pytest.mark.dbus
@pytest.mark.parametrize("where", ["connecting", "reading"])
async def test_stopping_leaves_no_connection_behind(
    where: str, gatt: FakeGatt, bench: Bench, make_site: Callable[..., Any]
) -> None:
    peripheral = Peripheral({VALUE: b"1"})
    peripheral.connect = "hangs" if where == "connecting" else "answers"
    peripheral.read = "hangs"
    gatt.add_peripheral(ADDRESS, peripheral)
    site = await make_site(device("one"), visiting=False)
    task = asyncio.create_task(site.connector.run())
    await gatt.advert(ADDRESS, manufacturer_data={0x0334: b"\x01"})
    await until(lambda: gatt.connecting if where == "connecting" else bool(peripheral.reads))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gatt.connected == set()
    assert not gatt.connecting
    assert bench.sink.calls == []


@pytest.mark.dbus
async def test_an_adapter_that_is_deaf_while_it_connects_is_not_started_again(
    gatt: FakeGatt, bench: Bench, make_site: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.bleak_gatt.CONNECT_TIMEOUT_S", 5.0)
    gatt.add_peripheral(ADDRESS, Peripheral({VALUE: b"1"}, connect="hangs"))
    site = await make_site(device("one"), silence_timeout_s=0.2)
    await gatt.advert(ADDRESS, manufacturer_data={0x0334: b"\x01"})
    await until(lambda: gatt.connecting)
    assert not await gatt.advert(BEACON, manufacturer_data={COMPANY: b"\x00\x01"})
    await asyncio.sleep(0.5)  # longer than the watchdog's patience
    assert gatt.starts == 1
    await gatt.let_in(ADDRESS)
    await bench.sink.until(lambda: bool(bench.sink.values("one")))
    await site.beacon_is_heard()
