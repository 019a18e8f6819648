"""The dashboards are valid; each query finds what a real gateway tells a real Prometheus."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from drivers.modbus.simulated import SimulatedModbus
from drivers.nmea.simulated import SimulatedNmea
from drivers.ruuvi.simulated import SimulatedRuuvi
from drivers.sds011.simulated import SimulatedSds011
from gateway.supervisor import Supervisor
from gateway.transports import AdvertSimulator, FaultPlan, PtySimulator
from tests.brokers import Mosquitto, free_port
from tests.end_to_end.gateway_process import GatewayProcess, broker
from tests.observe.client import ask
from tests.observe.waiting import running
from tests.operator.dashboards import COLUMNS, FOLDER, text
from tests.operator.write_dashboards import BOARDS
from tests.other_brokers.cluster import make_certificates

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "config" / "prometheus" / "alerts.yml"
TAG = "C4:7F:51:00:00:01"
BOX = "box"
QUICK_S = 0.2
"""Devices speak so often here."""
PATIENCE_S = 80.0
RIGHTLY_EMPTY = {
    "citylab_gateway_power_trouble": "only on a Raspberry Pi",
    "citylab_gateway_power_under_voltage_seen": "only on a Raspberry Pi",
    "citylab_gateway_connections_total": "no sensor here has to be visited",
    "citylab_gateway_connections_waiting": "no sensor here has to be visited",
    "citylab_gateway_scanner_limited_adverts_total": "nobody imitates a sensor here",
}
"""Metric -> why a query of it finds nothing here."""

Document = Mapping[str, Any]
DOCUMENTS: Mapping[str, Document] = {
    name: json.loads((FOLDER / name).read_text(encoding="utf-8")) for name in BOARDS
}


def expressions(document: Document) -> Iterator[tuple[str, str]]:
    """Return title and expression of each query."""
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize("name", BOARDS)
def test_the_file_is_what_the_code_says(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == text(BOARDS[name])


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_grafana_finds_what_it_needs(document: Document) -> None:
    assert document["schemaVersion"] >= 39
    assert "id" not in document, "that of somebody's database"
    variables = {each["name"]: each for each in document["templating"]["list"]}
    assert variables["DS_PROMETHEUS"]["type"] == "datasource"
    assert variables["DS_PROMETHEUS"]["query"] == "prometheus"
    assert variables["gateway"]["type"] == "query"
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    sources = [panel["datasource"] for panel in panels if panel["type"] != "row"]
    sources += [target["datasource"] for panel in panels for target in panel.get("targets", ())]
    sources.append(variables["gateway"]["datasource"])
    assert all(each == {"type": "prometheus", "uid": "${DS_PROMETHEUS}"} for each in sources)
    for panel in panels:
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            references = [target["refId"] for target in panel["targets"]]
            assert len(set(references)) == len(references) > 0


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_no_panel_lies_on_another(document: Document) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_every_query_uses_metrics_of_the_page_and_the_chosen_gateway(document: Document) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    known = {"up", "ALERTS"} | set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    known.add("citylab_gateway_buffer_flush_seconds_bucket")
    for title, expression in expressions(document):
        selectors = re.findall(r"([A-Za-z_:]+)\{([^}]*)\}", expression)
        assert selectors, title
        assert {metric for metric, _ in selectors} <= known, title
        bare = re.sub(r"\{[^}]*\}", "{}", expression)
        assert not re.findall(r"(?:citylab_gateway|process)_\w+(?![\w{])", bare), title
        for _, labels in selectors:
            assert re.search(r'instance=~?"\$gateway"', labels), title


def test_each_alert_of_a_visit_is_told_on_the_first_screen() -> None:
    first = [panel for panel in DOCUMENTS["fleet.json"]["panels"] if panel["gridPos"]["y"] < 14]
    shown = " ".join(target["expr"] for panel in first for target in panel.get("targets", ()))
    visits = set(re.findall(r'visit: "?(\w+)"?\}', ALERTS.read_text(encoding="utf-8")))
    assert visits == {"yes", "maybe", "no"}
    assert all(f'visit="{visit}"' in shown for visit in visits)


class Quick:
    """A simulated device that speaks every ``QUICK_S``."""

    interval_s = QUICK_S

    def __init__(self, device: Any) -> None:
        self._device = device

    def emit(self) -> Any:
        """Return what the device sends next."""
        return self._device.emit()

    def receive(self, data: bytes) -> bytes:
        """Let the device answer."""
        answer: bytes = self._device.receive(data)
        return answer


def sections(folder: Path, port: int) -> str:
    """Return a box with sensors of each kind and two links; one of each is dead."""
    head = '[[sensor]]\nname = "{}"\ndriver = "{}"\nprivacy = "P0"\n'
    found = f'[bluetooth]\nreplay = "{folder}/adverts"\n'
    for name, driver in (("air", "sds011"), ("gnss", "nmea"), ("lost", "sds011")):
        found += head.format(name, driver) + f'port = "{folder}/tty-{name}"\n'
        if name == "air":
            found += '[sensor.filter."*"]\ndeadband = { absolute = 50, heartbeat = "2 s" }\n'
    for unit in (1, 99):  # nobody has that address
        found += head.format(f"meter-{unit}", "modbus") + f'port = "{folder}/tty-bus"\n'
        found += (
            f'interval = "500 ms"\noptions = {{ map = "sdm630", unit = {unit}, timeout_s = 0.1 }}\n'
        )
    found += head.format("tag", "ruuvi") + f'address = "{TAG}"\n'
    found += f"""
