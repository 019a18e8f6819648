"""What owns a port: serial lines, the Bluetooth scanner, recordings and simulated devices."""

from gateway.transports.bluetooth import BluetoothScanner
from gateway.transports.replay import AdvertReplay, ReplayTransport
from gateway.transports.serial_line import SerialLineTransport
from gateway.transports.simulator import AdvertSimulator, FaultPlan, PtySimulator
from gateway.transports.sink import Sink
from gateway.transports.stats import PortStats, ScannerStats

__all__ = [
    "AdvertReplay",
    "AdvertSimulator",
    "BluetoothScanner",
    "FaultPlan",
    "PortStats",
    "PtySimulator",
    "ReplayTransport",
    "ScannerStats",
    "SerialLineTransport",
    "Sink",
]
