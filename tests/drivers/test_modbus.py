"""Modbus: its test cases, all its maps, damaged answers, and pymodbus as the real peer."""

import asyncio
import contextlib
import random
import struct
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pymodbus.client import ModbusSerialClient
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
)
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.modbus import Modbus, ModbusOptions
from drivers.modbus.maps import QUANTITIES, map_names, packaged_map
from drivers.modbus.rtu import find_answer, read_request, with_crc
from drivers.modbus.simulated import SimulatedModbus
from gateway.driver import Outcome, Polled, Request, SerialLine
from gateway.quantities import registry
from gateway.reading import Fault, Measured
from gateway.transports import BusDevice, SerialBusTransport
from tests.drivers.driver_cases import FOLDER, faults, readings
from tests.drivers.polled_cases import PolledCase, polled_cases
from tests.drivers.polled_rounds import play, simulate, whole_answer
from tests.transports.bus_parts import Cable, Start, starting
from tests.transports.parts import CLOCK, Recorder, until

CASES = polled_cases("modbus")
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_map = pytest.mark.parametrize("name", map_names())
for name in map_names():
    packaged_map(name)  # outside the event loop: it reads a file once, whichever test comes first


def make(**options: Any) -> Modbus:
    if "registers" not in options:
        options.setdefault("map", "sdm630")
    return Modbus(ModbusOptions.model_validate(options))


@each_case
def test_case(case: PolledCase) -> None:
    outcomes = play(make(**case.options), case)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults
    for outcome in outcomes:
        if isinstance(outcome, Measured):
            assert isinstance(outcome.value, float)


@each_case
def test_an_answer_is_whole_as_soon_as_its_last_byte_came(case: PolledCase) -> None:
    driver = make(**case.options)
    for request in driver.requests():
        for _, data in case.talk:
            assert callable(request.length)
            sizes = {request.length(data[:end]) for end in range(len(data) + 1)}
            assert len(sizes - {None}) <= 1


def test_cases_reach_every_quantity_that_a_map_may_yield() -> None:
    assert {name for case in CASES for name, _, _ in case.readings} == set(QUANTITIES)
    assert set(QUANTITIES) <= registry().keys()


# -- maps ---------------------------------------------------------------------------------------


@each_map
def test_a_simulated_device_of_every_map_is_read_without_fault(name: str) -> None:
    driver = make(map=name)
    assert isinstance(driver, Polled)
    outcomes = simulate(driver, SimulatedModbus(7, name), 20)
    assert faults(outcomes) == []
    wanted = {(each.quantity, tuple(each.dims.items())) for each in packaged_map(name).registers}
    assert {(each.quantity, each.dims) for each in outcomes if isinstance(each, Measured)} == wanted
    assert len(readings(outcomes)) >= 19 * len(wanted)


@each_map
def test_no_two_values_of_a_map_are_one_series_and_its_page_names_it(name: str) -> None:
    registers = packaged_map(name).registers
    assert len({(r.quantity, tuple(r.dims.items())) for r in registers}) == len(registers)
    assert packaged_map(name).title
    assert packaged_map(name).document
    assert f"`{name}`" in (FOLDER / "modbus" / "README.md").read_text(encoding="utf-8")


@each_map
def test_phases_and_their_totals_are_named_as_in_the_registry(name: str) -> None:
    for register in packaged_map(name).registers:
        assert register.dims.get("phase", "L1") in {"L1", "L2", "L3", "N", "L12", "L23", "L31"}
        line = register.quantity == "electric.voltage_line"
        assert line == (len(register.dims.get("phase", "")) == 3)


def test_the_same_seed_gives_the_same_answers() -> None:
    question = read_request(1, 4, 0, 80)

    def answers(seed: int) -> list[bytes]:
        device = SimulatedModbus(seed)
        return [device.emit() + device.receive(question) for _ in range(5)]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)
    assert len(set(answers(1))) == 5


