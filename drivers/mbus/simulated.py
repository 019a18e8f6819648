"""A make-believe heat meter on an M-Bus: the same bytes for the same seed and questions."""

import random

from drivers.mbus.link import ACKNOWLEDGED, SELECTED, long_frame

__all__ = ["SimulatedMbus"]

MAX_PENDING_BYTES = 512
SHORT_BYTES, LONG_EXTRA_BYTES = 5, 6
ANYBODY = 254
RSP_UD = 0x08
HEAT = 0x04
MANUFACTURER = bytes((0x2D, 0x2C))
"""KAM, in five bits a letter."""
VERSION = 0x08
MORE = b"\x1f"


class SimulatedMbus:
    """Answers to its primary address, to 254 and to its number, with two telegrams.

    It says nothing by itself. Each first telegram is some time after the one before: the counters
    have grown.
    """

    def __init__(self, seed: int, address: int = 5) -> None:
        self.interval_s = 1.0
        self.address = address
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self.number = f"{self._random.randrange(10**8):08d}"
        self._wh = self._random.randrange(10**6, 10**8)
        self._litres = self._random.randrange(10**4, 10**6)
        self._selected = False
        self._count_bit: int | None = None
        self._page = 0
        self._access = 0
        self._pending = b""

    def emit(self) -> bytes:
        """Return nothing: a meter speaks only when it is asked."""
        return b""

    def receive(self, data: bytes) -> bytes:
        """Take frames, whole or in pieces; return the answers to those that are meant for it."""
        self._pending = (self._pending + data)[-MAX_PENDING_BYTES:]
        answers = b""
        while frame := self._next_frame():
            answers += self._obey(frame)
        return answers

    def _next_frame(self) -> bytes:
        while self._pending:
            long = self._pending[0] == 0x68
            if long and len(self._pending) < 4:
                return b""
            length = self._pending[1] + LONG_EXTRA_BYTES if long else SHORT_BYTES
            if self._pending[0] not in (0x10, 0x68):
                length = 1
            elif len(self._pending) < length:
                return b""
            frame, self._pending = self._pending[:length], self._pending[length:]
            first = 4 if long else 1
            if length > 1 and frame[-2] == sum(frame[first:-2]) & 0xFF and frame[-1] == 0x16:
                return frame
        return b""

    def _obey(self, frame: bytes) -> bytes:
        control, address = (frame[4], frame[5]) if frame[0] == 0x68 else (frame[1], frame[2])
        if frame[0] == 0x68:
            return self._select(frame) if address == SELECTED and frame[6] == 0x52 else b""
        mine = address in (self.address, ANYBODY) or (address == SELECTED and self._selected)
        if control == 0x40:
            if address == SELECTED:
                self._selected = False
            self._count_bit, self._page = None, 0
            return ACKNOWLEDGED if mine else b""
        if control & 0xDF != 0x5B or not mine:
            return b""
        if self._count_bit is not None and control & 0x20 != self._count_bit:
            self._page = 1 - self._page
        self._count_bit = control & 0x20
        return self._second() if self._page else self._first()

    def _select(self, frame: bytes) -> bytes:
        mask = frame[7:11][::-1].hex()
        self._selected = all(m in ("f", own) for m, own in zip(mask, self.number, strict=True))
        self._count_bit, self._page = None, 0
        return ACKNOWLEDGED if self._selected else b""

    def _first(self) -> bytes:
        watts = max(0, round(self._random.gauss(6000, 1500)))
        self._wh += watts // 4
        self._litres += watts // 160
        flow = round(6_300 + self._random.gauss(0, 200))
        return self._telegram(
            b"\x04\x06" + (self._wh // 1000).to_bytes(4, "little")  # kWh
            + b"\x04\x13" + self._litres.to_bytes(4, "little")  # litres
            + b"\x03\x2b" + watts.to_bytes(3, "little")  # W
            + b"\x02\x59" + flow.to_bytes(2, "little")  # hundredths of a degree
            + MORE
        )  # fmt: skip

    def _second(self) -> bytes:
        back = round(3_400 + self._random.gauss(0, 150))
        return self._telegram(
            b"\x02\x5d" + back.to_bytes(2, "little")
            + b"\x02\x3b" + self._random.randrange(50, 300).to_bytes(2, "little")  # l/h
            + b"\x0f\x01\x02"
        )  # fmt: skip

    def _telegram(self, records: bytes) -> bytes:
        self._access = (self._access + 1) & 0xFF
        number = bytes.fromhex(self.number)[::-1]
        header = number + MANUFACTURER + bytes((VERSION, HEAT, self._access, 0, 0, 0))
        return long_frame(RSP_UD, self.address, 0x72, header + records)
