"""``check --explain``: counts what the real chain does, from a recording or beside a daemon."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.buffer import Buffer
from gateway.cli import main
from gateway.cli.explain.trace import TracedChain, traced_builder
from gateway.driver import simulator_class
from gateway.filters import Chain, Environment, chain_builder
from gateway.reading import Dims, Flag, PrivacyClass, SeriesKey
from gateway.transports.recording import format_advert, format_bytes
from tests.buffer.support import HandClock, settings_for
from tests.cli.rings import fingerprint
from tests.end_to_end.gateway_process import GatewayProcess, dust_sensor, run_command
from tests.end_to_end.held_line import HeldLine, Traffic

S = 1_000_000_000
WALL_S = 1_793_600_000
ADDRESS = "C4:7F:51:00:00:01"
Stored = tuple[SeriesKey, str, Iterable[tuple[float, float, int]], dict[str, str]]


def config(folder: Path, *sensors: str) -> Path:
    path = folder / "gateway.toml"
    head = f'[gateway]\nid = "box"\n[buffer]\ndirectory = "{folder / "data"}"\n'
    path.write_text(head + "\n".join(sensors), encoding="utf-8")
    return path


def dust(filters: str = "", **more: str) -> str:
    keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items())
    port = "/dev/ttyAMA0"
    return f'[[sensor]]\nname = "air"\ndriver = "sds011"\nport = "{port}"\n{keys}{filters}\n'


def frame(pm25: float, pm10: float) -> bytes:
    """Write one report of an SDS011 (data sheet, section 5)."""
    data = bytearray(6)
    data[0:2] = round(pm25 * 10).to_bytes(2, "little")
    data[2:4] = round(pm10 * 10).to_bytes(2, "little")
    return b"\xaa\xc0" + data + bytes([sum(data) % 256]) + b"\xab"


def recording(
    folder: Path, values: Iterable[float], *, begin_s: float = WALL_S, sensor: str = "air"
) -> Path:
    path = folder / "air.jsonl"
    lines = [
        format_bytes(begin_s + index, sensor, frame(value, 20.0))
        for index, value in enumerate(values)
    ]
    path.write_bytes(b"".join(lines))
    return path


def explain(path: Path, *more: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    arguments = ["check", "--config", str(path), "--explain", "air", "--json", *more]
    assert main(arguments) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def of(document: dict[str, Any], quantity: str) -> dict[str, Any]:
    (found,) = [each for each in document["series"] if each["quantity"] == quantity]
    return dict(found)


def by_filter(series: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["filter"]: each for each in series["filters"]}


def write_ring(folder: Path, *stored: Stored, privacy: PrivacyClass = "P0") -> None:
    """Store series whose times are seconds before now."""

    async def write() -> None:
        clock = HandClock(wall_ns=time.time_ns() - 7200 * S)
        clock.boot_ns += 7200 * S
        clock.real_ns += 7200 * S
        clock.sample()
        buffer = await Buffer.open(settings_for(folder, 64), clock)
        for key, unit, readings, calibration in stored:
            number = buffer.series_id(key, unit=unit, privacy=privacy, calibration=calibration)
            for age_s, value, flags in readings:
                buffer.append(number, clock.boot_ns - round(age_s * S), value, flags)
        await buffer.flush()
        await buffer.close()

    asyncio.run(write())


def minutes_of(value: Callable[[int], float], flags: int = 0) -> list[tuple[float, float, int]]:
    return [(600.0 - index, value(index), flags) for index in range(600)]


# -- the traced chain does what the real one does -------------------------------------------------

TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "judges": {
        "air.pm25": {
            "range": {"max": 90, "action": "drop"},
            "rate": {"max": 20},
            "spike": {"least": 3, "action": "drop"},
            "stuck": "5 s",
            "median": 5,
            "deadband": {"absolute": 2, "heartbeat": "20 s"},
        }
    },
    "window in the middle": {
        "air.pm25": {
            "linear": {"a": 1, "b": 0.9, "keep_raw": True},
            "range": {"max": 80},
            "window": {"every": "1 min", "give": ["mean", "max", "count"], "keep_raw": True},
            "table": [[0, 1], [100, 90]],
            "deadband": 3,
        }
    },
    "interval": {
        "air.pm25": {"spike": {"least": 2}, "interval": {"every": "10 s", "take": "mean"}}
    },
    "siblings": {
        "air.pm25": {
            "expression": {"formula": "x - 0.1 * 'air.pm10'", "max_age": "10 s"},
            "range": {"min": 5, "action": "drop"},
        },
        "air.pm10": {"linear": {"b": 2.0}, "ewma": "30 s"},
    },
    "counter": {
        "energy.active_import": {
            "range": {"max": 95},
            "counter": {"rollover": 100, "keep_raw": True},
            "window": {"every": "1 min"},
        }
    },
}


class Twins:
    """The chain that the daemon runs and the traced one, given the same readings."""

    def __init__(self, quantity: str, real: Chain, traced: TracedChain) -> None:
        self.quantity = quantity
        self.real = real
        self.traced = traced
        self.dropped = Counter[str]()
        """By the name that the daemon counts."""
        self.absorbed = 0

    def tick(self, now_ns: int) -> None:
        self.real.tick(now_ns)
        self.traced.tick(now_ns)
        self.same_beside()

    def apply(self, reading: tuple[int, float, int]) -> None:
        expected = self.real.apply(*reading)
        assert self.traced.apply(*reading) == expected
        self.same_beside()
        if expected is None and self.real.dropped_by:
            self.dropped[self.real.dropped_by] += 1
        elif expected is None:
            self.absorbed += 1

    def same_beside(self) -> None:
        assert self.traced.pending == self.real.pending
        self.real.pending.clear()


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_counts_are_those_of_the_chain_that_the_daemon_runs(name: str, seed: int) -> None:
    table, rng = TABLES[name], random.Random(seed)
    environment = Environment(synced=lambda: True)
    build, traced = chain_builder(table, environment), traced_builder(table, environment)
    twins = []
    for quantity in table:
        real = build(quantity)
        assert real is not None
        twins.append(Twins(quantity, real, traced(quantity, ())))
    time_ns = 0
    for _ in range(3000):
        time_ns += rng.choice((S // 10, S, S, 3 * S))
        pair = rng.choice(twins)
        pair.tick(time_ns)
        value = float(rng.choice((rng.randrange(100), 50)))
        pair.apply((time_ns, value, rng.choice((0, 0, int(Flag.WARM_UP)))))
    for pair in twins:
        tallies = pair.traced.tallies
        assert [tally.name for tally in tallies] == list(table[pair.quantity])
        assert tallies[0].entered == pair.traced.entered
        for tally in tallies:
            assert tally.entered + tally.figures == tally.left + tally.dropped + tally.absorbed
            assert min(tally.dropped, tally.absorbed) >= 0
        assert sum(tally.absorbed for tally in tallies) >= pair.absorbed
        if "window" not in table[pair.quantity]:  # filters behind it drop figures, uncounted
            assert {each.name: each.dropped for each in tallies if each.dropped} == pair.dropped


def test_flags_of_what_went_in_are_not_the_windows_doing() -> None:
    table = {"air.pm25": {"window": {"every": "1 min", "keep_raw": True}}}
    chain = traced_builder(table, Environment(synced=lambda: True))("air.pm25", ())
    for second in range(121):
        chain.apply(second * S, 1.0, int(Flag.SPIKE) if second % 60 == 3 else 0)
    (tally,) = chain.tallies
    assert (tally.figures, tally.left) == (2, 123)
    assert tally.flagged == {"restart": 1, "estimated": 1}  # of the first window only


def test_the_count_of_readings_passes_by_the_filters_behind_a_window() -> None:
    options = {"every": "1 min", "give": ["mean", "max", "count"]}
    table = {"air.pm25": {"window": options, "linear": {"b": 2.0}}}
    chain = traced_builder(table, Environment())("air.pm25", ())
    for second in range(181):
        chain.apply(second * S, 1.0, 0)
    window, linear = chain.tallies
    assert (window.figures, linear.entered, linear.left) == (9, 6, 6)


def test_a_series_without_filters_passes_as_it_is() -> None:
    chain = traced_builder({}, Environment())("air.pm25", ())
    assert [chain.apply(time_ns, 1.5, 3) for time_ns in (5, 6)] == [(5, 1.5, 3), (6, 1.5, 3)]
    assert chain.tallies == []
    assert chain.came_out["air.pm25", (), "instant"]["readings"] == 2


def test_a_reading_that_is_held_back_keeps_its_flags_to_itself() -> None:
    """The interval brings out an older reading: its spike is not the interval's doing."""
    table = {"air.pm25": {"interval": {"every": "10 s", "take": "last"}}}
    chain = traced_builder(table, Environment())("air.pm25", ())
    for second in range(100):
        chain.apply(second * S, 1.0, int(Flag.SPIKE) if second % 10 == 9 else 0)
    (tally,) = chain.tallies
    assert (tally.entered, tally.left, tally.flagged_readings) == (100, 9, 0)


