"""``scan``: real pseudo-terminals with the simulated devices of the drivers behind them."""

import asyncio
import fcntl
import grp
import json
import os
import sys
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.iec62056 import Iec62056
from drivers.iec62056.simulated import SimulatedIec62056
from drivers.kmp import Kmp
from drivers.kmp.simulated import SimulatedKmp
from drivers.mbus import Mbus
from drivers.mbus.simulated import SimulatedMbus
from drivers.ops243 import Ops243, Ops243Options
from drivers.ops243.simulated import SimulatedOps243
from drivers.p1 import P1
from drivers.p1.simulated import SimulatedP1
from drivers.sds011 import Sds011
from drivers.sds011.simulated import SimulatedSds011
from drivers.vedirect import VeDirect
from gateway.cli import main
from gateway.cli.scan import ports as ports_module
from gateway.cli.scan.hearing import SURE, Fit
from gateway.cli.scan.listen import Found, listen
from gateway.cli.scan.ports import Port, find_ports
from gateway.cli.scan.probe import probe_all
from gateway.cli.scan.words import Words
from gateway.driver import Driver, SerialLine
from gateway.errors import PortError
from gateway.reading import Fault, Measured
from gateway.transports.serial_opening import open_port
from tests.cli.simulated_ports import plugged, run_main
from tests.transports.parts import until

pytestmark = pytest.mark.timeout(60)

LISTEN_S = 1.0
"""A device whose loop is kept waiting for a moment speaks within it all the same."""
DRIVERS = ("--driver", "sds011", "--driver", "p1", "--driver", "ops243")
Capture = pytest.CaptureFixture[str]


def quick(device: Any, interval_s: float = 0.02) -> Any:
    device.interval_s = interval_s
    return device


async def scan(
    capsys: Capture, paths: list[Path], *more: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    arguments = [word for path in paths for word in ("--port", str(path))]
    code = await run_main("scan", "--json", "--listen", f"{LISTEN_S} s", *arguments, *more)
    document = json.loads(capsys.readouterr().out)
    return code, {Path(each["port"]).name: each for each in document}


async def test_what_talks_is_recognised_and_nothing_is_written(
    tmp_path: Path, capsys: Capture
) -> None:
    devices = {
        tmp_path / "air": quick(SimulatedSds011(1)),
        tmp_path / "meter": quick(SimulatedP1(2)),
        tmp_path / "radar": quick(SimulatedOps243(3)),
        tmp_path / "heat": SimulatedMbus(4),
    }
    async with plugged(devices) as simulators:
        code, found = await scan(capsys, list(devices), *DRIVERS)
        assert [simulator.received_bytes for simulator in simulators.values()] == [0, 0, 0, 0]
    assert code == 0
    air, meter = found["air"], found["meter"]
    assert air["state"] == meter["state"] == "found"
    assert [fit["driver"] for fit in air["fits"]] == ["sds011"]
    assert air["fits"][0]["line"] == "9600 8N1"
    assert air["fits"][0]["confidence"] >= SURE
    assert {each["quantity"]: each["unit"] for each in air["fits"][0]["values"]} == {
        "air.pm25": "ug/m3",
        "air.pm10": "ug/m3",
    }
    assert meter["fits"][0]["driver"] == "p1"
    assert meter["fits"][0]["line"] == "115200 8N1"
    assert {"phase": "L1"} in [each["dims"] for each in meter["fits"][0]["values"]]
    assert found["radar"]["state"] == "unknown", "it is not set up, and nobody may do it"
    assert found["radar"]["received_bytes"] > 0
    assert b"\r\n" in bytes.fromhex(found["radar"]["heard"]["9600 8N1"])
    assert found["heat"]["state"] == "silent"
    assert found["heat"]["fits"] == []


async def test_a_radar_is_set_up_only_when_it_may_be_asked(tmp_path: Path, capsys: Capture) -> None:
    radar = quick(SimulatedOps243(3))
    async with plugged({tmp_path / "radar": radar}):
        code, found = await scan(capsys, [tmp_path / "radar"], "--probe", "--driver", "ops243")
    assert code == 0
    assert found["radar"]["fits"][0]["driver"] == "ops243"
    assert found["radar"]["fits"][0]["values"][0]["quantity"] == "traffic.speed_avg"


def asked(path: Path, *classes: type[Driver]) -> Found:
    found = Found(Port(str(path), str(path)))
    probe_all([found], classes, LISTEN_S)
    return found


async def beside(path: Path, device: Any, *classes: type[Driver]) -> Found:
    async with plugged({path: device}):
        return await asyncio.get_running_loop().run_in_executor(None, asked, path, *classes)


async def test_a_bus_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.mbus.search.ADDRESSES", range(15, 19))
    monkeypatch.setattr("drivers.mbus.search.TIMEOUT_S", 0.1)
    found = await beside(tmp_path / "bus", SimulatedMbus(4, 17), Mbus, Kmp, Sds011)
    (fit,) = found.best
    assert (fit.driver, fit.options) == ("mbus", {"address": 17})
    assert fit.line == SerialLine(2400, parity="E")
    assert ("heat.energy", ()) in fit.values
    assert found.state == "found"
    assert found.sure is (fit.confidence >= SURE)


async def test_a_meter_that_answers_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.mbus.search.TIMEOUT_S", 0.05)
    found = await beside(tmp_path / "eye", SimulatedKmp(4), Mbus, Kmp)
    (fit,) = found.best
    assert fit.driver == "kmp"
    assert len(fit.values) == 6
    assert found.sure


class _Mute:
    """Takes everything and says nothing, but that what it is told comes back."""

    interval_s = 0.05

    def __init__(self, *, echo: bool) -> None:
        self._echo = echo

    def emit(self) -> bytes:
        return b""

    def receive(self, data: bytes) -> bytes:
        return data if self._echo else b""


@pytest.mark.parametrize("echo", [False, True])
async def test_nobody_is_found_where_nobody_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, echo: bool
) -> None:
    monkeypatch.setattr("drivers.mbus.search.TIMEOUT_S", 0.05)
    monkeypatch.setattr("drivers.kmp.ANSWER_TIMEOUT_S", 0.05)
    found = await beside(tmp_path / "port", _Mute(echo=echo), Mbus, Kmp)
    assert found.best == []
    assert not found.sure
    assert not found.error


