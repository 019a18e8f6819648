"""One of many cities: a broker, a way to it that may be bad, a link, and an archive that counts."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.buffer import Reader
from gateway.config.model import Position
from gateway.forward import FormatContext, Link
from gateway.forward.formats.base import Format, SensorFacts
from tests.brokers import Mosquitto, free_port
from tests.forward.fakes import broker_section
from tests.other_brokers.cluster import make_certificates
from tests.proxy import CLEAR, GateProxy, Way
from tests.subscribing import Archive

__all__ = ["QUANTITIES", "SENSORS", "City", "Plan", "recording"]

QUANTITIES: Mapping[str, str] = {
    "air.pm25": "ug/m3",
    "air.pm10": "ug/m3",
    "air.temperature": "Cel",
}
"""Quantity -> unit."""
SENSORS = tuple(f"air-{number}" for number in range(8))
FACTS = SensorFacts(
    driver="sds011",
    title="a dust sensor",
    domain="air",
    interval_s=1.0,
    privacy="P0",
    quantities=tuple(QUANTITIES),
)
LEFT_S = 2.0
"""A city that acknowledges nothing is left so soon."""
HANG_S = 30.0
"""The others acknowledge all, however busy this machine is: they must not be left for that."""
KEPT_READINGS = frozenset({"in-order", "beside"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What is particular about one city. ``way`` None: nobody listens at its port."""

    name: str
    trouble: str
    way: Way | None
    format: str
    cls: type[Format]
    protocol: str = "5"
    linger_s: float = 0.2
    tls: bool = False
    sensors: str = "*"


class Book:
    """Which readings each payload held, so that any format can be counted where it arrives."""

    def __init__(self) -> None:
        self._sequences: dict[int, frozenset[int]] = {}

    def note(self, payload: bytes, sequences: frozenset[int]) -> None:
        """Remember; equal payloads stand for the readings of all of them."""
        key = hash(payload)
        self._sequences[key] = self._sequences.get(key, frozenset()) | sequences

    def completed(self, before: bytes, after: bytes) -> bytes:
        """Remember the payload that a session has made of another."""
        if hash(before) in self._sequences:
            self.note(after, self._sequences[hash(before)])
        return after

    def read(self, payload: bytes) -> frozenset[int]:
        """Return the sequences that a received payload holds; none for a status."""
        return self._sequences.get(hash(payload), frozenset())


def recording(cls: type[Format], book: Book) -> Format:
    """Return the format with its default options, but it writes down what it encodes."""

    class Recording(cls):  # type: ignore[misc, valid-type]
        def encode(self, batch: Any, selected: Sequence[int], *rest: Any, **more: Any) -> list[Any]:
            messages: list[Any] = super().encode(batch, selected, *rest, **more)
            for message in messages:
                held = frozenset(batch.first + position for position in message.positions)
                book.note(message.payload, held)
            return messages

        def session(self, *arguments: Any) -> Any:
            session = super().session(*arguments)
            if session is not None:
                complete = session.complete
                session.complete = lambda payload: book.completed(payload, complete(payload))
            return session

    return Recording(cls.Options.model_validate({}))


class City:
    """Everything at the far end of one link; ``link`` is made by ``open``."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder / plan.name
        self.folder.mkdir()
        self.book = Book()
        self.port = free_port()
        self.latencies_s: list[float] = []
        """Of the readings that were acknowledged while somebody measured."""
        self.measured_to = 0
        self._received: set[int] = set()
        self._counted = 0
        self._ways = contextlib.AsyncExitStack()
        self._proxy: GateProxy | None = None

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        """Start broker and archive, and the way as the plan has it."""
        lines = ["log_type none", "log_type error"]
        login: list[str] = []
        if self.plan.tls:
            make_certificates(self.folder)
            files = {"cafile": "ca.pem", "certfile": "node.pem", "keyfile": "node.key"}
            lines += [f"{word} {self.folder / file}" for word, file in files.items()]
            lines += ["require_certificate true"]
            for option, file in {"--cafile": "ca.pem", "--cert": "node.pem"}.items():
                login += [option, str(self.folder / file)]
            login += ["--key", str(self.folder / "node.key")]
        self.broker = await stack.enter_async_context(
            Mosquitto(self.folder / "broker", lines=lines)
        )
        archive = Archive(self.folder, self.broker.port, host="localhost", version="5", login=login)
        self.archive = await stack.enter_async_context(archive)
        await stack.enter_async_context(self._ways)
        if self.plan.way is not None:
            await self._open_way(self.plan.way)

    async def _open_way(self, way: Way) -> None:
        proxy = GateProxy(self.broker.port, port=self.port, way=way)
        self._proxy = await self._ways.enter_async_context(proxy)

    async def mend(self) -> None:
        """From now on the way is clear; connections over the bad one are gone."""
        if self._proxy is None:
            await self._open_way(CLEAR)
        else:
            self._proxy.way = CLEAR
            self._proxy.drop()

    @cached_property
    def section(self) -> Any:
        """The configuration of the link."""
        plan, changes = self.plan, dict[str, Any]()
        if plan.tls:
            files = {"ca_file": "ca.pem", "cert_file": "node.pem", "key_file": "node.key"}
            tls = {key: str(self.folder / file) for key, file in files.items()}
            changes = {"url": f"mqtts://localhost:{self.port}", "insecure": False, "tls": tls}
        return broker_section(
            self.port,
            name=plan.name,
            format=plan.format,
            protocol=plan.protocol,
            linger=plan.linger_s,
            select={"sensors": [plan.sensors]},
            ack_timeout=LEFT_S if plan.trouble == "mute" else HANG_S,
            connect_timeout=2.0,
            keepalive=5.0,
            history=None,
            **changes,
        )

    @property
    def context(self) -> FormatContext:
        """Who is speaking to this city."""
        place = Position(lon=10.2134, lat=56.1535)
        sensors = dict.fromkeys(SENSORS, FACTS)
        return replace(
            FormatContext(tenant=self.plan.name, gateway="box", location=place), sensors=sensors
        )

    def take(self, link: Link, reader: Reader) -> None:
        """Watch this link from now on."""
        self.link, self.reader = link, reader
        self.measured_to = reader.cursor

    def check(self) -> None:
        """Every reading that the ring accepted for this city is accounted for."""
        reader = self.reader
        accounted = reader.acknowledged + reader.pending + sum(reader.dropped.values())
        assert reader.accepted == accounted, self.plan

    def measure(self, appended_s: Mapping[int, float], now_s: float) -> None:
        """Note how old each reading was when it became settled."""
        cursor = self.reader.cursor
        for sequence in range(self.measured_to, cursor):
            if sequence in appended_s:
                self.latencies_s.append(now_s - appended_s[sequence])
        self.measured_to = cursor

    def received(self) -> set[int]:
        """Return the sequences of all readings that have arrived."""
        messages = self.archive.messages()
        for message in messages[self._counted :]:
            self._received |= self.book.read(message.payload)
        self._counted = len(messages)
        return self._received

    @property
    def is_complete_by_design(self) -> bool:
        """The format carries what piled up; one without times sends only what is new."""
        return self.plan.cls.history in KEPT_READINGS