# -- from a recording -----------------------------------------------------------------------------

FILTERS = """[sensor.filter."air.pm25"]
range = { max = 100 }
spike = { least = 20, action = "drop" }
linear = { b = 0.5, id = "cert 1", keep_raw = true }
window = { every = "1 min", give = ["mean", "count"] }
"""


def test_a_recording_goes_through_driver_intake_and_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin_s = WALL_S - WALL_S % 60
    values = [10.0 + index % 3 for index in range(180)]
    values[50], values[70] = 200.0, 80.0
    path = config(tmp_path, dust(FILTERS))
    document = explain(
        path, "--recording", str(recording(tmp_path, values, begin_s=begin_s)), capsys=capsys
    )
    series = of(document, "air.pm25")
    filters = by_filter(series)
    assert list(filters) == ["range", "spike", "linear", "window"]
    assert [filters["range"][key] for key in ("in", "out", "flagged", "dropped")] == [
        180,
        180,
        1,
        0,
    ]
    assert filters["range"]["flags"] == {"range": 1}
    (example,) = filters["range"]["examples"]
    assert (example["what"], example["before"], example["after"]) == ("flagged", 200.0, 200.0)
    assert example["time"].endswith(":50.000Z")
    assert [filters["spike"][key] for key in ("in", "out", "dropped")] == [180, 178, 2]
    assert [each["before"] for each in filters["spike"]["examples"]] == [200.0, 80.0]
    assert (filters["linear"]["kept_raw"], filters["linear"]["out"]) == (178, 178)
    assert (
        filters["linear"]["examples"][0]["after"] == filters["linear"]["examples"][0]["before"] / 2
    )
    assert (filters["window"]["absorbed"], filters["window"]["figures"]) == (178, 6)
    out = {(each["aggregation"], each["dims"].get("channel")): each for each in series["comes_out"]}
    assert set(out) == {("mean", None), ("count", None), ("instant", "raw")}
    assert out["mean", None]["readings"] == 3
    assert out["mean", None]["cut_off"] == 1
    assert out["mean", None]["value"] == pytest.approx(5.5, abs=0.01)
    assert out["mean", None]["calibration"]["id"] == "cert 1"
    assert by_filter(of(document, "air.pm10")) == {}


