"""The driver contract: all that a driver may see of the gateway, and all that it must offer.

A driver turns the bytes of one kind of device into readings and does nothing else: no port, no
clock, no log, no metric, no retry. It is a class with an ``info`` and an ``Options`` model, made
with its options, in one of four shapes. It is found by its entry point in the group
``citylab_gateway.drivers``, so a lab's own driver needs no change here.
"""

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict

from gateway.reading import Fault, Measured, PrivacyClass

__all__ = [
    "Advert",
    "Beacon",
    "Connected",
    "Domain",
    "Driver",
    "DriverInfo",
    "GattClient",
    "NoOptions",
    "Outcome",
    "Polled",
    "Request",
    "Restarted",
    "SerialLine",
    "SimulatedBeacon",
    "SimulatedStream",
    "Stream",
    "driver_class",
    "driver_names",
    "simulator_class",
]

DRIVER_GROUP = "citylab_gateway.drivers"
SIMULATOR_GROUP = "citylab_gateway.simulators"

Domain = Literal["traffic", "air", "energy", "site"]


class SerialLine(NamedTuple):
    """One setting of a serial line."""

    baud: int
    bytesize: Literal[7, 8] = 8
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverInfo:
    """What a driver declares about itself; ``drivers``, ``scan`` and the docs are made from it."""

    name: str
    title: str
    """One line for people: the devices that it reads."""
    domain: Domain
    quantities: tuple[str, ...]
    """All registry quantities that it can yield."""
    interval_s: float
    """How often a healthy device reports; the stale alarm starts from it."""
    document: str
    """The vendor document that the decoder was written from."""
    lines: tuple[SerialLine, ...] = ()
    """Line settings to try, in order; empty for Bluetooth."""
    warm_up_s: float = 0.0
    secrets: tuple[str, ...] = ()
    """Names of the keys that it needs; each is configured as a file."""
    privacy: PrivacyClass = "P0"
    """The class that its readings have unless the sensor's configuration says otherwise."""


class NoOptions(BaseModel):
    """The options of a driver that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Restarted(NamedTuple):
    """The device said that it has restarted and forgot its settings: send ``on_open`` again."""

    detail: str


Outcome = Measured | Fault | Restarted


class Driver(Protocol):
    """What the four shapes have in common."""

    info: ClassVar[DriverInfo]
    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: Any) -> None:
        """Take an instance of ``Options``; raise nothing that ``Options`` could have refused."""


@runtime_checkable
class Stream(Driver, Protocol):
    """A device that talks by itself: SDS011, P1, HAN, radar."""

    def on_open(self) -> Iterable[bytes]:
        """Return the settings to send when the line opens and after the device restarted."""
        ...

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking and return what they complete; never raise for bad bytes."""
        ...


class Request(NamedTuple):
    """One question to a polled device."""

    data: bytes
    length: int | None
    """Bytes that the answer has, or None where ``end`` tells."""
    end: bytes | None = None
    timeout_s: float = 1.0
    quiet_s: float = 0.0
    """Silence that the bus needs before the request."""
    tag: str = ""


@runtime_checkable
class Polled(Driver, Protocol):
    """A device that answers when asked, often one of several on a bus."""

    def requests(self) -> Iterable[Request]:
        """Return the questions of one round."""
        ...

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
        """Take the answer to one question (empty after a time-out)."""
        ...


@dataclass(frozen=True, slots=True)
class Advert:
    """One Bluetooth advertisement, as far as decoders need it."""

    address: str
    rssi: int
    name: str = ""
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    service_data: Mapping[str, bytes] = field(default_factory=dict)
    """By full lower-case UUID."""
    service_uuids: tuple[str, ...] = ()


@runtime_checkable
class Beacon(Driver, Protocol):
    """A device whose advertisement says it all: Ruuvi, BTHome, Aranet."""

    def claims(self, advert: Advert) -> bool:
        """Tell whether this advertisement is of the family, whatever its address."""
        ...

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Return what one advertisement says; a repeated one says nothing."""
        ...


class GattClient(Protocol):
    """What a connected driver may do with a connection."""

    async def read(self, characteristic: str) -> bytes:
        """Read one characteristic by its UUID."""
        ...

    async def write(self, characteristic: str, data: bytes) -> None:
        """Write one characteristic, with response."""
        ...

    def notifications(self, characteristic: str) -> AsyncIterable[bytes]:
        """Subscribe and yield what arrives."""
        ...


@runtime_checkable
class Connected(Driver, Protocol):
    """A device that has to be connected to: Airthings."""

    def due(self, advert: Advert, since_last_s: float | None) -> bool:
        """Tell whether it is time to connect."""
        ...

    async def read(self, client: GattClient) -> Iterable[Outcome]:
        """Read the device over an open connection."""
        ...


class SimulatedStream(Protocol):
    """A make-believe serial device that produces the real bytes; the same seed, the same bytes."""

    interval_s: float
    """Time from one ``emit`` to the next."""

    def __init__(self, seed: int) -> None: ...

    def emit(self) -> bytes:
        """Return what the device sends next by itself (may be empty)."""
        ...

    def receive(self, data: bytes) -> bytes:
        """Take what the host wrote and return the answer (may be empty)."""
        ...


class SimulatedBeacon(Protocol):
    """A make-believe Bluetooth device that produces real advertisements."""

    interval_s: float

    def __init__(self, seed: int, address: str) -> None: ...

    def emit(self) -> Advert:
        """Return the next advertisement."""
        ...


def driver_names() -> list[str]:
    """Return the names of all installed drivers, ours and a lab's own, sorted."""
    return sorted({point.name for point in entry_points(group=DRIVER_GROUP)})


def driver_class(name: str) -> type[Driver] | None:
    """Import and return one driver class, or None if no driver of that name is installed."""
    for point in entry_points(group=DRIVER_GROUP, name=name):
        return cast("type[Driver]", point.load())
    return None


def simulator_class(name: str) -> Any:
    """Import and return the simulated device of a driver, or None if it has none."""
    for point in entry_points(group=SIMULATOR_GROUP, name=name):
        return point.load()
    return None
