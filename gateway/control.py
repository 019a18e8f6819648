"""How a command finds the running daemon and learns what became of its request.

Small files in the runtime directory: ``daemon.json`` says which process it is and which requests
it takes, ``reload.json`` what the last reload did. Nothing is listened to: the request itself is a
signal.

A request that says more than a signal can is a file, too. ``request_purge`` leaves
``purge-request.json`` and sends ``PURGE_SIGNAL``; the daemon takes it with ``take_purge``, which
removes the file, does it, and answers with ``write_purge`` under the same id. A daemon that knows
nothing of the signal would die of it, so it is sent only to one whose announcement lists it.
"""

import json
import os
import secrets
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = [
    "PURGE",
    "PURGE_SIGNAL",
    "PurgeRequest",
    "PurgeResult",
    "ReloadResult",
    "RunningDaemon",
    "announce",
    "find_daemon",
    "read_purge",
    "read_reload",
    "request_purge",
    "take_purge",
    "withdraw",
    "write_purge",
    "write_reload",
]

DAEMON_FILE = "daemon.json"
RELOAD_FILE = "reload.json"
PURGE_REQUEST_FILE = "purge-request.json"
PURGE_FILE = "purge.json"
PURGE = "purge"
"""What the announcement of a daemon lists that takes ``PURGE_SIGNAL``."""
PURGE_SIGNAL = signal.SIGUSR1
MODE = 0o600
DIRECTORY_MODE = 0o700
START_TIME_FIELD = 19
"""Where the start time stands in /proc/<pid>/stat, counted behind the command's name."""


@dataclass(frozen=True, slots=True)
class RunningDaemon:
    """Process id, and the start time that tells it from a later process with the same id."""

    pid: int
    started: str
    config: str
    requests: tuple[str, ...] = ()
    """Requests beyond reload that it takes."""


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What one reload did; ``count`` rises with each, so that a waiting command sees its own."""

    count: int
    ok: bool
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PurgeRequest:
    """Remove what one sensor has left in the ring, or with ``sensor`` None everything."""

    id: str
    """Random; the answer carries it, so that each command sees its own."""
    sensor: str | None


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What became of a purge: readings removed, or why it failed."""

    id: str
    removed: int
    problem: str = ""


def _start_time(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[START_TIME_FIELD]


def _write(path: Path, content: object) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.chmod(MODE)
    temporary.replace(path)


def _read(path: Path) -> dict[str, object] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def announce(directory: Path, config: Path, *, requests: Sequence[str] = ()) -> None:
    """Say in the runtime directory, made if it is missing, that this process is the daemon.

    ``requests`` are those that it takes beyond reload; its signal handlers must be there before.
    This and the other functions that write raise OSError; the daemon can do without them.
    """
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    pid = os.getpid()
    daemon = RunningDaemon(pid, _start_time(pid), str(config), tuple(requests))
    for name in (RELOAD_FILE, PURGE_REQUEST_FILE, PURGE_FILE):
        (directory / name).unlink(missing_ok=True)
    _write(directory / DAEMON_FILE, asdict(daemon))


def withdraw(directory: Path) -> None:
    """Take the announcement back."""
    (directory / DAEMON_FILE).unlink(missing_ok=True)


def find_daemon(directory: Path) -> RunningDaemon | None:
    """Return the daemon that runs with this runtime directory, or None."""
    content = _read(directory / DAEMON_FILE)
    if content is None:
        return None
    pid, started = content.get("pid"), content.get("started")
    if not isinstance(pid, int) or not started or _start_time(pid) != started:
        return None  # it was killed, and its number may belong to somebody else now
    requests = content.get("requests")
    listed = tuple(map(str, requests)) if isinstance(requests, list) else ()
    return RunningDaemon(pid, str(started), str(content.get("config", "")), listed)


def write_reload(directory: Path, result: ReloadResult) -> None:
    """Leave the result of a reload for the command that asked for it."""
    _write(directory / RELOAD_FILE, asdict(result))


def read_reload(directory: Path) -> ReloadResult | None:
    """Return the result of the last reload of the running daemon, or None before the first."""
    content = _read(directory / RELOAD_FILE)
    if content is None:
        return None
    count, ok, lines = content.get("count"), content.get("ok"), content.get("lines")
    if not isinstance(count, int) or not isinstance(ok, bool) or not isinstance(lines, list):
        return None
    return ReloadResult(count, ok, tuple(map(str, lines)))


def request_purge(directory: Path, daemon: RunningDaemon, sensor: str | None) -> PurgeRequest:
    """Ask the daemon to purge; ``read_purge`` has the answer some time later.

    FileExistsError while an earlier request was not taken yet, ProcessLookupError if the daemon is
    gone, ValueError if it takes no such request, other OSError if the directory cannot be used.
    """
    if PURGE not in daemon.requests:
        raise ValueError(f"process {daemon.pid} takes no purge requests")
    path = directory / PURGE_REQUEST_FILE
    request = PurgeRequest(secrets.token_hex(8), sensor)
    whole = path.with_name(f".{path.name}.{request.id}")
    try:
        whole.write_text(json.dumps(asdict(request)), encoding="utf-8")
        whole.chmod(MODE)
        if os.geteuid() == 0:  # root asks; the daemon, which is not root, has to read it
            owner = directory.stat()
            os.chown(whole, owner.st_uid, owner.st_gid)
        os.link(whole, path)  # whole from the first moment, and never over another request
    finally:
        whole.unlink(missing_ok=True)
    try:
        os.kill(daemon.pid, PURGE_SIGNAL)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return request


def take_purge(directory: Path) -> PurgeRequest | None:
    """Return the request that waits, and remove it; None if there is none that can be read.

    OSError if it cannot be removed: then it must not be done, or it would be done again.
    """
    path = directory / PURGE_REQUEST_FILE
    content = _read(path)
    path.unlink(missing_ok=True)
    if content is None or "sensor" not in content:
        return None
    identity, sensor = content.get("id"), content["sensor"]
    if not isinstance(identity, str) or not (sensor is None or isinstance(sensor, str)):
        return None
    return PurgeRequest(identity, sensor)


def write_purge(directory: Path, result: PurgeResult) -> None:
    """Leave the answer for the command that asked."""
    _write(directory / PURGE_FILE, asdict(result))


def read_purge(directory: Path, request: PurgeRequest) -> PurgeResult | None:
    """Return the answer to this request, or None while there is none."""
    content = _read(directory / PURGE_FILE)
    if content is None or content.get("id") != request.id:
        return None
    removed, problem = content.get("removed"), content.get("problem")
    if not isinstance(removed, int) or not isinstance(problem, str):
        return None
    return PurgeResult(request.id, removed, problem)
