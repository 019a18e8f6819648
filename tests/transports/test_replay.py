"""Recordings from files and pipes, through the same entries as real devices."""

import json
import os
from pathlib import Path

import pytest

from gateway.driver import Advert
from gateway.transports import AdvertReplay, ReplayTransport
from gateway.transports.recording import (
    MAX_LINE_BYTES,
    RecordedBytes,
    RecordingError,
    format_advert,
    format_bytes,
    parse_advert,
    parse_bytes,
)
from tests.transports.conftest import Start
from tests.transports.parts import CLOCK, COMPANY, Recorder, TemperatureBeacon, TextDriver, until

OURS = "C4:7F:51:00:00:01"
STRANGER = "5A:12:34:56:78:9A"


class Pipe:
    """A named pipe with the test as its writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)

    def write(self, data: bytes) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        assert os.write(descriptor, data) == len(data)
        os.close(descriptor)


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path / "pipe")


def replay_of(path: Path, sink: Recorder, *, speed: float = 0.0) -> ReplayTransport:
    return ReplayTransport(
        sensor="roof", path=path, driver=TextDriver(), sink=sink, clock=CLOCK, speed=speed
    )


def advert_replay_of(path: Path, sink: Recorder) -> AdvertReplay:
    return AdvertReplay(
        path=path,
        beacons={OURS: ("square", TemperatureBeacon())},
        sink=sink,
        clock=CLOCK,
        speed=0.0,
    )


def advert(address: str, hundredths: int) -> Advert:
    data = hundredths.to_bytes(2, "big", signed=True)
    return Advert(address, -70, manufacturer_data={COMPANY: data})


async def test_a_file_is_played_once_to_its_end(
    tmp_path: Path, sink: Recorder, start: Start
) -> None:
    path = tmp_path / "recording.jsonl"
    stream = b"".join(b"T=%d\n" % number for number in range(5000))
    chunks = [stream[at : at + 7] for at in range(0, len(stream), 7)]
    path.write_bytes(b"".join(format_bytes(n, "roof", each) for n, each in enumerate(chunks)))
    replay = replay_of(path, sink)
    task = start(replay.run)
    await replay.finished.wait()

    assert sink.values("roof") == [float(number) for number in range(5000)]
    assert replay.stats.received_bytes == len(stream)
    assert replay.stats.malformed_lines == 0
    assert not replay.stats.open
    assert not task.done()  # it would be played again


async def test_bad_lines_are_counted_and_the_rest_is_played(
    tmp_path: Path, sink: Recorder, start: Start
) -> None:
    path = tmp_path / "recording.jsonl"
    bad = [b"nonsense", b"[]", b'{"t":1}', b'{"t":"x","hex":"00"}', b'{"t":1,"hex":"0g"}', b"\xff"]
    bad += [b"[" * 100_000, b"x" * (MAX_LINE_BYTES * 3), b'{"t":1e999,"hex":""}']
    good = [format_bytes(n, "roof", b"T=%d\n" % n) for n in range(len(bad))]
    other = format_bytes(0, "other-sensor", b"T=99\n")
    lines = b"".join(each + b"\n" + fine + b"\n" for each, fine in zip(bad, good, strict=True))
    path.write_bytes(lines + other + format_bytes(9, "", b"T=9\n").rstrip(b"\n"))
    replay = replay_of(path, sink)
    start(replay.run)
    await replay.finished.wait()

    assert sink.values() == [float(n) for n in range(10)]
    assert replay.stats.malformed_lines == len(bad)


async def test_a_recording_that_is_missing_is_waited_for(
    tmp_path: Path, sink: Recorder, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.replay.FIRST_WAIT_S", 0.01)
    replay = replay_of(tmp_path / "recording.jsonl", sink)
    start(replay.run)
    await until(lambda: "No such file" in replay.stats.last_error)
    (tmp_path / "recording.jsonl").write_bytes(format_bytes(0, "roof", b"T=1\n"))
    await sink.until(lambda: sink.values() == [1.0])


async def test_a_pipe_is_played_for_as_long_as_anybody_writes(
    pipe: Pipe, sink: Recorder, start: Start
) -> None:
    replay = replay_of(pipe.path, sink)
    start(replay.run)
    await until(lambda: replay.stats.open)
    for number in range(3):  # each is a writer of its own
        line = format_bytes(number, "roof", b"T=%d\n" % number)
        pipe.write(line[:10])
        pipe.write(line[10:])
        await sink.until(lambda expected=number + 1: len(sink.values()) == expected)  # type: ignore[misc]
    assert sink.values() == [0.0, 1.0, 2.0]
    assert not replay.finished.is_set()


@pytest.mark.parametrize("speed", [1.0, 1000.0])
async def test_the_recorded_pace_is_kept(
    speed: float, tmp_path: Path, sink: Recorder, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def note(duration_s: float) -> None:
        if duration_s > 0:
            waits.append(duration_s)
        await until(lambda: True)

    path = tmp_path / "recording.jsonl"
    times = [100.0, 160.0, 161.0, 1e9, 5.0, 15.0]
    path.write_bytes(b"".join(format_bytes(t, "roof", b"T=1\n") for t in times))
    replay = replay_of(path, sink, speed=speed)
    monkeypatch.setattr("gateway.transports.replay.asyncio.sleep", note)
    start(replay.run)
    await replay.finished.wait()
    assert len(sink.values()) == 6
    # Nothing was really waited for: the clock of the loop stands still, or nearly. The long pause
    # is shortened to an hour, and after the time that goes back it begins anew.
    due = [60.0, 61.0, 3661.0, 10.0]
    assert [round(wait * speed) for wait in waits] == pytest.approx(due, abs=5 + speed)


async def test_adverts_reach_their_beacon_and_strangers_nobody(
    pipe: Pipe, sink: Recorder, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    replay = advert_replay_of(pipe.path, sink)
    start(replay.run)
    played = replay.stats.adapters["replay"]
    await until(lambda: played.open)
    pipe.write(format_advert(0, advert(STRANGER, 1)))
    pipe.write(format_advert(1, advert(OURS.lower(), 2150)))
    pipe.write(b'{"t":2,"address":"' + STRANGER.encode() + b'"\n')
    await until(lambda: played.malformed_lines == 1)

    assert sink.values("square") == [21.5]
    assert replay.stats.adverts_received == replay.stats.adverts_claimed == 1
    assert played.mode == "replay"
    assert STRANGER not in caplog.text + repr(replay.stats) + repr(vars(replay))


@pytest.mark.parametrize(
    "change",
    [
        {"t": None},
        {"t": True},
        {"t": 10**400},
        {"address": 5},
        {"rssi": 1000},
        {"rssi": -60.5},
        {"name": None},
        {"manufacturer_data": []},
        {"manufacturer_data": {"x": "00"}},
        {"manufacturer_data": {"70000": "00"}},
        {"service_data": {"fcd2": 1}},
        {"service_uuids": "fcd2"},
        {"service_uuids": [1]},
    ],
    ids=str,
)
def test_an_advert_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    fields = json.loads(format_advert(1.5, advert(OURS, 1)))
    assert parse_advert(json.dumps(fields).encode())
    with pytest.raises(RecordingError):
        parse_advert(json.dumps({**fields, **change}).encode())


def test_what_is_written_is_what_is_read() -> None:
    everything = Advert(
        OURS, -71, "square", {1177: b"\x05\x12"}, {"0000fcd2-0000": b"\x40"}, ("0000fcd2-0000",)
    )
    assert parse_advert(format_advert(12.5, everything)) == (12.5, everything)
    chunk = RecordedBytes(12.5, "roof", b"\xaa\xc0")
    assert parse_bytes(format_bytes(*chunk)) == chunk
    answer = RecordedBytes(12.5, "heat", b"\xe5", b"\x10\x40")
    assert parse_bytes(format_bytes(*answer)) == answer


def test_a_negative_speed_is_refused(tmp_path: Path, sink: Recorder) -> None:
    with pytest.raises(ValueError, match="negative"):
        replay_of(tmp_path, sink, speed=-1)
