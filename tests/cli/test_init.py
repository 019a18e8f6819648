"""``init`` without a person: flags, files, what is found at real pseudo-terminals."""

import json
import os
import signal
import stat
import threading
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.p1.simulated import SimulatedP1
from drivers.sds011.simulated import SimulatedSds011
from gateway.cli import init as init_module
from gateway.cli import main
from gateway.cli.init import find as find_module
from gateway.cli.init import find_serial as serial_module
from gateway.cli.init import writing as writing_module
from gateway.cli.init.files import NewFile, put_in_place
from gateway.cli.init.find import find_all
from gateway.cli.init.looking import Candidate, Search
from gateway.cli.init.plan import BrokerPlan, Place, Plan, SensorPlan, checked_place, names_from
from gateway.cli.init.service import Service, find_service
from gateway.cli.init.text import HELP, configuration_text
from gateway.cli.init.writing import write
from gateway.cli.scan.hearing import Fit
from gateway.cli.scan.listen import Found
from gateway.cli.scan.ports import Port
from gateway.config.load import load
from gateway.driver import SerialLine
from gateway.errors import ConfigError
from tests.cli.simulated_ports import plugged, run_main

Capture = pytest.CaptureFixture[str]
PASSWORD = "canary-7781"
IDENTITY = ("--id", "box-1", "--tenant", "aarhus", "--location", "56.1535, 10.2134")
NO_BROKER = ("--broker-url", "none")
DUST = "--sensor=air-roof=sds011@/dev/ttyUSB9"


def init(path: Path, *arguments: str) -> int:
    return main(["init", "--config", str(path), *arguments])


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def content(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "lat", "lon"),
    [
        ("56.1535, 10.2134", 56.1535, 10.2134),
        ("56.1535 10.2134", 56.1535, 10.2134),
        ("-33.9;18.4", -33.9, 18.4),
        ("56.1535° N, 10.2134° E", 56.1535, 10.2134),
        ("33.9S, 70.6W", -33.9, -70.6),
        ("0, 0", 0.0, 0.0),
        ("90,180", 90.0, 180.0),
    ],
)
def test_a_place_is_read_as_maps_show_it(text: str, lat: float, lon: float) -> None:
    assert checked_place(text) == Place(lat, lon)


@pytest.mark.parametrize("text", ["56", "91, 0", "0, 181", "here", "56,1535", "1, 2, 3", "nan, 0"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        checked_place(text)


def test_what_is_missing_is_listed_at_once(tmp_path: Path, capsys: Capture) -> None:
    assert init(tmp_path / "gateway.toml") == 2
    errors = capsys.readouterr().err
    assert [line.split(":")[1].strip() for line in errors.splitlines()] == [
        "--id",
        "--tenant",
        "--location",
        "--broker-url",
    ]
    assert files_in(tmp_path) == []


def test_what_is_wrong_is_listed_at_once(tmp_path: Path, capsys: Capture) -> None:
    secret = tmp_path / "empty"
    secret.touch()
    code = init(
        tmp_path / "gateway.toml",
        *("--id", "Box 1", "--tenant", "aarhus", "--location", "north"),
        *("--broker-url", f"mqtts://me:{PASSWORD}@host", "--broker-format", "xml"),
        *("--sensor", "air=ttyUSB0", "--sensor", "air=nobody@/dev/x", "--retention", "1 year"),
        *("--http", "0.0.0.0:80", "--listen", "0 s", "--password-file", str(secret), "--yes"),
        *("--for", "1 d", "--key-file", f"air={secret}", "--sensor", "a=b.jsonl"),
        *("--sensor", "a=*", "--sensor", "a=/b.jsonl"),
    )
    errors = capsys.readouterr().err
    assert code == 2
    wrong = {line.split(":")[1].strip() for line in errors.splitlines()}
    assert wrong == {
        *("--id", "--location", "--broker-url", "--broker-format", "--sensor", "--retention"),
        *("--http", "--listen", "--password-file", "--for", "--key-file"),
    }
    assert PASSWORD not in errors
    assert files_in(tmp_path) == ["empty"]


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--broker-url", "mqtt://h"), "--insecure"),
        (("--broker-url", "mqtts://h", "--insecure"), "--insecure"),
        (("--broker-url", "tcp://h"), "did you mean mqtt://h"),
    ],
)
def test_plain_text_has_to_be_said(
    tmp_path: Path, capsys: Capture, flags: tuple[str, ...], word: str
) -> None:
    assert init(tmp_path / "gateway.toml", *IDENTITY, "--no-scan", *flags) == 2
    assert word in capsys.readouterr().err
    assert files_in(tmp_path) == []


