"""A make-believe meter with an optical head that is read on request: real bytes."""

import random

__all__ = ["SimulatedIec62056"]

SIGN_ON = b"/?!\r\n"
IDENTIFICATION = b"/SIM5SIMULATED\r\n"
PROPOSED = b"5"
"""9600 baud, as it stands in the identification."""
KEPT = b"0"
ACKNOWLEDGE_BYTES = 6
MAX_RECEIVED_BYTES = 64


class SimulatedIec62056:
    """A dwelling's meter of mode C; each readout comes a quarter of an hour after the last one.

    It answers whoever accepts the speed that it proposes, or asks for 300 baud.
    """

    def __init__(self, seed: int) -> None:
        self.interval_s = 900.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._imported_kwh = self._random.uniform(2_000.0, 30_000.0)
        self._exported_kwh = self._random.uniform(0.0, 500.0)
        self._received = b""
        self._signed_on = False

    def emit(self) -> bytes:
        """Return nothing: the meter waits to be asked."""
        return b""

    def receive(self, data: bytes) -> bytes:
        """Take a sign-on or an acknowledgement, whole or in pieces, and answer it."""
        self._received = (self._received + data)[-MAX_RECEIVED_BYTES:]
        if self._received.endswith(SIGN_ON):
            self._received = b""
            self._signed_on = True
            return IDENTIFICATION
        asked = self._received[-ACKNOWLEDGE_BYTES:]
        accepted = asked in (b"\x060" + speed + b"0\r\n" for speed in (PROPOSED, KEPT))
        if self._signed_on and accepted:
            self._received = b""
            self._signed_on = False
            return self._readout()
        return b""

    def _readout(self) -> bytes:
        watts = max(0.0, self._random.gauss(700.0, 300.0))
        self._imported_kwh += watts / 4000
        lines = ["F.F(00)", "0.0.0(00000000)"]
        lines += [
            f"1.8.0({self._imported_kwh:010.3f}*kWh)",
            f"2.8.0({self._exported_kwh:010.3f}*kWh)",
            f"1.7.0({watts / 1000:06.3f}*kW)",
        ]
        for tens in "357":
            volts = self._random.gauss(230.0, 1.5)
            lines.append(f"{tens}2.7({volts:05.1f}*V)")
        body = "".join(f"{line}\r\n" for line in [*lines, "!"]).encode("ascii") + b"\x03"
        check = 0
        for byte in body:
            check ^= byte
        return b"\x02" + body + bytes((check,))
