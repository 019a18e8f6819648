"""From the bytes of four devices to what two cities read at their broker, value for value."""

import asyncio
import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.brokers import Mosquitto
from tests.end_to_end.gateway_process import GatewayProcess, broker
from tests.end_to_end.held_line import HeldLine, dust_frame
from tests.end_to_end.subscriber import Subscriber
from tests.forward.entities import schema_errors
from tests.shared_material import shared

pytestmark = pytest.mark.mosquitto

TAG = "C4:7F:51:00:00:01"
CLOCK_SLACK_S = 1.0
"""Wall time is boot time plus an offset that is measured once a second."""
MAX_CHUNK_BYTES = 25
DAMAGE_EVERY = 7

# Data format 5 in Ruuvi's documentation: its own example of valid data.
TAG_PAYLOAD = "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F"
TAG_VALUES = {
    "air.temperature": (24.3, "Cel"),
    "air.humidity": (53.49, "%"),
    "air.pressure": (1000.44, "hPa"),
    "device.voltage": (2.977, "V"),
}
# Line by line as in the Swedish recommendation; the checksum is that of the whole text.
TELEGRAM_LINES = (
    "/ELL5\\253833635_A",
    "",
    "0-0:1.0.0(210217184019W)",
    "1-0:1.8.0(00006678.394*kWh)",
    "1-0:2.8.0(00000000.250*kWh)",
    "1-0:1.7.0(0001.727*kW)",
    "1-0:2.7.0(0000.000*kW)",
    "1-0:22.7.0(0000.500*kW)",
    "1-0:32.7.0(240.3*V)",
    "1-0:52.7.0(240.1*V)",
    "1-0:72.7.0(241.3*V)",
    "1-0:31.7.0(004.2*A)",
    "!",
)
METER_VALUES = {
    ("power.active", ""): (1727.0, "W"),
    ("power.active", "L1"): (-500.0, "W"),
    ("electric.voltage", "L1"): (240.3, "V"),
    ("electric.voltage", "L2"): (240.1, "V"),
    ("electric.voltage", "L3"): (241.3, "V"),
    ("electric.current", "L1"): (4.2, "A"),
    ("energy.active_import", ""): (6678.394, "kW.h"),
    ("energy.active_export", ""): (0.25, "kW.h"),
}
RADAR_LINES = (
    b'{"Units":"m-per-sec"}\r\n'
    b'{"DetectedObjectVelocity":"12.5"}\r\n'
    b'{"DetectedObjectVelocity":"-8.0"}\r\n'
)
RADAR_VALUES = [("inbound", 45.0), ("outbound", 28.8)]


def crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def telegram() -> bytes:
    text = "\r\n".join(TELEGRAM_LINES).encode()
    return text + b"%04X\r\n" % crc16(text)


def advert_line() -> bytes:
    advert = {"t": 0, "address": TAG, "rssi": -70, "manufacturer_data": {"1177": TAG_PAYLOAD}}
    return json.dumps(advert).encode() + b"\n"