async def test_what_talks_by_itself_is_not_searched_for_a_bus(tmp_path: Path) -> None:
    """All that it says would be taken for answers, of hundreds of meters."""

    def listened_and_asked(path: Path) -> Found:
        (found,) = listen([Port(str(path), str(path))], [Sds011], LISTEN_S)
        probe_all([found], [Mbus, Ops243], LISTEN_S)
        return found

    async with plugged({tmp_path / "radar": quick(SimulatedOps243(3))}) as simulators:
        executor = asyncio.get_running_loop().run_in_executor
        found = await executor(None, listened_and_asked, tmp_path / "radar")
        told = simulators[tmp_path / "radar"].received_bytes
    assert found.talks
    assert {fit.driver for fit in found.best} == {"ops243"}
    assert told % len(b"".join(Ops243(Ops243Options()).on_open())) == 0, "nothing but settings"


async def test_many_ports_are_asked_at_once(tmp_path: Path) -> None:
    meters = {tmp_path / str(number): SimulatedKmp(number) for number in range(4)}
    found = [Found(Port(str(path), str(path))) for path in meters]
    told: list[Found] = []
    async with plugged(meters):
        executor = asyncio.get_running_loop().run_in_executor
        await executor(None, probe_all, found, [Kmp], LISTEN_S, told.append)
    assert [each.best[0].driver for each in found] == ["kmp"] * 4
    assert sorted(map(id, told)) == sorted(map(id, found))


async def test_an_answer_at_another_speed_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds: list[int] = []
    monkeypatch.setattr(
        "gateway.cli.scan.probe.change_speed", lambda port, baud: speeds.append(baud)
    )
    found = await beside(tmp_path / "head", SimulatedIec62056(4), Iec62056)
    assert [fit.driver for fit in found.best] == ["iec62056"]
    assert found.sure
    assert speeds == [9600], "as the meter proposed"


async def test_a_speed_that_the_adapter_does_not_know_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(path: str, line: SerialLine) -> Any:
        if line.baud == 19200:
            raise PortError(path, "Invalid argument")
        return open_port(path, line)

    monkeypatch.setattr(sys.modules["gateway.cli.scan.listen"], "open_port", refusing)
    ports = [Port(str(tmp_path / "eye"), "")]
    async with plugged({tmp_path / "eye": quick(SimulatedP1(2))}):
        executor = asyncio.get_running_loop().run_in_executor
        (found,) = await executor(None, listen, ports, [Sds011, VeDirect, Ops243, P1], LISTEN_S)
    assert [fit.driver for fit in found.best] == ["p1"]


