"""The driver contract: all that a driver may see of the gateway, and all that it must offer.

A driver turns the bytes of one kind of device into readings and does nothing else: no port, no
clock, no log, no metric, no retry. It is a class with an ``info`` and an ``Options`` model, made
with its options, in one of five shapes. It is found by its entry point in the group
``citylab_gateway.drivers``, so a lab's own driver needs no change here.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError

from gateway import plugins
from gateway.reading import Fault, Measured, PrivacyClass

__all__ = [
    "Advert",
    "Beacon",
    "Connected",
    "Crowd",
    "Domain",
    "Driver",
    "DriverInfo",
    "GattClient",
    "Measuring",
    "NoOptions",
    "Outcome",
    "Polled",
    "Recognising",
    "Request",
    "Restarted",
    "SerialLine",
    "SimulatedBeacon",
    "SimulatedConnected",
    "SimulatedCrowd",
    "SimulatedPolled",
    "SimulatedStream",
    "Stream",
    "TimeTold",
    "common_lines",
    "driver_class",
    "driver_names",
    "info_with",
    "is_crowd",
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


class TimeTold(NamedTuple):
    """The device said what time it is, to check our clock by; nothing sets a clock by it."""

    utc_ns: int
    """Since 1970."""


Outcome = Measured | Fault | Restarted | TimeTold


class Driver(Protocol):
    """What the five shapes have in common."""

    info: ClassVar[DriverInfo]
    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: Any) -> None:
        """Take an instance of ``Options``; raise nothing that ``Options`` could have refused."""


@runtime_checkable
class Measuring(Protocol):
    """What ``Options`` offer if they say which of the driver's quantities one device yields.

    A register map is an example: its driver can yield what any map can, its device what this one
    names.
    """

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the quantities of this device."""
        ...


@runtime_checkable
class Stream(Driver, Protocol):
    """A device that talks by itself: SDS011, P1, HAN, radar."""

    def on_open(self) -> Iterable[bytes]:
        """Return the settings to send when the line opens and after the device restarted."""
        ...

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking and return what they complete; never raise for bad bytes."""
        ...


@runtime_checkable
class Recognising(Protocol):
    """What a stream driver offers if its healthy device may have no readings for hours.

    A radar on an empty street, a receiver without a fix: a message that says nothing new still
    shows that the device is alive and that the line setting is right. If the driver has settings
    as well, they must be answered: after a silence they are sent to ask whether it is there.
    """

    @property
    def recognised(self) -> int:
        """Return how many whole messages of such a device came so far, readings or not."""
        ...


class Request(NamedTuple):
    """One question to a polled device."""

    data: bytes
    """Empty to send nothing and only listen, at once: nothing is waited for or thrown away."""
    length: int | Callable[[bytes], int | None] | None
    """Bytes of the whole answer, or a function that is given the bytes so far and returns it.

    The function returns None while it cannot tell. With 0 no answer is expected. With neither
    ``length`` nor ``end`` the answer is whatever comes before the time-out.
    """
    end: bytes | None = None
    """The answer is whole when it ends so."""
    timeout_s: float = 1.0
    """Silence, after the request or in the middle of its answer, that ends the waiting."""
    quiet_s: float = 0.0
    """Silence that the bus needs before the request."""
    tag: str = ""
    """The driver's own word for what it asked."""
    reply_baud: int | None = None
    """The speed of the answer, and of what follows in this round, if it is another one.

    The request is sent at the speed before; the framing stays. After the round the bus is as it
    was before.
    """