def write_to_pipe(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # the daemon has it open
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def damaged_stream(rng: random.Random, values: list[tuple[int, int]]) -> tuple[bytes, int]:
    """Return the reports of these values with damage between them, and the failed checksums."""
    stream, failed = b"", 0
    for index, (pm25, pm10) in enumerate(values):
        if index % DAMAGE_EVERY == 2:
            stream += bytes(rng.choices(range(0xA0), k=rng.randrange(1, 9)))  # noise on the line
        elif index % DAMAGE_EVERY == 4:
            frame = bytearray(dust_frame(pm25 + 1, pm10))
            frame[8] ^= 0x55  # a bit error that the checksum finds
            stream += frame
            failed += 1
        elif index % DAMAGE_EVERY == 6:
            stream += dust_frame(pm25 + 1, pm10)[: rng.randrange(2, 8)]  # the rest was lost
        stream += dust_frame(pm25, pm10)
    return stream, failed


async def send_in_pieces(line: HeldLine, data: bytes, rng: random.Random) -> None:
    while data:
        size = rng.randrange(1, MAX_CHUNK_BYTES)
        await line.write(data[:size])
        data = data[size:]
        await asyncio.sleep(rng.choice((0, 0.001, 0.003)))


def sensors(folder: Path) -> str:
    return f"""
    [bluetooth]
    replay = "{folder}/adverts"
    [[sensor]]
    name = "air-roof"
    driver = "sds011"
    port = "{folder}/tty-air"
    [[sensor]]
    name = "meter-school"
    driver = "p1"
    port = "{folder}/tty-meter"
    privacy = "P0"
    [[sensor]]
    name = "radar-bridge"
    driver = "ops243"
    port = "{folder}/tty-radar"
    location = {{ lon = 10.2, lat = 56.15 }}
    [[sensor]]
    name = "air-square"
    driver = "ruuvi"
    address = "{TAG}"
    """


def entities(city: Subscriber, sensor: str) -> list[dict[str, Any]]:
    """Return the entities of one sensor in the order in which they came."""
    return [
        entity
        for message in city.messages(f"/{sensor}/ngsi")
        for entity in json.loads(message.payload)
    ]


def observed(entity: Mapping[str, Any]) -> Iterator[tuple[str, datetime]]:
    for name, attribute in entity.items():
        if isinstance(attribute, dict) and "observedAt" in attribute:
            yield name, datetime.fromisoformat(attribute["observedAt"])


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.timeout(120)
async def test_every_value_of_four_devices_reaches_two_cities(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    air = [(rng.randrange(1, 9999), rng.randrange(1, 9999)) for _ in range(120)]
    stream, failed = damaged_stream(rng, air)
    os.mkfifo(tmp_path / "adverts")
    began_s = time.time()
    with (
        HeldLine(tmp_path / "tty-air") as air_line,
        HeldLine(tmp_path / "tty-meter") as meter_line,
        HeldLine(tmp_path / "tty-radar") as radar_line,
    ):
        async with Mosquitto(tmp_path / "broker") as mosquitto:
            sections = (
                sensors(tmp_path)
                + broker("aarhus", mosquitto.port)
                + broker("vejle", mosquitto.port, 'format = "json"')
            )
            async with (
                Subscriber(tmp_path, mosquitto.port) as city,
                GatewayProcess(tmp_path, sections) as gateway,
            ):
                await gateway.until_metric("port_open", 3)
                await gateway.until_metric("scanner_open", 1)
                write_to_pipe(tmp_path / "adverts", advert_line())
                await asyncio.gather(
                    send_in_pieces(air_line, stream, rng),
                    send_in_pieces(meter_line, telegram(), rng),
                    send_in_pieces(radar_line, RADAR_LINES, rng),
                )
                total = 2 * len(air) + len(METER_VALUES) + len(RADAR_VALUES) + len(TAG_VALUES)
                for link in ("aarhus", "vejle"):
                    figures = await gateway.until(link, acknowledged=total)
                    assert (figures.accepted, figures.pending) == (total, 0)
                    assert not any(figures.dropped.values())
                page = await gateway.metrics()
                assert page.value("sensor_faults_total", sensor="air-roof", kind="checksum") == (
                    failed
                )
                assert page.value("sensor_faults_total", sensor="air-roof", kind="noise") > 0
                for sensor in ("meter-school", "radar-bridge", "air-square"):
                    assert page.total("sensor_faults_total", sensor=sensor) == 0
                assert b"OJUMOU" in radar_line.received()
                assert air_line.received() == meter_line.received() == b""
                await city.until(lambda city: len(city.readings()) >= total)
    ended_s = time.time()
    check_lines(city, total, air, began_s, ended_s)
    check_air(city, air)
    check_others(city)
    for sensor in ("air-roof", "meter-school", "radar-bridge", "air-square"):
        for entity in entities(city, sensor):
            if shared("schemas") is not None:
                assert schema_errors(entity) == []
            for name, when in observed(entity):
                assert began_s - CLOCK_SLACK_S <= when.timestamp() <= ended_s + CLOCK_SLACK_S, name
    check_properties(city, total)


def check_lines(
    city: Subscriber, total: int, air: list[tuple[int, int]], began_s: float, ended_s: float
) -> None:
    """The ``json`` format: every reading under its name, with unit, time and order."""
    lines = city.readings()
    schema = json.loads(files("gateway").joinpath("data/reading.schema.json").read_text("utf-8"))
    validator = Draft202012Validator(schema)
    for line in lines:
        validator.validate(line)
        assert line["gateway"] == "test-box"
        warming = line["sensor"] == "air-roof"  # an SDS011 is for its first 30 s
        expected = ("uncertain", ["warm_up"]) if warming else ("good", [])
        assert (line["quality"], line["flags"]) == expected
        at_s = datetime.fromisoformat(line["time"]).timestamp()
        assert began_s - CLOCK_SLACK_S <= at_s <= ended_s + CLOCK_SLACK_S
    assert len({line["epoch"] for line in lines}) == 1
    sequences = sorted(line["sequence"] for line in lines)
    assert sequences == list(range(sequences[0], sequences[0] + total))

    def of(sensor: str) -> list[dict[str, Any]]:
        return [line for line in lines if line["sensor"] == sensor]

    for quantity, index in (("air.pm25", 0), ("air.pm10", 1)):
        got = [line for line in of("air-roof") if line["quantity"] == quantity]
        assert [line["value"] for line in got] == [pair[index] / 10 for pair in air]
        assert {line["unit"] for line in got} == {"ug/m3"}
        times = [line["boottime_ns"] for line in got]
        assert times == sorted(set(times))
    assert {
        (line["quantity"], line["dims"].get("phase", "")): (line["value"], line["unit"])
        for line in of("meter-school")
    } == METER_VALUES
    assert [(line["dims"]["direction"], line["value"]) for line in of("radar-bridge")] == (
        RADAR_VALUES
    )
    assert {line["quantity"]: (line["value"], line["unit"]) for line in of("air-square")} == (
        TAG_VALUES
    )


def check_air(city: Subscriber, air: list[tuple[int, int]]) -> None:
    """NGSI-LD: one entity a report, both values in it, in the order in which they were sent."""
    (device, *got) = entities(city, "air-roof")
    assert device["id"] == "urn:ngsi-ld:Device:testlab:air-roof", "who speaks is told first"
    assert {entity["refDevice"]["object"] for entity in got} == {device["id"]}
    assert {entity["id"] for entity in got} == {"urn:ngsi-ld:AirQualityObserved:testlab:air-roof"}
    for name, index in (("pm25", 0), ("pm10", 1)):
        values = [entity[name]["value"] for entity in got if name in entity]
        assert values == [pair[index] / 10 for pair in air]
        assert {entity[name]["unitCode"] for entity in got if name in entity} == {"GQ"}
    assert {tuple(entity["location"]["value"]["coordinates"]) for entity in got} == {
        (10.2134, 56.1535)
    }
    times = [entity["dateObserved"]["value"] for entity in got]
    assert times == sorted(times)


def check_others(city: Subscriber) -> None:
    merged: dict[str, Any] = {}
    for sensor in ("meter-school", "air-square"):
        for entity in entities(city, sensor):
            merged |= {f"{entity['type']}.{key}": value for key, value in entity.items()}

    def value(name: str) -> tuple[Any, str]:
        return merged[name]["value"], merged[name]["unitCode"]

    electric = "ThreePhaseAcMeasurement"
    assert value(f"{electric}.phaseVoltage") == ({"L1": 240.3, "L2": 240.1, "L3": 241.3}, "VLT")
    assert value(f"{electric}.current") == ({"L1": 4.2}, "AMP")
    assert value(f"{electric}.totalActivePower") == (1727, "WTT")
    assert value(f"{electric}.totalActiveEnergyImport") == (6678.394, "KWH")
    assert value(f"{electric}.totalActiveEnergyExport") == (0.25, "KWH")
    assert value("WeatherObserved.temperature") == (24.3, "CEL")
    assert value("WeatherObserved.relativeHumidity") == (0.5349, "C62")
    assert value("WeatherObserved.atmosphericPressure") == (1000.44, "A97")
    assert value("DeviceMeasurement.numValue") == (2.977, "VLT")
    (device, *radar) = entities(city, "radar-bridge")
    assert device["type"] == "Device"
    assert [
        (entity["laneDirection"]["value"], entity["averageVehicleSpeed"]["value"])
        for entity in radar
    ] == [("forward", 45), ("backward", 28.8)]
    assert {tuple(entity["location"]["value"]["coordinates"]) for entity in radar} == {
        (10.2, 56.15)
    }


def check_properties(city: Subscriber, total: int) -> None:
    """Every message says whose it is and which sequences it holds."""
    covered = set()
    for message in city.messages("/ngsi"):
        said = dict(pair.split(":", 1) for pair in message.properties.split(" "))
        if "from" not in said:
            assert [entity["type"] for entity in json.loads(message.payload)] == ["Device"]
            continue
        assert (said["gateway"], said["schema"]) == ("test-box", "ngsi-ld-normalized")
        covered |= set(range(int(said["from"]), int(said["to"]) + 1))
    assert len(covered) == total
    for message in city.messages("/json"):
        said = dict(pair.split(":", 1) for pair in message.properties.split(" "))
        lines = [json.loads(line) for line in message.payload.splitlines()]
        assert {(line["gateway"], str(line["epoch"])) for line in lines} == {
            (said["gateway"], said["epoch"])
        }
        assert lines[0]["sequence"] == int(said["from"])
        assert lines[-1]["sequence"] == int(said["to"])