def test_counters_of_the_simulated_meter_only_rise() -> None:
    outcomes = simulate(make(), SimulatedModbus(3), 30)
    series: dict[object, list[float]] = {}
    for each in outcomes:
        if isinstance(each, Measured) and each.quantity.startswith("energy."):
            series.setdefault((each.quantity, each.dims), []).append(each.value)
    assert series
    for values in series.values():
        assert values == sorted(values)
        assert values[0] < values[-1]


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({}, "needs either map or registers"),
    ({"unit": 3}, "needs either map or registers"),
    ({"map": "sdm72"}, "there is no such map"),
    ({"map": "sdm120", "registers": [{}]}, "either|Field required"),
    ({"registers": [{"address": 0, "type": "u16", "quantity": "air.dust"}]}, "no quantity"),
    ({"registers": [{"address": 65536, "type": "u16", "quantity": "air.co2"}]}, "65535"),
    ({"registers": [{"address": 65535, "type": "u32", "quantity": "air.co2"}]}, "above 65535"),
    ({"registers": [{"address": 0, "type": "bit", "quantity": "air.co2"}]}, "needs it"),
    ({"registers": [{"address": 0, "type": "u16", "bit": 1, "quantity": "air.co2"}]}, "type bit"),
    ({"registers": [{"address": 0, "type": "u16", "per": 0, "quantity": "air.co2"}]}, "not be 0"),
    ({"registers": [{"address": 0, "type": "s16", "quantity": "traffic.count"}]}, "u16 or u32"),
    (
        {"registers": [{"address": 0, "type": "u16", "quantity": "air.co2", "dims": {"x": "1"}}]},
        "x",
    ),
    ({"registers": [{"address": 0, "type": "f64", "quantity": "air.co2"}]}, "float32"),
    ({"map": "em24", "status": [{"address": 0}]}, "registers of your own"),
    ({"unit": 255}, "254"),
    ({"longest_read": 126}, "125"),
    ({"units": 1}, "Extra inputs"),
]


@pytest.mark.parametrize(("options", "words"), MISTAKES)
def test_mistakes_are_refused_with_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ModbusOptions.model_validate(options)


def test_the_readme_shows_a_map_of_ones_own_that_is_valid() -> None:
    page = (FOLDER / "modbus" / "README.md").read_text(encoding="utf-8")
    (block,) = page.split("```toml own-map\n")[1:]
    (section,) = tomllib.loads(block.split("```")[0])["sensor"]
    driver = make(**section["options"])
    assert len(list(driver.requests())) == 2


# -- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_damaged_answers_hold_no_reading(seed: int) -> None:
    source = random.Random(seed)
    device = SimulatedModbus(seed, "em340")
    driver = make(map="em340")
    for request in driver.requests():
        good = device.receive(request.data)
        assert readings(driver.on_reply(request, good))
        for at in range(len(good)):
            flipped = good[:at] + bytes((good[at] ^ 1 << source.randrange(8),)) + good[at + 1 :]
            for bad in (flipped, good[:at], good[:at] + good[at + 1 :]):
                outcomes = list(driver.on_reply(request, bad))
                assert readings(outcomes) == []
                assert len(faults(outcomes)) == 1
        noise = source.randbytes(40)
        assert readings(driver.on_reply(request, noise + good))


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_never_raise(seed: int) -> None:
    source = random.Random(seed)
    for name in map_names():
        driver = make(map=name)
        for request in driver.requests():
            data = source.randbytes(source.randrange(300))
            assert whole_answer(request, data) == data
            assert readings(driver.on_reply(request, data)) == []


def test_an_answer_to_nothing_is_unknown() -> None:
    outcomes = list(make().on_reply(Request(b"x", 1), b"abc"))
    assert faults(outcomes) == ["unknown"]


def test_blocks_that_are_refused_end_as_single_registers() -> None:
    registers = [
        {"address": at, "type": "u16", "quantity": "power.active", "dims": {"channel": str(at)}}
        for at in (0, 1, 2, 3, 10, 11)
    ]
    driver = make(registers=registers, gap=10)
    got: list[Outcome] = []
    for _ in range(8):
        got = []
        for request in driver.requests():
            first, count = struct.unpack(">HH", request.data[2:6])
            missing = first <= 2 < first + count or first + count > 12 or first < 10 < first + count
            answer = (
                with_crc(b"\x01\x84\x02")
                if missing
                else with_crc(b"\x01\x04" + bytes((2 * count,)) + bytes(2 * count))
            )
            got += driver.on_reply(request, answer)
    assert {dims for _, _, dims in readings(got)} == {
        (("channel", str(at)),) for at in (0, 1, 3, 10, 11)
    }
    assert faults(got) == ["device_error"]


# -- pymodbus, by bytes -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_pymodbus_frames_and_ours_are_the_same_bytes(seed: int) -> None:
    source = random.Random(seed)
    unit, address = source.randrange(1, 248), source.randrange(0xFF00)
    count = source.randrange(1, 126)
    framer = FramerRTU(DecodePDU(True))
    for function, kind in ((3, ReadHoldingRegistersRequest), (4, ReadInputRegistersRequest)):
        theirs = framer.buildFrame(kind(address=address, count=count, dev_id=unit))
        assert read_request(unit, 3 if function == 3 else 4, address, count) == theirs
    words = [source.randrange(1 << 16) for _ in range(count)]
    theirs = framer.buildFrame(ReadInputRegistersResponse(registers=words, dev_id=unit))
    answer = find_answer(theirs, unit, 4, count)
    assert answer is not None
    assert list(struct.unpack(f">{count}H", answer.data)) == words
    assert answer.end == len(theirs)


