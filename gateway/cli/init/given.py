"""What the flags say, all of them checked at once; and what a script still has to say."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gateway.cli.init.plan import (
    NONE,
    TERMS,
    Place,
    Source,
    checked_address,
    checked_http,
    checked_place,
    checked_retention,
    checked_slug,
    checked_url,
    is_plain,
)
from gateway.config.installed import format_names
from gateway.config.units import parse_duration
from gateway.driver import driver_names
from gateway.errors import ConfigError, ConfigErrors

__all__ = ["Given", "Named", "add_arguments", "given", "require_all"]

DEFAULT_LISTEN = "12 s"
"""Electricity meters speak once in 10 s."""
DEFAULT_HEAR = "20 s"
"""Most Bluetooth sensors speak once in some seconds."""
MAX_LISTEN_S = 600.0
RECORDING = ".jsonl"
FORMS = (
    "is not NAME=/dev/PORT or NAME=ADDRESS, nor NAME=DRIVER@ with one of these or a recording "
    f"(/FILE{RECORDING})"
)
DEFAULT_HTTP = "127.0.0.1:9469"
MAX_PASSWORD_BYTES = 4096
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Named:
    """A sensor that a flag names; without a driver somebody listens to it."""

    name: str
    source: Source
    where: str
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """Checked flags; None: nothing was said."""

    id: str | None
    tenant: str | None
    place: Place | None
    place_said: bool
    url: str | None
    """Empty: there is no broker."""
    broker_name: str | None
    insecure: bool
    username: str | None
    password: str | None = field(repr=False)
    ca_file: str | None
    format: str
    http: str
    sensors: tuple[Named, ...]
    scan: bool
    probe: bool
    listen_s: float
    hear_s: float
    keys: dict[str, str] = field(repr=False)
    """By the name of the sensor."""
    not_a_home: bool
    terms: dict[str, str]
    directory: str
    runtime_directory: str
    clock_trusted: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a person is asked for, as flags."""
    add = parser.add_argument
    add("--id", metavar="NAME", help="the gateway's name, for ever")
    add("--tenant", metavar="NAME", help="the city or lab that owns the data")
    add("--location", metavar="LAT,LON", help='where it stands, "56.1535, 10.2134"; or none')
    add("--broker-url", metavar="URL", help="mqtts://host:8883 and the like; or none")
    add("--broker-name", metavar="NAME", help="its name for ever (default: the tenant)")
    add("--insecure", action="store_true", help="allow plain text to the broker (mqtt://)")
    add("--username", metavar="NAME", help="at the broker; or none")
    add("--password-file", metavar="FILE", help="file with the password; - is standard input")
    add("--ca-file", metavar="FILE", help="the broker's own certificate authority")
    add("--broker-format", metavar="FORMAT", help="what messages look like")
    add(
        "--sensor",
        action="append",
        default=[],
        metavar="NAME=WHERE",
        help="look at this port or Bluetooth address only; NAME=DRIVER@WHERE does not even look, "
        f"and may be a recording (*{RECORDING}); may be repeated",
    )
    add(
        "--key-file",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="the key of a sensor that encrypts; may be repeated",
    )
    add("--no-scan", action="store_true", help="do not look for sensors")
    add("--probe", action="store_true", help="also ask devices that nobody knows: writes to them")
    add("--listen", default=DEFAULT_LISTEN, metavar="DURATION", help="to each line setting")
    add(
        "--for",
        dest="hear",
        default=DEFAULT_HEAR,
        metavar="DURATION",
        help=f"listen so long for Bluetooth sensors (default: {DEFAULT_HEAR})",
    )
    add("--no-serial", action="store_true", help="do not look at the serial ports")
    add("--no-bluetooth", action="store_true", help="do not listen for Bluetooth sensors")
    add("--not-a-home", action="store_true", help="the meters here are those of no household")
    for term in TERMS:
        add(f"--{term.replace('_', '-')}", metavar="TEXT", help="of meters that are a household's")
    add(
        "--http",
        nargs="?",
        const=DEFAULT_HTTP,
        default="",
        metavar="ADDRESS",
        help=f"serve the status page, metrics and `top` (default: {DEFAULT_HTTP})",
    )
    add("--directory", default="", metavar="DIR", help="where the ring lives")
    add("--runtime-directory", default="", metavar="DIR", help="in memory, for the open block")
    add("--clock-trusted", action="store_true", help="a clock chip keeps the time right here")


