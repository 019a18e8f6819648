"""Simulated devices at real ports, read by the real transports."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from gateway.driver import SerialLine
from gateway.transports import (
    AdvertReplay,
    AdvertSimulator,
    FaultPlan,
    PtySimulator,
    SerialLineTransport,
)
from gateway.transports.simulator import ByteNoise, Faults
from tests.transports.conftest import Start
from tests.transports.parts import (
    CLOCK,
    HANG_S,
    CountingBeacon,
    CountingDevice,
    Recorder,
    TemperatureBeacon,
    TextDriver,
    until,
)

OURS = "C4:7F:51:00:00:01"
SECOND = "C4:7F:51:00:00:02"
STORM = FaultPlan(
    seed=7, dropped_byte=0.2, noise_burst=0.2, duplicated_chunk=0.2, pause=0.1, pause_s=0.01
)


def transport_for(link: Path, sink: Recorder) -> SerialLineTransport:
    return SerialLineTransport(
        sensor="roof",
        port=str(link),
        driver=TextDriver(),
        lines=[SerialLine(9600)],
        sink=sink,
        clock=CLOCK,
        silence_timeout_s=3600.0,
    )


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.transports.serial_line.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("gateway.transports.serial_line.MAX_WAIT_S", 0.05)


async def test_a_simulated_device_is_read_and_told_its_settings(
    tmp_path: Path, sink: Recorder, start: Start
) -> None:
    device = CountingDevice(seed=0)
    simulator = PtySimulator(device, tmp_path / "roof")
    start(simulator.run)
    await simulator.ready.wait()
    assert (tmp_path / "roof").is_symlink()
    start(transport_for(tmp_path / "roof", sink).run)
    await sink.until(lambda: len(sink.values()) >= 5)
    await sink.until(lambda: bool(sink.faults()))  # its answer, which is no reading

    values = sink.values()
    assert values == [values[0] + step for step in range(len(values))]
    assert device.told == b"set\n"
    assert simulator.received_bytes == 4


async def test_unplugged_and_replugged_at_the_same_path(
    tmp_path: Path, sink: Recorder, start: Start, quick_retries: None
) -> None:
    simulator = PtySimulator(CountingDevice(seed=0), tmp_path / "roof")
    transport = transport_for(tmp_path / "roof", sink)
    start(simulator.run)
    start(transport.run)
    for round_number in range(1, 4):
        await until(lambda: transport.stats.open)
        seen = len(sink.values())
        await sink.until(lambda seen=seen: len(sink.values()) > seen)  # type: ignore[misc]
        await simulator.unplug()
        assert not (tmp_path / "roof").is_symlink()
        await until(lambda: not transport.stats.open)
        assert transport.stats.reopens == {"vanished": round_number}
        failures = transport.stats.open_failures
        await until(lambda failures=failures: transport.stats.open_failures > failures)  # type: ignore[misc]
        await simulator.replug()
    await until(lambda: transport.stats.opens == 4)


async def test_unplugging_twice_and_replugging_twice_is_no_fault(
    tmp_path: Path, start: Start
) -> None:
    simulator = PtySimulator(CountingDevice(seed=0), tmp_path / "roof")
    start(simulator.run)
    await simulator.ready.wait()
    await simulator.unplug()
    await simulator.unplug()
    await simulator.replug()
    await simulator.replug()
    assert (tmp_path / "roof").is_symlink()


async def test_the_link_is_gone_when_the_simulator_stopped(tmp_path: Path) -> None:
    simulator = PtySimulator(CountingDevice(seed=0), tmp_path / "roof")
    task = asyncio.create_task(simulator.run())
    await simulator.ready.wait()
    task.cancel()
    await asyncio.wait((task,))
    with pytest.raises(FileNotFoundError):
        os.lstat(tmp_path / "roof")


async def test_what_nobody_reads_is_lost_and_holds_up_nothing(tmp_path: Path, start: Start) -> None:
    device = CountingDevice(seed=0)
    device.interval_s = 0.0
    simulator = PtySimulator(device, tmp_path / "roof")
    start(simulator.run)
    await until(lambda: device.emit() > b"T=5000\n" and simulator.sent_bytes > 0)
    assert simulator.sent_bytes < 5000 * 6


async def _first_bytes(seed: int, directory: Path, size: int) -> bytes:
    device = CountingDevice(seed=0)
    device.interval_s = 0.0005
    plan = FaultPlan(seed=seed, dropped_byte=0.2, noise_burst=0.2, duplicated_chunk=0.2)
    simulator = PtySimulator(device, directory / "port", faults=plan)
    task = asyncio.create_task(simulator.run())
    await simulator.ready.wait()
    port = os.open(directory / "port", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    data = b""
    async with asyncio.timeout(HANG_S):
        while len(data) < size:
            await asyncio.sleep(0.005)
            try:
                data += os.read(port, 4096)
            except BlockingIOError:
                continue
    os.close(port)
    task.cancel()
    await asyncio.wait((task,))
    return data[:size]


@pytest.mark.parametrize("seed", [1, 20_26])
async def test_the_same_seed_gives_the_same_bytes_on_the_port(seed: int, tmp_path: Path) -> None:
    first = await _first_bytes(seed, tmp_path, 600)
    assert await _first_bytes(seed, tmp_path, 600) == first
    assert await _first_bytes(seed + 1, tmp_path, 600) != first


def test_without_faults_everything_passes() -> None:
    faults = Faults(FaultPlan(seed=3))
    assert [faults.apply(b"%d" % n) for n in range(100)] == [(b"%d" % n, 0.0) for n in range(100)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_fault_happens_and_can_be_told_apart(seed: int) -> None:
    chunk = bytes(range(200, 210))
    lost = Faults(FaultPlan(seed=seed, dropped_byte=1)).apply(chunk)[0]
    assert len(lost) == 9
    assert set(lost) < set(chunk)
    noisy = Faults(FaultPlan(seed=seed, noise_burst=1)).apply(chunk)[0]
    assert noisy.endswith(chunk)
    assert 1 <= len(noisy) - len(chunk) <= 16
    assert Faults(FaultPlan(seed=seed, duplicated_chunk=1)).apply(chunk)[0] == chunk * 2
    assert Faults(FaultPlan(seed=seed, pause=1, pause_s=2.5)).apply(chunk) == (chunk, 2.5)
    assert Faults(FaultPlan(seed=seed, dropped_byte=1)).apply(b"") == (b"", 0.0)


def test_faults_come_as_often_as_asked() -> None:
    faults = Faults(FaultPlan(seed=random.Random(5).randrange(1000), dropped_byte=0.25))
    lost = sum(len(faults.apply(b"0123456789")[0]) == 9 for _ in range(4000))
    assert 800 < lost < 1200


async def test_a_transport_survives_a_device_in_a_storm(
    tmp_path: Path, sink: Recorder, start: Start
) -> None:
    simulator = PtySimulator(CountingDevice(seed=0), tmp_path / "roof", faults=STORM)
    transport = transport_for(tmp_path / "roof", sink)
    start(simulator.run)
    await simulator.ready.wait()
    start(transport.run)
    await sink.until(lambda: len(sink.values()) >= 60 and len(sink.faults()) >= 5)
    assert transport.stats.opens == 1


async def test_a_device_model_that_fails_ends_the_run(tmp_path: Path) -> None:
    class Broken(CountingDevice):
        def receive(self, data: bytes) -> bytes:
            raise ZeroDivisionError

    simulator = PtySimulator(Broken(seed=0), tmp_path / "roof")
    task = asyncio.create_task(simulator.run())
    await simulator.ready.wait()
    port = os.open(tmp_path / "roof", os.O_RDWR | os.O_NOCTTY)
    os.write(port, b"x")
    with pytest.raises(ZeroDivisionError):
        await task
    os.close(port)


async def test_simulated_adverts_reach_their_sensors_through_a_pipe(
    tmp_path: Path, sink: Recorder, start: Start
) -> None:
    pipe = tmp_path / "adverts"
    beacons = [CountingBeacon(0, OURS), CountingBeacon(100, SECOND)]
    simulator = AdvertSimulator(beacons, pipe)
    replay = AdvertReplay(
        path=pipe,
        beacons={OURS: ("one", TemperatureBeacon()), SECOND: ("two", TemperatureBeacon())},
        sink=sink,
        clock=CLOCK,
    )
    start(simulator.run)
    start(replay.run)
    await sink.until(lambda: len(sink.values("one")) >= 5 and len(sink.values("two")) >= 5)
    assert sink.values("one")[:5] == [0.0, 0.01, 0.02, 0.03, 0.04]
    assert sink.values("two")[:5] == [1.0, 1.01, 1.02, 1.03, 1.04]
    assert simulator.lost_lines == 0
    assert replay.stats.adapters["replay"].malformed_lines == 0


async def test_adverts_that_nobody_reads_are_lost_as_whole_lines(
    tmp_path: Path, sink: Recorder, start: Start
) -> None:
    beacon = CountingBeacon(0, OURS)
    beacon.interval_s = 0.0
    pipe = tmp_path / "adverts"
    simulator = AdvertSimulator([beacon], pipe)
    start(simulator.run)
    await until(lambda: simulator.lost_lines > 10)
    replay = AdvertReplay(
        path=pipe,
        beacons={OURS: ("one", TemperatureBeacon())},
        sink=sink,
        clock=CLOCK,
        speed=0.0,
    )
    start(replay.run)
    await sink.until(lambda: len(sink.values()) > 1000)
    assert replay.stats.adapters["replay"].malformed_lines == 0


@pytest.mark.parametrize("run", [1, 40])
@pytest.mark.parametrize("seed", [1, 2])
def test_noise_damages_the_share_that_was_asked_for(seed: int, run: int) -> None:
    sent = bytes(100_000)
    noise = ByteNoise(seed, 0.05, run)
    arrived = noise.apply(sent)
    assert 0.04 < noise.damaged / len(sent) < 0.06
    assert arrived.count(0) >= len(sent) - noise.damaged, "what it spared is as it was"
    changed = len(arrived) - arrived.count(0)
    assert 0.5 < changed / noise.damaged < 0.8, "a third is changed, a third gets one too many"
    pieces = ByteNoise(seed, 0.05, run)
    assert b"".join(pieces.apply(sent[at : at + 7]) for at in range(0, len(sent), 7)) == arrived
    assert ByteNoise(seed + 1, 0.05, run).apply(sent) != arrived


def test_without_noise_everything_passes() -> None:
    assert ByteNoise(1, 0.0).apply(b"as it was") == b"as it was"
    for share, run in ((1.0, 1), (-0.1, 1), (0.1, 0)):
        with pytest.raises(ValueError, match="share"):
            ByteNoise(1, share, run)


async def test_noise_reaches_answers_as_well(tmp_path: Path, start: Start) -> None:
    class Answering(CountingDevice):
        def emit(self) -> bytes:
            return b""

        def receive(self, data: bytes) -> bytes:
            return data

    plan = FaultPlan(seed=3, damaged_bytes=0.2)
    simulator = PtySimulator(Answering(seed=0), tmp_path / "roof", faults=plan)
    start(simulator.run)
    await simulator.ready.wait()
    port = os.open(tmp_path / "roof", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    os.write(port, bytes(1000))
    await until(lambda: simulator.received_bytes == 1000)
    os.close(port)
    assert 100 < simulator.noise.damaged < 300
