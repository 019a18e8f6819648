"""The alert rules fire when they should and only then, and for each somebody knows what to do."""

import re
import subprocess
from pathlib import Path

import pytest

from gateway.observe.metric_table import FLUSH_SECONDS, METRICS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config" / "prometheus"
ALERTS = FOLDER / "alerts.yml"
CASES = FOLDER / "alerts_test.yml"
SCRAPE = FOLDER / "scrape.yml"
WANTED = {
    "sensor stale": "CitylabSensorSilent",
    "link down": "CitylabLinkDown",
    "backlog growing": "CitylabBacklogGrowing",
    "data lost": "CitylabReadingsLost",
    "clock unsynced": "CitylabClockUnsynced",
    "time unsure": "CitylabTimeUnsure",
    "disk failing": "CitylabFlushErrors",
    "certificate expiring": "CitylabCertificateExpiring",
    "flush late": "CitylabFlushLate",
    "under-voltage": "CitylabUnderVoltage",
    "port given up": "CitylabPortGivenUp",
    "adapter given up": "CitylabBluetoothDeaf",
    "bus time-outs": "CitylabBusTimeouts",
    "a driver stands still": "CitylabGatewayDriverStuck",
    "nothing passes the filters": "CitylabReadingsFiltered",
    "power comes and goes": "CitylabBoxRebooting",
}
"""What an operator has to be told of."""


def parts(path: Path, mark: str) -> dict[str, str]:
    """Return the text of each part of a file that begins with this mark, by its name."""
    found = path.read_text(encoding="utf-8").split(f"- {mark}: ")[1:]
    return {part.split("\n")[0]: part for part in found}


RULES = parts(ALERTS, "alert")


@pytest.mark.prometheus
def test_promtool_accepts_the_rules_and_the_example() -> None:
    subprocess.run(["promtool", "check", "rules", ALERTS], check=True, capture_output=True)
    subprocess.run(
        ["promtool", "check", "config", "--syntax-only", SCRAPE], check=True, capture_output=True
    )


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_each_trouble_raises_its_alert_and_no_other() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", CASES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.prometheus
def test_a_rule_that_never_fires_is_found(tmp_path: Path) -> None:
    """The test of the rules can fail: one rule and its case, with the rule broken."""
    case = parts(CASES, "name")["CitylabClockJumping"]
    head = CASES.read_text(encoding="utf-8").partition("tests:\n")[0]
    (tmp_path / CASES.name).write_text(f"{head}tests:\n  - name: {case}", encoding="utf-8")
    text = ALERTS.read_text(encoding="utf-8")
    for rules, code in (
        (text, 0),
        (text.replace("steps_total[1h]) > 3", "steps_total[1h]) > 99"), 1),
    ):
        (tmp_path / ALERTS.name).write_text(rules, encoding="utf-8")
        done = subprocess.run(
            ["promtool", "test", "rules", CASES.name],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert done.returncode == code


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases = parts(CASES, "name")
    assert list(RULES) == [name for name in cases if name in RULES], "in the same order"
    for name, text in cases.items():
        if name not in RULES:  # two alerts that must not fire together
            assert " and not " in name
            continue
        assert set(re.findall(r'alertname="(\w+)", instance="sick', text)) == {name}
        assert 'instance="well' in text, name


def test_what_an_operator_has_to_be_told_of_is_told() -> None:
    assert set(WANTED.values()) <= set(RULES)


def test_rules_and_cases_use_metrics_that_exist() -> None:
    known = {metric.name for metric in METRICS} | {f"{FLUSH_SECONDS.name}_bucket"}
    for path in (ALERTS, CASES):
        text = path.read_text(encoding="utf-8")
        used = set(re.findall(r"(?:citylab_gateway|process)_[a-z_]+", text))
        assert len(used) > 30
        assert used <= known


@pytest.mark.parametrize("alert", RULES)
def test_every_alert_says_whether_somebody_has_to_go_and_what_to_do(alert: str) -> None:
    rule = RULES[alert]
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


def test_the_page_tells_of_no_alert_that_is_gone() -> None:
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### (Citylab\w+)$", page, re.MULTILINE)) == set(RULES)