class _Flags:
    """Checks one flag after the other and keeps what is wrong with them."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.errors: list[ConfigError] = []

    def take(self, flag: str, check: Callable[[str], T]) -> T | None:
        """Return the checked value of a flag, None if it was not given or is wrong."""
        text = getattr(self._arguments, flag.replace("-", "_"))
        return self.each(flag, text, check) if text else None

    def each(self, flag: str, text: str, check: Callable[[str], T]) -> T | None:
        """Return the checked value of one text of a flag."""
        problem = ""
        try:
            return check(text)
        except ValueError as error:
            problem = str(error)
        # The address of a broker may hold a password.
        shown = None if flag in ("broker-url", "password-file", "key-file") else text
        self.errors.append(ConfigError(problem, key=f"--{flag}", value=shown))
        return None


def given(arguments: argparse.Namespace) -> Given:
    """Return the checked flags; ConfigErrors with everything that is wrong with them."""
    flags = _Flags(arguments)
    terms = {term: getattr(arguments, term) for term in TERMS if getattr(arguments, term)}
    if "retention" in terms:
        terms["retention"] = flags.each("retention", terms["retention"], checked_retention) or ""
    sensors = [flags.each("sensor", text, _named) for text in arguments.sensor]
    keys = [flags.each("key-file", text, _key) for text in arguments.key_file]
    result = Given(
        id=flags.take("id", checked_slug),
        tenant=flags.take("tenant", checked_slug),
        place=flags.take("location", checked_place),
        place_said=bool(arguments.location),
        url=flags.take("broker-url", checked_url),
        broker_name=flags.take("broker-name", checked_slug),
        insecure=arguments.insecure,
        username=flags.take("username", _or_none),
        password=flags.take("password-file", _password),
        ca_file=flags.take("ca-file", _absolute),
        format=flags.take("broker-format", _format) or "",
        http=flags.take("http", checked_http) or "",
        sensors=tuple(each for each in sensors if each is not None),
        scan=not arguments.no_scan,
        probe=arguments.probe,
        listen_s=(0.0 if arguments.no_serial else flags.take("listen", _listen)) or 0.0,
        hear_s=(0.0 if arguments.no_bluetooth else flags.each("for", arguments.hear, _listen))
        or 0.0,
        keys=dict(each for each in keys if each is not None),
        not_a_home=arguments.not_a_home,
        terms=terms,
        directory=flags.take("directory", _absolute) or "",
        runtime_directory=flags.take("runtime-directory", _absolute) or "",
        clock_trusted=arguments.clock_trusted,
    )
    if result.url and is_plain(result.url) and arguments.yes and not result.insecure:
        flags.errors.append(ConfigError("is plain text: needs --insecure", key="--broker-url"))
    if result.insecure and result.url is not None and not is_plain(result.url):
        flags.errors.append(ConfigError("is for mqtt:// and ws:// only", key="--insecure"))
    if len({each.name for each in result.sensors}) < len(result.sensors):
        flags.errors.append(ConfigError("names two sensors the same", key="--sensor"))
    flags.errors += [
        ConfigError("names a sensor that no --sensor names", key="--key-file", value=name)
        for name in result.keys
        if name not in {each.name for each in result.sensors}
    ]
    if flags.errors:
        raise ConfigErrors(flags.errors)
    return result


def require_all(given: Given) -> None:
    """Raise ConfigErrors with each flag that is missing where nobody can be asked."""
    wanted = {
        "--id": (given.id is not None, "--id aarhus-dokk1-03"),
        "--tenant": (given.tenant is not None, "--tenant aarhus"),
        "--location": (given.place_said, '--location "56.1535, 10.2134", or none'),
        "--broker-url": (given.url is not None, "--broker-url mqtts://HOST:8883, or none"),
    }
    missing = [
        ConfigError("is missing, and nobody can be asked", key=flag, allowed=example)
        for flag, (there, example) in wanted.items()
        if not there
    ]
    if given.password and not given.username:
        missing.append(ConfigError("is missing beside --password-file", key="--username"))
    if missing:
        raise ConfigErrors(missing)


def _or_none(text: str) -> str:
    return "" if text == NONE else text


def _absolute(text: str) -> str:
    return str(Path(text).absolute())


def _format(name: str) -> str:
    if name not in format_names():
        raise ValueError(f"is not installed; there are {', '.join(format_names())}")
    return name


def _listen(text: str) -> float:
    seconds = parse_duration(text)
    if not 0 < seconds <= MAX_LISTEN_S:
        raise ValueError("must be up to 10 min")
    return seconds


def _password(file: str) -> str:
    """Return the first line of a file or of standard input; its content is never repeated."""
    try:
        if file == "-":
            data = sys.stdin.buffer.readline(MAX_PASSWORD_BYTES)
        else:
            with Path(file).open("rb") as source:
                data = source.readline(MAX_PASSWORD_BYTES)
        password = data.decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        password = ""
    if not password:
        raise ValueError("has no password in its first line")
    return password


def _key(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not equals or not file:
        raise ValueError("is not NAME=FILE")
    return checked_slug(name), _password(file)


def _named(text: str) -> Named:
    name, equals, where = text.partition("=")
    driver, at, place = where.partition("@")
    if not at:
        driver, place = "", where
    if not equals or not place:
        raise ValueError(FORMS)
    source = _source(place)
    if source == "replay" and not driver:
        raise ValueError(FORMS)
    if source == "address":
        try:
            place = checked_address(place)
        except ValueError:
            raise ValueError(FORMS) from None
    if driver and driver not in driver_names():
        raise ValueError(f"names no driver; there are {', '.join(driver_names())}")
    return Named(checked_slug(name), source, place, driver)


def _source(place: str) -> Source:
    if not place.startswith("/"):
        return "address"
    return "replay" if place.endswith(RECORDING) else "port"
