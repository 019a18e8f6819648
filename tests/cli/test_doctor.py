"""``doctor`` names what is wrong and what mends it; each set-up here is broken in one way."""

import asyncio
import errno
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.cli import main
from gateway.cli.doctor.finding import Finding, report, worst
from gateway.cli.doctor.footfall import examine_footfall
from gateway.cli.doctor.storage import examine_storage, file_system_of
from gateway.config.model import BufferSection, SensorSection
from gateway.forward.causes import EXPLANATIONS
from tests.brokers import Mosquitto, free_port, mosquitto_password_file
from tests.forward.pki import listener, make_ca, make_certificate

pytestmark = pytest.mark.timeout(60)

mosquitto = pytest.mark.mosquitto
CLOCK = "[clock]\ntrusted = true\n"


def configuration(folder: Path, more: str, *, size: str = "1 MiB") -> Path:
    path = folder / "gateway.toml"
    path.write_text(
        f'[gateway]\nid = "box"\n[buffer]\ndirectory = "{folder}/data"\n'
        f'runtime_directory = "{folder}/run"\nsize = "{size}"\n{CLOCK}{more}',
        encoding="utf-8",
    )
    return path


def doctor(path: Path) -> tuple[int, list[dict[str, Any]]]:
    """Run it as its user does, in a process of its own, beside the servers of the test."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "doctor", "--json", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def about(findings: list[dict[str, Any]], subject: str) -> dict[str, Any]:
    (found,) = [finding for finding in findings if finding["subject"] == subject]
    return found


def broker(port: int, more: str = "", scheme: str = "mqtt") -> str:
    insecure = "insecure = true\n" if scheme == "mqtt" else ""
    return (
        f'[[broker]]\nname = "aarhus"\nurl = "{scheme}://localhost:{port}"\nformat = "json"\n'
        f'connect_timeout = "5 s"\n{insecure}{more}'
    )


@mosquitto
async def test_a_sound_box_has_nothing_to_mend(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path / "city") as city:
        code, findings = await in_thread(configuration(tmp_path, broker(city.port)))
    states = {finding["subject"]: finding["state"] for finding in findings}
    assert states.pop("buffer") in ("ok", "warn")  # a container may have no better disk
    assert states == {"secrets": "ok", "clock": "ok", "broker aarhus": "ok"}
    assert code == 0
    assert not any(finding["mend"] for finding in findings if finding["state"] == "ok")


async def in_thread(path: Path) -> tuple[int, list[dict[str, Any]]]:
    return await asyncio.to_thread(doctor, path)


async def test_nobody_listens(tmp_path: Path) -> None:
    code, findings = await in_thread(configuration(tmp_path, broker(free_port())))
    found = about(findings, "broker aarhus")
    assert (code, found["state"], found["cause"]) == (1, "fail", "refused")
    assert found["why"] == EXPLANATIONS["refused"]


async def test_a_name_that_does_not_exist(tmp_path: Path) -> None:
    text = broker(1883).replace("localhost", "no-such-host.invalid")
    _, findings = await in_thread(configuration(tmp_path, text))
    assert about(findings, "broker aarhus")["cause"] == "dns"


@mosquitto
async def test_a_wrong_password_and_it_is_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("canary-7f3a")
    secret.chmod(0o600)
    users = mosquitto_password_file(tmp_path / "users", {"dokk1": "right"})
    lines = [f"password_file {users}"]
    async with Mosquitto(tmp_path / "city", lines=lines, anonymous=False) as city:
        more = f'username = "dokk1"\npassword_file = "{secret}"\n'
        code, findings = await in_thread(configuration(tmp_path, broker(city.port, more)))
    assert (code, about(findings, "broker aarhus")["cause"]) == (1, "login")
    assert "canary" not in json.dumps(findings)


@mosquitto
async def test_an_unknown_authority(tmp_path: Path) -> None:
    make_ca(tmp_path, "city-ca")
    make_certificate(tmp_path, "server", "city-ca", "DNS:localhost")
    async with Mosquitto(tmp_path / "city", lines=listener(tmp_path)) as city:
        _, findings = await in_thread(configuration(tmp_path, broker(city.port, scheme="mqtts")))
    assert about(findings, "broker aarhus")["cause"] == "tls_chain"


def test_a_secret_that_others_may_read(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    more = f'username = "dokk1"\npassword_file = "{secret}"\n'
    code, findings = doctor(configuration(tmp_path, broker(free_port(), more)))
    found = about(findings, "secrets")
    assert (code, found["state"]) == (1, "fail")
    assert f"chmod 600 {secret}" in found["detail"]


SENSOR = '[[sensor]]\nname = "air"\ndriver = "sds011"\nport = "{}"\n'


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    code, findings = doctor(configuration(tmp_path, SENSOR.format("/dev/serial/by-id/none")))
    found = about(findings, "sensor air")
    assert (code, found["cause"]) == (1, "port_missing")
    assert "plug it in" in found["mend"]


def test_a_file_in_the_place_of_a_port(tmp_path: Path) -> None:
    (tmp_path / "tty").touch()
    _, findings = doctor(configuration(tmp_path, SENSOR.format(tmp_path / "tty")))
    assert about(findings, "sensor air")["cause"] == "port_kind"


@pytest.fixture
def port() -> Iterator[str]:
    leader, follower = pty.openpty()
    yield os.ttyname(follower)
    os.close(leader)
    os.close(follower)


def test_a_port_that_is_there(tmp_path: Path, port: str) -> None:
    code, findings = doctor(configuration(tmp_path, SENSOR.format(port)))
    assert (code, about(findings, "sensor air")["state"]) == (0, "ok")


def test_a_disk_that_is_too_small_for_the_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = os.statvfs_result((4096, 4096, 100, 100, 100, 10, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: small)
    section = BufferSection(directory=tmp_path, size=cast("Any", "1 MiB"))
    found = {finding.cause: finding for finding in examine_storage(section)}
    assert found["disk_full"].state == "fail"
    assert "1 MiB" in found["disk_full"].detail


def test_a_clock_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = configuration(tmp_path, "")
    path.write_text(path.read_text().replace(CLOCK, ""))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nobody")
    code, findings = doctor(path)
    found = about(findings, "clock")
    assert code == 0, "data flows all the same"
    assert (found["state"], found["cause"]) == ("warn", "clock")
    assert "timedatectl" in found["mend"]


def test_a_configuration_that_check_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configuration(tmp_path, "[[sensors]]\n")
    assert main(["doctor", "--config", str(path)]) == 2
    assert "sensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x", "ext4"),
        ("/data/with space/ring", "f2fs"),
        ("/run/x", "tmpfs"),
        ("/runner", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_longest_mount(path: str, kind: str) -> None:
    mounts = (
        "/dev/root / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n"
        "/dev/sda1 /data/with\\040space f2fs rw 0 0\n"
    )
    assert file_system_of(Path(path), mounts) == kind


def test_the_report_says_the_state_in_words_and_counts() -> None:
    findings = [
        Finding("ok", "clock", "right"),
        Finding("fail", "broker aarhus", "no", "It is away.", "wait", "refused"),
    ]
    assert list(report(findings)) == [
        "ok    clock          right",
        "fail  broker aarhus  no",
        "      It is away.",
        "      mend: wait",
        "1 ok, 0 warn, 1 fail",
    ]
    assert "\x1b[31m" in "".join(report(findings, coloured=True))
    assert worst(findings) == "fail"
    assert worst([]) == "ok"


SQUARE = SensorSection.model_validate({"name": "square", "driver": "footfall", "address": "*"})
TAG = SensorSection.model_validate(
    {"name": "tag", "driver": "ruuvi", "address": "C0:FF:EE:00:00:01"}
)
NO_SWAP = "Filename\tType\tSize\tUsed\tPriority\n"


class System:
    """What the kernel and BlueZ have on a box, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.bluez = folder / "bluetooth"
        self.mounts = folder / "mounts"
        self.swaps = folder / "swaps"
        self.swaps.write_text(NO_SWAP)
        self.mount()

    def mount(self, **kinds: str) -> None:
        """Mount file systems on paths below the folder, beside the disk."""
        lines = ["/dev/mmcblk0p2 / ext4 rw 0 0"]
        lines += [f"x {self.bluez.parent / place} {kind} rw 0 0" for place, kind in kinds.items()]
        self.mounts.write_text("\n".join(lines))

    def findings(self, *sensors: SensorSection) -> list[Finding]:
        return list(
            examine_footfall(sensors, bluez=self.bluez, mounts=self.mounts, swaps=self.swaps)
        )


