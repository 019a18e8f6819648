"""A make-believe Swedish or Finnish meter with a gas meter: real telegrams with a checksum."""

import math
import random
from datetime import datetime, timedelta

from drivers.checks import crc16_arc

__all__ = ["SimulatedP1"]

START = datetime(2026, 1, 1, 7, 0)  # noqa: DTZ001 - the meter's clock: UTC+1 all year
PHASES = (("2", "3"), ("4", "5"), ("6", "7"))
"""Tens digits of the OBIS codes of power and of voltage and current."""
GAS_INTERVAL = timedelta(hours=1)


class SimulatedP1:
    """A dwelling with a morning and an evening peak, sun on the roof, and gas for heating.

    ``interval_s`` is 1 s as in DSMR 5; Swedish meters take 10 s. The meter's clock goes by it.
    """

    def __init__(self, seed: int, interval_s: float = 1.0) -> None:
        self.interval_s = interval_s
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._seconds = 0.0
        self._shares = [self._random.uniform(0.2, 0.5) for _ in PHASES]
        self._noise = 0.0
        self._imported_kwh = self._random.uniform(2_000.0, 30_000.0)
        self._exported_kwh = self._random.uniform(10.0, 2_000.0)
        self._reactive_kvarh = self._random.uniform(10.0, 500.0)
        self._gas_m3 = self._random.uniform(100.0, 9_000.0)
        self._gas_shown = (START - timedelta(hours=1), self._gas_m3)

    def emit(self) -> bytes:
        """Return the next telegram."""
        self._seconds += self.interval_s
        now = START + timedelta(seconds=self._seconds)
        hour = (now.hour * 3600 + now.minute * 60 + now.second) / 3600
        self._noise = 0.95 * self._noise + self._random.gauss(0.0, 0.03)
        phases_kw = [share * _house_kw(hour, self._noise) for share in self._shares]
        phases_kw[0] -= 3.5 * max(0.0, math.sin(math.pi * (hour - 8) / 8)) if 8 < hour < 16 else 0
        total_kw = sum(phases_kw)
        self._count(total_kw)
        if now - self._gas_shown[0] >= GAS_INTERVAL:
            self._gas_shown = (now.replace(minute=0, second=0), self._gas_m3)
        text = "\r\n".join(
            ["/SIM5\\2SIMULATED", "", *self._registers(now, total_kw), *self._phases(phases_kw)]
        )
        gas_time, gas_m3 = self._gas_shown
        text += (
            "\r\n0-1:24.1.0(003)\r\n0-1:96.1.0(53494D554C41544544)"
            f"\r\n0-1:24.2.1({gas_time:%y%m%d%H%M%S}W)({gas_m3:09.3f}*m3)\r\n!"
        )
        raw = text.encode("ascii")
        return raw + b"%04X\r\n" % crc16_arc(raw)

    def receive(self, data: bytes) -> bytes:  # noqa: ARG002 - a P1 port has no input
        """Return nothing: a P1 port only sends."""
        return b""

    def _count(self, total_kw: float) -> None:
        hours = self.interval_s / 3600
        self._imported_kwh += max(total_kw, 0.0) * hours
        self._exported_kwh += max(-total_kw, 0.0) * hours
        self._reactive_kvarh += 0.2 * hours
        self._gas_m3 += 0.25 * hours

    def _registers(self, now: datetime, total_kw: float) -> list[str]:
        return [
            f"0-0:1.0.0({now:%y%m%d%H%M%S}W)",
            f"1-0:1.8.0({self._imported_kwh:012.3f}*kWh)",
            f"1-0:2.8.0({self._exported_kwh:012.3f}*kWh)",
            f"1-0:3.8.0({self._reactive_kvarh:012.3f}*kvarh)",
            f"1-0:4.8.0({0:012.3f}*kvarh)",
            f"1-0:1.7.0({max(total_kw, 0.0):08.3f}*kW)",
            f"1-0:2.7.0({max(-total_kw, 0.0):08.3f}*kW)",
            "1-0:3.7.0(0000.200*kvar)",
            "1-0:4.7.0(0000.000*kvar)",
        ]

    def _phases(self, phases_kw: list[float]) -> list[str]:
        lines = []
        for (power, electric), kw in zip(PHASES, phases_kw, strict=True):
            volts = 230.0 - 1.5 * kw + self._random.gauss(0.0, 0.4)
            lines += [
                f"1-0:{power}1.7.0({max(kw, 0.0):08.3f}*kW)",
                f"1-0:{power}2.7.0({max(-kw, 0.0):08.3f}*kW)",
                f"1-0:{electric}2.7.0({volts:05.1f}*V)",
                f"1-0:{electric}1.7.0({abs(kw) * 1000 / volts:05.1f}*A)",
            ]
        return lines


def _house_kw(hour: float, noise: float) -> float:
    """Return what a dwelling draws: little at night, peaks at breakfast and supper."""
    morning = 1.6 * math.exp(-((hour - 7.5) ** 2) / 2)
    evening = 2.4 * math.exp(-((hour - 18.5) ** 2) / 5)
    return max(0.15, 0.4 + morning + evening + noise)