def test_the_same_recording_gives_the_same_answer_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = simulator_class("sds011")(7)
    path = config(tmp_path, dust(FILTERS))
    file = tmp_path / "air.jsonl"
    file.write_bytes(b"".join(format_bytes(index, "", device.emit()) for index in range(300)))
    before = fingerprint(tmp_path)
    first = explain(path, "--recording", str(file), capsys=capsys)
    assert explain(path, "--recording", str(file), capsys=capsys) == first
    assert first["from"] == "0.000 s"  # a recording without a calendar
    assert of(first, "air.pm25")["readings"] == 298  # two of its lines are no measurement
    assert fingerprint(tmp_path) == before


def test_bad_lines_faults_and_other_sensors_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, dust())
    file = recording(tmp_path, [1.0] * 20)
    broken = bytearray(frame(3, 4))
    broken[4] ^= 1
    more = [
        b"not a line\n",
        b"x" * 300_000 + b"\n",
        format_bytes(WALL_S + 30, "other", frame(9, 9)),
        format_bytes(WALL_S + 31, "air", bytes(broken)),
        format_bytes(WALL_S + 5, "air", frame(2, 2)),  # another recording, behind the first
        format_bytes(WALL_S + 9, "air", frame(2, 2)),
    ]
    with file.open("ab") as handle:
        handle.write(b"".join(more))
    document = explain(path, "--recording", str(file), capsys=capsys)
    notes = " ".join(document["notes"])
    assert "2 lines passed over" in notes
    assert "1 checksum" in notes
    assert of(document, "air.pm25")["readings"] == 22
    begin, end = (datetime.fromisoformat(document[key]) for key in ("from", "to"))
    assert (end - begin).total_seconds() == 31 + 9 - 5


