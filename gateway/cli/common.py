"""What several commands share: the --config argument and logging."""

import argparse
import logging
import os
import sys
from pathlib import Path

__all__ = ["DEFAULT_CONFIG", "add_config_argument", "set_up_logging"]

DEFAULT_CONFIG = Path("/etc/citylab-gateway/gateway.toml")

_SYSLOG_LEVELS = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


class _JournalFormatter(logging.Formatter):
    """Put the priority where the journal looks for it; the journal adds the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _SYSLOG_LEVELS.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--config FILE``."""
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help=f"the configuration file (default: {DEFAULT_CONFIG})",
    )


def set_up_logging(level: str) -> None:
    """Send the log to standard error, in the form that the journal or a terminal expects."""
    handler = logging.StreamHandler(sys.stderr)
    text = "%(levelname)s %(name)s: %(message)s"
    if os.environ.get("JOURNAL_STREAM"):
        handler.setFormatter(_JournalFormatter(text))
    else:
        handler.setFormatter(logging.Formatter(f"%(asctime)s {text}"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
