"""Opens a serial port for this process alone, and sets its speed.

pyserial opens with O_NONBLOCK and sets the line with TCSANOW, so neither waits for the device.
Works the same on pseudo-terminals, which have no modem lines and no parity.
"""

import errno
import os
import termios

import serial

from gateway.driver import SerialLine
from gateway.errors import PortError

__all__ = ["change_speed", "line_text", "open_port"]

PSEUDO_TERMINALS = range(136, 144)
"""Device numbers of Linux."""


def open_port(port: str, line: SerialLine) -> serial.Serial:
    """Open a port for this process alone; PortError if that cannot be done now."""
    try:
        return _opened(port, line)
    except termios.error as error:
        # A pseudo-terminal has no parity, and asking it twice for one is an error.
        if line.parity != "N" and _is_pseudo_terminal(port):
            return open_port(port, line._replace(parity="N"))
        raise PortError(port, str(error)) from error
    except (OSError, ValueError) as error:
        raise PortError(port, _reason(error)) from error


def change_speed(port: serial.Serial, baud: int) -> None:
    """Go on at another speed, with the same framing; PortError if the port does not take it.

    What was written and is not sent yet is sent at the new speed: wait for it first.
    """
    try:
        port.baudrate = baud
    except (OSError, ValueError, termios.error) as error:
        raise PortError(str(port.port), f"{baud} baud: {_reason(error)}") from error


def _opened(port: str, line: SerialLine) -> serial.Serial:
    return serial.Serial(
        port,
        baudrate=line.baud,
        bytesize=line.bytesize,
        parity=line.parity,
        stopbits=line.stopbits,
        timeout=0,
        write_timeout=0,
        exclusive=True,
    )


def _is_pseudo_terminal(port: str) -> bool:
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.major(os.fstat(descriptor).st_rdev) in PSEUDO_TERMINALS
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EWOULDBLOCK:  # what flock says
        return "in use by another program"
    return os.strerror(number) if number else str(error)


def line_text(line: SerialLine) -> str:
    """Return ``9600 8N1``."""
    return f"{line.baud} {line.bytesize}{line.parity}{line.stopbits}"