def test_answers_of_a_device_that_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, dust().replace("sds011", "pm1006_polled"))
    question = bytes.fromhex("11020b01e1")
    device, file = simulator_class("pm1006_polled")(7), tmp_path / "air.jsonl"
    lines = [
        format_bytes(WALL_S + index, "air", device.receive(question), question)
        for index in range(20)
    ]
    file.write_bytes(b"".join([*lines, format_bytes(WALL_S + 20, "air", b"", b"another one")]))
    document = explain(path, "--recording", str(file), capsys=capsys)
    assert of(document, "air.pm25")["readings"] == 20
    assert "1 line" in " ".join(document["notes"])


def test_advertisements_of_the_sensor_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor = (
        f'[[sensor]]\nname = "air"\ndriver = "ruuvi"\naddress = "{ADDRESS}"\n'
        '[sensor.filter."*"]\ndeadband = 0\n'
    )
    path, file = config(tmp_path, sensor), tmp_path / "adverts.jsonl"
    beacon, stranger = (
        simulator_class("ruuvi")(seed, address)
        for seed, address in ((1, ADDRESS), (2, "C4:7F:51:00:00:99"))
    )
    file.write_bytes(
        b"".join(
            format_advert(float(index), beacon.emit())
            + format_advert(float(index), stranger.emit())
            for index in range(0, 300, 15)
        )
    )
    document = explain(path, "--recording", str(file), capsys=capsys)
    assert of(document, "air.temperature")["readings"] == 20
    assert ":99" not in json.dumps(document)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it has no line of this device"),
        (b"nonsense\n", "1 lines are of no recording"),
        (format_bytes(1, "roof", frame(1, 1)), "its lines name roof"),
        (
            format_bytes(1, "air", frame(1, 1)[:-2] + b"\x07\xab"),
            "in 1 lines; Faults that the driver found: 1 checksum",
        ),
    ],
    ids=["empty", "nonsense", "another", "noise"],
)
def test_a_recording_without_a_reading_says_why(
    tmp_path: Path, content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = config(tmp_path, dust()), tmp_path / "air.jsonl"
    file.write_bytes(content)
    arguments = ["check", "--config", str(path), "--explain", "air", "--recording", str(file)]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err


# -- from the ring --------------------------------------------------------------------------------


def test_stored_readings_beside_what_they_have_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = SeriesKey("air", "air.pm25")
    spiked = [
        (age_s, 500.0 if index == 300 else value, int(Flag.SPIKE) if index == 300 else flags)
        for index, (age_s, value, flags) in enumerate(minutes_of(lambda index: 10.0 + index % 3))
    ]
    other = SeriesKey("roof", "air.pm25")
    write_ring(
        tmp_path,
        (key, "ug/m3", spiked, {}),
        (other, "ug/m3", minutes_of(lambda _: 1.0), {}),
        (SeriesKey("air", "air.pm25", (), "mean"), "ug/m3", [(60.0, 11.0, 0)], {"window_s": "60"}),
    )
    path = config(tmp_path, dust('[sensor.filter."air.pm25"]\nspike = { least = 20 }\n'))
    before = fingerprint(tmp_path)
    document = explain(path, capsys=capsys)
    assert fingerprint(tmp_path) == before
    assert document["source"] == "stored"
    assert "already passed the filters" in document["notes"][0]
    assert "air.pm25 (mean)" in document["notes"][1]
    series = of(document, "air.pm25")
    assert series["readings"] == 600
    (spike,) = series["filters"]
    # It was flagged when it was stored; the chain of today judges anew and says so.
    assert (spike["flagged"], spike["flags"]) == (1, {"spike": 1})
    minute = of(explain(path, "--minutes", "1", capsys=capsys), "air.pm25")
    assert minute["readings"] in range(30, 61)
    path = config(tmp_path, dust('[sensor.filter."air.pm25"]\nwindow = "1 h"\n'))
    (*_, mean) = of(explain(path, capsys=capsys), "air.pm25")["comes_out"]
    assert (mean["aggregation"], mean["cut_off"]) == ("mean", 1)


def test_the_raw_series_stands_for_the_calibrated_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw: Dims = (("channel", "raw"),)
    papers = {"formula": "0.5 * x", "raw": "kept"}
    write_ring(
        tmp_path,
        (SeriesKey("air", "air.pm25"), "ug/m3", minutes_of(lambda _: 5.0), papers),
        (SeriesKey("air", "air.pm25", raw), "ug/m3", minutes_of(lambda _: 10.0), {}),
        (SeriesKey("air", "air.pm10"), "ug/m3", minutes_of(lambda _: 7.0), {"formula": "0.7 * x"}),
    )
    filters = '[sensor.filter."*"]\nlinear = { b = 0.5 }\n'
    document = explain(config(tmp_path, dust(filters)), capsys=capsys)
    series = of(document, "air.pm25")
    assert (series["readings"], series["dims"]) == (600, {})
    assert series["comes_out"][0]["value"] == 5.0
    assert "the raw series" in series["notes"][0]
    assert "calibrated when it was stored (0.7 * x)" in of(document, "air.pm10")["notes"][0]


@pytest.mark.parametrize("privacy", ["P2", "P3"])
def test_priv_14_nothing_but_counts_of_private_sensors(
    tmp_path: Path, privacy: PrivacyClass, capsys: pytest.CaptureFixture[str]
) -> None:
    readings = minutes_of(lambda index: 4711.25 if index % 7 else 9711.25)
    write_ring(tmp_path, (SeriesKey("air", "air.pm25"), "ug/m3", readings, {}), privacy=privacy)
    # The class of the stored readings counts, although the configuration of today says P0.
    path = config(tmp_path, dust('[sensor.filter."air.pm25"]\nrange = { max = 9000 }\n'))
    for more in (["--json"], []):
        assert main(["check", "--config", str(path), "--explain", "air", *more]) == 0
        out = capsys.readouterr().out
        assert "4711.25" not in out
        assert "9711.25" not in out
        assert privacy in out
        if more:
            (filters,) = of(json.loads(out), "air.pm25")["filters"]
            assert (filters["flagged"], filters["examples"]) == (86, [])


def test_priv_05_no_value_where_small_counts_are_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = SeriesKey("air", "air.pm25")
    hidden = [(30.0, 0.0, int(Flag.SUPPRESSED))]
    write_ring(tmp_path, (key, "ug/m3", [*minutes_of(lambda _: 23.75), *hidden], {}))
    filters = '[sensor.filter."air.pm25"]\nwindow = { every = "1 min", give = ["count"] }\n'
    path = config(tmp_path, dust(filters + "suppress_small = 100\n"))
    document = explain(path, capsys=capsys)
    text = json.dumps(document)
    assert "23.75" not in text
    assert "60.0" not in text
    assert "1 hidden counts" in " ".join(document["notes"])
    tally = by_filter(of(document, "air.pm25"))["suppress_small"]
    assert tally["flags"]["suppressed"] == tally["in"] > 8


def test_expired_readings_are_not_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readings = [(age_s, 1.0, 0) for age_s in (7000.0, 4000.0, 100.0)]
    write_ring(tmp_path, (SeriesKey("air", "air.pm25"), "ug/m3", readings, {}))
    path = config(tmp_path, dust(retention="1 h"))
    assert of(explain(path, "--minutes", "200", capsys=capsys), "air.pm25")["readings"] == 1


def test_no_reading_in_that_time_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, dust())

    def told(code: int) -> str:
        assert main(["check", "--config", str(path), "--explain", "air"]) == code
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)
        return captured.err

    assert "does not exist: no gateway has run" in told(2)
    write_ring(tmp_path, (SeriesKey("roof", "air.pm25"), "ug/m3", [(3.0, 1.0, 0)], {}))
    assert "nor in the newest part of the ring" in told(1)
    write_ring(tmp_path, (SeriesKey("air", "air.pm25"), "ug/m3", [(2400.0, 1.0, 0)], {}))
    assert "try --minutes 56" in told(1)


