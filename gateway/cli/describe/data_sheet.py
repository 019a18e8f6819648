"""The data sheet (PRIV-13): what is measured, why, how long it is kept, and who gets it."""

from collections.abc import Mapping
from typing import Any

from gateway.assembly import format_context
from gateway.cli.describe.channels import channels
from gateway.cli.describe.dcat import require
from gateway.cli.describe.facts import broker_facts
from gateway.cli.describe.leaving import Leaving, sensor_limit_s
from gateway.cli.describe.series import possible_series
from gateway.config.model import Configuration, SensorSection
from gateway.forward import SensorFacts
from gateway.reading import PrivacyClass

__all__ = ["data_sheet"]

SCHEMA = "urn:citylab-gateway:data-sheet:1"
NEEDED = ("publisher", "contact")
CLASS_MEANINGS: Mapping[PrivacyClass, str] = {
    "P0": "physical quantities, no person",
    "P1": "statistics about people or vehicles, without identifiers",
    "P2": "identifiers exist for minutes in memory; only counts leave, the small ones hidden",
    "P3": "data of a household or a person",
}


def data_sheet(configuration: Configuration, leavings: list[Leaving]) -> dict[str, Any]:
    """Return the sheet of the whole gateway, with the sensors that nobody gets, too.

    Raises ConfigErrors if [catalogue] does not say who publishes and whom to ask.
    """
    catalogue, gateway = configuration.catalogue, configuration.gateway
    require(catalogue, NEEDED, "the data sheet")
    known = format_context(configuration)
    brokers = [broker_facts(configuration, each, channels(each)) for each in leavings]
    return {
        "schema": SCHEMA,
        "gateway": gateway.id,
        "tenant": gateway.tenant,
        "title": catalogue.title or None,
        "publisher": catalogue.publisher,
        "publisher_url": catalogue.publisher_url or None,
        "contact": catalogue.contact,
        "page": catalogue.page or None,
        "software": f"citylab-gateway {known.version}",
        "stored": "numbers with a time; no pictures, no sound, no names, no device addresses",
        "sensors": [
            _sensor(configuration, sensor, known.sensors[sensor.name], brokers)
            for sensor in configuration.sensor
        ],
    }


def _sensor(
    configuration: Configuration,
    section: SensorSection,
    facts: SensorFacts,
    brokers: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "name": section.name,
        "device": facts.title,
        "domain": facts.domain,
        "privacy": facts.privacy,
        "privacy_meaning": CLASS_MEANINGS[facts.privacy],
        "measures": [
            {"quantity": quantity, "unit": unit}
            for quantity, unit in dict.fromkeys(
                (each.series.key.quantity, each.series.unit)
                for each in possible_series(section, facts)
            )
        ],
        "measured_every_s": facts.interval_s,
        "purpose": section.purpose or None,
        "controller": section.controller or None,
        "legal_basis": section.legal_basis or None,
        "sign": section.sign or None,
        "retention_s": sensor_limit_s(configuration, section, facts.privacy),
        "recipients": [
            _recipient(broker, sensor)
            for broker in brokers
            for sensor in broker["sensors"]
            if sensor["name"] == section.name
        ],
    }


def _recipient(broker: Mapping[str, Any], sensor: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "broker": broker["name"],
        "host": broker["url"],
        "open": broker["open"],
        "encrypted": broker["encrypted"],
        "quantities": [each["quantity"] for each in sensor["quantities"]],
        "at_most_one_in_s": max(each["at_most_one_in_s"] for each in sensor["quantities"]),
        "location_decimals": sensor["location_decimals"],
    }
