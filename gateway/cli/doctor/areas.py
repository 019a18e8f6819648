"""All that doctor looks at, in the order in which it is told.

Another thing to look at: a module with ``TROUBLES`` and ``look``, and one line here. The table in
docs/operate.md follows; a test compares the two.
"""

from gateway.cli.doctor import (
    bluetooth,
    brokers,
    clock,
    config,
    footfall,
    network,
    package,
    ports,
    power,
    ring,
    secrets,
    storage,
    unit,
    wear,
)
from gateway.cli.doctor.area import Area

__all__ = ["AREAS"]

AREAS = (
    Area("package", "Software", package.TROUBLES, package.look),
    Area("config", "Configuration", config.TROUBLES, config.look),
    Area("secrets", "Secrets", secrets.TROUBLES, secrets.look),
    Area("unit", "Service", unit.TROUBLES, unit.look),
    Area("ports", "Serial ports", ports.TROUBLES, ports.look),
    Area("bluetooth", "Bluetooth", bluetooth.TROUBLES, bluetooth.look),
    Area("footfall", "Counting", footfall.TROUBLES, footfall.look),
    Area("clock", "Clock", clock.TROUBLES, clock.look),
    Area("storage", "Disk", storage.TROUBLES, storage.look),
    Area("ring", "Ring", ring.TROUBLES, ring.look),
    Area("wear", "Wear", wear.TROUBLES, wear.look),
    Area("power", "Power", power.TROUBLES, power.look),
    Area("network", "Network", network.TROUBLES, network.look),
    Area("brokers", "Brokers", brokers.TROUBLES, brokers.look, brokers.TIMEOUT_S),
)
