"""What the emulated Pi needs from this machine, and where it keeps what took long to make."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["PROJECT", "Failed", "cache_folder", "missing", "run", "run_async", "say"]

PROJECT = Path(__file__).resolve().parent.parent.parent
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
ERROR_CHARACTERS = 2000

TO_RUN = {
    "qemu-system-aarch64": "qemu-system-arm",
    "mke2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "mosquitto": "mosquitto",
    "mosquitto_sub": "mosquitto-clients",
}
TO_BUILD = {
    "debootstrap": "debootstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "tar": "tar",
}
"""Program: the Debian package that has it."""


class Failed(Exception):
    """The emulated Pi cannot be run, or did not do what it had to; the text says what helps."""


def say(text: str) -> None:
    """Tell the person who watches."""
    print(text, flush=True)


def cache_folder() -> Path:
    """Return the folder for images; it is made if it is not there."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "citylab-gateway" / "pi"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def missing(programs: Mapping[str, str]) -> list[str]:
    """Return the Debian packages of those programs that are not here."""
    found = {name: shutil.which(name, path=SEARCH_PATH) for name in programs}
    return sorted({programs[name] for name, path in found.items() if path is None})


def run(*command: str | Path, ok: Sequence[int] = (0,), log: Path | None = None) -> str:
    """Run a program to its end; return its output. Failed if it ends otherwise than with ``ok``.

    With a ``log`` the output goes there instead.
    """
    environment = {**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8"}
    words = [str(word) for word in command]
    with log.open("ab") if log else open(os.devnull, "wb") as sink:  # noqa: PTH123
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=sink if log else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        )
    text = (done.stdout or b"").decode(errors="replace")
    if done.returncode not in ok:
        where = f"; see {log}" if log else f":\n{text[-ERROR_CHARACTERS:]}"
        raise Failed(f"{' '.join(words)} ended with {done.returncode}{where}")
    return text


async def run_async(*command: str | Path, ok: Sequence[int] = (0,)) -> str:
    """Do what ``run`` does, beside everything else."""
    return await asyncio.to_thread(run, *command, ok=ok)
