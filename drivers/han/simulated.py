"""A make-believe meter with a HAN port: real frames in the way of Aidon, the same for a seed."""

import random

from drivers.checks import crc16_x25

__all__ = ["SimulatedHan"]

LIST_2_EVERY = 4
"""Lists 2 each 10 s; lists 1, with nothing but the import, in between."""
LIST_3_EVERY = 1440
"""Registers once an hour."""
UI_FRAME = bytes.fromhex("41088313")
"""Both addresses and the control byte."""
MESSAGE_HEAD = bytes.fromhex("e6e7000f4000000000")
WATT, VAR, WATT_HOUR, VAR_HOUR, AMPERE, VOLT = 27, 29, 30, 32, 33, 35


class SimulatedHan:
    """A dwelling with solar panels, which at times feeds power into the grid."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 2.5
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._watts = self._random.uniform(-500.0, 2000.0)
        self._import_wh = self._random.uniform(2e6, 3e7)
        self._export_wh = self._random.uniform(1e4, 1e6)
        self._tick = 0

    def emit(self) -> bytes:
        """Return the next list."""
        self._tick += 1
        self._watts += 0.02 * (600.0 - self._watts) + self._random.gauss(0.0, 60.0)
        hours = self.interval_s / 3600
        self._import_wh += max(self._watts, 0.0) * hours
        self._export_wh += max(-self._watts, 0.0) * hours
        values = [_number(1, 7, max(round(self._watts), 0), 0, WATT)]
        if self._tick % LIST_2_EVERY == 1:
            values += self._list_2()
        if self._tick % LIST_3_EVERY == 1:
            values += [
                _number(1, 8, round(self._import_wh / 10), 1, WATT_HOUR),
                _number(2, 8, round(self._export_wh / 10), 1, WATT_HOUR),
                _number(3, 8, 1200 + self._tick, 1, VAR_HOUR),
                _number(4, 8, 3400, 1, VAR_HOUR),
            ]
        return _frame(MESSAGE_HEAD + bytes((1, len(values))) + b"".join(values))

    def receive(self, data: bytes) -> bytes:  # noqa: ARG002 - a HAN port has no input
        """Return nothing: a HAN port only sends."""
        return b""

    def _list_2(self) -> list[bytes]:
        values = [
            _number(2, 7, max(round(-self._watts), 0), 0, WATT),
            _number(3, 7, 0, 0, VAR),
            _number(4, 7, 90 + self._random.randrange(20), 0, VAR),
        ]
        tenths = round(abs(self._watts) / 3 / 230 * 10)
        values += [_number(group, 7, tenths, -1, AMPERE) for group in (31, 51, 71)]
        return values + [
            _number(group, 7, 2300 + self._random.randrange(-25, 25), -1, VOLT)
            for group in (32, 52, 72)
        ]


def _number(group_c: int, group_d: int, value: int, exponent: int, unit: int) -> bytes:
    code = bytes((0x09, 6, 1, 0, group_c, group_d, 0, 255))
    scale = b"\x02\x02\x0f" + exponent.to_bytes(1, "big", signed=True) + bytes((0x16, unit))
    return b"\x02\x03" + code + b"\x06" + value.to_bytes(4, "big") + scale


def _frame(information: bytes) -> bytes:
    length = 2 + len(UI_FRAME) + 2 + len(information) + 2
    body = (0xA000 | length).to_bytes(2, "big") + UI_FRAME
    body += crc16_x25(body).to_bytes(2, "little") + information
    return b"\x7e" + body + crc16_x25(body).to_bytes(2, "little") + b"\x7e"