def test_only_figures_are_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ring(tmp_path, (SeriesKey("air", "air.pm25", (), "mean"), "ug/m3", [(60.0, 11.0, 0)], {}))
    document = explain(config(tmp_path, dust()), capsys=capsys)
    assert document["series"] == []
    assert "keep_raw = true" in " ".join(document["notes"])


@pytest.mark.timeout(60)
async def test_beside_the_real_daemon_whose_sensor_may_be_quiet(tmp_path: Path) -> None:
    more = """stale_after = "7 h"
            [sensor.filter."air.pm25"]
            stuck = "1 s"
            linear = { b = 0.5, expires = "2026-01-01", keep_raw = true }
            window = "1 min"
    """
    with HeldLine(tmp_path / "tty-air") as line:
        traffic = Traffic(line)
        async with (
            GatewayProcess(
                tmp_path, dust_sensor("air", tmp_path, more), flush_interval="100 ms"
            ) as gateway,
            traffic.flowing(),
        ):
            await gateway.until_metric("sensor_absorbed_readings_total", 5)
            await gateway.until_metric("buffer_flushes_total", 3)
            # A calibration counts as expired from the next tick on, once wall time is known.
            await gateway.until_metric("sensor_expired_calibrations", 1)
            await gateway.until_metric("sensor_learnt_interval_seconds", 0.0)
            status = (await gateway.status())["sensors"]["air"]
            assert (status["stale_after_s"], status["interval_s"]) == (25200, 1)
            assert status["expired_calibrations"] == 1
            answer = await run_command(
                "check", "--config", str(gateway.config), "--explain", "air", "--json"
            )
            assert answer.code == 0, answer
            series = of(json.loads(answer.output), "air.pm25")
            assert series["readings"] > 0  # of the raw series: the window keeps no other
            assert by_filter(series)["window"]["absorbed"] == series["readings"]
            await traffic.pause()
            assert await gateway.stop() == 0, gateway.log


