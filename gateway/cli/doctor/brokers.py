"""Goes the way to each broker step by step: name, connection, TLS, login, one message.

The message is empty, is not kept by the broker, and goes to the status topic: the least that tells
whether publishing is allowed. It goes out under a client id of doctor's own.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.cli.doctor.box import Box
from gateway.cli.doctor.broker_steps import connect, publish, resolve, shake_hands
from gateway.cli.doctor.certificates import SOON_S, first_end_s
from gateway.cli.doctor.finding import NOT_SEEN, Finding, Trouble
from gateway.cli.doctor.loops import finish
from gateway.cli.doctor.secrets import with_files
from gateway.config.model import BrokerSection
from gateway.config.secrets import broker_password, expand_tls
from gateway.errors import BrokerRefused, BrokerUnreachable, ConfigError
from gateway.forward.causes import EXPLANATIONS, SUCCESS, BrokerError
from gateway.forward.connection import Connection
from gateway.forward.link import connection_settings
from gateway.forward.mqtt import open_connection

__all__ = ["TIMEOUT_S", "TROUBLES", "look"]

CLIENT_ID_SUFFIX = "-doctor"
"""Under the daemon's own client id the broker would throw the daemon out."""
STEP_TIMEOUT_S = 10.0
"""For each of five steps; connect_timeout where that is shorter."""
TIMEOUT_S = 6 * STEP_TIMEOUT_S
SLOW_S = 3.0
TOPIC_NAME_INVALID = 0x90

RESOLVE = Trouble(
    "broker_resolve", "fail", "The name of the broker is not known.", "getent hosts {host}"
)
CONNECT = Trouble(
    "broker_connect",
    "fail",
    "The broker cannot be reached.",
    "nc -vz -w 5 {host} {port}; from elsewhere, too: then it is the broker or its firewall",
)
TLS = Trouble(
    "broker_tls",
    "fail",
    "No safe connection comes about.",
    "openssl s_client -connect {host}:{port} -servername {host} {ca}</dev/null",
)
LOGIN = Trouble(
    "broker_login",
    "fail",
    "The broker does not let this gateway in.",
    "{write}; then sudo systemctl restart citylab-gateway",
)
PUBLISH = Trouble(
    "broker_publish",
    "fail",
    "The broker takes no reading from this gateway: its access rules do not allow the topic.",
    "citylab-gateway describe --mosquitto-acl --config {config}: who runs the broker allows these",
)
ROUND_TRIP = Trouble(
    "broker_slow",
    "warn",
    "The backlog of an outage is sent slowly.",
    "ping -c 10 {host}; lower [[broker]] batch_readings on a poor mobile link",
)
ENDING = Trouble(
    "certificate_ends",
    "warn",
    "When it has ended no connection comes about any more.",
    "have it renewed (it is used without a restart): openssl x509 -enddate -noout -in {file}",
)
TROUBLES = (RESOLVE, CONNECT, TLS, LOGIN, PUBLISH, ROUND_TRIP, ENDING)


@dataclass(frozen=True, slots=True)
class _Way:
    """The way to one broker."""

    box: Box
    broker: BrokerSection
    gateway: str
    status_topic: str
    ends_s: float | None
    """When the first certificate of our own files ends, Unix s."""
    problem: str = ""
    """Why password or certificates cannot be had from here."""
    password: str | None = None

    @property
    def subject(self) -> str:
        return f"broker {self.broker.name}"

    @property
    def timeout_s(self) -> float:
        return min(self.broker.connect_timeout, STEP_TIMEOUT_S)

    def failed(self, trouble: Trouble, step: str, error: BrokerError) -> Finding:
        """Return the finding that a step went wrong, in the words of docs/causes.md."""
        broker = self.broker
        file = broker.password_file or "/etc/citylab-gateway/secrets/NAME"
        return trouble.found(
            self.subject,
            f"{step}: {error.cause}" + (f" ({error.detail})" if error.detail else ""),
            why=EXPLANATIONS[error.cause],
            cause=error.cause,
            host=broker.host,
            port=broker.port,
            ca=f"-CAfile {broker.tls.ca_file} " if broker.tls.ca_file else "",
            write=f"sudo install -m 600 /dev/stdin {file} (type the password, Enter, Ctrl-D)",
            config=self.box.config,
        )


def look(box: Box) -> Iterator[Finding]:
    """Go to all brokers at once; yield what was found on each way, in the order of the file."""
    if box.configuration is None or not box.configuration.broker:
        return
    ways = [_way(box, broker) for broker in box.configuration.broker]
    for findings in finish(_go_all(ways)):
        yield from findings


async def _go_all(ways: list[_Way]) -> list[list[Finding]]:
    return await asyncio.gather(*(_go(way) for way in ways))


async def _go(way: _Way) -> list[Finding]:
    return [finding async for finding in _steps(way)]


