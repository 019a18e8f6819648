"""What owns a port: serial lines, the Bluetooth scanner, recordings and simulated devices."""

from gateway.transports.bluetooth import BluetoothScanner
from gateway.transports.crowd import CrowdWindows
from gateway.transports.gatt import ConnectionStats, GattConnector
from gateway.transports.gatt_device import ConnectedDevice
from gateway.transports.replay import AdvertReplay, ReplayTransport
from gateway.transports.serial_bus import SerialBusTransport
from gateway.transports.serial_bus_device import BusDevice, BusStats
from gateway.transports.serial_line import SerialLineTransport
from gateway.transports.simulator import AdvertSimulator, FaultPlan, PtySimulator
from gateway.transports.sink import Sink
from gateway.transports.stats import AdapterStats, PortStats, ScannerStats

__all__ = [
    "AdapterStats",
    "AdvertReplay",
    "AdvertSimulator",
    "BluetoothScanner",
    "BusDevice",
    "BusStats",
    "ConnectedDevice",
    "ConnectionStats",
    "CrowdWindows",
    "FaultPlan",
    "GattConnector",
    "PortStats",
    "PtySimulator",
    "ReplayTransport",
    "ScannerStats",
    "SerialBusTransport",
    "SerialLineTransport",
    "Sink",
]
