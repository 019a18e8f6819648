"""``buffer purge`` removes what it says, asks before, and leaves it to a daemon that runs."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.control import (
    PURGE,
    PurgeRequest,
    PurgeResult,
    announce,
    find_daemon,
    read_purge,
    request_purge,
    take_purge,
    withdraw,
    write_purge,
)
from tests.cli.rings import Written, fingerprint, write_ring
from tests.cli.test_stat import stat

DAEMON = """
import asyncio, sys
from pathlib import Path
from gateway.buffer import Buffer
from gateway.control import *
from gateway.reading import SeriesKey
from tests.buffer.support import HandClock, settings_for

async def main(folder, lists):
    settings = settings_for(folder)
    runtime = settings.runtime_directory
    buffer = await Buffer.open(settings, HandClock())
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    if lists:
        loop.add_signal_handler(PURGE_SIGNAL, asked.set)
    announce(runtime, Path("gateway.toml"), requests=(PURGE,) if lists else ())
    series = buffer.series_id(SeriesKey("air-roof", "air.pm25"), unit="ug/m3", privacy="P0")
    buffer.append(series, 2 * 10**9, 1.0, 0)  # in memory only
    print("ready", flush=True)
    while True:
        await asked.wait()
        asked.clear()
        request = take_purge(runtime)
        if request is not None:
            removed = await buffer.purge(sensor=request.sensor)
            write_purge(runtime, PurgeResult(request.id, removed))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2] == "lists"))
