"""Drivers and look-ups for tests: the shapes are real, the devices are not."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.config.installed import FormatClass
from gateway.config.load import load
from gateway.config.model import Configuration
from gateway.driver import Advert, Driver, DriverInfo, NoOptions, Outcome, Request, SerialLine
from gateway.reading import PrivacyClass

FORMATS = ["json", "ngsi-ld", "tray", "view"]


def info(
    name: str,
    quantities: tuple[str, ...],
    *,
    privacy: PrivacyClass = "P0",
    secrets: tuple[str, ...] = (),
    lines: tuple[SerialLine, ...] = (),
) -> DriverInfo:
    return DriverInfo(
        name=name,
        title=name,
        domain="air",
        quantities=quantities,
        interval_s=1.0,
        document="none",
        privacy=privacy,
        secrets=secrets,
        lines=lines,
    )


class Dust:
    """A stream device with options."""

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)

        working_period_min: int | None = Field(default=None, ge=0, le=30)
        pin: int = 0
        window_s: int = Field(default=5, multiple_of=5)

        @field_validator("pin")
        @classmethod
        def _a_pin_that_exists(cls, pin: int) -> int:
            if pin > 40:
                raise ValueError(f"{pin} is no pin")
            return pin

    info: ClassVar[DriverInfo] = info("sds011", ("air.pm25", "air.pm10"))

    def __init__(self, options: Any) -> None:
        self.options = options

    def on_open(self) -> Iterable[bytes]:
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        return ()


class Meter(Dust):
    """A stream device whose data is a household's unless somebody says otherwise."""

    Options = NoOptions  # type: ignore[assignment]
    info: ClassVar[DriverInfo] = info("p1", ("power.active", "energy.active_import"), privacy="P3")


class Radar(Dust):
    """A stream device with a quantity that is added up."""

    Options = NoOptions  # type: ignore[assignment]
    info: ClassVar[DriverInfo] = info(
        "ops243", ("traffic.count", "traffic.speed_avg"), privacy="P1"
    )


class Tag:
    """A beacon."""

    Options: ClassVar[type[BaseModel]] = NoOptions
    info: ClassVar[DriverInfo] = info("ruuvi", ("air.temperature", "air.humidity"))

    def __init__(self, options: Any) -> None:
        self.options = options

    def claims(self, advert: Advert) -> bool:
        return False

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        return ()


class Passers:
    """Counts whoever passes."""

    Options: ClassVar[type[BaseModel]] = NoOptions
    info: ClassVar[DriverInfo] = info("footfall", ("devices.count",), privacy="P2")
    window_s = 300.0

    def __init__(self, options: Any) -> None:
        self.options = options

    def hear(self, address: str, rssi: int, *, random: bool) -> None:
        pass

    def close(self, heard: float) -> Iterable[Outcome]:
        return ()


class Locked(Tag):
    """A beacon with a key."""

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)

        key: str = Field(min_length=4, max_length=10)

    info: ClassVar[DriverInfo] = info(
        "locked", ("air.temperature",), privacy="P2", secrets=("key",)
    )


class Lab(Tag):
    """A beacon with an option that must be set and a secret that need not."""

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)

        unit: str
        seed: str = ""

    info: ClassVar[DriverInfo] = info("lab", ("air.temperature",), secrets=("seed",))


class Asked:
    """A device that answers when asked."""

    Options: ClassVar[type[BaseModel]] = NoOptions
    info: ClassVar[DriverInfo] = info(
        "polled", ("power.active",), lines=(SerialLine(9600), SerialLine(19200))
    )

    def __init__(self, options: Any) -> None:
        self.options = options

    def requests(self) -> Iterable[Request]:
        return ()

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
        return ()


ALL: tuple[Any, ...] = (Dust, Meter, Radar, Tag, Locked, Lab, Asked, Passers)
DRIVERS: dict[str, type[Driver]] = {each.info.name: each for each in ALL}


class Plain:
    """A format without options that only knows one order."""

    Options: ClassVar[type[BaseModel]] = NoOptions
    histories: ClassVar[tuple[str, ...]] = ("in-order",)


class TrayOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    apikey: str = Field(max_length=8)
    units: Literal["primary", "secondary"] = "secondary"
    host: str = ""


class Tray(Plain):
    """A format with options, one of them needed, and both orders."""

    Options: ClassVar[type[BaseModel]] = TrayOptions
    histories: ClassVar[tuple[str, ...]] = ("beside", "in-order")


class View(Plain):
    """A format that carries no time, so that a backlog means nothing to it."""

    histories: ClassVar[tuple[str, ...]] = ("latest",)


FORMAT_CLASSES: dict[str, type[FormatClass]] = {
    "json": Plain,
    "ngsi-ld": Plain,
    "tray": Tray,
    "view": View,
}


def payload_format(name: str) -> type[FormatClass] | None:
    return FORMAT_CLASSES.get(name)


def driver(name: str) -> type[Driver] | None:
    return DRIVERS.get(name)


def driver_names() -> list[str]:
    return sorted(DRIVERS)


def load_with_fakes(path: Path, environ: dict[str, str] | None = None) -> Configuration:
    return load(
        path,
        drivers=driver,
        driver_names=driver_names,
        format_names=lambda: FORMATS,
        formats=payload_format,
        environ=environ or {},
    )
