"""A make-believe PMS5003: the same bytes for the same seed."""

import random

__all__ = ["SimulatedPlantower"]

SPIN_UP_FRAMES = 3
"""Reports with zeros while the fan gets up to speed."""
MEAN_UG_M3 = 8.0
VERSION = 0x97
COMMAND_BYTES = 7


class SimulatedPlantower:
    """Reports each 2.3 s; obeys the commands for passive mode, reading, active mode."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 2.3
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._fine = MEAN_UG_M3
        self._ticks = 0
        self._active = True
        self._received = b""

    def emit(self) -> bytes:
        """Return the next report, or nothing in passive mode."""
        self._ticks += 1
        return self._report() if self._active else b""

    def receive(self, data: bytes) -> bytes:
        """Take commands, whole or in pieces; return the answers to them."""
        self._received = (self._received + data)[-10 * COMMAND_BYTES :]
        answers = b""
        while (start := self._received.find(b"BM")) >= 0:
            command = self._received[start : start + COMMAND_BYTES]
            if len(command) < COMMAND_BYTES:
                break
            good = sum(command[:5]) == int.from_bytes(command[5:], "big")
            self._received = self._received[start + (COMMAND_BYTES if good else 1) :]
            answers += self._obey(command) if good else b""
        return answers

    def _obey(self, command: bytes) -> bytes:
        if command[2] == 0xE2:
            return self._report()
        if command[2] == 0xE1:
            self._active = command[4] == 1
        return _frame(bytes((command[2], command[4])))

    def _report(self) -> bytes:
        if self._ticks <= SPIN_UP_FRAMES:
            return _frame(bytes(24) + bytes((VERSION, 0)))
        step = self._random.gauss(0.0, 0.6) + 0.02 * (MEAN_UG_M3 - self._fine)
        self._fine = min(max(self._fine + step, 0.4), 300.0)
        coarse = self._fine + abs(self._random.gauss(3.0, 1.0))
        masses = [round(0.7 * self._fine), round(self._fine), round(coarse)]
        counts = [round(self._fine * factor) for factor in (150, 45, 9, 1.2, 0.3, 0.1)]
        words = b"".join(value.to_bytes(2, "big") for value in (*masses, *masses, *counts))
        return _frame(words + bytes((VERSION, 0)))


def _frame(data: bytes) -> bytes:
    body = b"BM" + (len(data) + 2).to_bytes(2, "big") + data
    return body + (sum(body) & 0xFFFF).to_bytes(2, "big")
