"""The whole file: all tables together, and what must be unique."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.model.box import (
    BluetoothSection,
    BufferSection,
    ClockSection,
    GatewaySection,
    HttpSection,
    LogSection,
)
from gateway.config.model.broker import BrokerSection
from gateway.config.model.catalogue import CatalogueSection
from gateway.config.model.recording import RecordingSection
from gateway.config.model.sensor import SensorSection
from gateway.config.model.words import Section
from gateway.config.refusal import Refusal

__all__ = ["Configuration"]

MAX_BROKERS = 16
"""As many as a block header of the ring has cursors."""
MAX_SENSORS = 256


def _schema(version: object) -> object:
    if isinstance(version, int) and version > 1:
        raise Refusal("was written for a later citylab-gateway than this one", allowed="1")
    return version


class Configuration(Section):
    """The whole file."""

    schema_version: Annotated[Literal[1], BeforeValidator(_schema)] = Field(
        default=1, alias="schema", description="Version of this file's shape."
    )
    gateway: GatewaySection = Field(description="Which box this is.")
    buffer: BufferSection = Field(default_factory=BufferSection, description="The ring on disk.")
    clock: ClockSection = Field(default_factory=ClockSection, description="Trust in the clock.")
    http: HttpSection | None = Field(default=None, description="Status page and metrics.")
    bluetooth: BluetoothSection = Field(
        default_factory=BluetoothSection, description="The Bluetooth scanner."
    )
    recording: RecordingSection = Field(
        default_factory=RecordingSection,
        description="Raw bytes of the sensors that say so, in files that are rotated.",
    )
    log: LogSection = Field(default_factory=LogSection, description="What is logged.")
    catalogue: CatalogueSection = Field(
        default_factory=CatalogueSection,
        description="What the open data catalogue and the sign on the pole say; for `describe`.",
    )
    sensor: tuple[SensorSection, ...] = Field(
        default=(), max_length=MAX_SENSORS, description="The sensors, one table each."
    )
    broker: tuple[BrokerSection, ...] = Field(
        default=(), max_length=MAX_BROKERS, description="The city brokers, one table each."
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Configuration":
        for kind, names in (
            ("sensor", [sensor.name for sensor in self.sensor]),
            ("broker", [broker.name for broker in self.broker]),
            ("address", [sensor.address for sensor in self.sensor if sensor.address]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{kind} {twice[0]!r} is used twice")
        return self

    @property
    def sensor_retention_s(self) -> dict[str, float]:
        """Return the retention of the sensors that have one of their own, by name."""
        return {
            sensor.name: sensor.retention for sensor in self.sensor if sensor.retention is not None
        }
