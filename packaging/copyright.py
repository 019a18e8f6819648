# ruff: noqa: INP001 - a script; a package of this name would hide one that the tests need
"""Print the copyright file: ours, and one paragraph for each Python package that comes along.

``python copyright.py SITE_PACKAGES OURS``. Fails if one is under the GPL, or says nothing: the
package is given away under Apache-2.0.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

__all__ = ["information", "licence_of", "main", "paragraph"]

OURS = "citylab-gateway"
COPYLEFT = ("GPL", "General Public License")
CLASSIFIER = "License :: "


def licence_of(package: Distribution) -> str:
    """Return its licence in one line, as its metadata says; empty if they do not."""
    said = package.metadata.json
    classifiers = [
        str(line).split(" :: ")[-1]
        for line in said.get("classifier", [])
        if str(line).startswith(CLASSIFIER)
    ]
    # A field that holds the whole text of a licence says less than the classifiers.
    first_line = str(said.get("license", "")).partition("\n")[0].strip()
    return str(said.get("license_expression", "")) or " or ".join(classifiers) or first_line


def paragraph(package: Distribution, folder: Path) -> str:
    """Return what Debian's copyright format wants to know about one package in a folder."""
    name, version = package.metadata["Name"], package.version
    licence = licence_of(package)
    if not licence or any(word in licence for word in COPYLEFT):
        raise SystemExit(f"error: {name} {version} may not come along, its licence is {licence!r}")
    files = package.files or []
    within = {file.parts[0] for file in files if len(file.parts) > 1} - {"..", "__pycache__"}
    alone = {file.parts[0] for file in files if len(file.parts) == 1}
    places = [f"{folder}/{part}/*" for part in within] + [f"{folder}/{part}" for part in alone]
    return (
        "Files: " + "\n ".join(sorted(place.lstrip("/") for place in places)) + "\n"
        f"Comment: {name} {version}; its licence is in {folder}/{information(package)}\n"
        f"Copyright: the authors of {name}\n"
        f"License: {licence}\n"
    )


def information(package: Distribution) -> str:
    """Return the name of the directory with a package's metadata."""
    return next(str(file.parent) for file in package.files or [] if file.name == "METADATA")


def main(arguments: Sequence[str]) -> None:
    """Print the file."""
    folder, ours = Path(arguments[0]), Path(arguments[1])
    sys.stdout.write(ours.read_text(encoding="utf-8") + "\n")
    packages = [each for each in distributions(path=[str(folder)]) if each.metadata["Name"] != OURS]
    for package in sorted(packages, key=lambda each: each.metadata["Name"].lower()):
        sys.stdout.write(paragraph(package, folder) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
