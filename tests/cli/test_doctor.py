"""``doctor`` as its user calls it; what it finds on broken boxes is in doctor/."""

import errno
import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.cli import main
from gateway.cli.doctor import footfall
from gateway.cli.doctor.area import Area, examine, within
from gateway.cli.doctor.areas import AREAS
from gateway.cli.doctor.box import Account, Box, System, current_account, may, open_box
from gateway.cli.doctor.finding import COMMON, NOT_SEEN, Finding, Trouble, worst
from gateway.cli.doctor.mounts import mount_of
from gateway.cli.doctor.report import document, lines, summary
from gateway.cli.doctor.unit_files import read_unit
from gateway.config.model import Configuration, SensorSection
from gateway.forward.causes import EXPLANATIONS
from tests.brokers import free_port

pytestmark = pytest.mark.timeout(120)

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"
DOCTOR = [sys.executable, "-W", "error", "-m", "gateway.cli", "doctor"]
HANG_S = 100.0


def configuration(folder: Path, more: str = "") -> Path:
    path = folder / "gateway.toml"
    path.write_text(
        f'[gateway]\nid = "box"\n[buffer]\ndirectory = "{folder}/data"\n'
        f'runtime_directory = "{folder}/run"\nsize = "1 MiB"\n[clock]\ntrusted = true\n{more}',
        encoding="utf-8",
    )
    return path


def broker(port: int, more: str = "") -> str:
    url = f"mqtt://localhost:{port}"
    return f'[[broker]]\nname = "aarhus"\nurl = "{url}"\nformat = "json"\ninsecure = true\n{more}'