async def test_a_port_in_use_is_left_alone(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "air"
    async with plugged({path: quick(SimulatedSds011(1))}):
        held = await run_main(call=lambda _: _hold(path))
        try:
            code, found = await scan(capsys, [path, tmp_path / "missing"], "--probe", *DRIVERS)
        finally:
            os.close(held)
    assert code == 1
    assert found["air"]["state"] == "failed"
    assert found["air"]["error"] == "in use by another program"
    assert found["missing"]["error"] == "No such file or directory"


def _hold(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


async def test_a_device_that_goes_away_meanwhile_is_said(tmp_path: Path) -> None:
    class Leaving(SimulatedSds011):
        def emit(self) -> bytes:
            return b"\x00"

    async with plugged({tmp_path / "port": quick(Leaving(1))}) as simulators:
        simulator = simulators[tmp_path / "port"]
        port = Port(str(tmp_path / "port"), "")
        loop = asyncio.get_running_loop()
        waiting = loop.run_in_executor(None, listen, [port], [Sds011], 5.0)
        await until(lambda: simulator.sent_bytes >= 10)
        await simulator.unplug()
        (found,) = await waiting
    assert found.error == "the device is gone"
    assert found.state == "failed"


async def test_text_for_people(tmp_path: Path, capsys: Capture) -> None:
    devices = {tmp_path / "air": quick(SimulatedSds011(1)), tmp_path / "heat": SimulatedMbus(4)}
    ports = [word for path in devices for word in ("--port", str(path))]
    async with plugged(devices):
        assert await run_main("scan", "--listen", "3 s", "--driver", "sds011", *ports) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'air'}\n  sds011 at 9600 8N1, confidence " in out
    assert "air.pm25 " in out
    assert " ug/m3" in out
    assert f"{tmp_path / 'heat'}\n  says nothing by itself\n" in out
    assert "--probe" in out


async def test_help_fits_what_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "radar"
    async with plugged({path: quick(SimulatedOps243(3))}):
        held = await run_main(call=lambda _: _hold(path))
        missing = ("--port", str(tmp_path / "missing"))
        await run_main("scan", "--listen", "100 ms", "--port", str(path), *missing)
        os.close(held)
        out = capsys.readouterr().out
        assert "systemctl stop citylab-gateway" in out
        assert "is it plugged in?" in out
        await run_main("scan", "--listen", "2 s", "--port", str(path), "--driver", "sds011")
    out = capsys.readouterr().out
    assert "speaks, and sds011 cannot make sense of it" in out
    assert 'at 9600 8N1: "' in out
    assert "citylab-gateway record" in out


def test_a_port_without_permission_says_how_to_get_it(tmp_path: Path) -> None:
    found = Found(Port(str(tmp_path), str(tmp_path)), error=os.strerror(13))
    assert f"usermod -aG {grp.getgrgid(tmp_path.stat().st_gid).gr_name}" in Words().text(found)


def test_without_any_port_it_says_so(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.scan.ports.list_ports.comports", list)
    assert main(["scan", "--serial"]) == 1
    assert "no serial port is there" in capsys.readouterr().out


def test_it_fits_a_small_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10KZ7VN-if00-port0"
    found = Found(Port(path, "/dev/ttyUSB0", "FTDI", "FT232R USB UART", "0403:6001"))
    meter = Fit("p1", SerialLine(115200))
    meter.take(Measured("power.active", 413.0, (("phase", f"L{n}"),)) for n in range(9))
    bus = [Fit("mbus", SerialLine(2400), {"address": n}, readings=n % 2) for n in range(80)]
    found.fits = [meter, *bus]
    lines = Words().text(found).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) < 40
    assert any("and 3 more" in line for line in lines)
    assert sum("options = " in line for line in lines) < 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--serial"),
        (["--serial", "--listen", "soon"], "--listen"),
        (["--serial", "--listen", "2 h"], "hour"),
        (["--serial", "--driver", "sds012"], "sds012"),
        (["--serial", "--driver", "ruuvi"], "ruuvi"),
    ],
)
def test_wrong_usage_says_what_is_wrong(arguments: list[str], words: str, capsys: Capture) -> None:
    assert main(["scan", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_faults_take_confidence_away() -> None:
    fit = Fit("sds011", SerialLine(9600))
    assert fit.confidence == 0
    fit.take([Fault("noise", "half a frame")])
    fit.take([Measured("air.pm25", 5.0)] * 9)
    assert fit.confidence == 0.9
    fit.take([Fault("checksum", "")] * 3)
    assert fit.confidence == 9 / 19
    assert fit.values == {("air.pm25", ()): 5.0}


class _Info:
    device = "/dev/ttyUSB7"
    manufacturer = "QinHeng"
    product = None
    vid, pid = 0x1A86, 0x7523


def test_ports_have_their_stable_name_and_their_vendor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "ttyUSB7"
    device.touch()
    link = tmp_path / "by-id" / "usb-1a86_USB-Serial"
    link.parent.mkdir()
    link.symlink_to(device)
    info = _Info()
    info.device = str(device)
    monkeypatch.setattr(ports_module, "BY_ID", link.parent)
    comports: Callable[[], list[_Info]] = lambda: [info]  # noqa: E731 - a stand-in
    monkeypatch.setattr("gateway.cli.scan.ports.list_ports.comports", comports)
    wanted = Port(str(link), str(device), "QinHeng", "", "1a86:7523")
    assert find_ports([]) == [wanted]
    assert find_ports([str(link)]) == [wanted]
    assert find_ports([str(tmp_path / "pty")]) == [
        Port(str(tmp_path / "pty"), str(tmp_path / "pty"))
    ]


def test_a_pseudo_terminal_without_a_device_is_silent() -> None:
    ours, hosts = os.openpty()
    tty.setraw(hosts)
    (found,) = listen([Port(os.ttyname(hosts), "")], [Sds011], 0.1)
    os.close(ours)
    os.close(hosts)
    assert found.state == "silent"
