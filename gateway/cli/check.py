"""``citylab-gateway check``: validate a configuration and say what would run."""

import argparse
import json

from gateway.cli.common import add_config_argument
from gateway.cli.explain import add_arguments, explain
from gateway.config.describe import plan_lines
from gateway.config.load import load
from gateway.errors import ConfigError

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``check``."""
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the checked values as JSON")
    add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan; return 0, or raise ConfigErrors (exit code 2)."""
    for option in ("minutes", "recording"):
        if arguments.explain is None and getattr(arguments, option) is not None:
            raise ConfigError("belongs to --explain SENSOR", key=f"--{option}")
    configuration = load(arguments.config)
    if arguments.explain is not None:
        return explain(arguments, configuration)
    if arguments.json:
        print(json.dumps(configuration.model_dump(mode="json", by_alias=True), indent=2))
    else:
        print("\n".join(plan_lines(configuration)))
        print(f"{arguments.config}: fine")
    return 0
