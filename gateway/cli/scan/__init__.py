"""``citylab-gateway scan``: find out what is at the serial ports, or heard by Bluetooth."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.scan.flags import check_drivers, duration_s
from gateway.cli.scan.hearing import installed
from gateway.cli.scan.listen import Found, line_settings, listen
from gateway.cli.scan.ports import Port, find_ports
from gateway.cli.scan.probe import probe_all
from gateway.cli.scan.words import Words, document
from gateway.driver import Driver
from gateway.errors import ConfigError

__all__ = ["configure", "run"]

DEFAULT_FOR = "30 s"
DEFAULT_LISTEN = "12 s"
"""Electricity meters speak once in 10 s."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``scan``."""
    parser.add_argument("--serial", action="store_true", help="look at the serial ports")
    parser.add_argument("--bluetooth", action="store_true", help="listen for Bluetooth sensors")
    parser.add_argument(
        "--port",
        action="append",
        default=[],
        metavar="PORT",
        help="only this one; may be repeated",
    )
    parser.add_argument(
        "--driver",
        action="append",
        default=[],
        metavar="NAME",
        help="try only this driver; may be repeated",
    )
    parser.add_argument(
        "--listen",
        default=DEFAULT_LISTEN,
        metavar="DURATION",
        help=f"to each line setting so long (default: {DEFAULT_LISTEN})",
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="also ask: writes to devices that nobody knows yet",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    _configure_bluetooth(parser)


def _configure_bluetooth(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("with --bluetooth")
    group.add_argument(
        "--for",
        dest="duration",
        default=DEFAULT_FOR,
        metavar="DURATION",
        help=f"listen so long (default: {DEFAULT_FOR})",
    )
    group.add_argument(
        "--adapter", default="", metavar="NAME", help="as hci0 (default: the first one)"
    )
    group.add_argument(
        "--active",
        action="store_true",
        help="ask devices for more than they say by themselves (default: where BlueZ cannot else)",
    )
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="mark the sensors of this one (default: where it usually is)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what is at each port, or in the air; 1 if nothing was recognised."""
    serial = arguments.serial or arguments.port or arguments.probe
    if arguments.bluetooth and serial:
        raise ConfigError("one after the other: --serial, then --bluetooth", key="scan")
    if arguments.bluetooth:
        # Here, so that nobody else pays for the import of bleak.
        from gateway.cli.scan.bluetooth import run_bluetooth  # noqa: PLC0415

        return run_bluetooth(arguments)
    if not (arguments.serial or arguments.port):
        raise ConfigError("say what to look at: --serial or --bluetooth", key="scan")
    return _run_serial(arguments)


def _run_serial(arguments: argparse.Namespace) -> int:
    listen_s = duration_s(arguments.listen, key="--listen")
    drivers = installed()
    check_drivers(arguments.driver, {cls.info.name for cls in drivers})
    chosen = [cls for cls in drivers if not arguments.driver or cls.info.name in arguments.driver]
    ports = find_ports(arguments.port)
    if not ports:
        print("no serial port is there: is the adapter plugged in? `dmesg | tail` says what came")
        return 1
    longest_s = len(line_settings(chosen)) * listen_s
    _tell(
        f"listening to {_ports(len(ports))}, {listen_s:g} s to each line setting; "
        "nothing is written\n"
        f"(one that speaks and is not recognised takes up to {longest_s:g} s)"
    )
    words = Words([cls.info.name for cls in chosen] if arguments.driver else [])
    found = _look(ports, chosen, listen_s, arguments, words)
    if arguments.json:
        print(json.dumps([document(each) for each in found], indent=2))
    elif hint := words.hint(found, probed=arguments.probe):
        print(hint)
    return 0 if any(each.best for each in found) else 1


def _look(
    ports: Sequence[Port],
    drivers: Sequence[type[Driver]],
    listen_s: float,
    arguments: argparse.Namespace,
    words: Words,
) -> list[Found]:
    """Listen, and ask where that is allowed and needed; print each port once it is known."""
    doubtful: list[Found] = []

    def known(found: Found) -> None:
        if not arguments.json:
            print(words.text(found), flush=True)

    def heard(found: Found) -> None:
        if arguments.probe and not found.sure and not found.error:
            doubtful.append(found)
        else:
            known(found)

    found = listen(ports, drivers, listen_s, heard)
    if doubtful:
        _tell(f"asking at {_ports(len(doubtful))}; a bus with many meters takes minutes")
        probe_all(doubtful, drivers, listen_s, known)
    return found


def _ports(count: int) -> str:
    return "1 port" if count == 1 else f"{count} ports"


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
