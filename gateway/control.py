"""How a command finds the running daemon and learns what became of its request.

Two small files in the runtime directory: ``daemon.json`` says which process it is, and
``reload.json`` what the last reload did. Nothing is listened to: the request itself is a signal.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = [
    "ReloadResult",
    "RunningDaemon",
    "announce",
    "find_daemon",
    "read_reload",
    "withdraw",
    "write_reload",
]

DAEMON_FILE = "daemon.json"
RELOAD_FILE = "reload.json"
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


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What one reload did; ``count`` rises with each, so that a waiting command sees its own."""

    count: int
    ok: bool
    lines: tuple[str, ...]


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


def announce(directory: Path, config: Path) -> None:
    """Say in the runtime directory, made if it is missing, that this process is the daemon.

    This and the other functions that write raise OSError; the daemon can do without them.
    """
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    pid = os.getpid()
    daemon = RunningDaemon(pid, _start_time(pid), str(config))
    (directory / RELOAD_FILE).unlink(missing_ok=True)
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
    return RunningDaemon(pid, str(started), str(content.get("config", "")))


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