def _way(box: Box, broker: BrokerSection) -> _Way:
    """Read what is needed before the loop runs: files are not for it."""
    configuration = box.configuration
    assert configuration is not None  # noqa: S101 - look has made sure
    gateway = configuration.gateway
    topic = broker.status_topic.replace("{tenant}", gateway.tenant)
    way = _Way(box, broker, gateway.id, topic.replace("{gateway}", gateway.id), None)
    try:
        located = with_files(box, broker)
        tls = expand_tls(located.tls)
        password = broker_password(located)
    except ConfigError as error:
        return replace(way, problem=str(error))
    files = [Path(file) for file in (tls.ca_file, tls.cert_file) if file]
    located = located.model_copy(update={"tls": tls})
    return replace(way, broker=located, password=password, ends_s=first_end_s(files))


async def _steps(way: _Way) -> AsyncIterator[Finding]:
    """Yield what each step found, up to the first that fails."""
    broker = way.broker
    address = f"{broker.host}:{broker.port}"
    try:
        count = await resolve(broker, STEP_TIMEOUT_S)
    except (BrokerUnreachable, BrokerRefused) as error:
        yield way.failed(RESOLVE, "resolve", error)
        return
    yield Finding.fine(way.subject, f"resolve: {broker.host}, addresses: {count}")
    try:
        took_s = await connect(broker, way.timeout_s)
    except (BrokerUnreachable, BrokerRefused) as error:
        yield way.failed(CONNECT, "connect", error)
        return
    yield Finding.fine(way.subject, f"connect: {address} in {_ms(took_s)}")
    if way.problem:
        detail = f"TLS, login and publishing were not tried: {way.problem}"
        how = "mend what stands under Secrets; as an ordinary user: sudo citylab-gateway doctor"
        yield NOT_SEEN.found(way.subject, detail, how=how)
        return
    if not broker.insecure:
        try:
            agreed = await shake_hands(broker, way.timeout_s)
        except (BrokerUnreachable, BrokerRefused) as error:
            yield way.failed(TLS, "TLS", error)
            return
        yield Finding.fine(way.subject, f"TLS: {agreed.version}, certificate checked")
        for finding in _endings(way, agreed.ends_s):
            yield finding
    async for finding in _talk(way):
        yield finding


def _endings(way: _Way, ends_s: float | None) -> Iterator[Finding]:
    """Yield whose certificate ends soon."""
    own = way.broker.tls.cert_file or way.broker.tls.ca_file
    for whose, moment_s, file in (
        ("the broker's certificate", ends_s, "FILE, which is the broker's"),
        ("one of our certificate files", way.ends_s, own),
    ):
        left_s = None if moment_s is None else moment_s - time.time()
        if left_s is not None and left_s < SOON_S:
            yield ENDING.found(way.subject, f"{whose} ends in {left_s / 86400:.0f} d", file=file)


async def _talk(way: _Way) -> AsyncIterator[Finding]:
    broker = way.broker
    settings = connection_settings(broker, gateway=way.gateway, password=way.password, will=None)
    settings = replace(
        settings,
        client_id=settings.client_id + CLIENT_ID_SUFFIX,
        connect_timeout_s=way.timeout_s,
    )
    try:
        connection = await open_connection(settings)
    except (BrokerUnreachable, BrokerRefused) as error:
        # With TLS 1.3 a broker says only now that it dislikes our certificate.
        yield way.failed(TLS if error.cause.startswith("tls") else LOGIN, "login", error)
        return
    who = f"as {broker.username}" if broker.username else "without a user name"
    yield Finding.fine(way.subject, f"login: {who}, MQTT {broker.protocol}")
    try:
        if not way.box.publish or not way.status_topic:
            why = "--no-publish was given" if way.status_topic else "it has no status_topic"
            how = "citylab-gateway doctor, without --no-publish" if way.status_topic else ""
            yield NOT_SEEN.found(way.subject, f"publish: not tried, {why}", how=how)
        else:
            yield await _publish(way, connection)
    finally:
        await connection.disconnect()
        await connection.close()


async def _publish(way: _Way, connection: Connection) -> Finding:
    broker, topic = way.broker, way.status_topic
    try:
        code, took_s = await publish(broker, connection, topic, STEP_TIMEOUT_S)
    except BrokerUnreachable as error:
        return way.failed(PUBLISH, "publish", error)
    if code not in SUCCESS:
        cause = "topic_refused" if code == TOPIC_NAME_INVALID else "not_authorised"
        refused = BrokerRefused(broker.name, cause, f"PUBACK 0x{code:02X} for {topic}")
        return replace(way.failed(PUBLISH, "publish", refused), why=PUBLISH.why)
    if took_s > SLOW_S:
        return ROUND_TRIP.found(way.subject, f"round trip: {took_s:.1f} s", host=broker.host)
    sure = "" if broker.protocol == "5" else "; MQTT 3.1.1 cannot say that it is not allowed"
    return Finding.fine(way.subject, f"publish: round trip of {_ms(took_s)}{sure}")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
