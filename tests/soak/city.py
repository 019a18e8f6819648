"""The hundred sensors and five brokers of a soak, and the configuration that fits them."""

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.driver import simulator_class
from gateway.supervisor import Supervisor
from gateway.transports import AdvertSimulator, FaultPlan, PtySimulator
from tests.brokers import Mosquitto
from tests.forward.pki import listener, make_ca, make_certificate

__all__ = ["DISK_BYTES", "LINKS", "SENSORS", "SPEED", "City", "small_disk"]

SPEED = 2.0
"""Devices speak so much faster than real ones; faults come some thousand times as often."""
DAMAGED = 1e-4
"""Share of the bytes of every line."""
RING = "1 MiB"
"""Goes round about once a minute, so that links which are away for longer lose readings."""
DISK_BYTES = 24 << 20


@dataclass(frozen=True, slots=True)
class Kind:
    """So many sensors of a driver."""

    driver: str
    count: int
    options: str = ""


LINES = (
    Kind("sds011", 12),
    Kind("plantower", 8),
    Kind("ops243", 6),
    Kind("ld2450", 4, "window_s = 10"),
    Kind("vedirect", 4),
    Kind("p1", 4),
    Kind("nmea", 2),
)
BUSES = 4
BUS_UNITS = (1, 2)
BEACONS = (Kind("ruuvi", 36), Kind("bthome", 8), Kind("atc", 8))
LINKS: Mapping[str, str] = {
    "aarhus": "json",
    "vejle": "ngsi-ld",
    "odense": "senml-cbor",
    "esbjerg": "thingsboard",
    "aalborg": "homeassistant",
}
"""Name -> format."""
SECURE = ("aarhus", "odense")
"""Links with TLS, which is what a city has; without it the others cost the soak less."""
SENSORS = sum(kind.count for kind in (*LINES, *BEACONS)) + BUSES * len(BUS_UNITS)

CONFIGURATION = """\
schema = 1
[gateway]
id = "soak-box"
tenant = "citylab"
location = {{ lon = 10.2134, lat = 56.1535 }}
[buffer]
directory = "{state}"
runtime_directory = "{folder}/run"
size = "{ring}"
flush_interval = "1 s"
[clock]
trusted = true
[http]
listen = "127.0.0.1:{http_port}"
[bluetooth]
replay = "{folder}/adverts"
"""


class Quicker:
    """A simulated device that does everything ``SPEED`` times as fast."""

    def __init__(self, device: Any) -> None:
        self.interval_s = device.interval_s / SPEED
        self._device = device

    def emit(self) -> Any:
        """Return what the device sends next."""
        return self._device.emit()

    def receive(self, data: bytes) -> bytes:
        """Let the device answer."""
        answer: bytes = self._device.receive(data)
        return answer


class City:
    """Everything around the box; an asynchronous context manager."""

    def __init__(self, folder: Path, state: Path, seed: int, http_port: int) -> None:
        self.folder = folder
        self.state = state
        self.config = folder / "gateway.toml"
        self.http_port = http_port
        self._authority = make_ca(folder, "city-ca")
        make_certificate(folder, "server", "city-ca", "DNS:localhost,IP:127.0.0.1")
        quiet = ["log_type none", "log_type error"]
        self.brokers = {
            name: Mosquitto(
                folder / name, lines=[*quiet, *(listener(folder) if name in SECURE else ())]
            )
            for name in LINKS
        }
        self.ports = dict(self._ports(seed))
        self._adverts = AdvertSimulator(
            [
                Quicker(simulator_class(kind.driver)(seed + number, address))
                for number, (kind, _, address) in enumerate(_beacons())
            ],
            folder / "adverts",
        )
        self._running = contextlib.AsyncExitStack()

    def _ports(self, seed: int) -> Iterator[tuple[str, PtySimulator]]:
        names = [(kind.driver, f"{kind.driver}-{n}") for kind in LINES for n in range(kind.count)]
        names += [("modbus", f"bus-{number}") for number in range(BUSES)]
        for number, (driver, name) in enumerate(names):
            device = Quicker(simulator_class(driver)(seed + number))
            plan = FaultPlan(seed=seed + number, damaged_bytes=DAMAGED, damage_run=4)
            yield name, PtySimulator(device, self.folder / name, faults=plan)

    @property
    def lines(self) -> Sequence[str]:
        """Return the sensors that have a port of their own."""
        return [f"{kind.driver}-{number}" for kind in LINES for number in range(kind.count)]

    def write_config(self, *, without: str = "") -> None:
        """Write the configuration; ``without`` leaves out one sensor."""
        text = CONFIGURATION.format(
            folder=self.folder, state=self.state, ring=RING, http_port=self.http_port
        )
        sections = dict(self._sections())
        assert len(sections) == SENSORS
        text += "".join(section for name, section in sections.items() if name != without)
        for name, format_name in LINKS.items():
            scheme, trust = "mqtt", "insecure = true"
            if name in SECURE:
                scheme, trust = "mqtts", f'tls = {{ ca_file = "{self._authority}" }}'
            text += (
                f'[[broker]]\nname = "{name}"\nformat = "{format_name}"\n{trust}\n'
                f'url = "{scheme}://127.0.0.1:{self.brokers[name].port}"\nbackoff_max = "2 s"\n'
            )
        self.config.write_text(text, encoding="utf-8")

    def _sections(self) -> Iterator[tuple[str, str]]:
        head = '[[sensor]]\nname = "{}"\ndriver = "{}"\nprivacy = "P0"\n'
        for kind in LINES:
            for number in range(kind.count):
                name = f"{kind.driver}-{number}"
                port = f'port = "{self.folder / name}"\noptions = {{ {kind.options} }}\n'
                yield name, head.format(name, kind.driver) + port
        for bus in range(BUSES):
            for unit in BUS_UNITS:
                name, options = f"meter-{bus}-{unit}", f'map = "sdm630", unit = {unit}'
                port = f'port = "{self.folder}/bus-{bus}"\noptions = {{ {options} }}\n'
                yield name, head.format(name, "modbus") + port + 'interval = "2 s"\n'
        for kind, name, address in _beacons():
            yield name, head.format(name, kind.driver) + f'address = "{address}"\n'

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            for broker in self.brokers.values():
                stack.push_async_callback(broker.stop)  # also one that was started again
                await broker.start()
            devices = await stack.enter_async_context(Supervisor())
            for name, port in self.ports.items():
                devices.start(name, port.run)
            devices.start("adverts", self._adverts.run)
            await asyncio.gather(*(port.ready.wait() for port in self.ports.values()))
            self._running = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._running.__aexit__(kind, error, traceback)


def _beacons() -> Sequence[tuple[Kind, str, str]]:
    """Return kind, name and address of each."""
    all_kinds = [(kind, number) for kind in BEACONS for number in range(kind.count)]
    return [
        (kind, f"{kind.driver}-{number}", f"C4:7F:51:00:00:{index:02X}")
        for index, (kind, number) in enumerate(all_kinds)
    ]


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[bool]:
    """Make ``path`` a file system of its own where that is permitted; tell whether it is one."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(path)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:  # there is no mount
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