def test_priv_01_bluez_keeps_no_address_on_the_disk_of_who_counts(tmp_path: Path) -> None:
    system = System(tmp_path)
    assert [each.state for each in system.findings(SQUARE)] == ["ok"]  # there is no BlueZ
    cache = system.bluez / "B8:27:EB:00:00:01" / "cache"
    cache.parent.mkdir(parents=True)
    assert [each.state for each in system.findings(SQUARE)] == ["ok"]
    cache.mkdir()
    (found,) = system.findings(TAG, SQUARE)
    assert (found.state, found.subject, found.cause) == ("warn", "sensor square", "bluez_cache")
    assert found.detail.endswith("cache is on ext4")
    assert "B8:27" not in found.detail
    assert system.findings(TAG) == []  # who counts nobody keeps what he likes
    system.mount(bluetooth="tmpfs")
    assert [each.state for each in system.findings(SQUARE)] == ["ok"]


def test_priv_01_a_directory_that_cannot_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System(tmp_path)
    system.bluez.mkdir()

    def refuse(path: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)  # a test that runs as root may look everywhere
    (found,) = system.findings(SQUARE)
    assert (found.state, found.cause) == ("warn", "bluez_cache")
    assert found.detail.endswith("bluetooth is on ext4")
    system.mount(bluetooth="tmpfs")
    assert [each.state for each in system.findings(SQUARE)] == ["ok"]


def test_priv_01_what_passes_is_not_swapped_out(tmp_path: Path) -> None:
    system = System(tmp_path)
    system.swaps.write_text(f"{NO_SWAP}/var/swap file 102396 0 -2\n")
    (found,) = system.findings(SQUARE)
    assert (found.state, found.cause) == ("warn", "swap")
    assert found.detail == "swapping is on: /var/swap"
    assert system.findings(TAG) == []
    system.swaps.unlink()
    assert [each.state for each in system.findings(SQUARE)] == ["ok"]
