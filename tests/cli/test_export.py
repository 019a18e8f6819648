"""``buffer export`` gives back what was appended, value for value, and what is private stays."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.buffer import Buffer
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT
from gateway.cli import main
from gateway.reading import Flag, SeriesKey, flag_names, quality_of
from tests.buffer.support import HandClock
from tests.cli.rings import Written, fingerprint, flip
from tests.cli.rings import write_ring as write_ring_at

ROOT = Path(__file__).parents[2]
HEADER = ["time", "sensor", "quantity", "dims", "value", "unit", "quality", "flags"]
HEADER += ["epoch", "sequence"]
ALL = ("--include-p3",)

Rows = list[dict[str, str]]


def recent(**more: Any) -> HandClock:
    """Return a clock that began five minutes ago: personal data expire after three days."""
    now_ns = int(datetime.now(UTC).timestamp()) * 10**9
    return HandClock(wall_ns=now_ns - 300 * 10**9, **more)


def write_ring(folder: Path, readings: int, **more: Any) -> Written:
    return write_ring_at(folder, readings, **{"clock": recent(), **more})


def export(
    directory: Path, capsys: pytest.CaptureFixture[str], *more: str, code: int = 0
) -> tuple[str, str]:
    assert main(["buffer", "export", "--directory", str(directory), *more]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def rows(text: str) -> Rows:
    table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert table[0] == HEADER
    return [dict(zip(HEADER, row, strict=True)) for row in table[1:]]


def expected(written: Written, first: int = 0) -> Rows:
    units = {"air.pm25": "ug/m3", "traffic.speed": "km/h", "energy.active_import": "kW.h"}
    return [
        {
            "time": _text(wall_ns),
            "sensor": key.sensor,
            "quantity": key.quantity,
            "dims": ";".join("=".join(pair) for pair in key.dims),
            "value": repr(value),
            "unit": units[key.quantity],
            "quality": quality_of(flags),
            "flags": ";".join(flag_names(flags)),
            "epoch": "1",
            "sequence": str(sequence),
        }
        for sequence, (wall_ns, key, value, flags) in enumerate(written.readings)
        if sequence >= first
    ]


def _text(wall_ns: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=wall_ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_csv_holds_every_reading_value_for_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 200)
    before = fingerprint(tmp_path)
    text, _ = export(written.directory, capsys, *ALL)
    assert fingerprint(tmp_path) == before
    assert rows(text) == expected(written)
    assert text.count("\r\n") == text.count("\n") == 201
    values = [float(row["value"]) for row in rows(text)]
    assert [value.hex() for value in values] == [one[2].hex() for one in written.readings]


def test_after_a_lap_the_order_is_that_of_appending(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 1003)
    found = rows(export(written.directory, capsys, *ALL)[0])
    assert found == expected(written, first=int(found[0]["sequence"]))
    assert int(found[0]["sequence"]) == 685


def test_json_lines_are_those_of_the_json_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 100)
    more = ("--format", "json", "--gateway", "box-7", *ALL)
    text, _ = export(written.directory, capsys, *more)
    schema = json.loads((ROOT / "gateway/data/reading.schema.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        jsonschema.validate(line, schema)
        assert line["gateway"] == "box-7"
    table = rows(export(written.directory, capsys, *ALL)[0])
    assert len(lines) == len(table) == 100
    for line, row in zip(lines, table, strict=True):
        for name in ("time", "sensor", "quantity", "unit", "quality"):
            assert line[name] == row[name]
        assert (str(line["epoch"]), str(line["sequence"])) == (row["epoch"], row["sequence"])
        assert float(line["value"]).hex() == float(row["value"]).hex()
        assert ";".join(line["flags"]) == row["flags"]
        assert ";".join("=".join(pair) for pair in line["dims"].items()) == row["dims"]


def test_json_lines_need_to_know_whose_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 5)
    _, errors = export(written.directory, capsys, "--format", "json", code=2)
    assert "--gateway" in errors


def test_time_is_from_inclusive_to_exclusive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 200)
    table = expected(written)
    first, last = table[50]["time"], table[120]["time"]
    found = rows(export(written.directory, capsys, *ALL, "--from", first, "--to", last)[0])
    assert found == table[50:120]
    there = timezone(timedelta(hours=2))
    shifted = datetime.fromisoformat(first).astimezone(there).isoformat()
    assert shifted.endswith("+02:00")
    found = rows(export(written.directory, capsys, *ALL, "--from", shifted)[0])
    assert found == table[50:]
    found = rows(export(written.directory, capsys, *ALL, "--to", f"{last[:-1]}001Z")[0])
    assert found == table[:121]


def test_an_age_counts_back_from_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = 3 * 3600
    now_ns = int(datetime.now(UTC).timestamp()) * 10**9
    clock = HandClock(wall_ns=now_ns - old * 10**9)
    write_ring(tmp_path, 50, clock=clock)
    clock.real_ns += (old - 600) * 10**9
    clock.boot_ns += (old - 600) * 10**9
    written = write_ring(tmp_path, 50, clock=clock)
    found = rows(export(written.directory, capsys, *ALL, "--from", "2 h")[0])
    assert [int(row["sequence"]) for row in found] == list(range(50, 100))
    found = rows(export(written.directory, capsys, *ALL, "--to", "2 h")[0])
    assert [int(row["sequence"]) for row in found] == list(range(50))


def test_huge_time_ranges_are_everything_or_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 20)
    wide = ("--from", "0001-01-01T00:00:00Z", "--to", "9999-12-31T23:59:59.999999999Z")
    assert len(rows(export(written.directory, capsys, *ALL, *wide)[0])) == 20
    assert len(rows(export(written.directory, capsys, *ALL, "--from", "99999999999 d")[0])) == 20
    assert rows(export(written.directory, capsys, *ALL, "--to", "99999999999 d")[0]) == []
    assert rows(export(written.directory, capsys, *ALL, "--from", "9999-01-01T00:00:00Z")[0]) == []


@pytest.mark.parametrize(
    "wrong",
    ["yesterday", "2026-13-01T00:00:00Z", "2026-11-22T09:00:00", "2026-11-22", "5", "", "-2 h"],
)
def test_a_time_that_is_none_is_refused(
    tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 5)
    out, errors = export(written.directory, capsys, f"--from={wrong}", code=2)
    assert out == ""
    assert "RFC 3339" in errors


def test_a_range_that_ends_before_it_begins_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 5)
    _, errors = export(written.directory, capsys, "--from", "1 h", "--to", "2 h", code=2)
    assert "not before --to" in errors


def test_sensors_and_quantities_are_chosen_by_pattern(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 100)
    table = expected(written)

    def chosen(*more: str) -> set[str]:
        found = rows(export(written.directory, capsys, *ALL, *more)[0])
        names = {row["sensor"] for row in found}
        assert found == [row for row in table if row["sensor"] in names]
        return names

    assert chosen("--sensor", "air-*") == {"air-roof"}
    assert chosen("--sensor", "air-*", "--sensor", "meter") == {"air-roof", "meter"}
    assert chosen("--quantity", "*.speed") == {"traffic"}
    assert chosen("--quantity", "*", "--sensor", "?eter") == {"meter"}
    assert chosen("--sensor", "meter", "--quantity", "air.*") == set()


def test_priv_08_personal_data_need_to_be_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def more(buffer: Buffer) -> None:
        count = SeriesKey("square", "people.count")
        series = buffer.series_id(count, unit="1", privacy="P2")
        buffer.append(series, 2 * 10**9, 7.0, 0)
        buffer.append(series, 2 * 10**9, 3.0, int(Flag.SUPPRESSED))

    written = write_ring(tmp_path, 100, more=more)
    personal = sum(key.sensor == "meter" for _, key, _, _ in written.readings)
    text, errors = export(written.directory, capsys)
    assert {row["sensor"] for row in rows(text)} == {"air-roof", "traffic"}
    assert len(rows(text)) == 100 - personal
    assert f"{personal} readings of class P3 withheld; --include-p3 would write them" in errors
    assert "2 readings of class P2 withheld" in errors
    assert "withheld sensors: meter, square" in errors
    text, errors = export(written.directory, capsys, "--include-p3")
    assert {row["sensor"] for row in rows(text)} == {"air-roof", "traffic", "meter"}
    assert errors.startswith("warning: the export may hold personal data (P3)")
    text, errors = export(written.directory, capsys, "--include-p2")
    assert [row["value"] for row in rows(text) if row["sensor"] == "square"] == ["7.0"]
    assert "1 suppressed counts left out" in errors
    assert errors.startswith("warning: the export may hold P2")
    text, errors = export(written.directory, capsys, "--sensor", "meter", code=1)
    assert rows(text) == []


def test_readings_that_nobody_can_name_count_as_personal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 100)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    copy = Path(shutil.copy(written.ring, folder / "ring"))
    text, errors = export(copy, capsys, code=1)
    assert rows(text) == []
    assert "100 readings of class P3 withheld" in errors
    found = rows(export(copy, capsys, "--include-p3")[0])
    assert [row["value"] for row in found] == [row["value"] for row in expected(written)]
    assert {row["sensor"] for row in found} == {"unknown-1", "unknown-2", "unknown-3"}


def test_a_clock_that_was_wrong_is_told_with_each_reading(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 10, clock=recent(synced=False))
    found = rows(export(written.directory, capsys, *ALL)[0])
    assert all("clock_unsynced" in row["flags"].split(";") for row in found)
    assert {row["quality"] for row in found} == {"uncertain"}


def test_a_damaged_block_is_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 100)
    flip(written.ring, (FIRST_DATA_SLOT + 4) * BLOCK_SIZE + 1000)
    text, errors = export(written.directory, capsys, *ALL)
    table = expected(written)
    assert rows(text) == table[:15] + table[20:]
    assert "1 blocks cannot be read" in errors


def test_a_file_is_there_whole_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 100)
    target = tmp_path / "out" / "readings.csv"
    _, errors = export(written.directory, capsys, "--output", str(target), code=2)
    assert "--output" in errors
    target.parent.mkdir()
    target.write_text("precious")
    _, errors = export(written.directory, capsys, "--output", str(target.parent), code=2)
    text, _ = export(written.directory, capsys, *ALL, "--output", str(target))
    assert text == ""
    assert rows(target.read_bytes().decode()) == expected(written)
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_export_leaves_the_earlier_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write_ring(tmp_path, 100)
    target = tmp_path / "readings.csv"
    target.write_text("precious")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    _, errors = export(written.directory, capsys, "--output", str(target), code=1)
    assert errors == f"error: {target} cannot be written: No space left on device\n"
    assert target.read_text() == "precious"
    assert not list(tmp_path.glob(".readings*"))


def test_a_full_disk_behind_standard_output_is_an_error_in_one_line(tmp_path: Path) -> None:
    written = write_ring(tmp_path, 100)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command(written), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == "error: [Errno 28] No space left on device"
    assert b"Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    written = write_ring(tmp_path, 1000, blocks=256)
    with subprocess.Popen(
        command(written, "--include-p3"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"time,sensor")
        process.stdout.close()
        errors = process.stderr.read()
        process.wait()
    assert b"Traceback" not in errors
    assert b"BrokenPipe" not in errors


def test_text_is_utf_8_whatever_the_terminal_thinks(
    tmp_path: Path, ascii_run: Callable[..., tuple[int, str]]
) -> None:
    def more(buffer: Buffer) -> None:
        key = SeriesKey('Åboulevarden, "nord"', "air.pm10")
        buffer.append(buffer.series_id(key, unit="µg/m³", privacy="P0"), 2 * 10**9, 1.5, 0)

    written = write_ring(tmp_path, 10, more=more)
    pattern = ("--quantity", "*.pm10")
    code, text = ascii_run("buffer", "export", "--directory", str(written.directory), *pattern)
    found = rows(text)
    assert code == 0
    assert [(row["sensor"], row["unit"]) for row in found] == [('Åboulevarden, "nord"', "µg/m³")]


def command(written: Written, *more: str) -> list[str]:
    base = [sys.executable, "-W", "error", "-m", "gateway.cli", "buffer", "export"]
    return [*base, "--directory", str(written.directory), *more]


@pytest.mark.parametrize(("age_h", "left"), [(71, 50), (73, 0)])
def test_priv_10_what_has_expired_is_not_exported(
    tmp_path: Path, age_h: int, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    now_ns = int(datetime.now(UTC).timestamp()) * 10**9
    written = write_ring(tmp_path, 50, clock=HandClock(wall_ns=now_ns - age_h * 3600 * 10**9))
    personal = sum(key.sensor == "meter" for _, key, _, _ in written.readings)
    text, errors = export(written.directory, capsys, *ALL)
    assert len(rows(text)) == max(left, 50 - personal)
    assert (f"{personal} readings left out, because their retention" in errors) == (not left)


def test_priv_10_holds_for_a_copied_file_without_its_side_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 50, clock=HandClock())
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    copy = Path(shutil.copy(written.ring, folder / "ring"))
    text, errors = export(copy, capsys, *ALL)
    assert rows(text) == []
    assert "50 readings left out, because their retention has ended" in errors


def test_readings_that_were_purged_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 100)
    source = ("--directory", str(written.directory))
    assert main(["buffer", "purge", *source, "--sensor", "air-roof", "--yes"]) == 0
    capsys.readouterr()
    table = [row for row in expected(written) if row["sensor"] != "air-roof"]
    assert rows(export(written.directory, capsys, *ALL)[0]) == table
