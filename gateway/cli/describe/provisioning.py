"""What a FIWARE IoT Agent has to be told before it takes the measures of the gateway."""

from typing import Any

from gateway.cli.describe.leaving import Leaving
from gateway.config.model import Configuration
from gateway.errors import ConfigError
from gateway.forward.formats.fiware_iota import provisioning as services_of

__all__ = ["provisioning"]

FORMAT = "fiware-iota"


def provisioning(
    configuration: Configuration,  # noqa: ARG001 - as the writers of all documents
    leavings: list[Leaving],
) -> dict[str, Any]:
    """Return what to post to ``/iot/services`` and ``/iot/devices``, by the name of the broker.

    Raises ConfigError if no broker has that format.
    """
    found = {
        leaving.broker.name: services_of(leaving.series, leaving.context, leaving.format.options)
        for leaving in leavings
        if leaving.broker.format == FORMAT
    }
    if not found:
        raise ConfigError(
            f"no broker has format {FORMAT}, the only one that needs it", key="--provisioning"
        )
    return found