@runtime_checkable
class Polled(Driver, Protocol):
    """A device that answers when asked, often one of several on a bus.

    A driver only reads; where it must start its device or set it up, that is part of a round. No
    other device of the bus is asked in the middle of a round.
    """

    def requests(self) -> Iterable[Request]:
        """Return the questions of one round, in order.

        They are taken one by one: a generator has seen the answers to those before. After a
        failure the rest of a round may not be asked.
        """
        ...

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
        """Take the answer to one question; never raise for bad bytes.

        ``data`` holds no echo of the request. After a time-out it is what came until then, as a
        rule nothing: then report a fault of kind ``timeout``.
        """
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
    """What a connected driver may do with a connection.

    Each raises TimeoutError if the device does not answer, ConnectionError if it refuses or is
    gone; let them pass unless there are readings to save.
    """

    async def read(self, characteristic: str) -> bytes:
        """Read one characteristic by its UUID."""
        ...

    async def write(self, characteristic: str, data: bytes) -> None:
        """Write one characteristic, with response."""
        ...

    def notifications(self, characteristic: str) -> AsyncIterable[bytes]:
        """Yield what arrives from this call on; ends after a silence."""
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


@runtime_checkable
class Crowd(Driver, Protocol):
    """Counts devices that pass and belongs to none: footfall.

    What it is told is somebody's private property (PRIV-01): it may keep nothing of it but numbers
    that mean nothing once a window is closed, and yield counts only.
    """

    @property
    def window_s(self) -> float:
        """Return how long a window is, 60 to 900 s (PRIV-03); the transport keeps the time."""
        ...

    def hear(self, address: str, rssi: int, *, random: bool) -> None:
        """Take one advertisement of a device that is no configured sensor.

        ``address`` is upper case with colons, ``rssi`` in dBm; ``random`` unless it is known that
        the address is the one that the device was made with.
        """
        ...

    def close(self, heard: float) -> Iterable[Outcome]:
        """End the window, forget all that was heard in it, and return the counts.

        ``heard`` is the part of the window, 0 to 1, in which the radio is known to have listened:
        that nobody passed is told from that nothing could be heard by it alone.
        """
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


SimulatedPolled = SimulatedStream
"""A device that answers in ``receive``, and as a rule says nothing in ``emit``."""


class SimulatedBeacon(Protocol):
    """A make-believe Bluetooth device that produces real advertisements.

    If a driver needs options to read it, such as its key, the class has them as a mapping
    ``OPTIONS``.
    """

    interval_s: float

    def __init__(self, seed: int, address: str) -> None: ...

    def emit(self) -> Advert:
        """Return the next advertisement."""
        ...


class SimulatedConnected(SimulatedBeacon, GattClient, Protocol):
    """A make-believe device that is heard, and answers over a connection."""


class SimulatedCrowd(Protocol):
    """Make-believe passers-by."""

    interval_s: float

    def __init__(self, seed: int, address: str) -> None: ...

    def emit(self) -> Iterable[tuple[str, int, bool]]:
        """Return who is heard next: address, RSSI in dBm, and whether the address is random."""
        ...


def common_lines(devices: Sequence[Sequence[SerialLine]]) -> list[SerialLine]:
    """Return the line settings that all devices of a bus allow, in the order of the first one."""
    if not devices:
        return []
    return [line for line in devices[0] if all(line in others for others in devices[1:])]


def driver_names() -> list[str]:
    """Return the names of all installed drivers, ours and a lab's own, sorted."""
    return plugins.names(DRIVER_GROUP)


def driver_class(name: str) -> type[Driver] | None:
    """Import and return one driver class, or None if no driver of that name is installed."""
    point = plugins.find(DRIVER_GROUP, name)
    return None if point is None else cast("type[Driver]", point.load())


def info_with(driver: type[Driver], options: Mapping[str, Any]) -> DriverInfo:
    """Return what a driver declares about a device with these options.

    Where they are refused, or a key is among them that is not read here, the driver's own.
    """
    try:
        known = driver.Options.model_validate(dict(options))
    except ValidationError:
        return driver.info
    if not isinstance(known, Measuring):
        return driver.info
    return replace(driver.info, quantities=known.measures)


def is_crowd(driver: type[Driver]) -> bool:
    """Tell whether a driver counts whoever passes, and listens to no device of its own."""
    return hasattr(driver, "hear")


def simulator_class(name: str) -> Any:
    """Import and return the simulated device of a driver, or None if it has none."""
    point = plugins.find(SIMULATOR_GROUP, name)
    return None if point is None else point.load()
