"""What the decoders are measured with: the bytes of their simulated devices, and how they arrive.

Values wander as they do in a real place: neither the same frame for ever nor pure chance. A stream
comes in pieces as a USB adapter gives them; an answer does too, and the driver is asked after each
piece whether it is whole, as the transport asks it.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import accumulate
from typing import Any, NamedTuple

from gateway.driver import (
    Outcome,
    Polled,
    driver_class,
    driver_names,
    simulator_class,
)
from gateway.reading import Fault, Measured

__all__ = ["Load", "Tally", "decoder", "loads", "tally"]

PIECE_BYTES = 64
"""What full-speed USB carries at once."""
SMALL_FRAMES = {"ld2410": 23, "ld2450": 30, "tfluna": 9}
"""Devices that send many frames a second: bytes of one. The driver sums them up over a window."""
MORE = 10
"""So many times more of them, that windows end."""


class Load(NamedTuple):
    """The frames of one device, each in its pieces, and how to make a driver for them."""

    name: str
    make: Callable[[], Any]
    polled: bool
    before: list[list[bytes]]
    """What the driver heard before: a gateway runs for months."""
    frames: list[list[bytes]]
    questions: list[bytes]
    """Of a polled device: what was asked for each of ``frames``."""


class Tally(NamedTuple):
    """What a decoder made of a load."""

    readings: int
    faults: int


def loads(frames: int, seed: int, only: str = "") -> Iterator[Load]:
    """Yield the load of each serial driver: so many frames, or what completes the last round."""
    for name in driver_names():
        if only not in name:
            continue
        kind, device_class = driver_class(name), simulator_class(name)
        if kind is not None and kind.info.lines and device_class is not None:
            yield _load(name, kind, device_class(seed), frames)


def _load(name: str, kind: Any, device: Any, frames: int) -> Load:
    text = files(f"drivers.{name}").joinpath("sample.toml").read_text(encoding="utf-8")
    options = kind.Options.model_validate(tomllib.loads(text)["sensor"][0].get("options", {}))
    driver = kind(options)
    polled = isinstance(driver, Polled)
    hear = _asked if polled else _listened
    before, heard = (hear(driver, device, frames) for _ in range(2))
    return Load(
        name=name,
        make=lambda: kind(options),
        polled=polled,
        before=[_pieces(frame) for _, frame in before],
        frames=[_pieces(frame) for _, frame in heard],
        questions=[question for question, _ in heard],
    )


def _pieces(data: bytes) -> list[bytes]:
    """Cut a frame as the port would give it."""
    return [data[at : at + PIECE_BYTES] for at in range(0, len(data) or 1, PIECE_BYTES)]


def _listened(driver: Any, device: Any, frames: int) -> list[tuple[bytes, bytes]]:
    sent = [device.receive(message) for message in driver.on_open()]
    size = SMALL_FRAMES.get(driver.info.name)
    wanted = frames * (MORE if size else 1)
    while len(sent) < wanted:
        data = device.emit()
        sent += [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    return [(b"", frame) for frame in sent if frame]


def _asked(driver: Any, device: Any, frames: int) -> list[tuple[bytes, bytes]]:
    asked: list[tuple[bytes, bytes]] = []
    while len(asked) < frames:
        for request in driver.requests():
            data = device.emit() + device.receive(request.data)
            if request.length != 0:
                size = request.length(data) if callable(request.length) else request.length
                asked.append((request.data, data[:size]))
                driver.on_reply(request, data[:size])
    return asked


def decoder(driver: Any, load: Load) -> Callable[[], list[Outcome]]:
    """Return the call that is measured: a driver that decodes a load."""
    if not load.polled:
        _feed(driver, load.before)
        return lambda: _feed(driver, load.frames)
    collected = [list(accumulate(frame)) for frame in load.frames]
    _answer(driver, [list(accumulate(frame)) for frame in load.before])
    return lambda: _answer(driver, collected)


def _feed(driver: Any, frames: Iterable[Sequence[bytes]]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for frame in frames:
        for piece in frame:
            outcomes += driver.feed(piece)
    return outcomes


def _answer(driver: Any, answers: Iterable[Sequence[bytes]]) -> list[Outcome]:
    """Let a driver ask, and let it look at what was collected so far after each piece."""
    outcomes: list[Outcome] = []
    coming = iter(answers)
    answer = next(coming, None)
    while answer is not None:
        for request in driver.requests():
            length = request.length
            if callable(length):
                for data in answer:
                    length(data)
            elif length == 0:
                continue
            outcomes += driver.on_reply(request, answer[-1])
            answer = next(coming, None)
            if answer is None:  # at the end of a round, where the recording ended, too
                break
    return outcomes


def tally(outcomes: list[Outcome]) -> Tally:
    """Count them."""
    readings = sum(isinstance(each, Measured) for each in outcomes)
    return Tally(readings, sum(isinstance(each, Fault) for each in outcomes))
