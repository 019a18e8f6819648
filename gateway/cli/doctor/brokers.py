"""Asks each broker whether it takes us, by connecting under a client id of our own."""

import asyncio
from dataclasses import replace

from gateway.cli.doctor.finding import Finding
from gateway.config.model import BrokerSection, Configuration
from gateway.config.secrets import broker_password, expand_tls
from gateway.errors import BrokerRefused, BrokerUnreachable, ConfigError
from gateway.forward.causes import EXPLANATIONS
from gateway.forward.link import connection_settings
from gateway.forward.mqtt import open_connection

__all__ = ["examine_brokers"]

CLIENT_ID_SUFFIX = "-doctor"
"""Under the daemon's own client id the broker would throw the daemon out."""


async def examine_brokers(configuration: Configuration) -> list[Finding]:
    """Connect to all brokers at once; return one finding for each, in the order of the file."""
    return await asyncio.gather(
        *(_examine(configuration.gateway.id, broker) for broker in configuration.broker)
    )


async def _examine(gateway: str, broker: BrokerSection) -> Finding:
    subject = f"broker {broker.name}"
    try:
        password = broker_password(broker)
        section = broker.model_copy(update={"tls": expand_tls(broker.tls)})
    except ConfigError as error:
        return Finding("fail", subject, str(error), cause="secret")
    settings = connection_settings(section, gateway=gateway, password=password, will=None)
    settings = replace(settings, client_id=settings.client_id + CLIENT_ID_SUFFIX)
    try:
        connection = await open_connection(settings)
    except (BrokerUnreachable, BrokerRefused) as error:
        return Finding("fail", subject, str(error), EXPLANATIONS[error.cause], cause=error.cause)
    await connection.disconnect()
    await connection.close()
    how = "plain text" if broker.insecure else "TLS, certificate checked"
    who = f"as {broker.username}" if broker.username else "without a user name"
    return Finding("ok", subject, f"{broker.host}:{broker.port} takes us {who} ({how})")
