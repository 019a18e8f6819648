"""The commands beside a daemon that writes all the time."""

import asyncio
import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.buffer import Buffer
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT
from gateway.cli import main
from gateway.reading import SeriesKey
from tests.buffer.support import HandClock, settings_for
from tests.end_to_end.gateway_process import GatewayProcess, dust_sensor, run_command
from tests.end_to_end.held_line import HeldLine, Traffic

ROUNDS = 3
LAPS = """
import asyncio, sys
from pathlib import Path
from gateway.buffer import Buffer
from gateway.reading import SeriesKey
from tests.buffer.support import HandClock, settings_for

async def main():
    buffer = await Buffer.open(settings_for(Path(sys.argv[1]), 256), HandClock())
    series = buffer.series_id(SeriesKey("air", "air.pm25"), unit="ug/m3", privacy="P0")
    print("ready", flush=True)
    time_ns = 10**9
    while True:
        for _ in range(2000):
            time_ns += 1000
            buffer.append(series, time_ns, float(buffer.next_sequence), 0)
        await buffer.flush()

asyncio.run(main())
"""
"""A process that writes as fast as it can: the ring comes round many times a second."""


SIZE = "16 MiB"
"""Minutes of traffic: however slow this machine is, the ring does not come round between looks."""


@pytest.mark.timeout(180)
async def test_beside_the_real_daemon(tmp_path: Path) -> None:
    sections = dust_sensor("air", tmp_path)
    with HeldLine(tmp_path / "tty-air") as line:
        traffic = Traffic(line)
        async with (
            GatewayProcess(tmp_path, sections, flush_interval="100 ms", size=SIZE) as gateway,
            traffic.flowing(),
        ):
            await gateway.until_metric("buffer_flushes_total", 3)
            configured = ("--config", str(gateway.config))
            for _ in range(ROUNDS):
                check = await run_command("buffer", "check", "--json", *configured)
                assert (check.code, json.loads(check.output)["findings"]) == (0, []), check
                stat = json.loads(
                    (await run_command("buffer", "stat", "--json", *configured)).output
                )
                assert stat["readings"] > 0
                assert stat["links"] == []
                export = await run_command("buffer", "export", *configured)
                assert export.code == 0, export
                rows = list(csv.DictReader(io.StringIO(export.output)))
                numbers = [int(row["sequence"]) for row in rows]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                assert len(numbers) >= stat["readings"]
            lines = await run_command("buffer", "export", *configured, "--format", "json")
            assert json.loads(lines.output.splitlines()[0])["gateway"] == "test-box"
            await traffic.pause()
            assert await gateway.stop() == 0, gateway.log
        final = await run_command("buffer", "check", "--json", *configured)
        assert json.loads(final.output)["findings"] == []


@pytest.mark.timeout(180)
def test_beside_a_writer_that_laps_it_nothing_is_taken_for_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LAPS, str(tmp_path)], stdout=subprocess.PIPE
    ) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            source = ("--directory", str(tmp_path / "data"))
            for _ in range(20):
                code = main(["buffer", "check", "--json", *source])
                document = json.loads(capsys.readouterr().out)
                assert (code, document["findings"]) == (0, [])
                assert main(["buffer", "stat", *source]) == 0
                capsys.readouterr()
                assert main(["buffer", "export", *source]) == 0
                text = capsys.readouterr().out
                rows = list(csv.DictReader(io.StringIO(text)))
                numbers = [int(row["sequence"]) for row in rows]
                assert numbers == sorted(set(numbers))
                assert [float(row["value"]) for row in rows] == numbers
        finally:
            writer.kill()


def test_series_that_came_meanwhile_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def write() -> None:
        buffer = await Buffer.open(settings_for(tmp_path), HandClock())
        for round_number in range(5):
            key = SeriesKey(f"sensor-{round_number}", "air.pm25")
            series = buffer.series_id(key, unit="ug/m3", privacy="P0")
            buffer.append(series, 2 * 10**9, 1.0, 0)
            await buffer.flush()
            code = await asyncio.to_thread(
                main, ["buffer", "export", "--directory", str(tmp_path / "data")]
            )
            assert code == 0
            assert capsys.readouterr().out.count("\n") == 2 + round_number
        await buffer.close()

    asyncio.run(write())
    size = (tmp_path / "data" / "ring").stat().st_size
    assert size >= FIRST_DATA_SLOT * BLOCK_SIZE
