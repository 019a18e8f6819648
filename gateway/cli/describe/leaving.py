"""What leaves for whom, worked out with the same policy and formats that the links use."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.assembly import format_context
from gateway.cli.describe.series import Possible, possible_series
from gateway.config.describe import withheld
from gateway.config.model import (
    BrokerSection,
    Configuration,
    SensorSection,
    Terms,
    terms,
)
from gateway.errors import ConfigError
from gateway.forward import Format, FormatContext, SensorFacts, load_format
from gateway.forward.link import context_for
from gateway.forward.policy import allows, may_know
from gateway.reading import PrivacyClass, Series, SeriesKey

__all__ = [
    "Leaving",
    "Outgoing",
    "Withheld",
    "leaving",
    "sensor_limit_s",
]


@dataclass(frozen=True, slots=True)
class Withheld:
    """One quantity that a broker does not get, and why."""

    quantity: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One sensor as one broker gets it; without series it gets nothing of it."""

    section: SensorSection
    facts: SensorFacts
    terms: Terms
    series: tuple[Series, ...]
    withheld: tuple[Withheld, ...]
    sources: Mapping[SeriesKey, str]
    """Key of a series -> the measured quantity whose filters decide how often there is a value."""
    known: bool
    """The broker may know that the sensor exists."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """All that one broker gets."""

    broker: BrokerSection
    format: Format
    context: FormatContext
    sensors: tuple[Outgoing, ...]

    @property
    def series(self) -> list[Series]:
        """All series that leave, sensor by sensor."""
        return [each for sensor in self.sensors for each in sensor.series]


def leaving(configuration: Configuration, broker_name: str = "") -> list[Leaving]:
    """Return what each broker gets, or the one of that name.

    Raises ConfigError if no broker has the name. Needs no daemon, no network and no secrets.
    """
    names = [broker.name for broker in configuration.broker]
    if broker_name and broker_name not in names:
        raise ConfigError(
            "no such broker", key="--broker", value=broker_name, allowed=", ".join(names)
        )
    context = format_context(configuration)
    possible = {
        sensor.name: possible_series(sensor, context.sensors[sensor.name])
        for sensor in configuration.sensor
    }
    return [
        _leaving(broker, configuration, context, possible)
        for broker in configuration.broker
        if broker_name in ("", broker.name)
    ]


def _leaving(
    broker: BrokerSection,
    configuration: Configuration,
    context: FormatContext,
    possible: dict[str, list[Possible]],
) -> Leaving:
    encoder = load_format(broker.format, broker.options)
    context = context_for(broker, encoder, context)
    first_id = 1
    sensors = []
    for sensor in configuration.sensor:
        facts = context.sensors[sensor.name]
        outgoing = _outgoing(broker, sensor, facts, possible[sensor.name], first_id)
        first_id += len(outgoing.series)
        sensors.append(outgoing)
    return Leaving(broker, encoder, context, tuple(sensors))


def _outgoing(
    broker: BrokerSection,
    sensor: SensorSection,
    facts: SensorFacts,
    possible: Sequence[Possible],
    first_id: int,
) -> Outgoing:
    """Split the series of one sensor; those that leave are numbered from ``first_id``."""
    series = [each.series for each in possible]
    gone = [each for each in series if allows(broker.select, each, {sensor.name: facts})]
    kept = dict.fromkeys(each.key.quantity for each in series if each not in gone)
    numbered = (dataclasses.replace(each, id=at) for at, each in enumerate(gone, first_id))
    return Outgoing(
        sensor,
        facts,
        terms(broker.select, sensor, facts.privacy),
        tuple(numbered),
        tuple(Withheld(name, withheld(broker, sensor.name, facts.privacy, name)) for name in kept),
        {each.series.key: each.source for each in possible},
        known=may_know(broker.select, sensor.name, facts.privacy),
    )


def sensor_limit_s(
    configuration: Configuration, section: SensorSection, privacy: PrivacyClass
) -> float | None:
    """Return how old readings of a sensor may become in the ring, in s; None: no limit."""
    limits = configuration.buffer.retention.by_class()[privacy], section.retention
    return min((each for each in limits if each is not None), default=None)
