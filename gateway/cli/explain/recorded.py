"""Recordings through driver and intake, so that the whole chain is seen from raw."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from gateway.assembly import Sensor, driver_info
from gateway.cli.decoder import Decoder
from gateway.cli.explain.trace import TracedChain
from gateway.driver import Beacon, Outcome
from gateway.errors import ConfigError, GatewayError
from gateway.intake import Intake, SensorStats
from gateway.reading import Dims, PrivacyClass, Series, SeriesKey
from gateway.transports.recording import (
    MAX_LINE_BYTES,
    RecordingError,
    parse_advert,
    parse_bytes,
)

__all__ = ["Played", "play"]

NS_PER_S = 1_000_000_000
TICK_NS = NS_PER_S
MAX_NAMED = 5
NO_PAPERS: Mapping[str, str] = MappingProxyType({})
Builder = Callable[[str, Dims], TracedChain]


class _NoStore:
    """Names the series that the intake asks for, and stores nothing."""

    def __init__(self) -> None:
        self._series: dict[int, Series] = {}
        self._ids: dict[SeriesKey, int] = {}

    def series_id(
        self,
        key: SeriesKey,
        *,
        unit: str,
        privacy: PrivacyClass,
        calibration: Mapping[str, str] = NO_PAPERS,
    ) -> int:
        number = self._ids.setdefault(key, len(self._ids) + 1)
        self._series[number] = Series(number, key, unit, privacy, calibration)
        return number

    def series(self, series_id: int) -> Series:
        return self._series[series_id]

    def append(self, series_id: int, time_ns: int, value: float, flags: int) -> int:
        del series_id, time_ns, value, flags
        return 0

    def notify(self) -> None:
        pass


@dataclass(slots=True)
class Played:
    """What a recording gave."""

    stats: SensorStats
    chains: list[TracedChain] = field(default_factory=list)
    lines: int = 0
    """Of this sensor."""
    malformed: int = 0
    others: set[str] = field(default_factory=set)
    """Names of other sensors whose bytes are in it; of radio nobody else is known (PRIV-01)."""
    begin_ns: int | None = None
    end_ns: int = 0


def play(path: Path, sensor: Sensor, builder: Builder) -> Played:
    """Feed the lines of one sensor. ConfigError if there is no such file."""
    name = sensor.section.name
    intake = Intake(_NoStore())
    chains: list[TracedChain] = []

    def build(quantity: str, dims: Dims) -> TracedChain:
        chains.append(builder(quantity, dims))
        return chains[-1]

    intake.add_sensor(name, driver_info(sensor), privacy=sensor.privacy, build_chain=build)
    played = Played(intake.stats[name], chains)
    last_ns = shift_ns = 0
    ticked_ns = -(1 << 62)
    for time_s, outcomes in _outcomes(path, sensor, played):
        time_ns = round(time_s * NS_PER_S) + shift_ns
        if played.begin_ns is None:
            played.begin_ns = time_ns
        elif time_ns < last_ns:  # another recording begins in the same file
            shift_ns += last_ns - time_ns
            time_ns = last_ns
        last_ns = played.end_ns = time_ns
        if time_ns >= ticked_ns + TICK_NS:
            # The daemon ticks each second; in the silence between the first tick does it all.
            intake.tick(time_ns)
            ticked_ns = time_ns
        intake.accept(name, outcomes, time_ns)
    intake.tick(last_ns)
    intake.close(last_ns)
    return played


def _outcomes(path: Path, sensor: Sensor, played: Played) -> Iterator[tuple[float, list[Outcome]]]:
    decoder = Decoder(sensor.driver)
    try:
        if not path.is_file():
            raise ConfigError("is no file", key="--recording", value=str(path))
        with path.open("rb") as file:
            for line in _lines(file):
                try:
                    item = _parse(line, decoder, sensor, played)
                except RecordingError:
                    played.malformed += 1
                    continue
                if item is not None:
                    played.lines += 1
                    yield item
    except OSError as error:
        raise GatewayError(f"{path} cannot be read: {error.strerror}") from error


def _parse(
    line: bytes, decoder: Decoder, sensor: Sensor, played: Played
) -> tuple[float, list[Outcome]] | None:
    """Return when and what a line says; None if it is of something else."""
    if not isinstance(sensor.driver, Beacon):
        recorded = parse_bytes(line)
        if recorded.sensor not in ("", sensor.section.name):
            if len(played.others) < MAX_NAMED:
                played.others.add(recorded.sensor)
            return None
        return recorded.time_s, decoder.take(recorded)
    time_s, advert = parse_advert(line)
    if advert.address != sensor.section.address or not sensor.driver.claims(advert):
        return None
    return time_s, decoder.hear(advert)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines; an empty one for each that is too long, none for those that are empty."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            yield b""
        elif stripped := line.rstrip(b"\n"):
            yield stripped
