"""Wave Enhance and Corentium Home 2: a request is written, the answer comes in notifications.

Request: 03 01, two bytes that come back in the answer, and CBOR ``[{0: path}]``. Answer: 03 45,
the two bytes, and CBOR ``[{0: path, 2: values}]``, the values being CBOR in a byte string. It is
cut to fit: the first notification begins with 10 and the number of parts, the others with 00 and
their own number, both of 16 bits, lowest byte first.
"""

from collections.abc import AsyncIterable, Callable, Iterator, Mapping
from typing import Any

from drivers.airthings.cbor import CborError, decode, encode_text
from drivers.airthings.limits import DAY, checked
from gateway.driver import Outcome
from gateway.reading import Dims, Fault

__all__ = ["ANSWERS", "REQUESTS", "collect", "readings", "request"]

REQUESTS = "b42eb73a-ade7-11e4-89d3-123b93f75cba"
ANSWERS = "b42ebc9e-ade7-11e4-89d3-123b93f75cba"
LATEST_VALUES = "29999/0/31012"
REQUEST = b"\x03\x01"
ONE_PATH = b"\x81\xa1\x00"
ANSWER = b"\x03\x45"
NONCE_END = 4
FIRST_PART, NEXT_PART = 0x10, 0x00
PART_HEADER_BYTES = 3
MAX_PARTS = 32
MAX_PART_BYTES = 512
"""An attribute has at most so many; an answer is about a hundred bytes long."""

Scale = Callable[[float], float]
VALUES: Mapping[str, tuple[str, Scale]] = {
    "TMP": ("air.temperature", lambda raw: round(raw / 100 - 273.15, 2)),
    "HUM": ("air.humidity", lambda raw: raw / 100),
    "CO2": ("air.co2", float),
    "VOC": ("air.tvoc_mole_fraction", float),
    "PRS": ("air.pressure", lambda raw: raw / 6400),
    "LUX": ("light.illuminance", float),
    "BAT": ("device.voltage", lambda raw: raw / 1000),
}
"""Temperature in hundredths of a kelvin, pressure in 64ths of a pascal, battery in millivolts."""

RADON: Mapping[str, Dims] = {
    "R24": DAY,
    "R7D": (("channel", "7d"),),
    "R30": (("channel", "30d"),),
    "R1Y": (("channel", "1y"),),
}
"""Means of becquerels per cubic metre."""


def request(nonce: int) -> bytes:
    """Return the question for the latest values; ``nonce`` (16 bits) comes back in the answer."""
    return REQUEST + nonce.to_bytes(2, "big") + ONE_PATH + encode_text(LATEST_VALUES)


async def collect(notifications: AsyncIterable[bytes]) -> bytes | Fault:
    """Return the answer without the headers of its parts, or why there is none."""
    whole = b""
    expected = 0
    seen = 0
    async for part in notifications:
        if len(part) < PART_HEADER_BYTES or len(part) > MAX_PART_BYTES:
            return Fault("unknown", f"a part of {len(part)} bytes", part[:8])
        kind, number = part[0], int.from_bytes(part[1:PART_HEADER_BYTES], "little")
        if seen == 0:
            if kind != FIRST_PART or not 1 <= number <= MAX_PARTS:
                return Fault("unknown", "an answer that does not begin as one", part[:8])
            expected = number
        elif kind != NEXT_PART or number != seen + 1:
            return Fault("short", f"part {seen + 1} of {expected} is missing")
        seen += 1
        whole += part[PART_HEADER_BYTES:]
        if seen == expected:
            return whole
    return Fault("short" if seen else "timeout", f"{seen} parts of {expected or 'an answer'}")


def readings(answer: bytes, nonce: int) -> Iterator[Outcome]:
    """Yield what the answer to ``request(nonce)`` says."""
    if not answer.startswith(ANSWER):
        yield Fault("unknown", "not an answer", answer[:8])
        return
    if answer[len(ANSWER) : NONCE_END] != nonce.to_bytes(2, "big"):
        yield Fault("unknown", "the answer to another request")
        return
    try:
        values = _values(decode(answer[NONCE_END:]))
    except CborError as error:
        yield Fault("unknown", str(error))
        return
    for key, (quantity, scale) in VALUES.items():
        raw = values.get(key)
        if not isinstance(raw, int | float) or (key == "CO2" and raw == 0):
            continue  # zero until the first measurement; there is no such air
        yield checked(quantity, scale(raw))
    for key, mean in RADON.items():
        raw = values.get(key)
        if isinstance(raw, int | float):
            yield checked("air.radon", float(raw), mean)


def _values(answer: Any) -> Mapping[Any, Any]:
    """Return the values by their names; CborError if it is another answer."""
    if not isinstance(answer, list) or len(answer) != 1 or not isinstance(answer[0], dict):
        raise CborError("not an answer to one path")
    if answer[0].get(0) != LATEST_VALUES:
        raise CborError("the answer to another path")
    values = answer[0].get(2)
    if isinstance(values, bytes):
        values = decode(values)
    if not isinstance(values, dict):
        raise CborError("no values")
    return values
