"""A make-believe HPMA115: the same bytes for the same seed and the same commands."""

import random

__all__ = ["SimulatedHpma115"]

COMMAND_BYTES = 4
MEAN_UG_M3 = 10.0
DONE, REFUSED = b"\xa5\xa5", b"\x96\x96"


class SimulatedHpma115:
    """Reports each second after power-on; measures, rests, reports and answers as it is told."""

    def __init__(self, seed: int, model: str = "standard") -> None:
        self.interval_s = 1.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._compact = model == "compact"
        self._fine = MEAN_UG_M3
        self._received = b""
        self.power_cycle()

    def power_cycle(self) -> None:
        """Forget all commands."""
        self._measuring = True
        self._reporting = True

    def emit(self) -> bytes:
        """Return the report of this second, if the sensor sends any."""
        if not (self._measuring and self._reporting):
            return b""
        values = self._measure()
        words = (values if self._compact else (0, *values)) + (0,) * 13
        body = b"BM\x00\x1c" + b"".join(value.to_bytes(2, "big") for value in words[:13])
        return body + (sum(body) & 0xFFFF).to_bytes(2, "big")

    def receive(self, data: bytes) -> bytes:
        """Take commands, whole or in pieces; return the answers to them."""
        self._received = (self._received + data)[-10 * COMMAND_BYTES :]
        answers = b""
        while (start := self._received.find(b"\x68\x01")) >= 0:
            command = self._received[start : start + COMMAND_BYTES]
            if len(command) < COMMAND_BYTES:
                break
            good = sum(command) & 0xFF == 0
            self._received = self._received[start + (COMMAND_BYTES if good else 1) :]
            answers += self._obey(command[2]) if good else b""
        return answers

    def _obey(self, command: int) -> bytes:
        if command == 0x04:
            if not self._measuring:
                return REFUSED
            values = self._measure() + ((0, 0) if self._compact else ())
            body = bytes((0x40, 2 * len(values) + 1, 0x04))
            body += b"".join(value.to_bytes(2, "big") for value in values)
            return body + bytes((-sum(body) & 0xFF,))
        if command in (0x01, 0x02):
            self._measuring = command == 0x01
        elif command in (0x20, 0x40):
            self._reporting = command == 0x40
        else:
            return REFUSED
        return DONE

    def _measure(self) -> tuple[int, ...]:
        step = self._random.gauss(0.0, 0.8) + 0.02 * (MEAN_UG_M3 - self._fine)
        self._fine = min(max(self._fine + step, 0.5), 400.0)
        pm25, pm4, pm10 = round(self._fine), round(1.2 * self._fine), round(1.5 * self._fine)
        return (round(0.7 * self._fine), pm25, pm4, pm10) if self._compact else (pm25, pm10)
