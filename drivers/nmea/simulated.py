"""A make-believe satellite receiver: the same bytes for the same seed."""

import math
import random
from datetime import UTC, datetime, timedelta

from drivers.nmea.sentences import checksum

__all__ = ["SimulatedNmea"]

BEGIN = datetime(2027, 3, 1, 8, 0, tzinfo=UTC)
"""It has no clock: the same seed tells the same times."""
LATITUDE, LONGITUDE, ALTITUDE_M = 56.1535, 10.2134, 24.0
METRES_PER_DEGREE = 111_320.0
SPREAD_M = 3.0


class SimulatedNmea:
    """A receiver on a cabinet that is set to one fix in ten seconds: RMC, VTG, GGA, GSA."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 10.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._now = BEGIN + timedelta(minutes=self._random.randrange(60))
        self._satellites = 9

    def emit(self) -> bytes:
        """Return the sentences of one fix."""
        self._now += timedelta(seconds=self.interval_s)
        self._satellites += self._random.choice((-2, -1, 0, 0, 1, 2))
        self._satellites = min(18, max(5, self._satellites))
        north_m, east_m, up_m = (self._random.gauss(0.0, SPREAD_M) for _ in range(3))
        east_per_degree = METRES_PER_DEGREE * math.cos(math.radians(LATITUDE))
        latitude = _angle(LATITUDE + north_m / METRES_PER_DEGREE, 2)
        longitude = _angle(LONGITUDE + east_m / east_per_degree, 3)
        place = f"{latitude},N,{longitude},E"
        clock, day = self._now.strftime("%H%M%S.00"), self._now.strftime("%d%m%y")
        altitude = f"{ALTITUDE_M + 2 * up_m:.1f},M,41.2,M,,"
        bodies = (
            f"GNRMC,{clock},A,{place},0.012,,{day},,,A",
            "GNVTG,,T,,M,0.012,N,0.022,K,A",
            f"GNGGA,{clock},{place},1,{self._satellites:02},0.9,{altitude}",
            "GNGSA,A,3,05,07,13,14,,,,,,,,,1.7,0.9,1.4",
        )
        return b"".join(map(_sentence, (body.encode("ascii") for body in bodies)))

    def receive(self, data: bytes) -> bytes:  # noqa: ARG002 - settings are not answered
        """Return nothing: the receiver only sends."""
        return b""


def _angle(degrees: float, digits: int) -> str:
    whole = int(degrees)
    return f"{whole:0{digits}}{(degrees - whole) * 60:08.5f}"


def _sentence(body: bytes) -> bytes:
    return b"$%b*%02X\r\n" % (body, checksum(body))
