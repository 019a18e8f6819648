"""Looks at the units of systemd: installed, started at boot, running, watched."""

import pwd
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.cli.doctor.box import SERVICE, SOCKET, Box
from gateway.cli.doctor.finding import NOT_SEEN, Finding, Trouble

__all__ = ["TROUBLES", "look"]

ASKED = ("LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus", "NeedDaemonReload")
RUNNING = ("active", "reloading")
OFF = ("", "0", "infinity")
MISSING = Trouble(
    "unit_missing",
    "warn",
    "The gateway runs only as long as somebody runs it by hand.",
    "sudo apt install --reinstall citylab-gateway; or by hand: systemd/README.md",
)
MASKED = Trouble(
    "unit_masked", "fail", "systemd never starts it.", "sudo systemctl unmask citylab-gateway"
)
DISABLED = Trouble(
    "unit_disabled",
    "warn",
    "After the next power cut the gateway stays off.",
    "sudo systemctl enable citylab-gateway.service",
)
INACTIVE = Trouble(
    "unit_inactive",
    "fail",
    "No sensor is read.",
    "sudo systemctl start citylab-gateway; journalctl -u citylab-gateway -n 50 says why it ended",
)
FAILED = Trouble(
    "unit_failed",
    "fail",
    "It was started and ended at once; no sensor is read.",
    "journalctl -u citylab-gateway -n 50; mend that, then sudo systemctl restart citylab-gateway",
)
RELOAD = Trouble(
    "unit_changed",
    "warn",
    "A unit file or drop-in was changed, and systemd still goes by the old one.",
    "sudo systemctl daemon-reload && sudo systemctl restart citylab-gateway",
)
PROGRAM = Trouble(
    "unit_program",
    "fail",
    "The program that the unit starts is not there.",
    "sudo apt install --reinstall citylab-gateway; or ExecStart= in a drop-in",
)
USER = Trouble(
    "unit_user",
    "fail",
    "systemd cannot start the unit without its user: status=217/USER in the journal.",
    "sudo systemd-sysusers; sudo systemctl restart citylab-gateway",
)
WATCHDOG = Trouble(
    "unit_watchdog",
    "warn",
    "A daemon that hangs would never be restarted.",
    "take WatchdogSec= out of the drop-ins: systemctl cat citylab-gateway | grep -n Watchdog",
)
SOCKET_OFF = Trouble(
    "socket_disabled",
    "warn",
    "The configuration has [http], and nobody listens for status page and metrics.",
    "sudo systemctl enable --now citylab-gateway.socket; sudo systemctl restart citylab-gateway",
)
TROUBLES = (
    MISSING, MASKED, DISABLED, INACTIVE, FAILED, RELOAD, PROGRAM, USER, WATCHDOG, SOCKET_OFF,
)  # fmt: skip


def look(box: Box) -> Iterator[Finding]:
    """Yield what is wrong with the units, or that nothing is; nothing without systemd."""
    unit = box.service
    if unit.file is None:
        if box.system.has_systemd:
            yield MISSING.found("service", f"{SERVICE} is not installed")
        return
    if unit.masked:
        yield MASKED.found("service", f"{SERVICE} is masked")
        return
    found = [*_files(box), *_state(box), *_socket(box)]
    for path in unit.unread:
        how = "sudo citylab-gateway doctor"
        found.append(NOT_SEEN.found("service", f"{path} may not be read", how=how))
    yield from found or [Finding.fine("service", "installed, started at boot, running, watched")]


def _files(box: Box) -> Iterator[Finding]:
    unit = box.service
    program = _program(unit.last("Service", "ExecStart"))
    if program and not box.system.path(program).exists():
        yield PROGRAM.found("service", f"{program} is not there")
    user = unit.last("Service", "User")
    if user and box.system.account_of(user) is None and not _is_number(user):
        yield USER.found("service", f"there is no user {user}")
    if not unit.enabled:
        yield DISABLED.found("service", "it is not started at boot")
    if unit.last("Service", "WatchdogSec") in OFF:
        yield WATCHDOG.found("service", "its watchdog is off")


def _program(command: str) -> str:
    """Return the program of ExecStart=, without what systemd allows before it."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    program = words[0].lstrip("@-:+!") if words else ""
    return program if Path(program).is_absolute() else ""


def _is_number(user: str) -> bool:
    if not user.isdigit():
        return False
    try:
        pwd.getpwuid(int(user))
    except KeyError:
        return True  # systemd takes a number that nobody has
    return True


def _state(box: Box) -> Iterator[Finding]:
    if not box.system.has_systemd:
        yield NOT_SEEN.found(
            "service", "systemd does not run here; whether it runs is unknown", how=""
        )
        return
    state = _ask(box)
    if "ActiveState" not in state:
        how = "systemctl status citylab-gateway"
        yield NOT_SEEN.found("service", "systemctl does not answer", how=how)
        return
    active, result = state["ActiveState"], state.get("Result", "")
    if active == "failed" or (active == "activating" and result not in ("", "success")):
        status = state.get("ExecMainStatus", "")
        yield FAILED.found("service", f"failed: {result}, status {status}")
    elif active not in RUNNING:
        yield INACTIVE.found("service", f"is {active} ({state.get('SubState', '')})")
    if state.get("NeedDaemonReload") == "yes":
        yield RELOAD.found("service", "its files are newer than what systemd has read")


def _ask(box: Box) -> Mapping[str, str]:
    asked = f"--property={','.join(ASKED)}"
    text = box.system.call("systemctl", "show", asked, SERVICE) or ""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value for key, _, value in pairs}


def _socket(box: Box) -> Iterator[Finding]:
    """Look at the socket where the configuration wants the status page."""
    if box.configuration is None or box.configuration.http is None:
        return
    if box.socket.file is None or box.socket.masked or not box.socket.enabled:
        how = "not installed" if box.socket.file is None else "not enabled"
        yield SOCKET_OFF.found("socket", f"{SOCKET} is {how}")