# -- pymodbus, over a wire ----------------------------------------------------------------------

BAUD = 115200
SOON_S = 0.05
ANSWER_S, SILENT_S = 5.0, 0.3
"""Time-out of a meter that answers, which only a hang reaches, and of one that does not."""
LINE = SerialLine(BAUD)


@dataclass
class Wire:
    """A pymodbus server at one end of a cable, and our bus at the other."""

    tmp_path: Path
    cable: Cable
    sink: Recorder
    transport: SerialBusTransport
    start: Start
    servers: list[ModbusSerialServer] = field(default_factory=list)

    async def serve(self, *devices: SimDevice) -> None:
        server = ModbusSerialServer(
            list(devices),
            port=str(self.tmp_path / "device"),
            baudrate=BAUD,
            ignore_missing_devices=True,
        )
        await server.serve_forever(background=True)
        self.servers.append(server)

    def sensor(self, name: str, *, timeout_s: float = ANSWER_S, **options: Any) -> BusDevice:
        device = BusDevice(
            sensor=name,
            port=str(self.tmp_path / "host"),
            driver=make(timeout_s=timeout_s, **options),
            lines=(LINE,),
            interval_s=SOON_S,
            silence_timeout_s=3600.0,
        )
        self.transport.add(device)
        return device

    def got(self, name: str) -> dict[tuple[str, str], float]:
        """Return the last reading of each series of a sensor."""
        return {
            (each.quantity, "".join(value for _, value in each.dims)): each.value
            for sensor, outcomes, _ in self.sink.calls
            for each in outcomes
            if sensor == name and isinstance(each, Measured)
        }

    def faults(self, name: str) -> list[str]:
        return [
            each.kind
            for sensor, outcomes, _ in self.sink.calls
            for each in outcomes
            if sensor == name and isinstance(each, Fault)
        ]


@pytest.fixture
async def sink() -> Recorder:
    return Recorder()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with starting() as running:
        yield running


@pytest.fixture
async def wire(tmp_path: Path, sink: Recorder, start: Start) -> AsyncIterator[Wire]:
    cable = Cable(tmp_path / "host", tmp_path / "device")
    transport = SerialBusTransport(port=str(tmp_path / "host"), sink=sink, clock=CLOCK)
    made = Wire(tmp_path, cable, sink, transport, start)
    yield made
    for server in made.servers:
        await server.shutdown()  # type: ignore[no-untyped-call]
    await asyncio.sleep(0)
    cable.close()


def floats(address: int, *values: float) -> SimData:
    return SimData(address, values=list(values), datatype=DataType.FLOAT32)


def sdm120(unit: int, volts: float, kwh: float) -> SimDevice:
    """Return an SDM120 as pymodbus encodes it; what is not named reads as zero."""
    return SimDevice(
        unit,
        simdata=[
            floats(0, volts, 0.0, 0.0, 4.25),
            floats(8, *[0.0] * 31),
            floats(70, 50.02, kwh, 0.25, 1.5, 2.5),
        ],
    )


async def test_pymodbus_answers_for_several_meters_on_one_bus(wire: Wire) -> None:
    await wire.serve(sdm120(1, 230.5, 1234.5), sdm120(2, 229.25, 99.125))
    for unit in (1, 2):
        wire.sensor(f"meter-{unit}", unit=unit, map="sdm120")
    wire.start(wire.transport.run)
    await wire.sink.until(lambda: all(len(wire.got(f"meter-{unit}")) == 11 for unit in (1, 2)))
    first, second = wire.got("meter-1"), wire.got("meter-2")
    assert first["electric.voltage", ""] == 230.5
    assert first["electric.current", ""] == 4.25
    assert first["electric.frequency", ""] == 50.02
    assert first["energy.active_import", ""] == 1234.5
    assert second["electric.voltage", ""] == 229.25
    assert second["energy.active_import", ""] == 99.125
    assert wire.sink.faults() == []


async def test_every_type_and_word_order_as_pymodbus_encodes_them(wire: Wire) -> None:
    numbers = [
        (DataType.UINT16, "u16", 65535),
        (DataType.INT16, "s16", -1234),
        (DataType.UINT32, "u32", 4_000_000_000),
        (DataType.INT32, "s32", -2_000_000_000),
        (DataType.FLOAT32, "float32", -0.15625),
    ]
    data, registers = [], []
    for at, (kind, ours, value) in enumerate(numbers):
        data.append(SimData(10 * at, values=[value], datatype=kind))
        high, low = struct.unpack(
            ">HH", struct.pack(">f" if ours == "float32" else ">q", value)[-4:]
        )
        data.append(SimData(10 * at + 2, values=[low, high], datatype=DataType.REGISTERS))
        for shift, words in ((0, "high_first"), (2, "low_first")):
            if shift and ours.endswith("16"):
                continue
            registers.append(
                {
                    "address": 10 * at + shift,
                    "type": ours,
                    "words": words,
                    "quantity": "power.active",
                    "dims": {"channel": ours, "phase": words},
                    "function": 3 if at % 2 else 4,
                }
            )
    await wire.serve(SimDevice(5, simdata=data))
    wire.sensor("all", unit=5, registers=registers)
    wire.start(wire.transport.run)
    await wire.sink.until(lambda: len(wire.got("all")) == len(registers))
    for _, ours, value in numbers:
        assert wire.got("all")["power.active", f"{ours}high_first"] == value
        if not ours.endswith("16"):
            assert wire.got("all")["power.active", f"{ours}low_first"] == value


