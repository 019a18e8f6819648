"""A make-believe SPS30: the same answers for the same seed."""

import random
import struct

from drivers.sps30.shdlc import frame, read_command

__all__ = ["SimulatedSps30"]

START, STOP, READ, WAKE_UP, CLEANING, STATUS = 0x00, 0x01, 0x03, 0x11, 0x80, 0xD2
NOT_ALLOWED, UNKNOWN_COMMAND = 0x43, 0x02
MAX_RECEIVED_BYTES = 1024
WEEK_S = 604800
MEAN = 7.0


class SimulatedSps30:
    """Has a new value each second once it was started; says nothing by itself."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 1.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._pm1 = MEAN
        self._received = b""
        self.measuring = False
        self.cleaning_s = WEEK_S
        self.flags = 0
        """The device status register."""
        self._new = False

    def emit(self) -> bytes:
        """Return nothing: it answers only. A second passes."""
        self._pm1 += 0.02 * (MEAN - self._pm1) + self._random.gauss(0.0, 0.3)
        self._pm1 = min(max(self._pm1, 0.2), 300.0)
        self._new = self.measuring
        return b""

    def restart(self) -> None:
        """Lose the power for a moment: it does not measure afterwards."""
        self.measuring = self._new = False

    def receive(self, data: bytes) -> bytes:
        """Take commands, whole or in pieces; return the answers to them."""
        self._received = (self._received + data)[-MAX_RECEIVED_BYTES:]
        answers = b""
        while (found := read_command(self._received)) is not None:
            address, command, content, end = found
            self._received = self._received[end:]
            if address == 0:
                state, answer = self._obey(command, content)
                state |= 0x80 if self.flags else 0
                answers += frame(bytes((0, command, state, len(answer))) + answer)
        return answers

    def _obey(self, command: int, data: bytes) -> tuple[int, bytes]:
        """Return the state and the data of the answer to one command."""
        if command in (START, STOP):
            return self._switch(on=command == START), b""
        if command == READ and self.measuring:
            return 0, self._values() if self._new else b""
        if command == CLEANING:
            if len(data) == 5:
                self.cleaning_s = int.from_bytes(data[1:], "big")
                return 0, b""
            return 0, self.cleaning_s.to_bytes(4, "big")
        if command == STATUS:
            return 0, self.flags.to_bytes(4, "big") + b"\x00"
        return (NOT_ALLOWED if command in (READ, WAKE_UP) else UNKNOWN_COMMAND), b""

    def _switch(self, *, on: bool) -> int:
        if self.measuring == on:
            return NOT_ALLOWED
        self.measuring, self._new = on, False
        return 0

    def _values(self) -> bytes:
        self._new = False
        masses = [self._pm1 * factor for factor in (1.0, 1.3, 1.5, 1.6)]
        numbers = [self._pm1 * factor for factor in (5.0, 6.5, 7.0, 7.1, 7.2)]
        return struct.pack(">10f", *masses, *numbers, 0.75)
