"""A make-believe OPS243 radar: the same bytes for the same seed and the same commands."""

import random
import re
from collections.abc import Mapping

__all__ = ["SimulatedOps243"]

FACTORS: Mapping[bytes, tuple[float, str, str]] = {
    b"UM": (1.0, "m-per-sec", "mps"),
    b"UK": (3.6, "km-per-hr", "kmph"),
    b"US": (2.236936, "mph", "mph"),
    b"UF": (3.28084, "ft-per-sec", "fps"),
    b"UC": (100.0, "cm-per-sec", "cmps"),
}
"""Command -> factor from m/s, name in the answer, name in reports."""
SAMPLING: Mapping[bytes, tuple[int, float]] = {
    b"SX": (10_000, 0.0607),
    b"S2": (20_000, 0.1214),
    b"SL": (50_000, 0.3034),
    b"SC": (100_000, 0.6069),
}
COMMAND = re.compile(rb"[RrM][<>]([-0-9.]*)[\r\n]|(?![RrM][<>])[!-~]{2}")
HIGHEST = float("inf")
VEHICLE_CHANCE = 0.3
RESET_LINE = (
    b'{ "ResetReason": "Status from bitmask", "Power On" : true, "Supply Watchdog" : true, '
    b'"Power Validation" : true }\r\n'
)
MAX_PENDING_BYTES = 64


class SimulatedOps243:
    """Sees a vehicle every other second, inbound and outbound, at 25 to 65 km/h mostly.

    It wakes up as the manual says: plain text, metres per second. It answers the commands whose
    answers the manual shows, and obeys the others in silence.
    """

    def __init__(self, seed: int) -> None:
        self.interval_s = 0.5
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._mean_m_s = 12.5
        self._time_s = 100.0
        self._pending = b""
        self._restarted = False
        self._reset()

    def _reset(self) -> None:
        self._json = False
        self._objects = False
        self._with_unit = False
        self._unit = FACTORS[b"UM"]
        self._direction = b"R|"
        self._min_speed = 0.0
        self._max_speed = 0.0
        self._min_magnitude = 0
        self._count = 0

    def power_cycle(self) -> None:
        """Forget all settings; the next ``emit`` begins with the reset line."""
        self._reset()
        self._pending = b""
        self._time_s = 0.0
        self._restarted = True

    def emit(self) -> bytes:
        """Return the lines of the next half second, often none."""
        self._time_s += self.interval_s
        written = RESET_LINE if self._restarted else b""
        self._restarted = False
        if self._random.random() >= VEHICLE_CHANCE:
            return written
        self._mean_m_s += 0.02 * (12.5 - self._mean_m_s) + self._random.gauss(0.0, 0.1)
        speed = min(max(self._random.gauss(self._mean_m_s, 2.5), 2.0), 30.0)
        inbound = self._random.random() < 0.5
        wanted = {b"R|": True, b"R+": inbound, b"R-": not inbound}[self._direction]
        factor, _, _ = self._unit
        if not wanted or not self._min_speed <= speed * factor <= (self._max_speed or HIGHEST):
            return written
        self._count += 1
        return written + self._report(speed * factor * (1 if inbound else -1))

    def receive(self, data: bytes) -> bytes:
        """Take commands, whole or in pieces; return the answers that the manual shows."""
        self._pending = (self._pending + data)[-MAX_PENDING_BYTES:].lstrip(b"\r\n")
        answers = b""
        while match := COMMAND.match(self._pending):
            answers += self._obey(match[0])
            self._pending = self._pending[match.end() :].lstrip(b"\r\n")
        return answers

    def _report(self, speed: float) -> bytes:
        unit = self._unit[2]
        if not self._json:
            return (f'"{unit}",' if self._with_unit else "").encode() + b"%.1f\r\n" % speed
        if self._objects:
            return b'{"DetectedObjectVelocity":"%.1f"}\r\n' % speed
        named = f'"unit" : "{unit}", ' if self._with_unit else ""
        magnitude = max(self._random.randrange(40, 900), self._min_magnitude)
        return (
            f'{{"time" : "{self._time_s:.3f}", {named}"magnitude" : "{magnitude}", '
            f'"speed" : "{speed:.1f}"}}\r\n'
        ).encode()

    def _obey(self, command: bytes) -> bytes:
        if command in FACTORS:
            self._unit = FACTORS[command]
            return b'{"Units":"%s"}\r\n' % self._unit[1].encode()
        if command in SAMPLING:
            return b'{"SamplingRate":%d, "resolution":%.4f}\r\n' % SAMPLING[command]
        if command == b"N?":
            return b'{"DetectedObjectCount":%d}\r\n' % self._count
        if command == b"?R":
            return RESET_LINE
        if command == b"R?":
            filters = (self._min_speed, self._max_speed)
            return b'{"RequiredMinSpeed":"%.3f", "RequiredMaxSpeed":"%.3f"}\r\n' % filters
        if command in (b"R|", b"R+", b"R-"):
            self._direction = command
        elif command[1:2] in (b"<", b">"):
            self._filter(command[:2], float(command[2:].strip() or b"0"))
        else:
            self._switch(command)
        return b""

    def _filter(self, which: bytes, value: float) -> None:
        if which == b"R>":
            self._min_speed = value
        elif which == b"R<":
            self._max_speed = value
        elif which == b"M>":
            self._min_magnitude = int(value)

    def _switch(self, command: bytes) -> None:
        """Capital letters switch a form of report on, small ones off."""
        if command.upper() == b"ON":
            self._objects = command == b"ON"
        elif command.upper() == b"OJ":
            self._json = command == b"OJ"
        elif command.upper() == b"OU":
            self._with_unit = command == b"OU"
