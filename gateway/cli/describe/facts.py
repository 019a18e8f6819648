"""What leaves, as plain data: the source of the page for people and of ``--json``."""

from typing import Any

from gateway.cli.describe.channels import Channels, channels
from gateway.cli.describe.leaving import Leaving, Outgoing, sensor_limit_s
from gateway.config.model import Configuration
from gateway.filters import filters_for
from gateway.quantities import registry
from gateway.reading import Series

__all__ = ["NOT_CARRIED", "broker_facts", "facts"]

SUMS = ("delta",)
NOT_CARRIED = "format {} cannot carry it"


def facts(configuration: Configuration, leavings: list[Leaving]) -> dict[str, Any]:
    """Return everything that leaves: the gateway, and each broker with its sensors."""
    gateway = configuration.gateway
    return {
        "gateway": gateway.id,
        "tenant": gateway.tenant,
        "brokers": [broker_facts(configuration, each, channels(each)) for each in leavings],
    }


def broker_facts(configuration: Configuration, leaving: Leaving, found: Channels) -> dict[str, Any]:
    """Return what one broker gets and how."""
    broker = leaving.broker
    sensors = [_sensor(configuration, leaving, each, found) for each in leaving.sensors]
    return {
        "name": broker.name,
        "url": broker.url,
        "encrypted": not broker.insecure,
        "open": broker.open,
        "protocol": broker.protocol,
        "format": broker.format,
        "schema": leaving.format.schema,
        "qos": leaving.format.qos,
        "history": broker.history or leaving.format.history,
        "history_rate": broker.history_rate,
        "message_expiry_s": broker.message_expiry,
        "topics": {
            topic: [sample.kind for sample in samples] for topic, samples in found.by_topic.items()
        },
        "subscriptions": list(found.subscriptions),
        "sensors": [each for each in sensors if each["quantities"]],
        "withheld": [
            {"sensor": outgoing.section.name, "quantity": each.quantity, "reason": each.reason}
            for outgoing in leaving.sensors
            for each in outgoing.withheld
        ]
        + [
            {
                "sensor": sensor,
                "quantity": quantity,
                "reason": NOT_CARRIED.format(broker.format),
            }
            for sensor, quantity in dict.fromkeys(
                (each.key.sensor, each.key.quantity)
                for each in leaving.series
                if each.id not in found.carried
            )
        ],
    }


def _sensor(
    configuration: Configuration, leaving: Leaving, outgoing: Outgoing, found: Channels
) -> dict[str, Any]:
    section, facts = outgoing.section, outgoing.facts
    place = leaving.context.location_of(section.name)
    return {
        "name": section.name,
        "device": facts.title,
        "privacy": facts.privacy,
        "purpose": section.purpose or None,
        "controller": section.controller or None,
        "legal_basis": section.legal_basis or None,
        "retention_s": sensor_limit_s(configuration, section, facts.privacy),
        "location": None if place is None else {"lon": place.lon, "lat": place.lat},
        "location_decimals": None if place is None else outgoing.terms.location_decimals,
        "quantities": _quantities(outgoing, found),
    }


def _quantities(outgoing: Outgoing, found: Channels) -> list[dict[str, Any]]:
    """Return one entry a quantity, with all dimensions that it comes in."""
    grouped: dict[str, list[Series]] = {}
    for each in outgoing.series:
        if each.id in found.carried:
            grouped.setdefault(each.key.quantity, []).append(each)
    return [_quantity(outgoing, each) for each in grouped.values()]


def _quantity(outgoing: Outgoing, series: list[Series]) -> dict[str, Any]:
    name = series[0].key.quantity
    is_sum = registry()[name].kind in SUMS
    dims: dict[str, list[str]] = {}
    for key, value in (pair for each in series for pair in each.key.dims):
        if value not in dims.setdefault(key, []):
            dims[key].append(value)
    return {
        "quantity": name,
        "unit": series[0].unit,
        "aggregations": list(dict.fromkeys(each.key.aggregation for each in series)),
        "dims": dims,
        "measured_every_s": outgoing.facts.interval_s,
        "filters": filters_for(outgoing.section.filter, outgoing.sources[series[0].key]),
        "at_most_one_in_s": 0.0 if is_sum else outgoing.terms.min_interval_s,
    }
