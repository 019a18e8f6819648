"""Aranet4, Aranet2, Aranet Radiation and Aranet Radon: what they advertise by themselves.

The maker has published no description of the advertisement. Written from what is known of it in
public: Anrijs/Aranet4-Python, issue 25 ("Decode manufacturer-specific data in advertisements"),
and its test vectors. Numbers are little-endian.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gateway.driver import Advert, DriverInfo, Outcome
from gateway.reading import Fault, Flag, Measured

__all__ = ["COMPANY_ID", "Aranet", "AranetOptions"]

COMPANY_ID = 0x0702
CALIBRATION_SHIFT = 2
CALIBRATION_MASK = 3
CALIBRATION_FAILED = 3
UPDATING = 0x10
INTEGRATIONS = 0x20

NO_15_BITS = 0x8000
NO_TEMPERATURE = 0x4000
NO_RADON = 0x1F00
NEVER = 1 << 32
"""From here on a number says that there is no value, or why there is none."""


class _Value(NamedTuple):
    """How one number becomes a reading; from ``missing`` on it is none."""

    quantity: str
    per: int
    missing: int
    lowest: float
    highest: float


TEMPERATURE = _Value("air.temperature", 20, NO_TEMPERATURE, 0.0, 85.0)
PRESSURE = _Value("air.pressure", 10, NO_15_BITS, 300.0, 1200.0)
HUMIDITY = _Value("air.humidity", 10, NO_15_BITS, 0.0, 100.0)
CO2 = _Value("air.co2", 1, NO_15_BITS, 0.0, 9999.0)
BATTERY = _Value("device.battery", 1, NEVER, 0.0, 100.0)
RADON_LEVEL = _Value("air.radon", 1, NO_RADON, 0.0, float(NO_RADON - 1))
# In nSv and nSv/h, with all their bits.
DOSE = _Value("radiation.dose", 1_000_000, NEVER, 0.0, 4294.967295)
DOSE_RATE = _Value("radiation.dose_rate", 1000, NEVER, 0.0, 65.535)

_Values = tuple[_Value | None, ...]
"""Of the numbers of an advertisement in their order; None where one is no measurement."""


class _Model(NamedTuple):
    """One kind of device: how long its advertisement is, and what stands in it."""

    layout: struct.Struct
    """Measured values, battery, seconds since they were measured, counter of measurements."""
    state_at: int
    values: _Values
    """The battery is the last one."""


ARANET4 = _Model(
    struct.Struct("<8xHHHBBx2xHB"),
    0,
    (CO2, TEMPERATURE, PRESSURE, HUMIDITY._replace(per=1, missing=NEVER), BATTERY),
)
RADON = _Model(
    struct.Struct("<8xHHHHxBx2xHB"),
    1,
    (RADON_LEVEL, TEMPERATURE, PRESSURE, HUMIDITY, BATTERY),
)
RADON_WITHOUT_CLIMATE: _Values = (RADON_LEVEL, None, PRESSURE, None, BATTERY)
MODELS: Mapping[int, _Model] = {
    1: _Model(struct.Struct("<10xH2xHxBx2xHB"), 1, (TEMPERATURE, HUMIDITY, BATTERY)),
    # Between dose and dose rate stands since when the dose is counted.
    2: _Model(struct.Struct("<6xIIHxBx2xHB"), 1, (DOSE, None, DOSE_RATE, BATTERY)),
    3: RADON,
}
"""By the first byte; Aranet4, the first of them, has none and is known by its length."""
LENGTH = 24
"""Of all that have a first byte for their kind."""
HEADERS = (7, 8)
"""Lengths of state and version alone: all that there is while the integrations are off."""
NO_MEASUREMENT = "no measurement: smart home integrations are off, or old firmware"


class AranetOptions(BaseModel):
    """What can be set for one device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rssi: bool = Field(
        default=False, description="Also yield the signal strength of each measurement."
    )


class Aranet:
    """Yields CO2, climate, radon, dose and battery of one device, as old as it says that they are.

    It repeats a measurement until the next one, minutes later; a copy says nothing. One instance
    serves one device.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="aranet",
        title="Aranet4, Aranet2, Aranet Radiation and Aranet Radon",
        domain="air",
        quantities=(
            "air.co2",
            "air.temperature",
            "air.humidity",
            "air.pressure",
            "air.radon",
            "radiation.dose_rate",
            "radiation.dose",
            "device.battery",
            "device.rssi",
        ),
        # Set in the app to 1, 2, 5 or 10 minutes.
        interval_s=600.0,
        document="Anrijs/Aranet4-Python, Decode manufacturer-specific data in advertisements",
    )
    Options: ClassVar[type[BaseModel]] = AranetOptions

    def __init__(self, options: AranetOptions) -> None:
        self._with_rssi = options.rssi
        self._last: tuple[int, ...] = ()
        """Counter and measured values."""
        self._calibration = 0

    def claims(self, advert: Advert) -> bool:
        """Tell whether there is data of the maker's company id, whatever its length."""
        return COMPANY_ID in advert.manufacturer_data

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Return the readings of one advertisement; nothing if its measurement is known."""
        data = advert.manufacturer_data.get(COMPANY_ID)
        if data is None:
            return ()
        model = _model(data)
        if isinstance(model, Fault):
            return (model,)
        state = data[model.state_at]
        if state & UPDATING:
            return ()  # its firmware is being exchanged, it measures nothing
        outcomes = self._calibration_changed(state)
        *raws, age_s, counter = model.layout.unpack(data)
        this = (counter, *raws[:-1])
        if this == self._last:
            return outcomes
        self._last = this
        outcomes += _outcomes(model, raws, float(age_s), self._calibration)
        if self._with_rssi:
            outcomes.append(Measured("device.rssi", float(advert.rssi)))
        return outcomes

    def _calibration_changed(self, state: int) -> list[Outcome]:
        before = self._calibration
        self._calibration = state >> CALIBRATION_SHIFT & CALIBRATION_MASK
        if self._calibration == CALIBRATION_FAILED != before:
            return [Fault("device_error", "the calibration of CO2 failed")]
        return []


def _model(data: bytes) -> _Model | Fault:
    """Return what the device is, or why its data cannot be read."""
    size = len(data)
    if size == ARANET4.layout.size:
        model = ARANET4
    elif size == LENGTH and data[0] in MODELS:
        model = MODELS[data[0]]
    elif size in HEADERS:
        return Fault("unknown", NO_MEASUREMENT)
    else:
        return Fault("short" if size < LENGTH else "unknown", "not as long as a measurement")
    return model if data[model.state_at] & INTEGRATIONS else Fault("unknown", NO_MEASUREMENT)


def _outcomes(model: _Model, raws: list[int], age_s: float, calibration: int) -> list[Outcome]:
    values = model.values
    if model is RADON and raws[1] == raws[3] == 0:
        # One without sensors for temperature and humidity has zeros in their places.
        values = RADON_WITHOUT_CLIMATE
    outcomes: list[Outcome] = []
    for raw, value in zip(raws, values, strict=True):
        if value is None or raw >= value.missing:
            continue
        quantity, per, _, lowest, highest = value
        number = raw / per
        if lowest <= number <= highest:
            flags = int(Flag.CALIBRATING) if calibration and value is CO2 else 0
            outcomes.append(Measured(quantity, number, (), age_s, flags))
        else:
            outcomes.append(Fault("range", f"{quantity} beyond the device's range"))
    return outcomes
