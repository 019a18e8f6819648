"""The inputs of a driver's test cases: what fuzz begins with."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.drivers.connected_cases import ConnectedCase, connected_cases
from tests.drivers.crowd_cases import Heard, crowd_cases
from tests.drivers.driver_cases import BEACONS, CONNECTED, CROWDS, POLLED, all_cases
from tests.drivers.polled_cases import polled_cases

__all__ = ["Corpus", "as_bytes", "as_heard", "corpus"]

ADDRESS_BYTES = 6


class Corpus(NamedTuple):
    """One test case."""

    options: Mapping[str, Any]
    inputs: tuple[bytes, ...]
    """Parts of a stream, answers or advertisements, none of them empty."""
    asked: Mapping[bytes, list[bytes]] = {}
    """Question -> its answers, for a device that is asked."""
    sources: tuple[int | str, ...] = ()
    """Companies and services that the advertisements are of."""
    device: ConnectedCase | None = None
    """To which is connected."""


def corpus(name: str) -> list[Corpus]:
    """Return what the test cases of a driver hold; one in which nothing comes is left out."""
    if name in POLLED:
        found = _polled(name)
    elif name in CONNECTED:
        found = list(_connected(name))
    elif name in CROWDS:
        found = list(_crowd(name))
    else:
        found = _heard(name)
    return [each for each in found if each.inputs]


def _polled(name: str) -> list[Corpus]:
    found = []
    for case in polled_cases(name):
        asked: dict[bytes, list[bytes]] = {}
        for request, answer in case.talk:
            asked.setdefault(request, []).append(answer)
        inputs = tuple(answer for _, answer in case.talk if answer)
        found.append(Corpus(case.options, inputs, asked))
    return found


def _connected(name: str) -> Iterator[Corpus]:
    for case in connected_cases():
        if case.driver == name:
            parts = [part for answer in case.answers for part in answer.parts]
            inputs = (*case.characteristics.values(), *parts)
            yield Corpus(case.options, tuple(filter(None, inputs)), device=case)


MOST_HEARD = 200
"""Of one test case; a window that is full has thousands that are all alike."""


def _crowd(name: str) -> Iterator[Corpus]:
    for case in crowd_cases():
        if case.driver == name:
            heard = [each for window in case.windows for each in window.adverts[:MOST_HEARD]]
            yield Corpus(case.options, tuple(map(as_bytes, heard)))


def as_bytes(heard: Heard) -> bytes:
    """Return an advertisement of a stranger as bytes, to be changed as those of a device are."""
    rssi = heard.rssi.to_bytes(1, signed=True)
    return bytes.fromhex(heard.address.replace(":", "")) + rssi + bytes((heard.random,))


def as_heard(data: bytes) -> Heard:
    """Return the advertisement in bytes; those that are missing are zeros."""
    padded = data.ljust(ADDRESS_BYTES + 2, b"\0")
    address = ":".join(f"{octet:02X}" for octet in padded[:ADDRESS_BYTES])
    rssi = int.from_bytes(padded[ADDRESS_BYTES : ADDRESS_BYTES + 1], signed=True)
    return Heard(address, rssi, bool(padded[ADDRESS_BYTES + 1] & 1))


def _heard(name: str) -> list[Corpus]:
    found = []
    for case in all_cases(beacons=name in BEACONS):
        if case.driver == name:
            heard: list[tuple[int | str, bytes]] = []
            for advert in case.adverts:
                heard += advert.manufacturer_data.items()
                heard += advert.service_data.items()
            inputs = (*case.parts, *(data for _, data in heard))
            sources = tuple(source for source, _ in heard)
            found.append(Corpus(case.options, tuple(filter(None, inputs)), sources=sources))
    return found
