"""``record``: what real ports and the radio say goes to a file, and nobody else's addresses do."""

import asyncio
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.mbus import Mbus, MbusOptions
from drivers.mbus.simulated import SimulatedMbus
from drivers.p1.simulated import SimulatedP1
from drivers.ruuvi import Ruuvi, RuuviOptions
from drivers.ruuvi.simulated import SimulatedRuuvi
from drivers.sds011.simulated import SimulatedSds011
from gateway.cli import main
from gateway.cli.record import parse_line
from gateway.clock import Clock
from gateway.driver import Advert, SerialLine
from gateway.errors import ConfigError
from gateway.transports import AdvertReplay, BusDevice
from gateway.transports.recorded_beacon import RecordedBeacon
from gateway.transports.recorder import Recorder, RotatedFile
from gateway.transports.recording import format_advert, parse_advert, parse_bytes
from tests.cli.simulated_ports import plugged
from tests.transports.parts import Recorder as Sink

OURS, STRANGER = "C4:7F:51:00:00:01", "C4:7F:51:00:00:99"
CLOCK = Clock()


@pytest.fixture(autouse=True)
def no_log_handler_stays() -> Iterator[None]:
    """The command sends its log to a standard error that pytest closes behind the test."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)


def config(folder: Path, *sensors: tuple[str, str, Path]) -> Path:
    path = folder / "gateway.toml"
    sections = [
        f'[[sensor]]\nname = "{name}"\ndriver = "{driver}"\nport = "{port}"\nprivacy = "P0"\n'
        for name, driver, port in sensors
    ]
    path.write_text('[gateway]\nid = "box"\n' + "\n".join(sections), encoding="utf-8")
    return path


async def record(
    *arguments: str, interrupt_when: Callable[[], bool] | None = None
) -> tuple[int, str, str]:
    """Run the command as a process of its own: it has a loop and signals of its own."""
    command = [sys.executable, "-W", "error", "-m", "gateway.cli", "record", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if interrupt_when is not None:
        beside = asyncio.get_running_loop().run_in_executor
        while not await beside(None, interrupt_when):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_sensors_are_recorded_and_play_back(tmp_path: Path) -> None:
    air, meter = SimulatedSds011(1), SimulatedP1(2)
    air.interval_s = meter.interval_s = 0.05
    file = tmp_path / "r.jsonl"
    path = config(
        tmp_path, ("air", "sds011", tmp_path / "air"), ("meter", "p1", tmp_path / "meter")
    )

    def both_are_heard() -> bool:
        text = file.read_bytes() if file.exists() else b""
        return all(text.count(name) >= 3 for name in (b'"air"', b'"meter"'))

    async with plugged({tmp_path / "air": air, tmp_path / "meter": meter}):
        code, out, err = await record(
            "--config", str(path), "--output", str(file), interrupt_when=both_are_heard
        )
    assert (code, err.count("Ctrl-C")) == (0, 1), err
    assert "air: " in out
    assert "meter: " in out
    lines = [parse_bytes(line) for line in file.read_bytes().splitlines()]
    assert {line.sensor for line in lines} == {"air", "meter"}
    for name, least in (("air", 2), ("meter", 10)):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", "replay", str(file), "--json",
            "--sensor", name, "--config", str(path), stdout=subprocess.PIPE,
        )  # fmt: skip
        played, _ = await process.communicate()
        readings = [json.loads(line) for line in played.splitlines()]
        assert len([each for each in readings if "quantity" in each]) >= least
        assert {each["sensor"] for each in readings} == {name}


async def test_a_port_is_recorded_without_knowing_what_it_is(tmp_path: Path) -> None:
    air = SimulatedSds011(1)
    air.interval_s = 0.05
    file = tmp_path / "r.jsonl"
    async with plugged({tmp_path / "air": air}) as simulators:
        code, out, _ = await record(
            "--port", str(tmp_path / "air"), "--line", "9600 8N1", "--output", str(file),
            "--for", "1 s",
        )  # fmt: skip
        assert simulators[tmp_path / "air"].received_bytes == 0, "nothing is written"
    assert code == 0
    assert out.startswith("raw: ")
    data = b"".join(parse_bytes(line).data for line in file.read_bytes().splitlines())
    assert b"\xaa\xc0" in data


async def test_a_silent_sensor_is_said(tmp_path: Path) -> None:
    async with plugged({tmp_path / "port": SimulatedMbus(1)}):
        code, out, _ = await record(
            "--port", str(tmp_path / "port"), "--output", str(tmp_path / "r"), "--for", "300 ms"
        )
    assert (code, out) == (1, "raw: nothing came\n")
    assert not (tmp_path / "r").exists()


def test_a_port_that_the_daemon_holds_is_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, hosts = os.openpty()
    fcntl.flock(hosts, fcntl.LOCK_EX)
    code = main(["record", "--port", os.ttyname(hosts), "--output", str(tmp_path / "r")])
    os.close(ours)
    os.close(hosts)
    assert code == 1
    err = capsys.readouterr().err
    assert "in use by another program" in err
    assert "sudo systemctl stop citylab-gateway" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--for", "soon"], "soon"),
        (["--size", "much"], "much"),
        (["--keep", "0"], "room"),
        (["--port", "/dev/null", "--line", "9600"], "line setting"),
        (["nobody"], "nobody"),
        (["--output", "/"], "directory"),
        (["--output", "/nowhere/r.jsonl"], "no directory"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, ("air", "sds011", tmp_path / "air"))
    more = ["--config", str(path), "--output", str(tmp_path / "r")]
    assert main(["record", *more, *arguments]) == 2
    assert words in capsys.readouterr().err


CONNECTED = """
[[sensor]]
name = "radon"
driver = "airthings"
address = "C0:FF:EE:00:00:01"
"""
COUNTING = """
[[sensor]]
name = "passers-by"
driver = "footfall"
address = "*"
purpose = "How busy the square is"
controller = "City of Aarhus"
legal_basis = "GDPR 6(1)(e)"
sign = "https://example.org/sign"
"""


@pytest.mark.parametrize(
    ("sections", "name", "words"),
    [
        (CONNECTED, "radon", "there are no raw bytes to record"),
        (COUNTING, "passers-by", "never written to a disk (PRIV-01)"),
    ],
)
def test_what_cannot_or_must_not_be_recorded(
    sections: str, name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + sections, encoding="utf-8")
    arguments = ["record", "--config", str(path), "--output", str(tmp_path / "r")]
    assert main([*arguments, name]) == 2
    assert words in capsys.readouterr().err
    assert main(arguments) == 2  # and there is nothing else
    told = capsys.readouterr().err
    assert f"{name} is left out: " in told
    assert "no sensor can be recorded" in told


def test_line_settings_are_understood() -> None:
    assert parse_line("9600 8N1") == SerialLine(9600)
    assert parse_line("2400-8e1") == SerialLine(2400, 8, "E", 1)
    assert parse_line("1200,7O2") == SerialLine(1200, 7, "O", 2)
    with pytest.raises(ConfigError):
        parse_line("9600 9N1")


@pytest.mark.parametrize("careless", [False, True])
async def test_prv_01_a_stranger_is_never_recorded(tmp_path: Path, *, careless: bool) -> None:
    """Neither through the entry of the radio nor, if that were careless, by the recorder."""
    path, source = tmp_path / "r.jsonl", tmp_path / "air.jsonl"
    ours = [
        SimulatedRuuvi(1, OURS).emit(),
        Advert(OURS, -50, name="ours", service_uuids=("0000fcd2",)),
    ]
    stranger = Advert(STRANGER, -50, name="a stranger", manufacturer_data={1177: b"\x05"})
    adverts = [ours[0], stranger, ours[1], stranger]
    source.write_bytes(b"".join(format_advert(1.0, advert) for advert in adverts))
    recorder = Recorder(RotatedFile(path, size_bytes=10_000, keep=1), CLOCK)
    tapped = RecordedBeacon("tag", OURS, Ruuvi(RuuviOptions()), recorder, CLOCK)
    beacons = {OURS: ("tag", tapped)}
    if careless:
        beacons[STRANGER] = ("tag", tapped)
    sink = Sink()
    replay = AdvertReplay(path=source, beacons=dict(beacons), sink=sink, clock=CLOCK, speed=0)
    async with recorder:
        playing = asyncio.create_task(replay.run())
        await replay.finished.wait()
        playing.cancel()
        await asyncio.wait([playing])
    text = path.read_text(encoding="ascii")
    assert STRANGER not in text
    assert "a stranger" not in text
    assert [parse_advert(line)[1] for line in path.read_bytes().splitlines()] == ours
    assert recorder.chunks == {"tag": 2}
    assert len(sink.calls) == 1, "the driver sees ours, and nobody else's"


async def test_answers_are_recorded_with_their_questions(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    recorder = Recorder(RotatedFile(path, size_bytes=10_000, keep=1), CLOCK)
    heat = BusDevice(
        sensor="heat",
        port="nowhere",
        driver=Mbus(MbusOptions(address=5)),
        lines=Mbus.info.lines,
        interval_s=1.0,
        silence_timeout_s=1.0,
        recorder=recorder,
    )
    device = SimulatedMbus(7)
    async with recorder:
        for request in heat.driver.requests():
            answer = device.receive(request.data)
            heat.record(request, answer, CLOCK.now_ns())
            list(heat.driver.on_reply(request, answer))
    lines = [parse_bytes(line) for line in path.read_bytes().splitlines()]
    assert [line.request[1] for line in lines] == [0x40, 0x7B, 0x5B]
    assert lines[0].data == b"\xe5"