"""
"""What the daemon does with a request, around the real buffer."""


def purge(written: Written, *more: str) -> int:
    return main(["buffer", "purge", "--directory", str(written.directory), *more])


def test_priv_11_the_recording_of_raw_bytes_goes_too(tmp_path: Path) -> None:
    written = write_ring(tmp_path, 100)
    folder = written.directory / "recordings"
    folder.mkdir()
    for name in ("raw.jsonl", "raw.jsonl.1"):
        (folder / name).write_text("bytes of a sensor", encoding="utf-8")
    assert purge(written, "--sensor", "air-roof", "--yes") == 0
    assert list(folder.iterdir()) == []


def config_of(folder: Path) -> Path:
    path = folder / "gateway.toml"
    path.write_text(
        f"""
        schema = 1
        [gateway]
        id = "test-box"
        tenant = "testlab"
        location = {{ lon = 10.2134, lat = 56.1535 }}
        [buffer]
        directory = "{folder / "data"}"
        runtime_directory = "{folder / "run"}"
        """
    )
    return path


def exported(written: Written, capsys: pytest.CaptureFixture[str]) -> int:
    capsys.readouterr()
    main(["buffer", "export", "--directory", str(written.directory)])
    return capsys.readouterr().out.count("\r\n") - 1


def test_one_sensor_is_gone_and_the_ring_is_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 100)
    count = sum(key.sensor == "air-roof" for _, key, _, _ in written.readings)
    assert purge(written, "--sensor", "air-roof", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"removed": count}
    for path in written.directory.rglob("*"):
        assert path.is_dir() or b"air-roof" not in path.read_bytes()
    found = stat(written.directory, capsys)
    first = next(i for i, one in enumerate(written.readings) if one[1].sensor != "air-roof")
    assert found["oldest_sequence"] == first
    assert main(["buffer", "check", "--directory", str(written.directory)]) == 0


def test_everything_is_gone_and_the_ring_is_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 1000)
    assert purge(written, "--all", "--yes") == 0
    assert capsys.readouterr().out == "320 readings were removed\n"
    assert exported(written, capsys) == 0
    found = stat(written.directory, capsys)
    assert (found["readings"], found["oldest_time"], found["newest_time"]) == (0, None, None)
    assert main(["buffer", "check", "--directory", str(written.directory)]) == 0


def test_nobody_to_ask_and_no_yes_removes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 20)
    before = fingerprint(tmp_path)
    assert purge(written, "--all") == 2
    assert "--yes" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refused:
        purge(written, "--yes")
    assert refused.value.code == 2
    with pytest.raises(SystemExit):
        purge(written, "--yes", "--all", "--sensor", "x")
    assert main(["buffer", "purge", "--directory", str(written.ring), "--all", "--yes"]) == 2
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize(("answer", "code"), [("air-roof", 0), ("y", 1), ("", 1), ("\x04", 1)])
def test_a_person_has_to_type_the_name(tmp_path: Path, answer: str, code: int) -> None:
    written = write_ring(tmp_path, 20)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode() + b"\n" * (answer != "\x04"))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "gateway.cli", "buffer", "purge", "--sensor", "air-roof"),
                *("--directory", str(written.directory)),
            ],
            stdin=theirs,
            capture_output=True,
            check=False,
        )
    finally:
        os.close(theirs)
        os.close(ours)
    assert done.returncode == code, done.stderr
    assert b"every reading of sensor air-roof" in done.stdout
    gone = b"air-roof" not in (written.directory / "series.json").read_bytes()
    assert gone == (code == 0)


@pytest.mark.parametrize("sensor", ["air-roof", None])
def test_a_running_daemon_does_it_itself(
    tmp_path: Path, sensor: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 100)
    config = config_of(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(tmp_path), "lists"], stdout=subprocess.PIPE
    ) as daemon:
        try:
            assert daemon.stdout is not None
            assert daemon.stdout.readline() == b"ready\n"
            assert purge(written, "--all", "--yes") == 1  # the directory alone leads to no daemon
            assert "--config" in capsys.readouterr().err
            what = ["--all"] if sensor is None else ["--sensor", sensor]
            for times in range(2):
                code = main(["buffer", "purge", "--config", str(config), *what, "--yes", "--json"])
                assert code == 0
                mine = (one for one in written.readings if sensor in (None, one[1].sensor))
                expected = 0 if times else sum(1 for _ in mine) + 1
                assert json.loads(capsys.readouterr().out) == {"removed": expected}
            assert daemon.poll() is None
        finally:
            daemon.kill()


def test_a_daemon_that_knows_no_purge_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_ring(tmp_path, 20)
    config = config_of(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(tmp_path), "older"], stdout=subprocess.PIPE
    ) as daemon:
        try:
            assert daemon.stdout is not None
            daemon.stdout.readline()
            assert main(["buffer", "purge", "--config", str(config), "--all", "--yes"]) == 1
            assert "takes no purge requests" in capsys.readouterr().err
            assert daemon.poll() is None
        finally:
            daemon.kill()


def test_requests_and_answers_find_each_other(tmp_path: Path) -> None:
    async def ask() -> PurgeRequest:
        arrived = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, arrived.set)
        daemon = find_daemon(tmp_path)
        assert daemon is not None
        assert daemon.requests == (PURGE,)
        request = request_purge(tmp_path, daemon, "air-roof")
        with pytest.raises(FileExistsError):
            request_purge(tmp_path, daemon, None)
        await arrived.wait()
        return request

    announce(tmp_path, tmp_path / "gateway.toml", requests=(PURGE,))
    request = asyncio.run(ask())
    assert (tmp_path / "purge-request.json").stat().st_mode & 0o777 == 0o600
    assert take_purge(tmp_path) == request
    assert take_purge(tmp_path) is None
    write_purge(tmp_path, PurgeResult("somebody else's", 3))
    assert read_purge(tmp_path, request) is None
    write_purge(tmp_path, PurgeResult(request.id, 0, "disk full"))
    assert read_purge(tmp_path, request) == PurgeResult(request.id, 0, "disk full")
    announce(tmp_path, tmp_path / "gateway.toml")
    assert read_purge(tmp_path, request) is None
    again = find_daemon(tmp_path)
    assert again is not None
    with pytest.raises(ValueError, match="takes no purge"):
        request_purge(tmp_path, again, None)
    withdraw(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"id": 3, "sensor": "x"}', '{"id": "3", "sensor": 4}', '{"id": "3"}'],
)
def test_a_request_that_nobody_understands_purges_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "purge-request.json").write_text(content)
    assert take_purge(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_root_leaves_the_files_to_their_owner() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = write_ring(folder, 20)
        for path in (written.directory, *written.directory.rglob("*")):
            os.chown(path, 12345, 12346)
        assert purge(written, "--sensor", "air-roof", "--yes") == 0
        for path in (written.directory, *written.directory.rglob("*")):
            assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346), path
