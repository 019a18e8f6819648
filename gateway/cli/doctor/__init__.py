"""``citylab-gateway doctor``: what is wrong with this box, and the command that mends it."""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict

from gateway.cli.common import add_config_argument
from gateway.cli.doctor.brokers import examine_brokers
from gateway.cli.doctor.clock import examine_clock
from gateway.cli.doctor.finding import Finding, report, worst
from gateway.cli.doctor.footfall import examine_footfall
from gateway.cli.doctor.ports import examine_ports
from gateway.cli.doctor.secrets import examine_secrets
from gateway.cli.doctor.storage import examine_storage
from gateway.config.load import load
from gateway.config.model import Configuration

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``doctor``."""
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; return 1 if one of them keeps data from flowing.

    Raises ConfigErrors (exit code 2) for a configuration that ``check`` would refuse.
    """
    configuration = load(arguments.config)
    findings = asyncio.run(_examine(configuration))
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print("\n".join(report(findings, coloured=sys.stdout.isatty())))
    return 1 if worst(findings) == "fail" else 0


async def _examine(configuration: Configuration) -> list[Finding]:
    return [
        *examine_secrets(configuration),
        *examine_storage(configuration.buffer),
        *examine_ports(configuration.sensor),
        *examine_footfall(configuration.sensor),
        *await examine_clock(configuration.clock),
        *await examine_brokers(configuration),
    ]
