"""A make-believe MULTICAL: the same bytes for the same seed and questions."""

import random

from drivers.kmp.link import FROM_METER, STOP, TO_METER, build, crc16

__all__ = ["SimulatedKmp"]

MAX_PENDING_BYTES = 512
HEAT_METER, GET_REGISTERS = 0x3F, 0x10
NEGATIVE_EXPONENT = 0x40
MAX_REGISTERS = 8


class SimulatedKmp:
    """Answers questions for registers; it says nothing by itself. Each answer is a later one."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 1.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._wh = self._random.randrange(10**6, 10**8)
        self._litres = self._random.randrange(10**4, 10**6)
        self._pending = b""

    def emit(self) -> bytes:
        """Return nothing: a meter speaks only when it is asked."""
        return b""

    def receive(self, data: bytes) -> bytes:
        """Take questions, whole or in pieces; return the answers."""
        self._pending = (self._pending + data)[-MAX_PENDING_BYTES:]
        answers = b""
        while (stop := self._pending.find(STOP)) >= 0:
            frame, self._pending = self._pending[:stop], self._pending[stop + 1 :]
            start = frame.find(TO_METER)
            if start >= 0:
                answers += self._obey(_plain(frame[start + 1 :]))
        return answers

    def _obey(self, payload: bytes) -> bytes:
        if crc16(payload) or payload[:2] != bytes((HEAT_METER, GET_REGISTERS)):
            return b""
        numbers = payload[3:-2]
        watts = max(0, round(self._random.gauss(6000, 1500)))
        self._wh += watts // 4
        self._litres += watts // 160
        values = {
            60: (3, 3, self._wh // 1000),  # MWh, thousandths
            68: (40, 2, self._litres // 10),  # m3, hundredths
            74: (41, 0, watts // 40),  # l/h
            80: (22, 1, watts // 100),  # kW, tenths
            86: (37, 2, round(6_300 + self._random.gauss(0, 200))),
            87: (37, 2, round(3_400 + self._random.gauss(0, 150))),
        }
        answer = bytes((HEAT_METER, GET_REGISTERS))
        for index in range(min(payload[2], MAX_REGISTERS)):
            number = int.from_bytes(numbers[2 * index : 2 * index + 2], "big")
            if number in values:
                unit, decimals, mantissa = values[number]
                form = NEGATIVE_EXPONENT | decimals if decimals else 0
                answer += number.to_bytes(2, "big") + bytes((unit, 4, form))
                answer += mantissa.to_bytes(4, "big")
        return build(FROM_METER, answer)


def _plain(stuffed: bytes) -> bytes:
    plain = bytearray()
    escaped = False
    for byte in stuffed:
        if byte == 0x1B and not escaped:
            escaped = True
        else:
            plain.append(byte ^ 0xFF if escaped else byte)
            escaped = False
    return bytes(plain)
