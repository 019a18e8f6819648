"""The real daemon, a hundred and fifty times as impatient, at whose ports the kernel may hang.

First argument: a file with the ports at which it does. Looking for such a port never comes back, as
a call into a driver that hangs; so whoever awaits it awaits for ever. The rest is the command line.
"""

import sys
import threading
from pathlib import Path

from gateway.cli import main
from gateway.observe import standstill
from gateway.transports import port_recovery, serial_bus, serial_line
from gateway.transports.usb import UsbPort, locate

__all__: list[str] = []

STUCK_S = 2.0
STEP_S = 0.4
MAX_WAIT_S = 0.3


def _run(hanging: Path, arguments: list[str]) -> int:
    def may_hang(port: str, identity: str) -> tuple[str, UsbPort | None]:
        if port in hanging.read_text(encoding="utf-8").split():
            threading.Event().wait()
        return locate(port, identity)

    vars(port_recovery)["locate"] = may_hang
    vars(standstill)["STUCK_S"] = STUCK_S
    for module in (serial_bus, serial_line):
        vars(module).update(STEP_S=STEP_S, MAX_WAIT_S=MAX_WAIT_S)
    return main(arguments)


if __name__ == "__main__":
    sys.exit(_run(Path(sys.argv[1]), sys.argv[2:]))