def test_flags_write_a_file_that_check_takes_and_a_secret_that_nobody_reads(
    tmp_path: Path, capsys: Capture
) -> None:
    given = tmp_path / "given"
    given.write_text(f"{PASSWORD}\nnot this\n")
    config = tmp_path / "etc" / "gateway.toml"
    code = init(
        config,
        *IDENTITY,
        DUST,
        *("--broker-url", "mqtts://broker.test", "--broker-name", "city", "--username", "box"),
        *("--password-file", str(given), "--broker-format", "senml-json", "--http"),
        *("--ca-file", str(tmp_path / "ca.pem"), "--directory", str(tmp_path / "state")),
    )
    assert code == 0
    secret = config.parent / "secrets" / "city"
    assert files_in(config.parent) == ["gateway.toml", "secrets", "secrets/city"]
    assert secret.read_text() == f"{PASSWORD}\n"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o750
    captured = capsys.readouterr()
    assert PASSWORD not in config.read_text() + captured.out + captured.err
    loaded = load(config)
    assert loaded.gateway.location is not None
    assert (loaded.gateway.location.lat, loaded.gateway.location.lon) == (56.1535, 10.2134)
    (broker,) = loaded.broker
    assert (broker.name, broker.format, broker.password_file) == ("city", "senml-json", str(secret))
    assert loaded.http is not None
    assert loaded.http.is_loopback
    assert main(["check", "--config", str(config)]) == 0


def test_every_key_is_explained_in_one_line_where_it_first_stands() -> None:
    terms = {"purpose": 'a "word"\n', "controller": "c", "legal_basis": "l", "retention": "24 h"}
    sensors = (
        SensorPlan("a", "mbus", "port", "/dev/a", {"address": 5, "odd key": "x"}, "P3", terms),
        SensorPlan("b", "ruuvi", "address", "C4:7F:51:00:00:01"),
        SensorPlan("e", "sds011", "replay", "/e.jsonl"),
    )
    broker = BrokerPlan("c", "mqtt://h", True, "u", PASSWORD, "/ca", "json")
    plan = Plan("box", "t", Place(56.0, 10.25), sensors, broker, "127.0.0.1:1", "/d", "/r", True)
    text = configuration_text(plan, password_file="/s")
    keys = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    comments = [line[2:] for line in text.splitlines() if line.startswith("# ")][2:]
    assert sorted(comments) == sorted(HELP.values()), "each once, and none that is never said"
    assert all(len(line) <= 90 for line in comments)
    assert len(keys) == len(HELP) + 4, "names and drivers of the others need no more words"
    document = tomllib.loads(text)
    assert document["sensor"][0]["options"] == {"address": 5, "odd key": "x"}
    assert document["sensor"][0]["purpose"] == 'a "word"\n'
    assert document["gateway"]["location"] == {"lat": 56.0, "lon": 10.25}
    assert PASSWORD not in text