# -- the command ----------------------------------------------------------------------------------


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path, dust())

    def told(*more: str) -> str:
        assert main(["check", "--config", str(path), *more]) == 2
        return capsys.readouterr().err

    assert told("--explain", "aiir") == (
        "error: --explain: no such sensor, got 'aiir'; did you mean 'air'?\n"
    )
    assert "allowed: air" in told("--explain", "zzz")
    assert told("--minutes", "3") == "error: --minutes: belongs to --explain SENSOR\n"
    assert "is no length of time" in told("--explain", "air", "--minutes", "0")
    assert "is no length of time" in told("--explain", "air", "--minutes", "nan")
    assert "is no file" in told("--explain", "air", "--recording", str(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        main(["check", "--explain", "air", "--minutes", "3", "--recording", "x"])


def test_the_text_is_a_table_that_fits_a_terminal(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ascii_run: Callable[..., tuple[int, str]],
) -> None:
    values = [10.0 + index % 3 for index in range(120)]
    values[60] = 200.0
    filters = FILTERS.replace('"cert 1"', '"a certificate with a name that is rather long"')
    path = config(tmp_path, dust(filters))
    file = recording(tmp_path, values, begin_s=WALL_S - WALL_S % 60)
    arguments = ["check", "--config", str(path), "--explain", "air", "--recording", str(file)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "  range                  120       120         1         0         0\n" in out
    assert "  range: 1 flagged range\n" in out
    assert "flagged 200 (range)\n" in out
    assert "  no filter\n" in out
    assert "comes out: air.pm25 (mean), 2 readings (1 cut off by the end)" in out
    assert ascii_run(*arguments) == (0, out)
