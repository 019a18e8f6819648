"""Looks at Python and the package: libraries, data files, the drivers that are used."""

import importlib
import platform
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import gateway
from gateway import __version__
from gateway.buffer import ring
from gateway.cli.doctor.box import Box
from gateway.cli.doctor.finding import Finding, Trouble
from gateway.config.merge import read
from gateway.driver import driver_class

__all__ = ["DATA", "LIBRARIES", "TROUBLES", "look"]

DATA = Path(gateway.__file__).parent / "data"
DATA_FILES = ("quantities.csv", "reading.schema.json")
LIBRARIES = (
    "aiomqtt",
    "bleak",
    "cryptography",
    "dbus_fast",
    "h11",
    "prometheus_client",
    "pydantic",
    "serial",
    "websockets",
)
"""What the gateway imports somewhere; some only when they are needed, months later."""

LIBRARY = Trouble(
    "library_missing",
    "fail",
    "The gateway stops as soon as it needs it.",
    "install the package again: sudo apt install --reinstall citylab-gateway, or pip install "
    "--force-reinstall citylab-gateway",
)
DATA_FILE = Trouble(
    "data_missing",
    "fail",
    "The gateway does not start without it: the installation is damaged, or the card is.",
    LIBRARY.mend,
)
DRIVER = Trouble(
    "driver_broken",
    "fail",
    "The driver is installed and cannot be imported, so the configuration is refused.",
    "{python} -c 'from gateway.driver import driver_class; driver_class(\"{driver}\")' shows what "
    "it lacks; install that",
)
TROUBLES = (LIBRARY, DATA_FILE, DRIVER)


def look(box: Box) -> Iterator[Finding]:
    """Yield what is missing, and one finding about the software itself."""
    how = "compiled" if str(ring.__file__).endswith(tuple(EXTENSION_SUFFIXES)) else "interpreted"
    detail = f"{__version__} ({how}), Python {platform.python_version()}, {platform.machine()}"
    yield Finding.fine("citylab-gateway", detail)
    yield from _libraries()
    yield from _data(DATA)
    yield from _drivers(box)


def _libraries() -> Iterator[Finding]:
    missing = []
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing.append(name)
            yield LIBRARY.found(f"library {name}", f"cannot be imported: {error}")
    if not missing:
        yield Finding.fine("libraries", f"all {len(LIBRARIES)} can be imported")


def _data(folder: Path) -> Iterator[Finding]:
    missing = [name for name in DATA_FILES if not _has_content(folder / name)]
    for name in missing:
        yield DATA_FILE.found(f"data {name}", f"{folder / name} is missing or empty")
    if not missing:
        yield Finding.fine("data files", "there")


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _drivers(box: Box) -> Iterator[Finding]:
    """Import what the file names, also where the file as a whole is refused because of it."""
    names = sorted(_named(box))
    broken = 0
    for name in names:
        try:
            driver_class(name)
        except (ImportError, AttributeError) as error:
            broken += 1
            yield DRIVER.found(f"driver {name}", str(error), python=_python(), driver=name)
    if names and not broken:
        yield Finding.fine("drivers", f"{', '.join(names)} can be imported")


def _named(box: Box) -> set[str]:
    if box.configuration is not None:
        return {sensor.driver for sensor in box.configuration.sensor}
    sensors = read(box.config).content.get("sensor", ())
    if not isinstance(sensors, list):
        return set()
    named = (sensor.get("driver") for sensor in sensors if isinstance(sensor, dict))
    return {name for name in named if isinstance(name, str)}


def _python() -> str:
    installed = Path("/opt/citylab-gateway/bin/python")
    return str(installed) if installed.exists() else "python3"
