"""``make pi``: an emulated Pi is installed, unplugged, and cut off from power; what survives?

One emulated arm64 machine with Debian and systemd, the project's package, a USB serial adapter
with a simulated sensor, and a real broker on this machine's loopback. See docs/emulated-pi.md.
"""

import argparse
import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path

from tests.pi.report import tell
from tests.pi.rootfs import system
from tests.pi.tools import PROJECT, TO_RUN, Failed, cache_folder, missing, say
from tests.pi.trial import Story, live

__all__ = ["main"]

EXIT_FAILED = 1
EXIT_CANNOT = 2
PACKAGES = "dist/citylab-gateway_*_arm64.deb"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make pi", description=__doc__)
    parser.add_argument("--cuts", type=int, default=20, help="how often the plug is pulled")
    parser.add_argument("--seed", type=int, default=1, help="the same seed plans the same cuts")
    parser.add_argument("--package", type=Path, help="instead of the newest arm64 one in dist")
    parser.add_argument("--folder", type=Path, help="where logs go; default: below the cache")
    arguments = parser.parse_args()
    if arguments.cuts < 1:
        parser.error("at least one cut, or there is nothing to see")
    try:
        return _run(arguments)
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CANNOT


def _run(arguments: argparse.Namespace) -> int:
    needed = missing(TO_RUN)
    if needed:
        command = f"apt-get install --no-install-recommends {' '.join(needed)}"
        raise Failed(f"programs are missing that emulate the Pi; run: sudo {command}")
    package = arguments.package or _package()
    machine = system()
    folder = arguments.folder or cache_folder() / "runs" / f"seed-{arguments.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say(f"{package.name}, {arguments.cuts} cuts, seed {arguments.seed}; logs: {folder}")
    story = asyncio.run(
        _until_terminated(live(machine, package, folder, seed=arguments.seed, cuts=arguments.cuts))
    )
    failures = tell(story, arguments.seed)
    if not failures:
        (folder / "disk.img").unlink()
    return EXIT_FAILED if failures else 0


async def _until_terminated(story: Coroutine[None, None, Story]) -> Story:
    """Wait for it; SIGTERM ends it as Ctrl-C does, so that no machine is left running."""
    task = asyncio.ensure_future(story)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _package() -> Path:
    """Return the newest package for the Pi; it is made if there is none."""
    found = sorted(PROJECT.glob(PACKAGES), key=lambda path: path.stat().st_mtime)
    if not found:
        say("there is no package yet: make deb ARCH=arm64")
        done = subprocess.run(["make", "deb", "ARCH=arm64"], cwd=PROJECT, check=False)
        found = sorted(PROJECT.glob(PACKAGES))
        if done.returncode or not found:
            raise Failed("the package could not be made; see what `make deb ARCH=arm64` said")
    return found[-1]


if __name__ == "__main__":
    sys.exit(main())
