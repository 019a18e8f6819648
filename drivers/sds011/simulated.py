"""A make-believe SDS011: the same bytes for the same seed."""

import random

__all__ = ["SimulatedSds011"]

SPIN_UP_FRAMES = 2
"""Reports with zeros while the fan gets up to speed."""
COMMAND_BYTES = 19
WORK_S = 30
"""With a working period the sensor measures for so long before its one report."""
DEVICE_ID = b"\x5a\x17"
MEAN_PM25 = 9.0


class SimulatedSds011:
    """Reports once a second; particle values wander slowly and stay plausible for a street."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 1.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._pm25 = MEAN_PM25
        self._coarse = 6.0
        self._tick = 0
        self._period_s = 0
        self._active = True
        self._received = b""

    def emit(self) -> bytes:
        """Return the report of this second, or nothing while the sensor sleeps."""
        self._tick += 1
        if not self._active or (self._period_s and self._tick % self._period_s != WORK_S):
            return b""
        if self._tick <= SPIN_UP_FRAMES:
            return _answer(0xC0, bytes(4))
        self._pm25 = self._wander(self._pm25, MEAN_PM25, 0.25)
        self._coarse = self._wander(self._coarse, 6.0, 0.35)
        pm25, pm10 = round(self._pm25 * 10), round((self._pm25 + self._coarse) * 10)
        return _answer(0xC0, pm25.to_bytes(2, "little") + pm10.to_bytes(2, "little"))

    def receive(self, data: bytes) -> bytes:
        """Take commands, whole or in pieces; return the answers to them."""
        self._received = (self._received + data)[-10 * COMMAND_BYTES :]
        answers = b""
        while (start := self._received.find(b"\xaa\xb4")) >= 0:
            command = self._received[start : start + COMMAND_BYTES]
            if len(command) < COMMAND_BYTES:
                break
            good = command[17] == sum(command[2:17]) & 0xFF and command[18] == 0xAB
            self._received = self._received[start + (COMMAND_BYTES if good else 1) :]
            if good:
                answers += self._obey(command)
        return answers

    def _obey(self, command: bytes) -> bytes:
        number, write, value = command[2:5]
        if number == 2 and write:
            self._active = value == 0
        elif number == 8 and write:
            self._period_s = value * 60
            self._tick = 0
        return _answer(0xC5, bytes((number, write, value, 0)))

    def _wander(self, value: float, mean: float, step: float) -> float:
        value += 0.01 * (mean - value) + self._random.gauss(0.0, step)
        return min(max(value, 0.3), 400.0)


def _answer(kind: int, data: bytes) -> bytes:
    body = data + DEVICE_ID
    return bytes((0xAA, kind)) + body + bytes((sum(body) & 0xFF, 0xAB))