def doctor(path: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run it in a process of its own, as its user does."""
    return subprocess.run(
        [*DOCTOR, "--config", str(path), *options],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def as_json(path: Path) -> tuple[int, dict[str, Any]]:
    done = doctor(path, "--json")
    assert done.stdout, done.stderr
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def about(found: dict[str, Any], code: str) -> dict[str, Any]:
    (one,) = [each for each in found["findings"] if each["code"] == code]
    return dict(one)


# -- what it prints ---------------------------------------------------------------------------


def test_json_keeps_to_the_schema_on_the_page(tmp_path: Path) -> None:
    code, found = as_json(configuration(tmp_path, broker(free_port())))
    schema = re.search(r"```json doctor schema\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert schema is not None
    jsonschema.Draft202012Validator(json.loads(schema[1])).validate(found)
    assert (code, found["state"]) == (1, "fail")
    refused = about(found, "broker_connect")
    assert (refused["area"], refused["subject"]) == ("brokers", "broker aarhus")
    assert (refused["cause"], refused["why"]) == ("refused", EXPLANATIONS["refused"])


def test_a_configuration_that_check_refuses(tmp_path: Path) -> None:
    code, found = as_json(configuration(tmp_path, "[[sensors]]\n"))
    assert code == 2
    assert "sensors" in about(found, "config_refused")["detail"]


def test_no_configuration_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = doctor(tmp_path / "none.toml")
    assert done.returncode == 1
    assert "sudo citylab-gateway init --config" in done.stdout
    assert "configuration: config_missing" in done.stdout


def test_a_pipe_gets_no_colours_and_the_state_is_a_word(tmp_path: Path) -> None:
    done = doctor(configuration(tmp_path, broker(free_port())))
    assert "\x1b" not in done.stdout
    assert "\nFAIL  broker aarhus: connect: refused" in done.stdout
    assert re.search(r"^\d+ to mend, .*\d+ in order$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_colours_unless_it_wants_none(tmp_path: Path, no_color: str) -> None:
    leader, follower = pty.openpty()
    command = [*DOCTOR, "--config", str(configuration(tmp_path))]
    env = {**os.environ, "NO_COLOR": no_color}
    with subprocess.Popen(command, stdin=follower, stdout=follower, env=env) as process:
        os.close(follower)
        written = b"".join(read_to_the_end(leader))
        process.wait(HANG_S)
    os.close(leader)
    assert b"ok" in written
    assert (b"\x1b[32mok" in written) is (not no_color)


def read_to_the_end(leader: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(leader, 65536)
        except OSError:  # EIO: nobody has the other side any more
            return


LONG = Finding(
    "fail",
    "broker_connect",
    "broker aarhus",
    "connect: refused (Connection refused by the host that was asked for)",
    "The box was reached and nothing listens on that port: the broker is down.",
    "nc -vz -w 5 mqtt.example.org 8883; from elsewhere, too",
)


def test_a_phone_shows_it_and_commands_stay_whole() -> None:
    shown = list(lines("Brokers", [LONG], columns=36, coloured=False))
    assert shown[0] == "Brokers"
    assert shown[1].startswith("FAIL  broker aarhus: connect:")
    assert shown[-1] == f"      mend: {LONG.mend}"
    assert all(len(line) <= 36 for line in shown[:-1])


def test_the_last_lines_say_what_is_wrong_once_more() -> None:
    findings = [Finding.fine("clock", "right"), LONG, NOT_SEEN.found("ring", "?", how="sudo")]
    assert list(summary(findings, columns=80, coloured=False)) == [
        "",
        "FAIL  broker aarhus: broker_connect",
        "1 to mend, 1 not looked at, 1 in order",
    ]
    assert "\x1b[31m" in "".join(summary(findings, columns=80, coloured=True))


def test_what_could_not_be_looked_at_is_not_wrong() -> None:
    seen = Finding.fine("clock", "right")
    skipped = NOT_SEEN.found("ring", "?", how="sudo")
    assert [worst([]), worst([seen]), worst([seen, skipped])] == ["ok", "ok", "skip"]
    assert document([seen, skipped])["state"] == "skip"


def test_addresses_of_devices_are_not_shown_and_ports_are() -> None:
    trouble = Trouble("x", "warn", "why", "{mend}")
    told = trouble.found("x", "C0:FF:EE:00:00:01 is used twice", mend="C0:FF:EE:00:00:01")
    assert (told.detail, told.mend) == ("(address) is used twice", "(address)")
    port = "/dev/serial/by-id/usb-Espressif_AA:BB:CC:DD:EE:FF-if00"
    assert trouble.found("x", port, mend=port).mend == port


# -- it never hangs, and never changes anything -------------------------------------------------


def box(folder: Path) -> Box:
    return open_box(configuration(folder), System(root=folder))


def test_a_part_that_hangs_is_told_and_left(tmp_path: Path) -> None:
    done = threading.Event()

    def hang(_: Box) -> Iterator[Finding]:
        done.wait(HANG_S)
        yield Finding.fine("x", "x")

    fine = Area("fine", "Fine", (), lambda _: [Finding.fine("y", "y")], HANG_S)
    found = list(examine(box(tmp_path), (Area("hung", "Hung", (), hang, 0.05), fine)))
    assert within(0.05, lambda: done.wait(HANG_S)) is None
    done.set()
    assert [(area.name, each.code) for area, told in found for each in told] == [
        ("hung", "no_answer"),
        ("fine", "ok"),
    ]


def test_a_part_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Box) -> Iterator[Finding]:
        yield Finding.fine("x", "x")
        raise ZeroDivisionError

    raised: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    ((_, found),) = examine(box(tmp_path), (Area("failing", "Failing", (), fail, HANG_S),))
    assert [each.code for each in found] == ["ok", "defect"]
    assert [each.exc_type for each in raised] == [ZeroDivisionError]


def test_a_configuration_that_cannot_be_read_for_ever(tmp_path: Path) -> None:
    """A pipe that nobody writes to, as a disk that hangs."""
    os.mkfifo(tmp_path / "gateway.toml")
    code = (
        "import sys, gateway.cli, gateway.cli.doctor as doctor; doctor.READ_TIMEOUT_S = 0.2; "
        "sys.exit(gateway.cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "doctor", "--config", str(tmp_path / "gateway.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 1
    assert "the disk does not answer" in done.stderr


def test_sec_01_a_secret_that_others_may_read_is_named_and_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("canary-7f3a")
    secret.chmod(0o644)
    more = f'username = "dokk1"\npassword_file = "{secret}"\n'
    code, found = as_json(configuration(tmp_path, broker(free_port(), more)))
    assert (code, about(found, "secret_open")["mend"]) == (1, f"sudo chmod 600 {secret}")
    assert "canary" not in json.dumps(found)


def test_nothing_is_changed(tmp_path: Path) -> None:
    path = configuration(tmp_path, broker(free_port()))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ring").write_bytes(b"\xff" * 8192)
    (tmp_path / "data" / "lock").touch()

    def everything() -> dict[str, tuple[int, str]]:
        return {
            str(each): (
                each.stat().st_mtime_ns,
                hashlib.sha256(each.read_bytes()).hexdigest() if each.is_file() else "",
            )
            for each in tmp_path.rglob("*")
        }

    before = everything()
    doctor(path)
    assert everything() == before


def test_it_is_called_with_main(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configuration(tmp_path)
    code = main(["doctor", "--config", str(path), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == (1 if found["state"] == "fail" else 0)


# -- what it reads ------------------------------------------------------------------------------


def test_a_unit_is_read_with_its_drop_ins(tmp_path: Path) -> None:
    name = "x.service"
    files = {
        f"usr/lib/systemd/system/{name}": "[Service]\nUser=a\nExecStart=/bin/a \\\n  b\nX=1\nX=2\n",
        f"usr/lib/systemd/system/{name}.d/20.conf": "[Service]\nUser=hidden\n",
        f"etc/systemd/system/{name}.d/20.conf": "# over the one above\n[Service]\nX=\nX=3\n",
        f"etc/systemd/system/{name}.d/10.conf": "[Service]\nX=0\nUser=b\n[Unit]\nUser=c\n",
        f"etc/systemd/system/{name}.d/README": "[Service]\nUser=no\n",
    }
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    unit = read_unit(tmp_path, name)
    assert unit.last("Service", "User") == "b"
    assert unit.all("Service", "X") == ["3"]
    assert unit.last("Service", "ExecStart").split() == ["/bin/a", "b"]
    assert (unit.masked, unit.enabled, unit.last("Service", "Y")) == (False, False, "")


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
        "24 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw\n"
        "25 24 0:22 / /run rw - tmpfs tmpfs rw,size=1k\n"
        "26 24 8:1 / /data/with\\040space rw - f2fs /dev/sda1 ro\n"
        "no mount at all\n"
    )
    mount = mount_of(Path(path), mounts)
    assert mount.kind == kind
    assert mount.read_only is (kind == "f2fs")


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "allowed"),
    [
        (0o600, 7, 0, True),
        (0o060, 7, 8, False),
        (0o060, 0, 8, True),
        (0o006, 0, 0, True),
        (0o660, 0, 0, False),
    ],
)
def test_owner_group_and_others_decide_in_this_order(
    mode: int, uid: int, gid: int, *, allowed: bool
) -> None:
    status = os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))
    assert may(status, Account("daemon", 7, frozenset({8})), os.R_OK | os.W_OK) is allowed


# -- the page -----------------------------------------------------------------------------------


def test_the_page_lists_every_code() -> None:
    rows = [
        f"| `{trouble.code}` | {trouble.state} | {title} | {trouble.why} |"
        for title, troubles in (
            *((area.title, area.troubles) for area in AREAS),
            ("any", COMMON),
        )
        for trouble in troubles
    ]
    page = PAGE.read_text(encoding="utf-8")
    table = "\n".join(rows)
    assert table in page, f"docs/operate.md, What doctor says, should have:\n{table}"


# -- where people are counted (PRIV-01) -----------------------------------------------------------

SQUARE = SensorSection.model_validate({"name": "square", "driver": "footfall", "address": "*"})
TAG = SensorSection.model_validate(
    {"name": "tag", "driver": "ruuvi", "address": "C0:FF:EE:00:00:01"}
)
NO_SWAP = "Filename\tType\tSize\tUsed\tPriority\n"


class Counting:
    """What the kernel and BlueZ have on a box that counts, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bluez = folder / "var/lib/bluetooth"
        self.bluez.parent.mkdir(parents=True)
        (folder / "proc/self").mkdir(parents=True)
        self.swaps = folder / "proc/swaps"
        self.swaps.write_text(NO_SWAP)
        self.mount()

    def mount(self, *in_memory: Path) -> None:
        """Mount memory on paths, beside the disk."""
        rows = ["24 1 179:2 / / rw - ext4 /dev/root rw"]
        rows += [f"25 24 0:22 / {place} rw - tmpfs tmpfs rw" for place in in_memory]
        (self.folder / "proc/self/mountinfo").write_text("\n".join(rows))

    def findings(self, *sensors: SensorSection) -> list[Finding]:
        whole = Configuration.model_validate({"gateway": {"id": "box"}})
        looked_at = replace(
            box(self.folder), configuration=whole.model_copy(update={"sensor": sensors})
        )
        return list(footfall.look(looked_at))


def test_priv_01_bluez_keeps_no_address_on_the_disk_of_who_counts(tmp_path: Path) -> None:
    system = Counting(tmp_path)
    assert [each.state for each in system.findings(SQUARE)] == ["ok"]  # there is no BlueZ
    cache = system.bluez / "B8:27:EB:00:00:01" / "cache"
    cache.parent.mkdir(parents=True)
    assert [each.state for each in system.findings(SQUARE)] == ["ok"]
    cache.mkdir()
    (found,) = system.findings(TAG, SQUARE)
    assert (found.state, found.subject, found.code) == ("warn", "sensor square", "bluez_cache")
    assert found.detail.endswith("cache is on ext4")
    assert "B8:27" not in found.detail
    assert system.findings(TAG) == []  # who counts nobody keeps what he likes
    system.mount(system.bluez)
    assert [each.state for each in system.findings(SQUARE)] == ["ok"]


def test_priv_01_a_directory_that_cannot_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = Counting(tmp_path)
    system.bluez.mkdir()
    whole = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path == system.bluez:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(Path, "iterdir", refuse)  # a test that runs as root may look everywhere
    (found,) = system.findings(SQUARE)
    assert (found.state, found.code) == ("warn", "bluez_cache")
    assert found.detail.endswith("bluetooth is on ext4")
    system.mount(system.bluez)
    assert [each.state for each in system.findings(SQUARE)] == ["ok"]


def test_priv_01_what_passes_is_not_swapped_out(tmp_path: Path) -> None:
    system = Counting(tmp_path)
    system.swaps.write_text(f"{NO_SWAP}/var/swap file 102396 0 -2\n")
    (found,) = system.findings(SQUARE)
    assert (found.state, found.code) == ("warn", "swap")
    assert found.detail == "swapping is on: /var/swap"
    assert system.findings(TAG) == []
    system.swaps.unlink()
    assert [each.state for each in system.findings(SQUARE)] == ["ok"]


def test_who_calls_it_has_a_name() -> None:
    assert current_account().uid == os.geteuid()
