"""The questions about the broker, and whether it takes us with the answers."""

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from gateway.cli.init.given import Given
from gateway.cli.init.people import Person
from gateway.cli.init.plan import (
    BrokerPlan,
    checked_broker,
    checked_slug,
    checked_url,
    is_plain,
)
from gateway.errors import BrokerRefused, BrokerUnreachable, ConfigError
from gateway.forward.causes import EXPLANATIONS
from gateway.forward.link import connection_settings
from gateway.forward.mqtt import open_connection

__all__ = ["ask_for_broker", "broker_by_flags"]

CLIENT_ID_SUFFIX = "-init"
"""Under the daemon's own client id the broker would throw a running daemon out."""


def broker_by_flags(given: Given, tenant: str) -> BrokerPlan | None:
    """Return the broker without asking anybody; ConfigError if its parts do not fit."""
    if not given.url:
        return None
    if is_plain(given.url) and not given.insecure:
        raise ConfigError("is plain text: needs --insecure", key="--broker-url")
    broker = BrokerPlan(
        given.broker_name or tenant,
        given.url,
        is_plain(given.url),
        given.username or "",
        given.password or "",
        given.ca_file or "",
        given.format,
    )
    try:
        return checked_broker(broker)
    except ValueError as error:
        problem = str(error)
    raise ConfigError(problem, key="--broker-url")


def ask_for_broker(given: Given, tenant: str, gateway: str, person: Person) -> BrokerPlan | None:
    """Ask until the broker takes us, or the person is content without."""
    while True:
        broker = _asked(given, tenant, person)
        if broker is None:
            return None
        person.say(f"Trying {urlsplit(broker.url).hostname} ...")
        problem = asyncio.run(_problem(broker, gateway))
        if not problem:
            person.say("It takes us.")
            return broker
        person.say(f"It does not work: {problem}")
        if person.yes("Keep it as it is? (No asks again.)", default=True):
            return broker
        given = replace(given, url=None, username=None, password=None, ca_file=None)


def _asked(given: Given, tenant: str, person: Person) -> BrokerPlan | None:
    url = given.url
    if url is None:
        url = person.ask("Its address, mqtts://HOST:8883 (Enter: no broker):", checked_url)
    if not url:
        return None
    insecure = is_plain(url)
    if insecure and not given.insecure:
        person.say("That is plain text: everybody on the way can read and forge.")
        if not person.yes("Allow it all the same?", default=None):
            return _asked(replace(given, url=None), tenant, person)
    name = given.broker_name or person.ask(
        "Its name in this gateway, for ever:", checked_slug, default=tenant
    )
    username = given.username
    if username is None:
        username = person.ask("User name there (Enter: none):", str)
    password = given.password or ""
    if username and given.password is None:
        password = person.secret("Password (is not shown; Enter: none):")
    ca_file = given.ca_file
    if ca_file is None:
        ca_file = "" if insecure else _authority(person)
    broker = BrokerPlan(name, url, insecure, username, password, ca_file, given.format)
    try:
        return checked_broker(broker)
    except ValueError as error:
        person.say(f"That does not fit together: it {error}")
    return _asked(replace(given, url=None, username=None, password=None), tenant, person)


def _authority(person: Person) -> str:
    def readable(text: str) -> str:
        if text:
            try:
                with Path(text).open("rb"):
                    pass
            except OSError as error:
                reason = (error.strerror or "unknown error").lower()
                raise ValueError(f"cannot be read: {reason}") from error
            if not text.startswith("/"):
                raise ValueError("has to begin with /")
        return text

    return person.ask("File with its own authority, PEM (Enter: a public one):", readable)


async def _problem(broker: BrokerPlan, gateway: str) -> str:
    """Return why the broker does not take us, empty if it does."""
    settings = connection_settings(
        broker.section(), gateway=gateway, password=broker.password or None, will=None
    )
    settings = replace(settings, client_id=settings.client_id + CLIENT_ID_SUFFIX)
    try:
        connection = await open_connection(settings)
    except (BrokerUnreachable, BrokerRefused) as error:
        return f"{error.cause}. {EXPLANATIONS[error.cause]}"
    await connection.disconnect()
    await connection.close()
    return ""
