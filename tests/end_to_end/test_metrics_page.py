"""The real daemon's /metrics and docs/metrics.md: each knows exactly what the other knows."""

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.brokers import Mosquitto
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor
from tests.end_to_end.held_line import HeldLine, dust_frame
from tests.end_to_end.metrics_page import MetricsPage

pytestmark = [pytest.mark.mosquitto, pytest.mark.prometheus]

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"\| `([a-z0-9_]+)` \| ([a-z]+) \| ([a-z, ]*) \| (.+) \|")
TAG = "C4:7F:51:00:00:01"
TAG_PAYLOAD = "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F"
NOT_EVERYWHERE = {"process_open_fds"}
"""The document says that kernels before 6.2 do not show it."""
NOT_YET = {
    "citylab_gateway_scanner_limited_adverts",  # no sensor sent too much
    "citylab_gateway_connections",  # there is no sensor to connect to, nor a radio
    "citylab_gateway_connections_seconds",
    "citylab_gateway_connections_waiting",
    "citylab_gateway_power_trouble",  # a Raspberry Pi's firmware tells these
    "citylab_gateway_power_under_voltage_seen",
    "citylab_gateway_crowd_windows",  # nobody counts here
    "citylab_gateway_buffer_written_bytes_per_day",  # says nothing in the first minute
    "citylab_gateway_link_certificate_expiry_timestamp_seconds",  # plain text here
    "citylab_gateway_clock_since_step_seconds",  # nobody set the clock
    "citylab_gateway_clock_check_ahead_seconds",  # none of these tells the time
    "citylab_gateway_sensor_learnt_interval_seconds",  # takes more readings than these
}
HISTOGRAM_LABELS = {"le"}


def documented() -> dict[str, tuple[str, set[str], str]]:
    """Return kind, labels and meaning by name."""
    return {
        name: (kind, set(filter(None, labels.split(", "))), meaning)
        for name, kind, labels, meaning in ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    }


def shown(page: MetricsPage) -> dict[str, tuple[str, set[str], str]]:
    """Return the same of what was scraped; labels as far as there are samples."""
    found = {}
    for family in page.families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = (family.type, labels - HISTOGRAM_LABELS, family.documentation)
    return found


async def scrape_after_work(tmp_path: Path) -> MetricsPage:
    """Return what /metrics shows when everything has happened once that has a metric."""
    os.mkfifo(tmp_path / "adverts")
    tag = f'[[sensor]]\nname = "tag"\ndriver = "ruuvi"\naddress = "{TAG}"'
    replay = f'[bluetooth]\nreplay = "{tmp_path}/adverts"'
    strict = 'record = true\n[sensor.filter."air.pm25"]\nrange = { max = 50.0, action = "drop" }'
    asked = f'[[sensor]]\nname = "co2"\ndriver = "mhz19"\nport = "{tmp_path}/unplugged"'
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        dust = dust_sensor("air", tmp_path, strict)
        sections = "\n".join([replay, dust, tag, asked, broker("aarhus", mosquitto.port)])
        with HeldLine(tmp_path / "tty-air") as line:
            async with GatewayProcess(tmp_path, sections) as gateway:
                await gateway.until_metric("port_open", 1, sensor="air")
                await gateway.until_metric("scanner_open", 1)
                advert = {"t": 0, "address": TAG, "manufacturer_data": {"1177": TAG_PAYLOAD}}
                (tmp_path / "adverts").write_text(json.dumps(advert) + "\n", encoding="utf-8")
                await line.write(dust_frame(11, 12) + b"noise" + dust_frame(501, 13))
                await gateway.until("aarhus", acknowledged=7)
                await gateway.until_metric("buffer_written_bytes_per_reading", 1)
                await mosquitto.kill()
                await gateway.until_metric("link_disconnects_total", 1)
                return await gateway.metrics()


@pytest.mark.timeout(120)
async def test_page_and_document_agree(tmp_path: Path) -> None:
    page = await scrape_after_work(tmp_path)
    found, told = shown(page), documented()
    assert len(told) > 50
    assert found.keys() - told.keys() == set(), "shown and not documented"
    assert told.keys() - found.keys() <= NOT_EVERYWHERE, "documented and not shown"
    for name, (kind, labels, meaning) in found.items():
        assert (kind, meaning) == (told[name][0], told[name][2]), name
        assert labels in (told[name][1], set()), name
    without_samples = {family.name for family in page.families if not family.samples}
    assert without_samples <= NOT_YET, "this work should show all"

    promtool = shutil.which("promtool")
    assert promtool is not None
    process = await asyncio.create_subprocess_exec(
        *(promtool, "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(page.text.encode())
    assert (process.returncode, output) == (0, b"")


@pytest.mark.timeout(120)
async def test_every_part_has_its_own_count_of_restarts(tmp_path: Path) -> None:
    page = await scrape_after_work(tmp_path)
    tasks = [sample.labels["task"] for sample in page.samples("task_restarts_total")]
    assert any("air" in task for task in tasks), tasks
    assert any("aarhus" in task for task in tasks), tasks
    assert "other" not in tasks
