"""``citylab-gateway top``: what the running daemon does, live, on a terminal of any size."""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from gateway.cli.common import DEFAULT_CONFIG, add_config_argument
from gateway.cli.top.fetch import Source, ask
from gateway.cli.top.frame import Looks, once_lines
from gateway.cli.top.live import watch
from gateway.cli.top.rates import Rates
from gateway.config.load import load
from gateway.config.model import HttpSection
from gateway.config.secrets import read_secret
from gateway.config.units import parse_duration
from gateway.errors import ConfigError

__all__ = ["configure", "run"]

DEFAULT_INTERVAL = "1 s"
MIN_INTERVAL_S = 0.1
MAX_INTERVAL_S = 3600.0
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here
"""Where a daemon that listens everywhere is asked."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``top``."""
    add_config_argument(parser)
    parser.add_argument(
        "--url",
        metavar="URL",
        help="where the daemon answers (default: as [http] in the configuration says)",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="file with the token of the status page (default: as [http] says)",
    )
    parser.add_argument(
        "--interval",
        default=DEFAULT_INTERVAL,
        metavar="DURATION",
        help=f"between two looks (default: {DEFAULT_INTERVAL})",
    )
    parser.add_argument("--once", action="store_true", help="print one picture and end")


def run(arguments: argparse.Namespace) -> int:
    """Show it until q or Ctrl-C. With ``--once``, or into a pipe, one picture; 1: no answer."""
    interval_s = _interval(arguments.interval)
    source = _source(arguments)
    if arguments.once or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return asyncio.run(_once(source))
    return asyncio.run(watch(source, interval_s, _looks()))


def _interval(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ConfigError(str(error), key="--interval") from error
    if not MIN_INTERVAL_S <= seconds <= MAX_INTERVAL_S:
        raise ConfigError("must be from 100 ms to 1 h", key="--interval", value=text)
    return seconds


def _looks() -> Looks:
    """Colours unless NO_COLOR is set or nobody sees them; ASCII where the terminal has no more."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    return Looks(colour=colour, ascii_only=encoding != "utf8")


async def _once(source: Source) -> int:
    answer = await ask(source)
    if answer.snapshot is None:
        print(f"error: {source.url}: {answer.problem}", file=sys.stderr)
        return 1
    rates = Rates()
    rates.take(answer.snapshot)
    print("\n".join(once_lines(answer.snapshot, rates, _looks())))
    return 0


def _source(arguments: argparse.Namespace) -> Source:
    """Return where to ask: the flags win over the configuration."""
    section = HttpSection() if arguments.url else _section(arguments.config)
    host, port = section.host, section.port
    if arguments.url:
        host, port = _split(arguments.url)
    file = arguments.token_file or section.token_file
    if arguments.token_file:
        file = str(Path(arguments.token_file).absolute())
    return Source(ANY_ADDRESS.get(host, host), port, _token(file) if file else "")


def _token(file: str) -> str:
    try:
        return read_secret(file)
    except ConfigError as error:
        problem, where = error.problem, error.file
    raise ConfigError(f"{problem}; for this command: --token-file", file=where, key="token")


def _section(config: Path) -> HttpSection:
    """Return ``[http]``; the usual one where the usual file is there and not for this user."""
    if config == DEFAULT_CONFIG and _hidden(config):
        return HttpSection()
    section = load(config).http
    if section is None:
        raise ConfigError(
            "the daemon shows nothing without this section: add [http], then "
            "citylab-gateway reload",
            file=str(config),
            key="http",
        )
    return section


def _hidden(path: Path) -> bool:
    try:
        with path.open("rb"):
            return False
    except PermissionError:
        return True
    except OSError:
        return False


def _split(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme != "http" or parts.username is not None:
        raise ConfigError("is no address", key="--url", allowed="http://127.0.0.1:9469")
    return host, port or HttpSection().port
