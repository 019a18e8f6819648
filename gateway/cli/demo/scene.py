"""The demo's street: which devices stand there, and the configuration that fits them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.demo.brokers import CityBroker
from gateway.driver import SimulatedBeacon, SimulatedStream, simulator_class
from gateway.transports import AdvertSimulator, FaultPlan, PtySimulator

__all__ = ["Scene"]

BEACON_ADDRESS = "C4:7F:51:00:00:01"
NOISE = 0.01
"""One chunk in a hundred has a burst of noise before it: the lines of a street are not clean."""

CONFIGURATION = """\
# Written by `citylab-gateway demo`; it is gone when the demo ends.
schema = 1

[gateway]
id = "demo-box"
tenant = "citylab"
location = {{ lon = 10.2134, lat = 56.1535 }}

[buffer]
directory = "{folder}/state"
runtime_directory = "{folder}/run"
size = "16 MiB"
flush_interval = "2 s"

[clock]
trusted = true              # the machine that you sit at keeps its clock right

[http]
listen = "127.0.0.1:{http_port}"

[bluetooth]
replay = "{folder}/adverts"

[[sensor]]
name = "air-roof"
driver = "sds011"
port = "{folder}/tty-air"

[sensor.filter."*"]
range = {{ min = 0, max = 999.9 }}

[[sensor]]
name = "road-north"
driver = "ops243"
port = "{folder}/tty-road"

[[sensor]]
name = "cabinet-meter"
driver = "p1"
port = "{folder}/tty-meter"
privacy = "P0"              # the meter of a street cabinet: nobody lives here

[sensor.filter."electric.voltage"]
deadband = {{ absolute = 0.5, heartbeat = "10 s" }}

[[sensor]]
name = "air-square"
driver = "ruuvi"
address = "{address}"
"""

BROKER = """
[[broker]]
name = "{name}"
url = "mqtt://127.0.0.1:{port}"
insecure = true             # on this machine only
protocol = "3.1.1"          # what the embedded broker speaks
format = "{format}"
backoff_max = "2 s"
"""


@dataclass
class Scene:
    """The devices, the cities and the file that tells the daemon about them."""

    folder: Path
    seed: int
    http_port: int
    cities: Sequence[CityBroker]

    @property
    def config(self) -> Path:
        """Return the path of the configuration file."""
        return self.folder / "gateway.toml"

    def write(self) -> None:
        """Write the configuration file."""
        text = CONFIGURATION.format(
            folder=self.folder, http_port=self.http_port, address=BEACON_ADDRESS
        )
        for city in self.cities:
            text += BROKER.format(name=city.name, port=city.port, format=city.format)
        self.config.write_text(text, encoding="utf-8")

    def devices(self) -> list[PtySimulator | AdvertSimulator]:
        """Return all devices, each to be run."""
        lines: list[PtySimulator | AdvertSimulator] = [
            PtySimulator(
                self._stream(driver, number),
                self.folder / port,
                faults=FaultPlan(seed=self.seed + number, noise_burst=NOISE),
            )
            for number, (driver, port) in enumerate(
                (("sds011", "tty-air"), ("ops243", "tty-road"), ("p1", "tty-meter"))
            )
        ]
        beacon: SimulatedBeacon = simulator_class("ruuvi")(self.seed, BEACON_ADDRESS)
        return [*lines, AdvertSimulator([beacon], self.folder / "adverts")]

    def _stream(self, driver: str, number: int) -> SimulatedStream:
        device: SimulatedStream = simulator_class(driver)(self.seed + number)
        return device