[[broker]]
name = "aarhus"
url = "mqtts://localhost:{port}"
format = "json"
linger = "50 ms"
tls = {{ ca_file = "{folder}/pki/ca.pem" }}
select = {{ sensors = ["air", "tag"] }}
"""
    return found + broker("vejle", free_port(), 'format = "json"')


@dataclass(frozen=True)
class Street:
    """What is plugged in."""

    lines: Mapping[str, PtySimulator]
    adverts: AdvertSimulator

    @contextlib.asynccontextmanager
    async def plugged_in(self) -> AsyncIterator[None]:
        async with Supervisor() as tasks:
            for name, line in self.lines.items():
                tasks.start(name, line.run)
                await line.ready.wait()
            tasks.start("adverts", self.adverts.run)
            yield


@pytest.fixture
def street(tmp_path: Path) -> Street:
    """All but ``lost``; made outside the event loop, because drivers read their files."""
    noisy = FaultPlan(seed=1, noise_burst=0.3)
    tag: Any = Quick(SimulatedRuuvi(4, TAG))
    return Street(
        {
            "air": PtySimulator(Quick(SimulatedSds011(1)), tmp_path / "tty-air", faults=noisy),
            "gnss": PtySimulator(Quick(SimulatedNmea(2)), tmp_path / "tty-gnss"),
            "bus": PtySimulator(SimulatedModbus(3), tmp_path / "tty-bus"),
        },
        AdvertSimulator([tag], tmp_path / "adverts"),
    )


def prometheus(folder: Path, port: int, http_port: int) -> list[str]:
    """Return the command of a Prometheus that reads the gateway, and a box that is not there."""
    rules = re.sub(r"(?m)^ +for: .*\n", "", ALERTS.read_text(encoding="utf-8"))  # nobody waits here
    (folder / "alerts.yml").write_text(rules, encoding="utf-8")
    targets = {BOX: http_port, "dead": free_port()}
    document = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            {
                "job_name": "citylab-gateway",
                "static_configs": [
                    {"targets": [f"127.0.0.1:{number}"], "labels": {"instance": name}}
                    for name, number in targets.items()
                ],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(document), encoding="utf-8")
    return [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]


async def find(port: int, expression: str) -> list[Any] | None:
    """Return what a query finds; None while Prometheus does not answer yet."""
    request = f"GET /api/v1/query?query={quote(expression)} HTTP/1.0"
    try:
        answer = await ask(f"127.0.0.1:{port}", request)
        document = json.loads(answer.body)
    except (OSError, ValueError):
        return None
    assert document["status"] == "success", f"{expression}: {document['error']}"
    found: list[Any] = document["data"]["result"]
    return found


async def findings(port: int) -> dict[tuple[str, str], int]:
    """Return for each query how much it finds, with the variables as Grafana fills them in."""
    found = {}
    for name, document in DOCUMENTS.items():
        gateway = BOX if name == "gateway.json" else ".*"
        for title, expression in expressions(document):
            filled = expression.replace("$gateway", gateway).replace("$__rate_interval", "10s")
            result = await find(port, filled)
            found[f"{name}: {title}", expression] = len(result or ())
    return found


def is_rightly_empty(expression: str) -> bool:
    metrics = re.findall(r"(citylab_gateway_\w+)\{", expression)
    return any(metric in RIGHTLY_EMPTY for metric in metrics)


@pytest.mark.prometheus
@pytest.mark.mosquitto
@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_every_query_finds_something(tmp_path: Path, street: Street) -> None:
    await asyncio.to_thread(make_certificates, tmp_path / "pki")
    files = {"cafile": "ca.pem", "certfile": "node.pem", "keyfile": "node.key"}
    tls = [f"{word} {tmp_path / 'pki' / file}" for word, file in files.items()]
    port = free_port()
    air = street.lines["air"]
    async with Mosquitto(tmp_path / "broker", lines=tls) as mosquitto, street.plugged_in():
        gateway = GatewayProcess(tmp_path, sections(tmp_path, mosquitto.port))
        async with gateway:
            await gateway.until("aarhus", state="online")
            with running(prometheus(tmp_path, port, gateway.http_port)):
                async with asyncio.timeout(PATIENCE_S):
                    scraped = f'count_over_time(up{{instance="{BOX}"}}[1m]) > 3'
                    while not await find(port, scraped):  # noqa: ASYNC110 - it is in a process
                        await asyncio.sleep(0.2)
                    await air.unplug()  # counters have to rise while somebody looks
                    await asyncio.sleep(1.0)
                    await air.replug()
                found: dict[tuple[str, str], int] = {}
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        while not (
                            found and all(found[key] or is_rightly_empty(key[1]) for key in found)
                        ):
                            found = await findings(port)
    empty = {key for key, count in found.items() if not count}
    assert {key for key in empty if not is_rightly_empty(key[1])} == set()
    assert {key for key in found if is_rightly_empty(key[1])} == empty, "no longer empty"
