"""The alert rules fire when they should and only then; a real Prometheus reads a real gateway."""

import asyncio
import json
import re
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.observe import StatusServer
from gateway.observe.metric_table import FLUSH_SECONDS, METRICS
from tests.observe.client import ask
from tests.observe.figures import Room
from tests.observe.waiting import running, until

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "config" / "prometheus" / "alerts.yml"
SCRAPE = ROOT / "config" / "prometheus" / "scrape.yml"
TOKEN = "a-token-for-this-test"

BOX = 'instance="box"'
AIR = f'{BOX},sensor="air"'
CITY = f'{BOX},link="city"'
BUCKET = "citylab_gateway_buffer_flush_seconds_bucket"
DROPPED = "citylab_gateway_link_dropped_readings_total"
ONLINE = f'link_state{{{CITY},state="online"'
REFUSED = f'link_state{{{CITY},state="refused"'
HEALTHY = {
    f'up{{job="citylab-gateway",{BOX}}}': "1x240",
    f"citylab_gateway_uptime_seconds{{{BOX}}}": "0+60x240",
    f'citylab_gateway_health_state{{{BOX},state="failing"}}': "0x240",
    f"citylab_gateway_loop_lag_recent_max_seconds{{{BOX}}}": "0.01x240",
    f'citylab_gateway_task_restarts_total{{{BOX},task="link city"}}': "1x240",
    f"citylab_gateway_config_last_reload_succeeded{{{BOX}}}": "1x240",
    f'citylab_gateway_sensor_state{{{AIR},state="fresh"}}': "1x240",
    f'citylab_gateway_sensor_faults_total{{{AIR},kind="checksum"}}': "0+1x240",
    f"citylab_gateway_sensor_readings_total{{{AIR}}}": "0+60x240",
    f"citylab_gateway_sensor_restarts_total{{{AIR}}}": "2x240",
    f"citylab_gateway_sensor_stuck_series{{{AIR}}}": "0x100 1x20 0x120",
    f"citylab_gateway_sensor_expired_calibrations{{{AIR}}}": "0x240",
    f'citylab_gateway_port_reopens_total{{{AIR},cause="silence"}}': "0x60 1x180",
    f"citylab_gateway_port_recovery_step{{{AIR}}}": "0x60 4x3 0x180",
    f'citylab_gateway_scanner_recovery_step{{{BOX},adapter="hci0"}}': "0x60 3x5 0x60 2x20 0x95",
    f'citylab_gateway_link_state{{{CITY},state="online"}}': "1x240",
    f'citylab_gateway_link_state{{{CITY},state="refused"}}': "0x240",
    f"citylab_gateway_link_oldest_pending_seconds{{{CITY}}}": "3x240",
    f"citylab_gateway_link_pending_readings{{{CITY}}}": "20x240",
    f"citylab_gateway_link_certificate_expiry_timestamp_seconds{{{CITY}}}": "3000000x240",
    f'{DROPPED}{{{CITY},reason="policy"}}': "0+100x240",
    f'{DROPPED}{{{CITY},reason="overwritten"}}': "5x240",
    f"citylab_gateway_buffer_used_ratio{{{BOX}}}": "0.99x240",
    f"citylab_gateway_buffer_oldest_reading_seconds{{{BOX}}}": "900000x240",
    f"citylab_gateway_buffer_degraded{{{BOX}}}": "0x240",
    f"citylab_gateway_buffer_flush_errors_total{{{BOX}}}": "1x240",
    f'{BUCKET}{{{BOX},le="0.05"}}': "0+12x240",
    f'{BUCKET}{{{BOX},le="10.0"}}': "0+12x240",
    f'{BUCKET}{{{BOX},le="+Inf"}}': "0+12x240",
    f"citylab_gateway_buffer_damaged_blocks_total{{{BOX}}}": "3x240",
    f"citylab_gateway_clock_synced{{{BOX}}}": "1x240",
    f"citylab_gateway_clock_steps_total{{{BOX}}}": "1x240",
}
"""One box over four hours, a sample a minute; some trouble lies in the past."""


def changed(**series: str) -> dict[str, str]:
    """Return the healthy series with the one that a metric name begins replaced."""
    result = dict(HEALTHY)
    for name, values in series.items():
        (key,) = [key for key in result if key.removeprefix("citylab_gateway_").startswith(name)]
        result[key] = values
    return result


