"""The least that a mosquitto broker has to allow: exactly the topics that are written and read."""

from collections.abc import Iterator

from gateway.cli.describe.channels import channels
from gateway.cli.describe.leaving import Leaving

__all__ = ["mosquitto_acl"]


def mosquitto_acl(leavings: list[Leaving]) -> Iterator[str]:
    """Yield the lines of an acl_file for each broker; each part belongs to its own broker."""
    for leaving in leavings:
        yield from _broker(leaving)


def _broker(leaving: Leaving) -> Iterator[str]:
    broker, found = leaving.broker, channels(leaving)
    yield f"# broker {broker.name}: gateway {leaving.context.gateway}, format {broker.format}"
    if broker.username:
        yield f"user {broker.username}"
    elif broker.tls.cert_file:
        yield "# Write the common name of the client certificate behind user; mosquitto.conf needs"
        yield "# use_identity_as_username true."
        yield f"user {broker.client_id_of(leaving.context.gateway)}"
    else:
        yield "# No username and no certificate: this is for everybody who connects without."
    for topic in found.by_topic:
        yield f"topic write {topic}"
    for topic in found.subscriptions:
        yield f"topic read {topic}"
    yield ""
