"""``replay``: a recording through its driver, as text or JSON, fast or at its own pace."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drivers.mbus import Mbus, MbusOptions
from drivers.mbus.simulated import SimulatedMbus
from drivers.ruuvi.simulated import SimulatedRuuvi
from gateway.cli import main
from gateway.driver import driver_class
from gateway.transports.recording import MAX_LINE_BYTES, format_advert, format_bytes

OURS, STRANGER = "C4:7F:51:00:00:01", "C4:7F:51:00:00:99"
GOOD = bytes.fromhex("aac0390071005a171bab")
BAD = bytes.fromhex("aac0390071005a171cab")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def mbus_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        return Mbus if name == "mbus" else driver_class(name)

    monkeypatch.setattr("gateway.cli.replay.driver_class", find)


def write(folder: Path, *lines: bytes) -> str:
    path = folder / "r.jsonl"
    path.write_bytes(b"".join(lines))
    return str(path)


def play(capsys: Capture, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    code = main(["replay", "--json", *arguments])
    captured = capsys.readouterr()
    return code, [json.loads(line) for line in captured.out.splitlines()], captured.err


def test_bytes_become_readings_and_faults(tmp_path: Path, capsys: Capture) -> None:
    path = write(
        tmp_path,
        format_bytes(10.0, "air", GOOD[:4]),
        format_bytes(10.5, "air", GOOD[4:]),
        format_bytes(11.5, "air", BAD + GOOD),
        b"not JSON\n",
        b'{"t": 12, "hex": "' + b"00" * MAX_LINE_BYTES + b'"}\n',
    )
    code, found, err = play(capsys, path, "--driver", "sds011")
    assert code == 0
    assert found[:2] == [
        {"t": 10.5, "sensor": "air", "quantity": "air.pm25", "value": 5.7, "unit": "ug/m3",
         "dims": {}},
        {"t": 10.5, "sensor": "air", "quantity": "air.pm10", "value": 11.3, "unit": "ug/m3",
         "dims": {}},
    ]  # fmt: skip
    assert [each.get("fault") for each in found[2:]] == ["checksum", None, None]
    assert err == "3 lines, 4 readings, faults: 1 checksum, 2 malformed lines\n"


def test_text_counts_seconds_from_the_beginning(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, format_bytes(10.0, "air", b""), format_bytes(12.5, "air", GOOD + BAD))
    assert main(["replay", path, "--driver", "sds011"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "    +2.500 s  air  air.pm25 5.7 ug/m3",
        "    +2.500 s  air  air.pm10 11.3 ug/m3",
        "    +2.500 s  air  fault checksum: frame with a wrong checksum",
    ]


def test_each_sensor_has_a_decoder_of_its_own(tmp_path: Path, capsys: Capture) -> None:
    path = write(
        tmp_path,
        format_bytes(1.0, "air", GOOD[:4]),
        format_bytes(1.1, "roof", GOOD),
        format_bytes(1.2, "air", GOOD[4:]),
    )
    _, found, _ = play(capsys, path, "--driver", "sds011")
    assert [each["sensor"] for each in found] == ["roof", "roof", "air", "air"]
    _, found, _ = play(capsys, path, "--driver", "sds011", "--sensor", "air")
    assert [each["sensor"] for each in found] == ["air", "air"]


def test_the_configuration_knows_the_driver_and_whose_radio_it_is(
    tmp_path: Path, capsys: Capture
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[gateway]\nid = "box"\n'
        '[[sensor]]\nname = "air"\ndriver = "sds011"\nport = "/dev/x"\n'
        f'[[sensor]]\nname = "tag"\ndriver = "ruuvi"\naddress = "{OURS}"\n',
        encoding="utf-8",
    )
    path = write(
        tmp_path,
        format_bytes(1.0, "air", GOOD),
        format_advert(2.0, SimulatedRuuvi(1, OURS).emit()),
        format_advert(3.0, SimulatedRuuvi(2, STRANGER).emit()),
    )
    code, found, _ = play(capsys, path, "--config", str(config))
    assert code == 0
    assert {each["sensor"] for each in found} == {"air", "tag"}
    assert {each["t"] for each in found} == {1.0, 2.0}
    assert STRANGER not in json.dumps(found)


def test_answers_go_to_the_questions_that_they_answer(tmp_path: Path, capsys: Capture) -> None:
    device = SimulatedMbus(7)
    lines: list[bytes] = []
    for _ in range(2):
        driver = Mbus(MbusOptions(address=5))
        for request in driver.requests():
            answer = device.receive(request.data)
            list(driver.on_reply(request, answer))
            lines.append(format_bytes(float(len(lines)), "heat", answer, request.data))
    lines.insert(4, format_bytes(3.5, "heat", b"\xe5", b"\x10\x40\x63\xa3\x16"))
    path = write(tmp_path, *lines)
    code, found, err = play(capsys, path, "--driver", "mbus", "--option", "address=5")
    assert code == 0
    assert len(found) == 12
    assert {each["t"] for each in found} == {1.0, 2.0, 4.0, 5.0}
    assert err.endswith("1 malformed lines\n")


def test_its_own_pace_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("gateway.cli.replay.time.sleep", slept.append)
    path = write(
        tmp_path,
        *(format_bytes(time_s, "air", b"") for time_s in (5.0, 6.0, 5.5, 9000.0)),
    )
    main(["replay", path, "--driver", "sds011"])
    assert slept == []
    main(["replay", path, "--driver", "sds011", "--speed", "2"])
    assert slept == [0.5, 0.0, 30.0]


def test_options_are_written_as_in_the_configuration(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, format_bytes(1.0, "radar", b'{"Units":"m-per-sec"}\r\n'))
    assert main(["replay", path, "--driver", "ops243", "--option", "report=speeds"]) == 0
    assert main(["replay", path, "--driver", "ops243", "--option", "sampling_ksps=10"]) == 0
    assert main(["replay", path, "--driver", "ops243", "--option", "sampling_ksps=11"]) == 2
    assert "sampling_ksps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--driver", "sds012"], 2, "no such driver"),
        (["--driver", "ruuvi"], 2, "serial device"),
        (["--speed", "-1", "--driver", "sds011"], 2, "negative"),
        (["--config", "/nowhere.toml"], 2, "nowhere"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    arguments: list[str], code: int, words: str, tmp_path: Path, capsys: Capture
) -> None:
    path = write(tmp_path, format_bytes(1.0, "air", GOOD))
    assert main(["replay", path, *arguments]) == code
    assert words in capsys.readouterr().err


def test_what_is_no_recording_is_said(tmp_path: Path, capsys: Capture) -> None:
    assert main(["replay", write(tmp_path, b"x\n"), "--driver", "sds011"]) == 1
    assert "1 malformed" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "missing"), "--driver", "sds011"]) == 1
    assert "cannot be read" in capsys.readouterr().err
    path = write(tmp_path, format_advert(1.0, SimulatedRuuvi(1, OURS).emit()))
    assert main(["replay", path, "--driver", "sds011"]) == 2
    assert "beacon" in capsys.readouterr().err


def test_a_driver_that_understands_nothing_is_told(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path, format_bytes(1.0, "air", GOOD))
    assert main(["replay", path, "--driver", "p1"]) == 0
    assert "is it the right driver" in capsys.readouterr().err


def test_without_any_configuration_the_driver_is_asked_for(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.replay.DEFAULT_CONFIG", tmp_path / "missing.toml")
    path = write(tmp_path, format_bytes(1.0, "air", GOOD))
    assert main(["replay", path]) == 2
    assert "name the --driver" in capsys.readouterr().err


def test_a_reader_who_has_seen_enough_is_no_fault(tmp_path: Path) -> None:
    path = write(tmp_path, *[format_bytes(1.0, "air", GOOD)] * 5000)
    command = [sys.executable, "-m", "gateway.cli", "replay", path, "--driver", "sds011"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
