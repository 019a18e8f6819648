"""Audit events of a real daemon and of commands, as the journal gets them (SEC-11)."""

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.p1.simulated import SimulatedP1
from gateway.audit import audit_privacy, fingerprint, privacy_in_force
from gateway.clock import Step
from gateway.config.model import Configuration
from gateway.daemon import Daemon
from tests.brokers import free_port
from tests.end_to_end.gateway_process import broker, dust_sensor
from tests.end_to_end.held_line import HeldLine
from tests.logs.audited import JournaledGateway, command
from tests.logs.stand_in import StandIn, stand_in

TOKEN = "kX3-wind-turbine-09"
METER = """
    [[sensor]]
    name = "flat"
    driver = "p1"
    port = "{folder}/tty-flat"
    privacy = "P3"
    purpose = "Research on heat loss of dwellings."
    controller = "Aarhus University, dpo@example.org"
    legal_basis = "GDPR art. 6(1)(a), consent of the tenants"
    retention = "24 h"
"""
FOR_P3 = '[broker.select]\nprivacy = "P3"'


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in(tmp_path) as listening:
        yield listening


async def ask(gateway: JournaledGateway, token: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.http_port)
    head = f"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}\r\n"
    writer.write(head.encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return answer.split(" ")[1]


@pytest.mark.timeout(120)
async def test_sec_11_the_life_of_a_gateway(tmp_path: Path, journal: StandIn) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN, encoding="ascii")
    token_file.chmod(0o600)
    begin = f'token_file = "{token_file}"\n' + dust_sensor("roof", tmp_path)
    port = free_port()
    gateway = JournaledGateway(tmp_path, begin + broker("aarhus", port), journal)
    async with gateway.by_hand():
        await gateway.start()
        assert await ask(gateway, "") == "401"
        assert await ask(gateway, "Authorization: Bearer nonsense\r\n") == "401"
        assert await ask(gateway, f"Authorization: Bearer {TOKEN}\r\n") == "200"
        gateway.write_config(begin + METER.format(folder=tmp_path) + broker("aarhus", port, FOR_P3))
        gateway.hang_up()
        await gateway.until_audited("configuration")
        gateway.write_config(begin + "colour = 'red'")
        gateway.hang_up()
        await gateway.until_audited("reload-refused")
        where = ("--config", str(gateway.config))
        gateway.write_config(begin + METER.format(folder=tmp_path) + broker("aarhus", port, FOR_P3))
        purged = await command(journal, "buffer", "purge", "--sensor", "flat", "--yes", *where)
        assert purged.code == 0, purged
        assert await gateway.stop() == 0, gateway.log
    again = await command(journal, "buffer", "purge", "--all", "--yes", *where)
    assert again.code == 0, again
    exported = await command(journal, "buffer", "export", "--include-p3", *where)
    assert "0 readings written" in exported.errors
    told = [(event, re.sub(r"\b[0-9a-f]{16}\b", "F", text)) for event, text in gateway.audited()]
    assert [each for each in told if each[0] != "link-down-nothing-is-lost"] == [
        ("start", f"started: version {version()}, configuration F"),
        ("privacy", "privacy: broker aarhus: P0 (plain)"),
        ("token-refused", "the status page refused a request with a wrong token"),
        (
            "configuration",
            "configuration changed to F: sensors added: flat; brokers changed: aarhus",
        ),
        ("privacy", "privacy: broker aarhus: P0, P3 (plain), until now P0 (plain)"),
        ("reload-refused", "reload refused: 1 errors in the configuration"),
        ("purge", "purge: 0 readings of sensor flat were removed for ever"),
        ("stop", "stopped; everything is flushed"),
        ("purge", "purge without a daemon: 0 readings of all sensors were removed for ever"),
        ("export", "export: 0 readings of at most class P3 were written"),
    ]
    downs = journal.of(EVENT="link-down-nothing-is-lost", AUDIT="1")
    assert {down["LINK"] for down in downs} == {"aarhus"}
    everything = str(journal.entries) + gateway.log
    assert TOKEN not in everything
    assert "nonsense" not in everything
    assert "127.0.0.1:" not in str(journal.of(AUDIT="1", EVENT="token-refused"))
    assert gateway.log == "", "all of it went to the journal"


