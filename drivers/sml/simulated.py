"""A make-believe German meter with SML on its optical port: the same bytes for the same seed."""

import random

from drivers.checks import crc16_x25

__all__ = ["SimulatedSml"]

ESCAPE = b"\x1b\x1b\x1b\x1b"
METER = b"\x0a\x01SIM\x00\x00\x00\x00\x00"
STATUS_IMPORT, STATUS_EXPORT = 0x1C0104, 0x1C2104
WATT, WATT_HOUR, VOLT, HERTZ = 27, 30, 35, 44
OPEN, LIST, CLOSE = 0x0101, 0x0701, 0x0201


class SimulatedSml:
    """A dwelling whose power wanders between import and export."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 1.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._watts = self._random.uniform(-800.0, 1500.0)
        self._import_wh = self._random.uniform(1e6, 2e7)
        self._export_wh = self._random.uniform(0.0, 5e6)
        self._tick = 0

    def emit(self) -> bytes:
        """Return the file of this second."""
        self._tick += 1
        self._watts += 0.02 * (400.0 - self._watts) + self._random.gauss(0.0, 50.0)
        self._import_wh += max(self._watts, 0.0) / 3600
        self._export_wh += max(-self._watts, 0.0) / 3600
        status = STATUS_IMPORT if self._watts >= 0 else STATUS_EXPORT
        values = [
            _entry(bytes((1, 8)), _number(round(self._import_wh * 10), 8), WATT_HOUR, -1, status),
            _entry(bytes((2, 8)), _number(round(self._export_wh * 10), 8), WATT_HOUR, -1),
            _entry(bytes((16, 7)), _number(round(self._watts * 100), 4), WATT, -2),
            _entry(bytes((14, 7)), _number(500 + self._random.randrange(-1, 2), 2), HERTZ, -1),
        ]
        for group in (32, 52, 72):
            volts = _number(2300 + self._random.randrange(-30, 30), 2)
            values.append(_entry(bytes((group, 7)), volts, VOLT, -1))
        clock = b"\x72\x62\x01\x65" + self._tick.to_bytes(4, "big")
        response = (b"\x01", _octets(METER), b"\x01", clock, _list(*values), b"\x01", b"\x01")
        opened = (b"\x01", b"\x01", _octets(b"SIM"), _octets(METER), b"\x01", b"\x01")
        messages = (
            _message(self._tick, OPEN, _list(*opened)),
            _message(self._tick, LIST, _list(*response)),
            _message(self._tick, CLOSE, _list(b"\x01")),
        )
        return _file(b"".join(messages))

    def receive(self, data: bytes) -> bytes:  # noqa: ARG002 - an optical port that only sends
        """Return nothing: the meter only sends."""
        return b""


def _octets(data: bytes) -> bytes:
    return bytes((len(data) + 1,)) + data


def _number(value: int, size: int) -> bytes:
    return bytes((0x50 | size + 1,)) + value.to_bytes(size, "big", signed=True)


def _unsigned(value: int, size: int) -> bytes:
    return bytes((0x60 | size + 1,)) + value.to_bytes(size, "big")


def _list(*items: bytes) -> bytes:
    return bytes((0x70 | len(items),)) + b"".join(items)


def _entry(groups: bytes, value: bytes, unit: int, exponent: int, status: int = 0) -> bytes:
    code = _octets(b"\x01\x00" + groups + b"\x00\xff")
    state = _unsigned(status, 4) if status else b"\x01"
    scale = _unsigned(unit, 1) + _number(exponent, 1)
    return _list(code, state, b"\x01", scale[:2], scale[2:], value, b"\x01")


def _message(number: int, kind: int, body: bytes) -> bytes:
    choice = _list(_unsigned(kind, 2), body)
    head = _octets(number.to_bytes(4, "big")) + b"\x62\x00\x62\x00" + choice
    crc = crc16_x25(b"\x76" + head)
    return b"\x76" + head + b"\x63" + crc.to_bytes(2, "little") + b"\x00"


def _file(content: bytes) -> bytes:
    fill = -len(content) % 4
    packed = (content + bytes(fill)).replace(ESCAPE, ESCAPE * 2)
    raw = ESCAPE + b"\x01\x01\x01\x01" + packed + ESCAPE + bytes((0x1A, fill))
    return raw + crc16_x25(raw).to_bytes(2, "little")
