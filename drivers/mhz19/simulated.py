"""A make-believe MH-Z19B: the same bytes for the same seed and the same questions."""

import random

__all__ = ["SimulatedMhz19"]

COMMAND_BYTES = 9
MEAN_PPM = 480.0
WARM_UP_ANSWERS = 2
"""Answers without a value after power-on."""


class SimulatedMhz19:
    """Says nothing by itself; carbon dioxide wanders as in a room that is aired now and then."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 1.0
        self.self_calibration = True
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._ppm = MEAN_PPM
        self._answers = 0
        self._received = b""

    def emit(self) -> bytes:
        """Return nothing: the sensor only answers."""
        return b""

    def receive(self, data: bytes) -> bytes:
        """Take commands, whole or in pieces; return the answers to them."""
        self._received = (self._received + data)[-10 * COMMAND_BYTES :]
        answers = b""
        while (start := self._received.find(b"\xff\x01")) >= 0:
            command = self._received[start : start + COMMAND_BYTES]
            if len(command) < COMMAND_BYTES:
                break
            good = sum(command[1:]) & 0xFF == 0
            self._received = self._received[start + (COMMAND_BYTES if good else 1) :]
            answers += self._obey(command) if good else b""
        return answers

    def _obey(self, command: bytes) -> bytes:
        if command[2] == 0x79:
            self.self_calibration = command[3] == 0xA0
            return b""
        if command[2] != 0x86:
            return b""
        self._answers += 1
        step = self._random.gauss(0.0, 6.0) + 0.02 * (MEAN_PPM - self._ppm)
        self._ppm = min(max(self._ppm + step, 400.0), 5000.0)
        ppm = round(self._ppm) if self._answers > WARM_UP_ANSWERS else 0
        body = bytes((0x86, ppm >> 8, ppm & 0xFF, 0x42, 0, 0, 0))
        return b"\xff" + body + bytes((-sum(body) & 0xFF,))