def version() -> str:
    from gateway import __version__  # noqa: PLC0415 - used here alone

    return __version__


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name.endswith(".audit")]


def configured(**more: Any) -> Configuration:
    return Configuration.model_validate({"gateway": {"id": "box"}, **more})


def test_what_begins_and_what_ends_is_told(caplog: pytest.LogCaptureFixture) -> None:
    counter = {"name": "square", "driver": "footfall", "address": "*"}
    plain = {"name": "vejle", "url": "mqtt://127.0.0.1:1883", "insecure": True, "open": True}
    before = privacy_in_force(configured(broker=[plain]))
    assert before == {"broker vejle": "nothing (open) (plain)"}
    counting = configured(
        sensor=[counter], broker=[{**plain, "select": {"suppressed_counts": True}}]
    )
    after = privacy_in_force(counting)
    with caplog.at_level(logging.INFO):
        audit_privacy(before, after)
        audit_privacy(after, before)
        audit_privacy(after, after)
    assert told(caplog) == [
        "privacy: broker vejle: P2 (open) (plain), until now nothing (open) (plain)",
        "privacy: counting of devices by square: on",
        "privacy: broker vejle: nothing (open) (plain), until now P2 (open) (plain)",
        "privacy: counting of devices by square: off, until now on",
    ]
    assert fingerprint(counting) == fingerprint(counting.model_copy())
    assert fingerprint(counting) != fingerprint(configured(broker=[plain]))


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    """Made outside the event loop, as the command does it."""
    folders = {"directory": tmp_path / "state", "runtime_directory": tmp_path / "run"}
    buffer = {**folders, "size": "1 MiB"}
    return Daemon(tmp_path / "gateway.toml", configured(buffer=buffer, clock={"trusted": True}))


async def test_a_clock_that_is_set_back_is_told(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "citylab_gateway"):
        running = asyncio.create_task(daemon.run())
        while "is ready" not in caplog.text:
            assert not running.done()
            await asyncio.sleep(0.01)
        daemon._clock_stepped(Step(change_ns=-90_500_000_000))
        daemon._clock_stepped(Step(change_ns=2_000_000_000))
        daemon._stop.set()
        await running
    steps = [text for text in told(caplog) if "clock" in text]
    assert steps == [
        "clock step: the wall clock was set back by 90.500 s",
        "clock step: the wall clock was set forward by 2.000 s",
    ]


@pytest.mark.timeout(120)
async def test_priv_14_no_value_of_a_dwelling_is_in_the_log_at_any_level(
    tmp_path: Path, journal: StandIn
) -> None:
    meter = SimulatedP1(seed=8)
    telegrams = [meter.emit() for _ in range(12)]
    values = {value for each in telegrams for value in re.findall(rb"\((\d{3,}\.\d{3})\*", each)}
    assert len(values) > 12
    sections = METER.format(folder=tmp_path) + '\n[log]\nlevel = "debug"\n'
    gateway = JournaledGateway(tmp_path, sections + broker("aarhus", free_port(), FOR_P3), journal)
    async with gateway.by_hand():
        with HeldLine(tmp_path / "tty-flat") as line:
            await gateway.start()
            await gateway.until_metric("port_open", 1)
            for number, telegram in enumerate(telegrams):
                broken = telegram.replace(b"*kWh", b"*kWx") if number % 3 == 0 else telegram
                cut = broken[: len(broken) // 2] if number % 4 == 0 else broken
                await line.write(cut + telegram)
            await gateway.until_metric("sensor_readings_total", 50, sensor="flat")
            await gateway.until_metric("sensor_faults_total", 3, sensor="flat")
            status = str(await gateway.status())
            assert await gateway.stop() == 0, gateway.log
    log = f"{journal.entries}{gateway.log}{status}"
    assert "flat" in log, "the log tells of the sensor"
    shown = {text for value in values for text in (value.decode(), value.decode().lstrip("0"))}
    found = [each for each in shown if re.search(rf"(?<![\d.]){re.escape(each)}(?![\d.])", log)]
    assert found == []
