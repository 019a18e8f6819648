"""The unit files: what systemd says about them, and what must not be lost when they are edited."""

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
SERVICE = UNITS / "citylab-gateway.service"
SOCKET = UNITS / "citylab-gateway.socket"
RULES = UNITS / "70-citylab-gateway.rules"
SYSUSERS = UNITS / "citylab-gateway.sysusers"
TMPFILES = UNITS / "citylab-gateway.tmpfiles"
MAX_EXPOSURE = 1.5


def settings(path: Path) -> dict[str, list[str]]:
    """Return the values of each directive in their order, section names left out."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", ";", "[")):
            name, equals, value = line.partition("=")
            assert equals, line
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.systemd
def test_sec_05_the_exposure_is_low() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--json=short", SERVICE],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(done.stdout)
    weights = [float(row["exposure"]) for row in rows if row["exposure"] is not None]
    print(sorted((row["exposure"], row["name"]) for row in rows if row["exposure"] is not None))
    assert len(rows) > 50, "the sandbox was judged, not an empty unit"
    assert weights, "what is open is listed, so the report was understood"
    verdict = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=yes",
            f"--threshold={MAX_EXPOSURE * 10:.0f}",
            SERVICE,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    level = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", verdict.stdout)
    assert level is not None
    assert float(level[1]) <= MAX_EXPOSURE
    assert verdict.returncode == 0


@pytest.mark.systemd
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """The program is not installed where tests run, so the unit is checked with another one."""
    text = SERVICE.read_text(encoding="utf-8")
    service = tmp_path / SERVICE.name
    service.write_text(re.sub(r"(?m)^ExecStart=.*", "ExecStart=/bin/true", text), encoding="utf-8")
    (tmp_path / SOCKET.name).write_bytes(SOCKET.read_bytes())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", service, tmp_path / SOCKET.name],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "citylab-gateway" in line]
    assert ours == []
    assert done.returncode == 0, done.stderr


@pytest.mark.systemd
def test_systemd_makes_the_user(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).touch()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", SYSUSERS], check=True)
    passwd = (tmp_path / "etc" / "passwd").read_text(encoding="utf-8")
    assert re.search(r"^citylab-gateway:[^:]*:\d+:\d+:[^:]*:/var/lib/citylab-gateway:", passwd)
    assert "citylab-gateway:" in (tmp_path / "etc" / "group").read_text(encoding="utf-8")


@pytest.mark.systemd
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_systemd_makes_the_directories(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n", encoding="utf-8")
    group = f"root:x:0:\ncitylab-gateway:x:{os.getgid()}:\n"
    (tmp_path / "etc" / "group").write_text(group, encoding="utf-8")
    subprocess.run(["systemd-tmpfiles", f"--root={tmp_path}", "--create", TMPFILES], check=True)
    folder = tmp_path / "etc" / "citylab-gateway"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("directive", "values"),
    [
        ("Type", ["notify"]),
        ("ExecReload", ["/bin/kill -HUP $MAINPID"]),
        ("NotifyAccess", ["main"]),
        ("User", ["citylab-gateway"]),
        (
            "Environment",
            [
                "PYTHONFAULTHANDLER=1",
                "MALLOC_ARENA_MAX=1",
                "MALLOC_MMAP_THRESHOLD_=131072",
                "MALLOC_TRIM_THRESHOLD_=131072",
                "CITYLAB_GATEWAY_BOOT_ID=%b",
            ],
        ),
        ("StateDirectory", ["citylab-gateway"]),
        ("StateDirectoryMode", ["0700"]),
        ("RuntimeDirectory", ["citylab-gateway"]),
        ("RuntimeDirectoryPreserve", ["restart"]),
        ("Restart", ["always"]),
        ("StartLimitIntervalSec", ["0"]),
        ("LimitCORE", ["0"]),
        ("SocketBindDeny", ["any"]),
        ("DevicePolicy", ["closed"]),
        ("ProtectSystem", ["strict"]),
        ("CapabilityBoundingSet", [""]),
        ("RestrictAddressFamilies", ["AF_UNIX AF_INET AF_INET6"]),
    ],
)
def test_what_the_daemon_relies_on(directive: str, values: list[str]) -> None:
    assert settings(SERVICE)[directive] == values


def test_directives_that_would_break_it_are_not_used() -> None:
    """Tried in a virtual machine: with any of these serial, D-Bus or the brokers are gone."""
    used = settings(SERVICE)
    for directive in ("PrivateDevices", "PrivateNetwork", "RootDirectory", "DynamicUser"):
        assert directive not in used
    assert "IPAddressDeny" not in used, "without a list of brokers nothing would be reached"
    assert {value.partition(" ")[0] for value in used["DeviceAllow"]} == {
        "char-ttyUSB",
        "char-ttyACM",
        "char-ttyAMA",
        "char-ttyS",
    }


def test_the_watchdog_is_on_and_slower_than_a_slow_flush() -> None:
    assert int(settings(SERVICE)["WatchdogSec"][0]) >= 60


def test_sec_04_the_socket_is_on_loopback() -> None:
    assert settings(SOCKET)["ListenStream"] == ["127.0.0.1:9469"]


def test_the_socket_belongs_to_the_service() -> None:
    assert SOCKET.stem == SERVICE.stem
    assert SOCKET.name in settings(SERVICE)["After"][0]
    assert "Accept" not in settings(SOCKET)
    # Otherwise the next scrape would start a service that somebody has stopped.
    assert settings(SOCKET)["PartOf"] == [SERVICE.name]
    assert settings(SOCKET)["WantedBy"] == [SERVICE.name]


def test_what_a_run_under_systemd_252_showed() -> None:
    """DeviceAllow= looks names up once, at start; and Debian 12 ignores SocketBindDeny=."""
    used = settings(SERVICE)
    for module in ("usbserial", "cdc_acm"):
        assert f"modprobe@{module}.service" in " ".join(used["Wants"])
        assert f"modprobe@{module}.service" in " ".join(used["After"])
    assert "~bind" in used["SystemCallFilter"]


def test_without_a_configuration_nothing_starts_and_nothing_fails() -> None:
    for unit in (SERVICE, SOCKET):
        assert settings(unit)["ConditionPathExists"] == ["/etc/citylab-gateway/gateway.toml"]


def test_no_credential_is_asked_for_that_a_site_may_not_have() -> None:
    assert not [name for name in settings(SERVICE) if name.startswith("LoadCredential")]


def test_the_rule_gives_usb_adapters_to_the_group() -> None:
    lines = [
        line
        for line in RULES.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    matches = re.compile(r'[A-Z_]+(\{[A-Za-z_]+\})?(==|!=|=)"[^"]*"')
    for line in lines:
        assert all(matches.fullmatch(part) for part in line.split(", ")), line
    (rule,) = [line for line in lines if 'GROUP="' in line]
    assert 'GROUP="citylab-gateway"' in rule
    assert 'MODE="0660"' in rule
    assert 'ENV{ID_BUS}=="usb"' in rule
    assert 'ENV{ID_MM_PORT_IGNORE}="1"' in rule
    gotos = re.findall(r'GOTO="(\w+)"', "\n".join(lines))
    assert set(gotos) == set(re.findall(r'LABEL="(\w+)"', "\n".join(lines)))
    assert int(RULES.name.partition("-")[0]) > 60, "after the rules that set dialout"


def test_the_readme_names_every_file() -> None:
    text = (UNITS / "README.md").read_text(encoding="utf-8")
    for path in UNITS.iterdir():
        if path.name != "README.md":
            assert f"`{path.name}`" in text
