"""What doctor looks at: the machine, the configuration, and the user that the daemon runs as."""

import grp
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.doctor.kernel_clock import KernelClock, kernel_clock
from gateway.cli.doctor.unit_files import Unit, read_unit
from gateway.config.load import load
from gateway.config.model import Configuration
from gateway.errors import ConfigError, ConfigErrors

__all__ = ["SERVICE", "SOCKET", "Account", "Box", "System", "current_account", "may", "open_box"]

SERVICE = "citylab-gateway.service"
SOCKET = "citylab-gateway.socket"
MAX_FILE_BYTES = 1 << 20
CALL_TIMEOUT_S = 8.0
PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READ, WRITE, SEARCH = os.R_OK, os.W_OK, os.X_OK


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the system, with all groups."""

    name: str
    uid: int
    gids: frozenset[int]


def current_account() -> Account:
    """Return who runs this process."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Account(name, uid, frozenset([os.getegid(), *os.getgroups()]))


def _account_of(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, frozenset(os.getgrouplist(name, entry.pw_gid)))


def _free_bytes(path: Path) -> int:
    free = os.statvfs(path)
    return free.f_bavail * free.f_frsize


def may(status: os.stat_result, account: Account, wanted: int) -> bool:
    """Tell by owner, group and mode whether an account may do ``wanted`` (R_OK, W_OK, X_OK).

    Access lists are not looked at.
    """
    if account.uid == 0:
        return True
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid == account.uid:
        granted = mode >> 6
    elif status.st_gid in account.gids:
        granted = mode >> 3
    else:
        granted = mode
    return granted & wanted == wanted


@dataclass(frozen=True, slots=True)
class System:
    """The machine. Tests put another root and other answers here."""

    root: Path = Path("/")
    programs: str = PROGRAMS
    account_of: Callable[[str], Account | None] = _account_of
    kernel_clock: Callable[[], KernelClock | None] = kernel_clock
    free_bytes: Callable[[Path], int] = _free_bytes

    def path(self, absolute: str | Path) -> Path:
        """Return where a file of the system lies."""
        return self.root / str(absolute).lstrip("/")

    def read(self, absolute: str | Path) -> str | None:
        """Return what a small file holds, None if it is not there or may not be read."""
        try:
            with self.path(absolute).open("rb") as file:
                return file.read(MAX_FILE_BYTES).decode("utf-8", errors="replace")
        except OSError:
            return None

    def names(self, absolute: str | Path) -> list[str]:
        """Return what is in a directory, sorted; nothing if it is not there."""
        try:
            return sorted(path.name for path in self.path(absolute).iterdir())
        except OSError:
            return []

    def call(self, *command: str) -> str | None:
        """Return what a command prints, None if there is none or it takes too long."""
        program = shutil.which(command[0], path=self.programs)
        if program is None:
            return None
        try:
            done = subprocess.run(  # noqa: S603 - fixed words
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=CALL_TIMEOUT_S,
                env={"PATH": self.programs, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode("utf-8", errors="replace")

    @property
    def has_systemd(self) -> bool:
        """Tell whether systemd runs this machine (sd_booted(3))."""
        return self.path("/run/systemd/system").is_dir()


@dataclass(frozen=True, slots=True)
class Box:
    """Everything that the parts of doctor are given."""

    config: Path
    configuration: Configuration | None
    """None if it cannot be used: ``errors`` says why."""
    errors: Sequence[ConfigError]
    system: System
    service: Unit
    socket: Unit
    account: Account
    """Who the daemon runs as: the user of the installed unit, else whoever calls doctor."""
    publish: bool = True
    """A message without content may be sent to each broker."""

    @property
    def sees_all(self) -> bool:
        """Tell whether doctor runs with the rights to look everywhere."""
        return os.geteuid() == 0


def open_box(config: Path, system: System | None = None, *, publish: bool = True) -> Box:
    """Read the configuration and the unit files. Blocks; no error leaves here."""
    system = system or System()
    configuration: Configuration | None = None
    errors: tuple[ConfigError, ...] = ()
    service = read_unit(system.root, SERVICE)
    try:
        configuration = load(config)
    except ConfigErrors as found:
        errors = found.errors
    account = system.account_of(service.last("Service", "User")) if service.file else None
    return Box(
        config=config,
        configuration=configuration,
        errors=errors,
        system=system,
        service=service,
        socket=read_unit(system.root, SOCKET),
        account=_with_more_groups(account, service) or current_account(),
        publish=publish,
    )


def _with_more_groups(account: Account | None, service: Unit) -> Account | None:
    """Add what the unit's Group= and SupplementaryGroups= add."""
    if account is None:
        return None
    words = " ".join(
        [service.last("Service", "Group"), *service.all("Service", "SupplementaryGroups")]
    )
    found = [_gid(name) for name in words.split()]
    gids = account.gids | {gid for gid in found if gid is not None}
    return Account(account.name, account.uid, frozenset(gids))


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
