"""``citylab-gateway replay``: play a recording through its driver and print the readings."""

import argparse
import json
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from gateway.cli.common import DEFAULT_CONFIG
from gateway.cli.decoder import Decoder
from gateway.config.load import load
from gateway.config.secrets import driver_options
from gateway.driver import Driver, Outcome, TimeTold, driver_class
from gateway.errors import ConfigError, GatewayError
from gateway.quantities import registry
from gateway.reading import Fault, Measured
from gateway.transports.recording import (
    MAX_LINE_BYTES,
    RecordingError,
    parse_advert,
    parse_bytes,
)

__all__ = ["configure", "run"]

MAX_PAUSE_S = 60.0
"""A longer pause in the recording is played as this long."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``replay``."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a recording, as JSON Lines")
    parser.add_argument("--driver", help="what decodes it; default: what the configuration says")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the driver, written as in the configuration; may be repeated",
    )
    parser.add_argument("--sensor", default="", help="only the lines of this sensor")
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="where the sensor is configured, if no --driver is given",
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=0.0,
        help="1 is the recorded pace, 0 as fast as it goes (default)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a reading or fault")


def run(arguments: argparse.Namespace) -> int:
    """Play it; 1 if no line of it could be used."""
    if arguments.speed < 0:
        raise ConfigError("must not be negative", key="--speed", value=arguments.speed)
    player = _Player(arguments)
    try:
        with arguments.file.open("rb") as file:
            for line in _lines(file):
                player.play(line)
    except BrokenPipeError:  # of our output
        raise
    except OSError as error:
        raise GatewayError(f"{arguments.file} cannot be read: {error.strerror}") from error
    return player.summary()


class _Player:
    """One driver a sensor, and what came out of them."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._decoders: dict[str, Decoder] = {}
        self._radio = _Radio(arguments, self.decoder)
        self._lines = self._malformed = self._readings = 0
        self._faults: Counter[str] = Counter()
        self._first_s: float | None = None
        self._last_s = 0.0

    def play(self, line: bytes) -> None:
        """Play one line; what is of another sensor is passed over."""
        try:
            if b'"address"' in line:
                time_s, advert = parse_advert(line)
                named = [(name, each.hear(advert)) for name, each in self._radio.of(advert.address)]
            else:
                recorded = parse_bytes(line)
                time_s = recorded.time_s
                wanted = self._arguments.sensor
                if wanted and recorded.sensor not in ("", wanted):
                    return
                name = recorded.sensor or wanted
                named = [(name, self.decoder(name).take(recorded))]
        except RecordingError:
            self._malformed += 1
            return
        self._lines += bool(named)
        self._wait(time_s)
        for name, outcomes in named:
            for outcome in outcomes:
                self._print(time_s, name, outcome)

    def decoder(self, name: str) -> Decoder:
        """Return the decoder of a sensor; ConfigError if nothing says which one it is."""
        if name not in self._decoders:
            self._decoders[name] = Decoder(self._driver(name))
        return self._decoders[name]

    def _driver(self, name: str) -> Driver:
        if self._arguments.driver:
            return _named_driver(self._arguments.driver, self._arguments.option)
        config = self._arguments.config
        if config == DEFAULT_CONFIG and not config.exists():
            raise ConfigError("name the --driver: there is no configuration", value=name)
        for section in load(config).sensor:
            if section.name == name:
                cls = driver_class(section.driver)
                if cls is not None:
                    return cls(driver_options(section, cls))
        raise ConfigError("name the --driver: no such sensor is configured", value=name)

    def _wait(self, time_s: float) -> None:
        if self._first_s is None:
            self._first_s = time_s
        elif self._arguments.speed:
            pause_s = min(max(0.0, time_s - self._last_s), MAX_PAUSE_S)
            time.sleep(pause_s / self._arguments.speed)
        self._last_s = time_s

    def _print(self, time_s: float, name: str, outcome: Outcome) -> None:
        if isinstance(outcome, Measured):
            self._readings += 1
            unit = registry()[outcome.quantity].ucum
            fields: dict[str, Any] = {
                "quantity": outcome.quantity,
                "value": outcome.value,
                "unit": unit,
                "dims": dict(outcome.dims),
            }
            dims = "".join(f" {key}={value}" for key, value in outcome.dims)
            text = f"{outcome.quantity}{dims} {outcome.value:.12g} {unit}"
        elif isinstance(outcome, Fault):
            self._faults[outcome.kind] += 1
            fields = {"fault": outcome.kind, "detail": outcome.detail}
            text = f"fault {outcome.kind}: {outcome.detail}"
        elif isinstance(outcome, TimeTold):
            told = datetime.fromtimestamp(outcome.utc_ns / 1e9, UTC).isoformat(
                timespec="milliseconds"
            )
            fields = {"told": told}
            text = f"time {told}"
        else:
            fields = {"restarted": outcome.detail}
            text = f"restarted: {outcome.detail}"
        if self._arguments.json:
            print(json.dumps({"t": time_s, "sensor": name, **fields}))
        else:
            since_s = time_s - (self._first_s or 0.0)
            print(f"{since_s:+10.3f} s  {name + '  ' if name else ''}{text}")

    def summary(self) -> int:
        """Say to standard error what it was; return the exit code."""
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self._faults.items()))
        print(
            f"{self._lines} lines, {self._readings} readings, faults: {faults or 'none'}"
            + (f", {self._malformed} malformed lines" if self._malformed else ""),
            file=sys.stderr,
        )
        if self._lines and not self._readings:
            print("nothing came out: is it the right driver, with its options?", file=sys.stderr)
        return 0 if self._lines else 1


class _Radio:
    """Whose advertisements are played: those of configured addresses, or all for one driver."""

    def __init__(self, arguments: argparse.Namespace, decoder: Callable[[str], Decoder]) -> None:
        self._arguments = arguments
        self._decoder = decoder
        self._names: dict[str, str] | None = None

    def of(self, address: str) -> Iterator[tuple[str, Decoder]]:
        """Yield the name and the decoder of a device whose advertisements are played."""
        arguments = self._arguments
        if arguments.driver:
            yield arguments.sensor, self._decoder(arguments.sensor)
            return
        if self._names is None:
            sensors = load(arguments.config).sensor
            self._names = {each.address: each.name for each in sensors if each.address}
        name = self._names.get(address)
        if name is not None and arguments.sensor in ("", name):
            yield name, self._decoder(name)


def _named_driver(name: str, options: Iterable[str]) -> Driver:
    cls = driver_class(name)
    if cls is None:
        raise ConfigError("no such driver", key="--driver", value=name)
    values: dict[str, Any] = {}
    for option in options:
        key, _, text = option.partition("=")
        values[key.strip()] = _value(text)
    try:
        return cls(cls.Options.model_validate(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(first["msg"], key=f"--option {where}") from error


def _value(text: str) -> object:
    """Return what a value means in TOML; a bare word is text."""
    try:
        parsed: Mapping[str, object] = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"]


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES + 1)
            yield b"too long"
        elif line.strip():
            yield line
