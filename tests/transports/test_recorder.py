"""Recordings that are written while ports are read: whole lines, rotated, bounded."""

import asyncio
import json
import os
import stat
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.driver import Advert, SerialLine
from gateway.transports import ReplayTransport, SerialLineTransport
from gateway.transports.recorder import Recorder, RotatedFile
from gateway.transports.recording import parse_advert, parse_bytes
from tests.transports.conftest import Start
from tests.transports.parts import Recorder as Sink
from tests.transports.parts import Terminal, TextDriver, until


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_files_are_rotated_at_their_size_and_the_oldest_goes(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "r.jsonl", size_bytes=100, keep=3)
    for number in range(200):
        file.write([b"%08d\n" % number])
        assert sum(sizes(tmp_path).values()) <= 300
    assert set(sizes(tmp_path)) == {"r.jsonl", "r.jsonl.1", "r.jsonl.2"}
    names = ("r.jsonl.2", "r.jsonl.1", "r.jsonl")
    kept = b"".join((tmp_path / name).read_bytes() for name in names).split()
    assert [int(line) for line in kept] == list(range(200))[-len(kept) :]
    assert len(kept) >= 23


def test_many_lines_at_once_are_spread_over_the_files(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "r.jsonl", size_bytes=100, keep=2)
    file.write([b"%08d\n" % number for number in range(50)])
    assert (tmp_path / "r.jsonl").read_bytes().split()[-1] == b"00000049"
    assert max(sizes(tmp_path).values()) <= 100


def test_a_line_that_fits_into_no_file_is_left_out(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "r.jsonl", size_bytes=10, keep=2)
    file.write([b"a\n", b"x" * 11 + b"\n", b"b\n"])
    kept = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert b"".join(kept) == b"a\nb\n"


def test_one_file_begins_anew(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "r.jsonl", size_bytes=20, keep=1)
    file.write([b"%08d\n" % number for number in range(5)])
    assert sizes(tmp_path) == {"r.jsonl": 9}


def test_all_of_it_can_be_deleted_whatever_was_kept_before(tmp_path: Path) -> None:
    RotatedFile(tmp_path / "r.jsonl", size_bytes=20, keep=9).write(
        [b"%08d\n" % number for number in range(12)]
    )
    for other in ("r.jsonl.txt", "r.json", "other.jsonl"):
        (tmp_path / other).write_text("somebody else's", encoding="utf-8")
    assert "r.jsonl.5" in sizes(tmp_path)
    RotatedFile(tmp_path / "r.jsonl", size_bytes=20, keep=2).remove()
    assert set(sizes(tmp_path)) == {"r.jsonl.txt", "r.json", "other.jsonl"}
    RotatedFile(tmp_path / "nowhere" / "r.jsonl", size_bytes=20, keep=2).remove()


