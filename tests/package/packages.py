"""The package under test, and the same one a version later."""

import os
import re
from pathlib import Path

from tests.package.box import run

__all__ = ["build", "field", "rebuild"]

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "citylab-gateway"
PREPARE = "set -euo pipefail; . packaging/roots.sh; require_tools; make_roots; make_test"


async def build() -> tuple[Path, Path]:
    """Return the package, built from this tree, and the root to install it in.

    CITYLAB_GATEWAY_PACKAGE names one that is finished, to be tested as it is.
    """
    prepared = await run("bash", "-c", PREPARE, cwd=ROOT)
    assert prepared.code == 0, prepared.output
    root = CACHE / f"{os.environ.get('RELEASE') or 'bookworm'}-amd64" / "test"
    if finished := os.environ.get("CITYLAB_GATEWAY_PACKAGE"):
        return Path(finished), root
    built = await run(str(ROOT / "scripts" / "deb"))
    assert built.code == 0, built.output
    name = built.output.splitlines()[-1]
    return ROOT / name, root


async def field(package: Path, name: str) -> str:
    """Return a field of a package's control file."""
    answer = await run("dpkg-deb", "--field", str(package), name)
    assert answer.code == 0, answer.output
    return answer.output.strip()


async def rebuild(package: Path, folder: Path, version: str) -> Path:
    """Return the package with another version: of the program too, in a file that has another name.

    Taken apart and put together again: a version later most of it is the same.
    """
    tree = folder / "tree"
    unpacked = await run("dpkg-deb", "--raw-extract", str(package), str(tree))
    assert unpacked.code == 0, unpacked.output
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}", control.read_text()))
    (old,) = tree.glob(
        "opt/citylab-gateway/lib/python3.*/site-packages/citylab_gateway-*.dist-info"
    )
    new = old.rename(old.with_name(f"citylab_gateway-{version}.dist-info"))
    metadata = new / "METADATA"
    metadata.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}", metadata.read_text()))
    later = folder / f"citylab-gateway_{version}_amd64.deb"
    made = await run("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(later))
    assert made.code == 0, made.output
    return later