def test_what_is_there_stays_there_unless_it_is_said(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("# mine\n")
    flags = (*IDENTITY, *NO_BROKER, "--no-scan")
    assert init(config, *flags) == 2
    assert "--force" in capsys.readouterr().err
    assert config.read_text() == "# mine\n"
    assert init(config, *flags, "--force") == 0
    assert (tmp_path / "gateway.toml.bak").read_text() == "# mine\n"
    first = config.read_text()
    assert init(config, *flags, "--force", "--http") == 0
    assert (tmp_path / "gateway.toml.bak").read_text() == "# mine\n"
    assert (tmp_path / "gateway.toml.bak1").read_text() == first
    assert init(config, *flags, "--force", "--http") == 0
    assert len(files_in(tmp_path)) == 3, "nothing new, no backup"


def test_a_password_that_is_there_is_not_lost_either(tmp_path: Path) -> None:
    config, given = tmp_path / "etc" / "gateway.toml", tmp_path / "given"
    given.write_text(PASSWORD)
    (tmp_path / "etc" / "secrets").mkdir(parents=True)
    (tmp_path / "etc" / "secrets" / "aarhus").write_text("older")
    flags = (*IDENTITY, "--no-scan", "--broker-url", "mqtts://h", "--username", "u")
    assert init(config, *flags, "--password-file", str(given)) == 2
    assert not config.exists()
    assert init(config, *flags, "--password-file", str(given), "--force") == 0
    assert (tmp_path / "etc" / "secrets" / "aarhus.bak").read_text() == "older"


def test_what_check_would_refuse_is_not_written(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "gateway.d").mkdir()
    other = '[[sensor]]\nname = "air-roof"\ndriver = "sds011"\nport = "/dev/ttyUSB9"\n'
    (tmp_path / "gateway.d" / "a.toml").write_text(other)
    before = files_in(tmp_path)
    assert init(tmp_path / "gateway.toml", *IDENTITY, *NO_BROKER, DUST) == 2
    assert "air-roof" in capsys.readouterr().err
    assert files_in(tmp_path) == before


def test_a_directory_that_was_made_for_nothing_is_gone_again(tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        assert path.read_bytes() == b"new"
        raise ConfigError("no")

    file = NewFile(tmp_path / "a" / "b" / "c.toml", b"new", 0o640, 0o750)
    with pytest.raises(ConfigError, match="no"):
        put_in_place([file], force=False, check=refuse)
    assert files_in(tmp_path) == []


def test_ctrl_c_in_the_middle_of_writing_changes_nothing(tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    files = [NewFile(tmp_path / name, b"x", 0o600, 0o700) for name in ("one", "two")]
    assert put_in_place(files, force=False, check=interrupted) == []
    assert files_in(tmp_path) == ["one", "two"]


def test_a_file_that_came_meanwhile_wins(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    file = NewFile(path, b"new", 0o600, 0o700)

    def meanwhile(ready: Path) -> None:
        path.write_bytes(b"theirs")

    with pytest.raises(ConfigError, match="is there already"):
        put_in_place([file], force=False, check=meanwhile)
    assert path.read_bytes() == b"theirs"
    assert files_in(tmp_path) == ["gateway.toml"]


@pytest.mark.parametrize(
    ("flags", "privacy"),
    [
        (("--not-a-home",), "P0"),
        (
            ("--purpose", "heat", "--controller", "me", "--legal-basis", "a", "--retention", "1 d"),
            "P3",
        ),
    ],
)
def test_a_meter_says_whose_it_is(
    tmp_path: Path, capsys: Capture, flags: tuple[str, ...], privacy: str
) -> None:
    config = tmp_path / "gateway.toml"
    meter = ("--sensor", "meter=p1@/dev/ttyUSB9")
    assert init(config, *IDENTITY, *NO_BROKER, *meter, *flags[2:]) == 2
    assert "--not-a-home" in capsys.readouterr().err
    assert init(config, *IDENTITY, *NO_BROKER, *meter, *flags) == 0
    (sensor,) = load(config).sensor
    assert sensor.privacy == privacy


def test_a_recording_stands_for_a_device(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    flags = (*IDENTITY, *NO_BROKER, "--sensor=air=sds011@/srv/air.jsonl")
    assert init(config, *flags) == 0
    (sensor,) = load(config).sensor
    assert (sensor.replay, sensor.port, sensor.address) == ("/srv/air.jsonl", "", "")


KEY = "00112233445566778899aabbccddeeff"
SOLAR = "--sensor=solar=victron@c4:7f:51:00:00:01"


def test_a_key_goes_into_a_file_of_its_own(tmp_path: Path, capsys: Capture) -> None:
    config, given = tmp_path / "etc" / "gateway.toml", tmp_path / "given"
    given.write_text("no-such-key\n")
    flags = (*IDENTITY, *NO_BROKER, SOLAR, "--key-file", f"solar={given}")
    assert init(config, *flags) == 2
    assert "--key-file solar" in capsys.readouterr().err
    given.write_text(f"{KEY}\n")
    assert init(config, *flags) == 0
    captured = capsys.readouterr()
    assert KEY not in config.read_text() + captured.out + captured.err
    secret = config.parent / "secrets" / "solar-key"
    assert secret.read_text() == f"{KEY}\n"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    (sensor,) = load(config).sensor
    assert (sensor.address, dict(sensor.options)) == (
        "C4:7F:51:00:00:01",
        {"key_file": str(secret)},
    )


def test_a_key_that_comes_later_has_its_line(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    assert init(config, *IDENTITY, *NO_BROKER, SOLAR) == 0
    assert load(config).sensor[0].options == {}
    config.write_text(config.read_text().replace("#options", "options"))
    expected = {"key_file": str(tmp_path / "secrets" / "solar-key")}
    assert load(config).sensor[0].options == expected
    assert files_in(tmp_path) == ["gateway.toml"]


def test_a_key_for_nobody_is_an_error(tmp_path: Path, capsys: Capture) -> None:
    given = tmp_path / "given"
    given.write_text(KEY)
    assert init(tmp_path / "g.toml", *IDENTITY, *NO_BROKER, SOLAR, f"--key-file=x={given}") == 2
    assert "no --sensor names" in capsys.readouterr().err
    dust = (DUST, f"--key-file=air-roof={given}")
    assert init(tmp_path / "g.toml", *IDENTITY, *NO_BROKER, *dust) == 2
    assert "has no such key" in capsys.readouterr().err


def quick(device: Any) -> Any:
    device.interval_s = 0.02
    return device


async def test_ports_are_listened_to_and_named(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "gateway.toml"
    devices = {
        tmp_path / "air": quick(SimulatedSds011(1)),
        tmp_path / "meter": quick(SimulatedP1(2)),
    }
    ports = (f"--sensor=roof={tmp_path}/air", f"--sensor=grid={tmp_path}/meter")
    async with plugged(devices) as simulators:
        flags = ("--config", str(config), *IDENTITY, *NO_BROKER, *ports, "--listen", "700 ms")
        assert await run_main("init", *flags, "--not-a-home") == 0
        assert [simulator.received_bytes for simulator in simulators.values()] == [0, 0]
    assert [(each["name"], each["driver"], each["port"]) for each in content(config)["sensor"]] == [
        ("roof", "sds011", f"{tmp_path}/air"),
        ("grid", "p1", f"{tmp_path}/meter"),
    ]
    assert "roof: sds011" in capsys.readouterr().err


def test_a_named_port_that_says_nothing_is_an_error(tmp_path: Path, capsys: Capture) -> None:
    flags = (*IDENTITY, *NO_BROKER, f"--sensor=a={tmp_path}/gone", "--listen", "100 ms")
    assert init(tmp_path / "gateway.toml", *flags) == 2
    assert "nothing was recognised" in capsys.readouterr().err
    assert files_in(tmp_path) == []


def test_all_devices_of_a_bus_are_taken_and_the_best_of_a_single_one() -> None:
    line = SerialLine(2400, parity="E")
    bus = Found(Port("/dev/bus", "/dev/bus"))
    for address in (5, 17):
        fit = Fit("mbus", line, {"address": address}, readings=9)
        fit.values[("heat.energy", ())] = 2.5
        bus.fits.append(fit)
    bus.fits.append(Fit("sds011", SerialLine(9600), readings=1))
    found = serial_module._candidates(bus)
    assert [(each.driver, each.options) for each in found] == [
        ("mbus", {"address": 5}),
        ("mbus", {"address": 17}),
    ]
    assert found[0].values == ("heat.energy 2.5 kW.h",)
    single = Found(Port("/dev/one", "/dev/one"))
    single.fits = [Fit("plantower", line, readings=30), Fit("hpma115", line, readings=3)]
    assert [each.driver for each in serial_module._candidates(single)] == ["plantower"]
    assert serial_module._candidates(Found(Port("/dev/none", "/dev/none"))) == []


def test_another_finder_needs_no_change_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = Candidate("ruuvi", "address", "C4:7F:51:00:00:01", {}, ("air.temperature 20 Cel",))
    other = replace(tag, where="C4:7F:51:00:00:02")
    monkeypatch.setattr(find_module, "FINDERS", (lambda search: [tag, other],))
    config = tmp_path / "gateway.toml"
    assert init(config, *IDENTITY, *NO_BROKER) == 0
    assert [(each.name, each.address) for each in load(config).sensor] == [
        ("air", tag.where),
        ("air-2", other.where),
    ]


def test_without_a_sensor_nothing_is_written_unless_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(find_module, "FINDERS", (lambda search: [],))
    config = tmp_path / "gateway.toml"
    assert init(config, *IDENTITY, *NO_BROKER) == 2
    assert "--no-scan" in capsys.readouterr().err
    assert init(config, *IDENTITY, *NO_BROKER, "--no-scan") == 0


def test_a_port_that_may_not_be_opened_is_told_with_what_mends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = Port("/dev/ttyUSB9", "/dev/ttyUSB9")
    failed = Found(port, error=os.strerror(13))
    monkeypatch.setattr(serial_module, "find_ports", lambda wanted: [port])

    def heard(ports: Any, drivers: Any, listen_s: float, done: Any) -> list[Found]:
        done(failed)
        return [failed]

    monkeypatch.setattr(serial_module, "listen", heard)
    told: list[str] = []
    assert find_all(Search(told.append, lambda count: False, 0.1)) == []
    assert "usermod" in told[-1]


def test_names_do_not_collide() -> None:
    assert names_from("air", set()) == "air"
    assert names_from("air", {"air", "air-2"}) == "air-3"


def fake_systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, *, fails: str = "-") -> Path:
    log = folder / "calls"
    program = folder / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$*" >> {log}\n[ "$1" != "{fails}" ] || exit 5\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


def test_the_service_gets_its_password_from_systemd_and_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    log = fake_systemctl(tmp_path, monkeypatch)
    found = find_service(running=tmp_path, units=tmp_path / "units")
    assert found is not None
    config, given = tmp_path / "etc" / "gateway.toml", tmp_path / "given"
    given.write_text(PASSWORD)
    for module in (init_module, writing_module):
        monkeypatch.setattr(module, "DEFAULT_CONFIG", config)
    monkeypatch.setattr(init_module, "find_service", lambda: found)
    broker = ("--broker-url", "mqtts://h", "--username", "u")
    flags = (*IDENTITY, DUST, SOLAR, *broker, "--http", "--start")
    assert init(config, *flags, "--password-file", str(given)) == 0
    assert content(config)["broker"][0]["password_file"] == "%d/aarhus"
    secret = config.parent / "secrets" / "aarhus"
    later = config.parent / "secrets" / "solar-key"
    assert found.drop_in.read_text().splitlines()[-2:] == [
        f"#LoadCredential=solar-key:{later}",
        f"LoadCredential=aarhus:{secret}",
    ]
    assert '#options = { key_file = "%d/solar-key" }' in config.read_text()
    units = "citylab-gateway.service citylab-gateway.socket"
    assert log.read_text().splitlines() == [
        "cat citylab-gateway.service",
        "daemon-reload",
        f"enable {units}",
        f"stop {units}",
        "start citylab-gateway.service",
    ]
    assert "It runs" in capsys.readouterr().out


def test_a_service_that_does_not_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_systemctl(tmp_path, monkeypatch, fails="start")
    assert "start" in Service("systemctl").start(http=False)
    assert find_service(running=tmp_path / "no") is None
    fake_systemctl(tmp_path, monkeypatch, fails="cat")
    assert find_service(running=tmp_path) is None


def test_without_a_service_the_command_is_said(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "gateway.toml"
    assert init(config, *IDENTITY, *NO_BROKER, "--no-scan", "--start") == 1
    assert f"citylab-gateway run --config {config}" in capsys.readouterr().out


def test_the_owner_of_nothing_is_told_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert init(tmp_path / "gateway.toml", *IDENTITY, *NO_BROKER, "--no-scan") == 2
    assert "sudo" in capsys.readouterr().err


def test_the_plan_does_not_show_its_password() -> None:
    broker = BrokerPlan("c", "mqtts://h", username="u", password=PASSWORD)
    solar = SensorPlan("s", "victron", "address", "C4:7F:51:00:00:01", keys={"key": KEY})
    shown = repr(Plan("b", "t", None, (solar,), broker=broker))
    assert PASSWORD not in shown
    assert KEY not in shown
    assert PASSWORD not in json.dumps(broker.section().model_dump(mode="json"))


def test_writing_twice_the_same_is_nothing(tmp_path: Path) -> None:
    plan = Plan("box", "t", None)
    config = tmp_path / "gateway.toml"
    write(plan, config, force=False, service=None)
    before = config.stat().st_ino
    write(plan, config, force=False, service=None)
    assert config.stat().st_ino == before
