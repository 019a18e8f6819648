"""Which ring a command is about: ``--directory`` or ``--config``."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.buffer.inspect import RingView
from gateway.cli.common import DEFAULT_CONFIG
from gateway.config.load import load
from gateway.config.model import Configuration
from gateway.errors import ConfigError, GatewayError

__all__ = ["add_source_arguments", "configuration", "data_directory", "open_ring"]


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--directory`` and ``--config``, of which one counts."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="the data directory, a copy of it, or a copied ring file",
    )
    source.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help=f"the configuration that names the data directory (default: {DEFAULT_CONFIG})",
    )


def configuration(arguments: argparse.Namespace) -> Configuration | None:
    """Return the configuration, None with ``--directory``. ConfigErrors if it is wrong."""
    return None if arguments.directory is not None else load(arguments.config)


def data_directory(arguments: argparse.Namespace, loaded: Configuration | None) -> Path:
    """Return the data directory, or with ``--directory`` what was named there."""
    directory: Path = arguments.directory if loaded is None else loaded.buffer.directory
    return directory


@contextmanager
def open_ring(path: Path) -> Iterator[RingView]:
    """Open a ring to read. ConfigError if there is none at ``path``, GatewayError if it is shut."""
    try:
        view = RingView(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ConfigError(_nothing_there(path)) from error
    except PermissionError as error:
        raise GatewayError(
            f"{path} may not be read by this user; try it with sudo, or as the gateway's user"
        ) from error
    except OSError as error:
        raise GatewayError(f"{path} cannot be read: {error.strerror}") from error
    with view:
        yield view


def _nothing_there(path: Path) -> str:
    if path.is_dir():
        return f"{path} holds no ring; name the data directory with --directory DIR"
    return f"{path} does not exist; name the data directory with --directory DIR"
