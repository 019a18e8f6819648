"""``citylab-gateway describe``: exactly what leaves for whom, for people and for machines.

Everything is worked out by the formats and the policy that the links use, on made-up readings, so
that no document can differ from what leaves. It needs the configuration and nothing else.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from gateway.cli.common import add_config_argument
from gateway.cli.describe.acl import mosquitto_acl
from gateway.cli.describe.asyncapi import asyncapi
from gateway.cli.describe.data_sheet import data_sheet
from gateway.cli.describe.dcat import dcat
from gateway.cli.describe.facts import facts
from gateway.cli.describe.leaving import Leaving, leaving
from gateway.cli.describe.page import page
from gateway.cli.describe.provisioning import provisioning
from gateway.cli.describe.sign import sign
from gateway.config.load import load
from gateway.config.model import Configuration

__all__ = ["configure", "run"]

Writer = Callable[[Configuration, list[Leaving]], Any]

DOCUMENTS: Mapping[str, tuple[str, Writer]] = {
    "asyncapi": ("all topics and payloads as an AsyncAPI 3.1 document", asyncapi),
    "dcat": ("a DCAT-AP 3.0.1 catalogue in JSON-LD; needs [catalogue]", dcat),
    "provisioning": ("what a FIWARE IoT Agent has to be told first", provisioning),
}
"""Options that print one JSON document each."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``describe``."""
    add_config_argument(parser)
    parser.add_argument("--broker", default="", metavar="NAME", help="only this broker")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="the page for people as JSON")
    for name, (text, _) in DOCUMENTS.items():
        what.add_argument(f"--{name}", action="store_true", help=text)
    what.add_argument(
        "--data-sheet",
        nargs="?",
        choices=("json", "text"),
        const="json",
        help="the data sheet; text: for the sign on the pole, in Danish and English",
    )
    what.add_argument(
        "--mosquitto-acl",
        action="store_true",
        help="the least that a mosquitto broker has to allow this gateway",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one document; return 0, or raise ConfigErrors (exit code 2)."""
    configuration = load(arguments.config)
    found = leaving(configuration, arguments.broker)
    if hasattr(sys.stdout, "reconfigure"):  # names may hold what an old terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    for name, (_, write) in DOCUMENTS.items():
        if getattr(arguments, name):
            _print_json(write(configuration, found))
            return 0
    if arguments.mosquitto_acl:
        print("\n".join(mosquitto_acl(found)))
    elif arguments.data_sheet == "json":
        _print_json(data_sheet(configuration, found))
    elif arguments.data_sheet == "text":
        print("\n".join(sign(data_sheet(configuration, found))))
    elif arguments.json:
        _print_json(facts(configuration, found))
    else:
        print("\n".join(page(facts(configuration, found))))
    return 0


def _print_json(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))