def test_its_directory_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "recordings" / "r.jsonl"
    RotatedFile(path, size_bytes=100, keep=1, make_directory=True).write([b"a\n"])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_is_for_the_owner_alone_and_follows_no_link(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    RotatedFile(path, size_bytes=100, keep=1).write([b"a\n"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=os.strerror(40)):
        RotatedFile(link, size_bytes=100, keep=1).write([b"a\n"])


@pytest.mark.parametrize(("size", "keep"), [(0, 1), (100, 0)])
def test_without_room_there_is_no_recording(tmp_path: Path, size: int, keep: int) -> None:
    with pytest.raises(ValueError, match="room"):
        RotatedFile(tmp_path / "r", size_bytes=size, keep=keep)


async def test_what_a_port_says_is_recorded_and_plays_the_same(
    tmp_path: Path, sink: Sink, clock: Clock, start: Start
) -> None:
    path = tmp_path / "r.jsonl"
    terminal = Terminal(tmp_path / "port")
    recorder = Recorder(RotatedFile(path, size_bytes=10_000, keep=2), clock)
    transport = SerialLineTransport(
        sensor="one",
        port=str(tmp_path / "port"),
        driver=TextDriver(),
        lines=[SerialLine(9600)],
        sink=sink,
        clock=clock,
        silence_timeout_s=3600.0,
        recorder=recorder,
    )
    task = asyncio.create_task(transport.run())
    await until(lambda: transport.stats.open)
    await terminal.send(b"T=1\nrubbish\n", chunk=4)
    await terminal.send(b"T=2\n")
    await sink.until(lambda: sink.values() == [1.0, 2.0])
    task.cancel()
    await asyncio.wait([task])
    terminal.close()
    lines = [parse_bytes(line) for line in path.read_bytes().splitlines()]
    assert b"".join(line.data for line in lines) == b"T=1\nrubbish\nT=2\n"
    assert {line.sensor for line in lines} == {"one"}
    assert recorder.chunks == {"one": len(lines)}
    assert abs(lines[0].time_s - clock.wall_ns(clock.now_ns()) / 1e9) < 3600

    again = Sink()
    replay = ReplayTransport(
        sensor="one", path=path, driver=TextDriver(), sink=again, clock=clock, speed=0
    )
    start(replay.run)
    await replay.finished.wait()
    assert again.values() == sink.values()
    assert again.faults() == sink.faults()


async def test_answers_and_adverts_keep_what_belongs_to_them(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "r.jsonl"
    recorder = Recorder(RotatedFile(path, size_bytes=10_000, keep=2), clock)
    advert = Advert("C4:7F:51:00:00:01", -60, manufacturer_data={1177: b"\x05"})
    async with recorder:
        recorder.add_answer("heat", b"\x10\x40", b"\xe5", clock.now_ns())
        recorder.add_advert("tag", advert, clock.now_ns())
    first, second = path.read_bytes().splitlines()
    assert parse_bytes(first)[1:] == ("heat", b"\xe5", b"\x10\x40")
    assert parse_advert(second)[1] == advert


async def test_it_is_written_while_it_runs(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.recorder.WRITE_INTERVAL_S", 0.01)
    path = tmp_path / "r.jsonl"
    async with Recorder(RotatedFile(path, size_bytes=10_000, keep=2), clock) as recorder:
        recorder.add("one", b"T=1\n", clock.now_ns())
        await until(path.exists)


async def test_a_full_disk_costs_the_recording_and_nothing_else(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(RotatedFile(tmp_path / "no" / "r", size_bytes=100, keep=1), clock)
    for _ in range(2):
        async with recorder:
            recorder.add("one", b"T=1\n", clock.now_ns())
    assert recorder.lost_lines == 2
    assert "No such file" in recorder.last_error
    assert len(caplog.records) == 1


async def test_what_is_forgotten_is_gone_and_what_comes_after_is_recorded(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.recorder.WRITE_INTERVAL_S", 0.01)
    path = tmp_path / "r.jsonl"
    async with Recorder(RotatedFile(path, size_bytes=10_000, keep=2), clock) as recorder:
        recorder.add("one", b"before", clock.now_ns())
        await until(path.exists)
        recorder.add("one", b"waits", clock.now_ns())
        await recorder.forget()
        assert not path.exists()
        recorder.add("one", b"after", clock.now_ns())
        await until(path.exists)
    assert [parse_bytes(line).data for line in path.read_bytes().splitlines()] == [b"after"]


async def test_memory_is_bounded(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.recorder.MAX_WAITING_BYTES", 200)
    path = tmp_path / "r.jsonl"
    async with Recorder(RotatedFile(path, size_bytes=10_000, keep=1), clock) as recorder:
        for _ in range(20):
            recorder.add("one", b"0123456789", clock.now_ns())
    kept = path.read_bytes().splitlines()
    assert 0 < len(kept) < 20
    assert recorder.lost_lines == 20 - len(kept)
    assert all(json.loads(line)["sensor"] == "one" for line in kept)
