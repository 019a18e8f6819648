"""The system of the emulated Pi: Debian for arm64 with systemd, made once and kept in the cache.

The packages are unpacked and configured under user emulation, which takes some 20 minutes; what
comes of that is kept as ``root-<key>.tar``. An image with the settings of the folder ``guest`` is
made from it in seconds.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.pi.tools import TO_BUILD, Failed, cache_folder, missing, run, say

__all__ = ["System", "system"]

SUITE = "bookworm"
PACKAGES = (
    *("systemd-sysv", "systemd-timesyncd", "dbus", "udev", "kmod", "iproute2", "procps"),
    *("adduser", "ca-certificates", "python3", "bluez", "qemu-guest-agent", "linux-image-arm64"),
)
SMALL_INITRD = {
    "etc/initramfs-tools/conf.d/citylab-pi": "MODULES=list\n",
    "usr/share/initramfs-tools/modules.d/citylab-pi": (
        "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n"
    ),
}
"""Only what this machine needs to find its disk: quicker to make and to boot."""
IMAGE_SIZE = "2500M"
SETTINGS = Path(__file__).with_name("guest")
"""Laid over the file system as it is."""
BINFMT = Path("/proc/sys/fs/binfmt_misc")
HANDLER = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
"""From qemu-user-static: what an arm64 program looks like, and who runs it."""


@dataclass(frozen=True)
class System:
    """What a machine is started with."""

    image: Path
    """A raw disk with one ext4 file system; to be copied, not to be used."""
    kernel: Path
    initrd: Path


def system() -> System:
    """Return the system, out of the cache if it is there."""
    tree = _tree()
    settings = hashlib.sha256(b"".join(_texts())).hexdigest()[:12]
    name = f"{tree.stem.removeprefix('root-')}-{settings}-{IMAGE_SIZE}"
    made = System(*(cache_folder() / f"{kind}-{name}" for kind in ("disk", "kernel", "initrd")))
    if not all(path.exists() for path in (made.image, made.kernel, made.initrd)):
        say("making the disk image ...")
        _make_image(tree, made)
    return made


def _texts() -> Iterator[bytes]:
    for path in sorted(SETTINGS.rglob("*")):
        yield str(path.relative_to(SETTINGS)).encode()
        if path.is_file() and not path.is_symlink():
            yield path.read_bytes()


def _tree() -> Path:
    """Return the archive of the configured packages."""
    recipe = " ".join((SUITE, *PACKAGES, *SMALL_INITRD.values()))
    key = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    path = cache_folder() / f"root-{key}.tar"
    if path.exists():
        return path
    needed = missing(TO_BUILD)
    if needed:
        command = f"apt-get install --no-install-recommends {' '.join(needed)}"
        raise Failed(f"programs are missing that make the system; run: sudo {command}")
    if os.geteuid() != 0:
        raise Failed("the system is made once, by root; run: sudo make pi CUTS=1")
    say(f"making Debian {SUITE} for arm64, once; it takes some 20 minutes ...")
    log = cache_folder() / "root.log"
    with tempfile.TemporaryDirectory(prefix="build-", dir=cache_folder()) as folder:
        root = Path(folder) / "root"
        run(
            *("nice", "-n", "10", "debootstrap", "--foreign", "--arch=arm64", "--variant=minbase"),
            *(f"--include={','.join(PACKAGES)}", SUITE, root, _mirror()),
            log=log,
        )
        for name, text in SMALL_INITRD.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="ascii")
        _let_arm64_programs_run()
        second = ("chroot", root, "/debootstrap/debootstrap", "--second-stage")
        run("nice", "-n", "10", *second, log=log)
        shutil.rmtree(root / "var/cache/apt/archives")
        half = path.with_suffix(".half")
        run("tar", "-C", root, "--numeric-owner", "--xattrs", "-cf", half, ".")
        half.rename(path)
    return path


def _mirror() -> str:
    """Return the mirror that this machine itself uses."""
    named = os.environ.get("MIRROR", "")
    if named:
        return named
    wanted = ("Created-By: Packages", "Origin: Debian", "Label: Debian")
    found = run("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).split()
    if not found:
        raise Failed("apt knows no Debian mirror; name one: make pi MIRROR=http://...")
    return found[0]


def _let_arm64_programs_run() -> None:
    """Let the kernel give them to QEMU, unless it does."""
    if not (BINFMT / "register").exists():
        run("mount", "-t", "binfmt_misc", "none", BINFMT)
    if not (BINFMT / "qemu-aarch64").exists():
        (BINFMT / "register").write_bytes(HANDLER.read_bytes())


def _make_image(tree: Path, made: System) -> None:
    if os.geteuid() != 0:
        raise Failed("the image is made once, by root; run: sudo make pi CUTS=1")
    with tempfile.TemporaryDirectory(prefix="image-", dir=cache_folder()) as folder:
        root = Path(folder) / "root"
        root.mkdir()
        run("tar", "-C", root, "--numeric-owner", "--xattrs", "-xf", tree)
        run("cp", "-R", "--no-preserve=ownership", f"{SETTINGS}/.", root)
        # As on a real box: the daemons of the network and of the clock run, no password works.
        for unit in ("systemd-networkd", "systemd-timesyncd", "qemu-guest-agent"):
            run("systemctl", f"--root={root}", "enable", unit)
        shutil.copy(next((root / "boot").glob("vmlinuz-*")), made.kernel)
        shutil.copy(next((root / "boot").glob("initrd.img-*")), made.initrd)
        half = made.image.with_suffix(".half")
        half.unlink(missing_ok=True)
        run("mke2fs", "-q", "-t", "ext4", "-L", "pi", "-d", root, half, IMAGE_SIZE)
        half.rename(made.image)