async def test_the_exceptions_of_pymodbus(wire: Wire) -> None:
    await wire.serve(SimDevice(1, simdata=[SimData(0, values=[7], datatype=DataType.UINT16)]))
    registers = [
        {"address": at, "type": "u16", "quantity": "power.active", "dims": {"channel": str(at)}}
        for at in (0, 1)
    ]
    device = wire.sensor("short", registers=registers)
    wire.start(wire.transport.run)
    # The block of both is refused; then the one that exists is read, and the other refused.
    await wire.sink.until(lambda: bool(wire.got("short")) and len(wire.faults("short")) >= 2)
    assert wire.got("short") == {("power.active", "0"): 7.0}
    assert set(wire.faults("short")) == {"device_error"}
    assert device.stats.timeouts == 0


async def test_an_adapter_that_echoes(wire: Wire) -> None:
    wire.cable.echo = True
    await wire.serve(sdm120(1, 231.0, 5.5))
    device = wire.sensor("meter", map="sdm120")
    wire.start(wire.transport.run)
    await wire.sink.until(lambda: len(wire.got("meter")) == 11)
    assert wire.sink.faults() == []
    assert device.stats.echoes == device.stats.requests


async def test_a_dead_meter_does_not_silence_its_neighbour(wire: Wire) -> None:
    await wire.serve(sdm120(1, 231.0, 5.5))
    # pymodbus 3.16 answers for units that it was not given; a dead one says nothing.
    wire.cable.mangle = lambda data: b"" if data[0] == 9 else data
    dead = wire.sensor("dead", timeout_s=SILENT_S, unit=9, map="sdm630")
    alive = wire.sensor("alive", unit=1, map="sdm120")
    wire.start(wire.transport.run)
    await wire.sink.until(lambda: bool(wire.faults("dead")) and alive.stats.requests >= 20)
    assert set(wire.faults("dead")) == {"timeout"}
    assert wire.faults("alive") == []
    assert dead.stats.requests < alive.stats.requests / 4
    # One question a round, not three: what is silent is not asked the rest.
    assert dead.stats.requests == dead.stats.timeouts == len(wire.faults("dead"))


async def test_answers_that_are_damaged_on_their_way(wire: Wire) -> None:
    await wire.serve(sdm120(1, 231.0, 5.5))
    wire.cable.mangle = lambda data: data[:-1] + bytes((data[-1] ^ 0x10,))
    wire.sensor("meter", map="sdm120")
    wire.start(wire.transport.run)
    await wire.sink.until(lambda: bool(wire.faults("meter")))
    assert set(wire.faults("meter")) == {"checksum"}
    assert wire.got("meter") == {}
    wire.cable.mangle = lambda data: b"\x00" + data  # the driver of the wire is switched on
    await wire.sink.until(lambda: len(wire.got("meter")) == 11)


async def test_a_meter_that_comes_later_is_found(wire: Wire) -> None:
    device = wire.sensor("meter", timeout_s=SILENT_S, map="sdm120")
    wire.start(wire.transport.run)
    await until(lambda: device.stats.timeouts >= 1)
    await wire.serve(sdm120(1, 231.0, 5.5))
    await wire.sink.until(lambda: len(wire.got("meter")) == 11)


def test_the_reader_of_pymodbus_agrees_with_the_simulated_meter() -> None:
    """What our make-believe meter says is read by somebody else's decoder, too."""
    device = SimulatedModbus(11, "sdm120")
    answer = device.receive(read_request(1, 4, 0, 32))
    _, pdu = FramerRTU(DecodePDU(False)).handleFrame(answer, 0, 0)
    assert pdu is not None
    volts = ModbusSerialClient.convert_from_registers(
        pdu.registers[:2], ModbusSerialClient.DATATYPE.FLOAT32
    )
    driver = make(map="sdm120")
    with contextlib.closing(iter(driver.requests())) as requests:  # type: ignore[type-var]
        outcomes = list(driver.on_reply(next(requests), answer))
    ours = next(each.value for each in outcomes if isinstance(each, Measured))
    assert volts == pytest.approx(ours, rel=1e-7)
