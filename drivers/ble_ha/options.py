"""What can be set for one device that a package of the family reads."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from drivers.ble_ha.meanings import QUANTITIES
from drivers.ble_ha.parsers import LibraryError, library

__all__ = ["BleHaOptions"]

KEY_PATTERN = "^([0-9A-Fa-f]{24}|[0-9A-Fa-f]{32})$"
"""12 bytes are the keys of old Xiaomi devices."""
MAX_MEANINGS = 32


class BleHaOptions(BaseModel):
    """What can be set for one device; the key is a secret, in a file of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    package: str = Field(
        description="Python package whose parser reads the device, such as xiaomi-ble."
    )
    bindkey: str | None = Field(
        default=None,
        pattern=KEY_PATTERN,
        repr=False,
        description="Encryption key of the device, 32 (old Xiaomi devices: 24) hexadecimal digits.",
    )
    meanings: Mapping[str, str] = Field(
        default={},
        max_length=MAX_MEANINGS,
        description="Which quantity a value of the package is on this device, by the package's key "
        'for it, such as temperature_probe = "heat.flow_temperature"; "" to leave it out.',
    )
    rssi: bool = Field(default=False, description="Also yield the signal strength of each advert.")

    @field_validator("package")
    @classmethod
    def _usable(cls, package: str) -> str:
        """Import it: this is the first moment at which it is known that it is needed."""
        try:
            library(package)
        except LibraryError as error:
            raise ValueError(f"{package} {error}") from None
        return package

    @field_validator("meanings")
    @classmethod
    def _known(cls, meanings: Mapping[str, str]) -> Mapping[str, str]:
        chosen = [quantity for quantity in meanings.values() if quantity]
        for quantity in chosen:
            if quantity not in QUANTITIES:
                raise ValueError(f"{quantity!r} cannot be had; there are {', '.join(QUANTITIES)}")
            if chosen.count(quantity) > 1:
                raise ValueError(f"{quantity!r} is there twice, and nothing would tell them apart")
        return meanings

    @model_validator(mode="after")
    def _key_is_of_use(self) -> "BleHaOptions":
        if self.bindkey is not None and not library(self.package).takes_key:
            raise ValueError(f"{self.package} takes no key")
        return self
