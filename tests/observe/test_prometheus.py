"""A real Prometheus reads a real gateway; when alerts fire is tested in tests/operator."""

import asyncio
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.observe import StatusServer
from tests.brokers import free_port
from tests.observe.client import ask
from tests.observe.figures import Room
from tests.observe.waiting import running, until

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "config" / "prometheus" / "alerts.yml"
TOKEN = "a-token-for-this-test"


async def query(address: str, expression: str) -> list[dict[str, list[object]]]:
    answer = await ask(address, f"GET /api/v1/query?query={quote(expression)} HTTP/1.0")
    result: list[dict[str, list[object]]] = json.loads(answer.body)["data"]["result"]
    return result


async def scraped(address: str) -> None:
    """Wait until Prometheus runs and has read the gateway twice."""
    while True:
        try:
            if await query(address, "count_over_time(up[1m]) >= 2"):
                return
        except (OSError, ValueError):
            pass  # not listening yet, or not ready to answer
        await asyncio.sleep(0.1)


def configuration(folder: Path, target: str) -> Path:
    token = folder / "token"
    token.write_text(TOKEN, encoding="utf-8")
    file = folder / "prometheus.yml"
    document = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {
                "job_name": "citylab-gateway",
                "authorization": {"credentials_file": str(token)},
                "static_configs": [{"targets": [target]}],
            }
        ],
    }
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


@pytest.mark.prometheus
@pytest.mark.timeout(60)
async def test_a_real_prometheus_reads_a_real_gateway(room: Room, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    async with StatusServer(room.look, listen=("127.0.0.1", 0), token=TOKEN) as server:
        command = [
            "prometheus",
            f"--config.file={configuration(tmp_path, server.address)}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
        ]
        with running(command) as process:
            await scraped(address)
            up = await query(address, "up")
            identity = await query(
                address,
                "citylab_gateway_link_accepted_readings_total"
                " - citylab_gateway_link_acknowledged_readings_total"
                " - citylab_gateway_link_pending_readings"
                " - on (instance, job, link) sum by (instance, job, link)"
                " (citylab_gateway_link_dropped_readings_total)",
            )
            loaded = json.loads((await ask(address, "GET /api/v1/rules HTTP/1.0")).body)
            process.terminate()
            await until(lambda: process.poll() is not None)
    assert [sample["value"][1] for sample in up] == ["1"]
    assert [sample["value"][1] for sample in identity] == ["0", "0"]
    health = {
        rule["name"]: rule["health"]
        for group in loaded["data"]["groups"]
        for rule in group["rules"]
    }
    assert set(health) == set(re.findall(r"- alert: (\w+)", ALERTS.read_text(encoding="utf-8")))
    assert "err" not in health.values()
