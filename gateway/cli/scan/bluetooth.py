"""``citylab-gateway scan --bluetooth``: which sensors are heard, and what they say."""

import argparse
import asyncio
import contextlib
import json
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.cli.common import DEFAULT_CONFIG
from gateway.cli.scan.advice import radio_advice
from gateway.cli.scan.attempts import make_radio, radio_drivers
from gateway.cli.scan.flags import check_drivers, duration_s
from gateway.cli.scan.live import LiveScreen, can_be_live
from gateway.cli.scan.radio import listening
from gateway.cli.scan.radio_words import Scan, document, report, screen
from gateway.cli.scan.sightings import Configured, Sightings
from gateway.config.load import load
from gateway.config.model import SensorSection
from gateway.config.secrets import driver_options
from gateway.driver import Advert, Beacon, Connected, Driver, driver_class
from gateway.errors import ConfigError, ConfigErrors, GatewayError, PortError
from gateway.quantities import registry
from gateway.transports.ending import Ending

__all__ = ["discover", "known_sensors", "run_bluetooth"]

REFRESH_S = 1.0


def run_bluetooth(arguments: argparse.Namespace) -> int:
    """Listen, and print what was heard; 1 if no sensor was."""
    # What is in memory for a moment must not come to rest on the disk (PRIV-01).
    with contextlib.suppress(OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    scan = _planned(arguments)
    try:
        asyncio.run(discover(scan, active=arguments.active, live=_is_live(arguments)))
    except PortError as error:
        help_ = radio_advice(error.port, error.reason)
        raise GatewayError(f"{error}; {help_}" if help_ else str(error)) from error
    except KeyboardInterrupt:  # before there was anything to hear
        return 1
    if arguments.json:
        print(json.dumps(document(scan), indent=2))
    else:
        print(report(scan, shortened=sys.stdout.isatty()))
    return 0 if scan.sightings.sensors else 1


def _planned(arguments: argparse.Namespace) -> Scan:
    listen_s = duration_s(arguments.duration, key="--for")
    drivers = radio_drivers()
    check_drivers(arguments.driver, {cls.info.name for cls in drivers})
    known = known_sensors(arguments.config)
    if arguments.driver:
        drivers = [cls for cls in drivers if cls.info.name in arguments.driver]
        known = {
            address: each
            for address, each in known.items()
            if each.driver.info.name in arguments.driver
        }
    registry()  # read before the loop runs, which must not wait for a disk
    return Scan(Sightings(drivers, known), arguments.adapter, listen_s)


def known_sensors(path: Path | None) -> dict[str, Configured]:
    """Return the Bluetooth sensors that are configured, by address.

    With None where the configuration usually is: then it may be absent, or not be ours to read.
    """
    if path is None and not DEFAULT_CONFIG.exists():
        return {}
    try:
        sections = load(path or DEFAULT_CONFIG).sensor
    except (ConfigError, ConfigErrors):
        if path is not None:
            raise
        _tell(f"{DEFAULT_CONFIG} cannot be read, so nothing is marked as configured")
        return {}
    return {each.address: known for each in sections if each.address and (known := _known(each))}


def _known(section: SensorSection) -> Configured | None:
    cls = driver_class(section.driver)
    if cls is None:
        return None
    driver = _with_keys(section, cls)
    if driver is None:
        return None
    discreet = (section.privacy or cls.info.privacy) in ("P2", "P3")
    return Configured(section.name, driver, discreet)


def _with_keys(section: SensorSection, cls: type[Driver]) -> Beacon | Connected | None:
    """Return the driver of a sensor; without its keys where they are not ours to read."""
    try:
        driver = cls(driver_options(section, cls))
    except GatewayError as error:
        _tell(f"{error}: tried without")
        return make_radio(cls)
    return driver if isinstance(driver, Beacon | Connected) else None


def _is_live(arguments: argparse.Namespace) -> bool:
    return not arguments.json and can_be_live()


async def discover(scan: Scan, *, active: bool, live: bool) -> None:
    """Fill a scan, until its time is over, it is lost, or somebody interrupts.

    PortError if it cannot be started.
    """
    loop = asyncio.get_running_loop()
    ending = Ending()

    def hear(advert: Advert, fixed: bool) -> None:  # noqa: FBT001 - the transport's call
        scan.sightings.hear(advert, loop.time(), fixed=fixed)

    async with listening(scan.adapter, hear, ending, active=active) as mode:
        scan.mode = mode
        began = loop.time()
        with _interrupting(ending), _shown(scan, live=live) as screens:
            while not scan.cause and (left_s := began + scan.duration_s - loop.time()) > 0:
                scan.cause = await ending.wait(min(left_s, REFRESH_S)) or ""
                scan.elapsed_s = loop.time() - began
                for each in screens:
                    each.update()


@contextlib.contextmanager
def _interrupting(ending: Ending) -> Iterator[None]:
    """End the scan, not the program, at Ctrl-C."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, ending.settle, "stop")
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _shown(scan: Scan, *, live: bool) -> Iterator[Sequence[LiveScreen]]:
    """Show what is heard on a live terminal, or say once how long it takes."""
    if not live:
        _tell(f"listening {scan.where}, {scan.duration_s:g} s; Ctrl-C ends it")
        yield ()
        return
    with LiveScreen(lambda width, height: screen(scan, width, height)) as one:
        one.update()
        yield (one,)


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
