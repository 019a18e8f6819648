"""The options of the format ngsi-ld: where it goes, whose @context, and what is left out."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.forward.formats.ngsi_models import MODEL_CONTEXT
from gateway.forward.formats.ngsi_tables import DOMAINS

__all__ = ["NgsiLdOptions", "Os2iot"]

Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""Ids that OS2iot assigns: PostgreSQL integers."""
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s\"\\]{1,2000}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Os2iot(_Table):
    """Where OS2iot's own broker expects the data: devices/<organization>/<application>/<device>."""

    organization: Number = Field(description="Id of the organization in OS2iot.")
    application: Number = Field(description="Id of the application in OS2iot.")
    device: Number | None = Field(
        default=None, description="Id of the device that stands for all sensors not named below."
    )
    devices: Mapping[str, Number] = Field(
        default_factory=dict, description="Id of the device of each sensor, by the sensor's name."
    )

    @model_validator(mode="after")
    def _somewhere_to_go(self) -> "Os2iot":
        if self.device is None and not self.devices:
            raise ValueError("os2iot needs device (for all sensors), or devices (one per sensor)")
        return self

    def topic_template(self) -> str:
        """Return the topic of all sensors, or with ``{sensor}`` where the device's id goes."""
        device = "{sensor}" if self.devices else self.device
        return f"devices/{self.organization}/{self.application}/{device}"

    def device_of(self, sensor: str) -> int | None:
        """Return the id of a sensor's device, None where nobody gave it one."""
        return self.devices.get(sensor, self.device)


class NgsiLdOptions(_Table):
    """Options of the format ngsi-ld."""

    os2iot: Os2iot | None = Field(
        default=None,
        description="Publish where OS2iot's own broker expects it; leave the broker's topic out.",
    )
    context_url: Url = Field(
        default=MODEL_CONTEXT,
        description="Address of the @context files; {domain} becomes the subject "
        "(Environment), {tenant} the tenant. For a pinned copy on the city's own server.",
    )
    context_urls: Mapping[str, Url] = Field(
        default_factory=dict,
        description="Addresses of single @contexts by entity type, instead of context_url.",
    )
    quality: bool = Field(
        default=True, description="Mark doubtful attributes with a sub-property `quality`."
    )
    device_entities: bool = Field(
        default=True,
        description="Send each sensor as an entity of type Device, at start and when it changes.",
    )

    @model_validator(mode="after")
    def _types_exist(self) -> "NgsiLdOptions":
        unknown = sorted(set(self.context_urls) - set(DOMAINS))
        if unknown:
            raise ValueError(
                f"context_urls: {unknown[0]!r} is none of the entity types that are sent; "
                f"allowed: {', '.join(sorted(DOMAINS))}"
            )
        return self