CASES = [
    ("CitylabGatewayDown", changed(**{"up{": "1x200 0x40"})),
    ("CitylabGatewayRestarting", changed(uptime="0 60 0 60 0 60 0 60 0 60 " * 24)),
    ("CitylabGatewayFailing", changed(health_state="0x200 1x40")),
    ("CitylabGatewayLoopSlow", changed(loop_lag="0.1x200 1.7x40")),
    ("CitylabGatewayTaskRestarting", changed(task_restarts="0x180 0+1x60")),
    ("CitylabGatewayConfigRefused", changed(config_last="1x200 0x40")),
    ("CitylabSensorSilent", changed(sensor_state="1x200 0x40")),
    ("CitylabSensorFaulty", changed(sensor_faults="0x120 0+20x120")),
    ("CitylabSensorFaulty", changed(sensor_faults="0+1x240", sensor_readings="7x240")),
    ("CitylabSensorStuck", changed(sensor_stuck="0x200 2x40")),
    ("CitylabCalibrationExpired", changed(sensor_expired="0x170 1x70")),
    ("CitylabSensorDeviceRestarting", changed(sensor_restarts="0x200 0+1x40")),
    ("CitylabPortReopening", changed(port_reopens="0x200 0+1x40")),
    ("CitylabPortGivenUp", changed(port_recovery="0x200 4x40")),
    ("CitylabBluetoothDeaf", changed(scanner_recovery="0x200 3x40")),
    ("CitylabLinkDown", changed(**{ONLINE: "1x180 0x60"})),
    ("CitylabLinkDown", changed(**{ONLINE: "1x180 " + "0x18 1 " * 3})),
    ("CitylabLinkRefused", changed(**{ONLINE: "1x180 0x60", REFUSED: "0x180 1x60"})),
    (
        "CitylabLinkRefused",
        changed(**{ONLINE: "1x180 0x60", REFUSED: "0x180 " + "1 1 0 " * 20}),
    ),
    ("CitylabCertificateExpiring", changed(link_certificate="3000000x100 2500000x140")),
    (
        "CitylabBacklogGrowing",
        changed(link_oldest_pending="0+60x240", link_pending_readings="0+50x240"),
    ),
    ("CitylabReadingsAtRisk", changed(link_oldest_pending="3x200 800000x40")),
    (
        "CitylabReadingsLost",
        changed(**{f'link_dropped_readings_total{{{CITY},reason="over': "0x220 9x20"}),
    ),
    ("CitylabBufferDegraded", changed(buffer_degraded="0x200 1x40")),
    ("CitylabFlushErrors", changed(buffer_flush_errors="0x230 1x10")),
    (
        "CitylabFlushSlow",
        changed(**{'buffer_flush_seconds_bucket{instance="box",le="0.05': "0x240"}),
    ),
    ("CitylabDamagedBlocks", changed(buffer_damaged="0x230 4x10")),
    ("CitylabDamagedBlocks", changed(buffer_damaged="_x210 4x30")),
    ("CitylabClockUnsynced", changed(clock_synced="1x200 0x40")),
    ("CitylabClockJumping", changed(clock_steps="0x230 0+1x10")),
]


def rules() -> dict[str, str]:
    """Return the text of each rule by the name of its alert."""
    parts = ALERTS.read_text(encoding="utf-8").split("- alert: ")[1:]
    return {part.split("\n")[0]: part for part in parts}


def run_cases(cases: list[tuple[str | None, dict[str, str]]], folder: Path) -> None:
    """Let promtool play the series through the rules; exactly these alerts may fire."""
    tests = [
        {
            "name": alert or "healthy",
            "interval": "1m",
            "input_series": [{"series": key, "values": text} for key, text in series.items()],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "4h",
                    "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
                    if alert
                    else [],
                }
            ],
        }
        for alert, series in cases
    ]
    file = folder / "cases.yml"
    document = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}
    file.write_text(json.dumps(document), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.prometheus
def test_promtool_accepts_the_rules_and_the_example() -> None:
    subprocess.run(["promtool", "check", "rules", ALERTS], check=True, capture_output=True)
    subprocess.run(
        ["promtool", "check", "config", "--syntax-only", SCRAPE], check=True, capture_output=True
    )


@pytest.mark.prometheus
def test_a_healthy_box_raises_no_alert(tmp_path: Path) -> None:
    run_cases([(None, HEALTHY)], tmp_path)


@pytest.mark.prometheus
@pytest.mark.parametrize(("alert", "series"), CASES, ids=[case[0] for case in CASES])
def test_each_trouble_raises_its_alert_and_no_other(
    alert: str, series: dict[str, str], tmp_path: Path
) -> None:
    run_cases([(alert, series)], tmp_path)


def test_every_alert_has_a_case() -> None:
    assert {alert for alert, _ in CASES} == set(rules())


def test_rules_and_cases_use_metrics_that_exist() -> None:
    known = {metric.name for metric in METRICS} | {f"{FLUSH_SECONDS.name}_bucket"}
    used = set(re.findall(r"(?:citylab_gateway|process)_[a-z_]+", "\n".join(rules().values())))
    assert len(used) > 15
    assert used <= known
    assert {key.partition("{")[0] for key in HEALTHY} - {"up"} <= known


@pytest.mark.parametrize("alert", rules())
def test_every_alert_says_whether_somebody_has_to_go_and_what_to_do(alert: str) -> None:
    rule = rules()[alert]
    visit = re.search(r'visit: "?(yes|no|maybe)"?\}', rule)
    severity = re.search(r"severity: (critical|warning|info)", rule)
    assert visit is not None
    assert severity is not None
    assert "summary:" in rule
    assert "description:" in rule
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    heading = re.search(rf"^### {alert}\n(.*?)(?=^##)", page, re.MULTILINE | re.DOTALL)
    assert heading is not None, f"docs/operate.md says nothing about {alert}"
    assert heading[1].startswith(f"Visit: {visit[1]}.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    assert set(health) == set(rules())
    assert "err" not in health.values()
