"""A fresh Debian without a network and without systemctl, in a layer that is thrown away."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Answer", "Box", "run"]

SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
WAIT_TIMEOUT_S = 600.0
"""A hang, no promise: unpacking on a busy machine takes its time."""
ENVIRONMENT = (
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LC_ALL=C.UTF-8",
    "DEBIAN_FRONTEND=noninteractive",
)
# In namespaces of its own: the layer, a network with nothing but itself, and processes that all end
# with the first. The terminals are those of this machine, for the simulated sensor.
START = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay "$1/root" -o "lowerdir=$0,upperdir=$1/upper,workdir=$1/work"
mount -t proc proc "$1/root/proc"
mount --bind /dev/pts "$1/root/dev/pts"
ip link set lo up
echo ready
exec sleep infinity
"""


@dataclass(frozen=True)
class Answer:
    """What a program said (both streams), and its exit code."""

    code: int
    output: str


async def run(*command: str, cwd: Path | None = None) -> Answer:
    """Run a program of this machine to its end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        cwd=cwd,
        env={**os.environ, "PATH": SEARCH_PATH},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), WAIT_TIMEOUT_S)
    finally:
        await end(process)
    assert process.returncode is not None
    return Answer(process.returncode, output.decode(errors="replace"))


async def end(process: Process) -> None:
    """Kill what still runs, and reap it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Box:
    """Commands run in it; all that they start and write is gone with it."""

    def __init__(self, base: Path, work: Path) -> None:
        self._base = base
        self._work = work
        self._holder: Process | None = None
        self._first = 0
        """The process that keeps the namespaces, by its number here."""

    async def __aenter__(self) -> Self:
        self._work.mkdir()
        self._holder = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"),
            *("--propagation", "private", "sh", "-c", START, str(self._base), str(self._work)),
            stdout=PIPE,
            env={**os.environ, "PATH": SEARCH_PATH},
        )
        assert self._holder.stdout is not None
        ready = await asyncio.wait_for(self._holder.stdout.readline(), WAIT_TIMEOUT_S)
        assert ready == b"ready\n", "the box could not be set up"
        self._first = _child(self._holder.pid)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._holder is not None:
            await end(self._holder)

    def path(self, inside: str) -> Path:
        """Return where a file of the box is seen from here."""
        return Path(f"/proc/{self._first}/root{self._work}/root{inside}")

    def beside(self, *command: str) -> list[str]:
        """Return what runs a program of this machine in the namespaces of the box."""
        enter = ("nsenter", "--target", str(self._first), "--mount", "--net", "--pid")
        return [*enter, "--", *command]

    def inside(self, *command: str, user: str = "root") -> list[str]:
        """Return what runs a program of the box in the box."""
        root = f"{self._work}/root"
        change = ("chroot", f"--userspec={user}:{user}", root, "env", "-i")
        return self.beside(*change, *ENVIRONMENT, *command)

    async def try_out(self, *command: str, user: str = "root") -> Answer:
        """Run a program of the box to its end."""
        return await run(*self.inside(*command, user=user))

    async def do(self, *command: str, user: str = "root") -> str:
        """Run a program of the box, which has to succeed; return its output."""
        answer = await self.try_out(*command, user=user)
        assert answer.code == 0, f"{command}: {answer.output}"
        return answer.output

    async def start(self, command: list[str], log: Path) -> Process:
        """Start a program that goes on; its output goes to a file here."""
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                env={**os.environ, "PATH": SEARCH_PATH},
            )

    async def stop(self, process: Process) -> int:
        """End a program that was started, as a service manager would; return its exit code."""
        os.kill(_child(process.pid), signal.SIGTERM)  # nsenter stays outside, and waits for it
        return await asyncio.wait_for(process.wait(), WAIT_TIMEOUT_S)


def _child(pid: int) -> int:
    """Return the only child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])
