"""``citylab-gateway init``: from a box with sensors to a configuration that runs."""

import argparse
import os
import socket
import sys
from pathlib import Path

from gateway.cli import EXIT_FAILED, EXIT_OK
from gateway.cli.common import DEFAULT_CONFIG, add_config_argument
from gateway.cli.init.broker import ask_for_broker, broker_by_flags
from gateway.cli.init.given import DEFAULT_HTTP, Given, add_arguments, given, require_all
from gateway.cli.init.people import Person
from gateway.cli.init.plan import Plan, checked_place, checked_slug
from gateway.cli.init.sensors import ask_for_sensors, sensors_by_flags
from gateway.cli.init.service import Service, find_service
from gateway.cli.init.writing import write
from gateway.config.model import GatewaySection
from gateway.errors import ConfigError, ConfigErrors

__all__ = ["configure", "run"]

EXIT_INTERRUPTED = 130
NO_NAMES = ("localhost", "raspberrypi", "debian", "raspberry")
"""Host names that every box has until somebody gives it one."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``init``."""
    add_config_argument(parser)
    parser.add_argument("--yes", action="store_true", help="ask nothing: flags say what is needed")
    parser.add_argument(
        "--force", action="store_true", help="replace what is there; a backup is kept"
    )
    parser.add_argument("--start", action="store_true", help="start the service at the end")
    add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask, look, write; 0 written, 1 nobody wanted it, 130 Ctrl-C; nothing is written before.

    Without a terminal, or with ``--yes``, nobody is asked: ConfigErrors with every flag that is
    missing. ConfigError if a configuration is there already, without ``--force``.
    """
    arguments.yes = arguments.yes or not (sys.stdin.isatty() and sys.stdout.isatty())
    said = given(arguments)
    config: Path = arguments.config.absolute()
    if arguments.yes:
        require_all(said)
    _check_place(config, force=arguments.force)
    service = find_service()
    person = Person()
    try:
        plan = _by_flags(said) if arguments.yes else _interview(said, config, person)
    except (KeyboardInterrupt, EOFError):
        print()
        person.say("Ended; nothing was written.")
        return EXIT_INTERRUPTED
    if plan is None:
        person.say("Nothing was written.")
        return EXIT_FAILED
    if arguments.yes:
        _tell(write(plan, config, force=arguments.force, service=service), person)
        return _start(config, plan, service) if arguments.start else EXIT_OK
    _tell(_write(plan, config, person, service, force=arguments.force), person)
    return _offer(config, plan, service, person, start=arguments.start)


def _write(
    plan: Plan, config: Path, person: Person, service: Service | None, *, force: bool
) -> list[str]:
    """Write it; where a file is in the way, such as an older password, ask."""
    try:
        return write(plan, config, force=force, service=service)
    except ConfigErrors:
        raise
    except ConfigError as error:
        person.say(str(error))
        try:
            if force or not person.yes("Replace it, and keep a backup?", default=False):
                raise
        except (KeyboardInterrupt, EOFError):
            raise error from None
    return write(plan, config, force=True, service=service)


def _check_place(config: Path, *, force: bool) -> None:
    """Refuse before anybody has answered a question."""
    if config.exists() and not force:
        raise ConfigError(
            "is there already; --force replaces it and keeps a backup", file=str(config)
        )
    above = next(each for each in config.parents if each.exists())
    if not os.access(above, os.W_OK):
        raise ConfigError(
            "may not be written by this user: run it with sudo, or name another --config",
            file=str(config),
        )


def _by_flags(said: Given) -> Plan:
    tenant = said.tenant or ""
    broker = broker_by_flags(said, tenant)
    return Plan(
        id=said.id or "",
        tenant=tenant,
        place=said.place,
        sensors=sensors_by_flags(said),
        broker=broker,
        http=said.http,
        directory=said.directory,
        runtime_directory=said.runtime_directory,
        clock_trusted=said.clock_trusted,
    )


def _interview(said: Given, config: Path, person: Person) -> Plan | None:
    """Return what the person wants written; None: nothing."""
    person.say("A new gateway in four steps. Ctrl-C ends it; nothing is written before step 4.")
    _step(person, "1/4 The gateway")
    identity = said.id or person.ask(
        "Its name, part of every topic and id, for ever:", checked_slug, default=_host_name()
    )
    tenant = said.tenant or person.ask(
        "The city or lab that owns the data:",
        checked_slug,
        default=str(GatewaySection.model_fields["tenant"].default),
    )
    place = said.place
    if not said.place_said:
        place = person.ask(
            'Where it stands, as "56.1535, 10.2134" (Enter: nowhere):', checked_place
        )
    _step(person, "2/4 Sensors")
    sensors = ask_for_sensors(said, person)
    _step(person, "3/4 The broker")
    broker = ask_for_broker(said, tenant, identity, person)
    _step(person, "4/4 Write")
    http = said.http
    if not http and person.yes(
        f"Serve status page and `top` on {DEFAULT_HTTP}, for this machine only?", default=True
    ):
        http = DEFAULT_HTTP
    plan = Plan(
        identity,
        tenant,
        place,
        sensors,
        broker,
        http,
        said.directory,
        said.runtime_directory,
        said.clock_trusted,
    )
    _summary(plan, person)
    return plan if person.yes(f"Write {config}?", default=True) else None


def _step(person: Person, title: str) -> None:
    person.say()
    person.say(title)


def _host_name() -> str:
    """Return the name of this machine, if it is one of its own and can be used."""
    name = socket.gethostname().partition(".")[0].lower()
    try:
        return "" if name in NO_NAMES else checked_slug(name)
    except ValueError:
        return ""


def _summary(plan: Plan, person: Person) -> None:
    where = (
        "nowhere" if plan.place is None else f"{plan.place.lat:g} north, {plan.place.lon:g} east"
    )
    person.say(f"Gateway {plan.id} of {plan.tenant}, {where}.")
    for sensor in plan.sensors:
        person.say(f"Sensor {sensor.name}: {sensor.driver}.")
    if not plan.sensors:
        person.say("No sensor: nothing will be measured.")
    if plan.broker is None:
        person.say("No broker: readings stay in the box.")
    else:
        person.say(f"Broker {plan.broker.name}: {plan.broker.url}.")


def _tell(sentences: list[str], person: Person) -> None:
    for sentence in sentences:
        person.say(sentence)


def _offer(
    config: Path, plan: Plan, service: Service | None, person: Person, *, start: bool
) -> int:
    """Start the service if it runs this file and somebody wants it; else say how."""
    person.say()
    try:
        if start or (
            service is not None
            and config == DEFAULT_CONFIG
            and person.yes("Start the service now, and at each boot?", default=True)
        ):
            return _start(config, plan, service)
    except (KeyboardInterrupt, EOFError):
        print()
    _say_how(config, plan, service, person)
    return EXIT_OK


def _start(config: Path, plan: Plan, service: Service | None) -> int:
    person = Person()
    if service is None or config != DEFAULT_CONFIG:
        _say_how(config, plan, service, person)
        return EXIT_FAILED
    problem = service.start(http=bool(plan.http))
    if problem:
        person.say(f"It did not start: {problem}")
        person.say("journalctl -u citylab-gateway says more.")
        return EXIT_FAILED
    person.say("It runs. `citylab-gateway top` shows what it does.")
    return EXIT_OK


def _say_how(config: Path, plan: Plan, service: Service | None, person: Person) -> None:
    named = "" if config == DEFAULT_CONFIG else f" --config {config}"
    if service is not None and config == DEFAULT_CONFIG:
        person.say("It is started, now and at each boot, with:")
        for command in service.commands(http=bool(plan.http)):
            print(f"sudo systemctl {' '.join(command[1:])}")
    else:
        person.say("It is started with:")
        print(f"citylab-gateway run{named}")
    person.say("What may be wrong with this box:")
    print(f"citylab-gateway doctor{named}", flush=True)
