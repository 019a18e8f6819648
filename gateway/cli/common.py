"""What several commands share: the --config argument."""

import argparse
from pathlib import Path

__all__ = ["DEFAULT_CONFIG", "add_config_argument"]

DEFAULT_CONFIG = Path("/etc/citylab-gateway/gateway.toml")


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--config FILE``."""
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help=f"the configuration file (default: {DEFAULT_CONFIG})",
    )
