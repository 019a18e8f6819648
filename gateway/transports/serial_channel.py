"""Reads and writes an open serial port from the event loop, and tells when it is lost.

Neither waits: what the port does not take now is written when it takes more.
"""

import asyncio
import contextlib
import errno
import os
import termios
from collections.abc import Callable

import serial

from gateway.clock import Clock
from gateway.transports.stats import PortStats

__all__ = ["SerialChannel"]

READ_BYTES = 64 * 1024
"""At most so much is read per wake-up; then all other ports have their turn."""
VANISHED = frozenset({errno.EIO, errno.ENXIO, errno.ENODEV})
"""What the kernel says about a port whose device is gone."""


class SerialChannel:
    """One open port; its three callbacks are called from the loop and from its own methods."""

    def __init__(
        self,
        port: serial.Serial,
        clock: Clock,
        *,
        on_data: Callable[[bytes, int], None],
        on_sent: Callable[[], None],
        on_lost: Callable[[str, str], None],
    ) -> None:
        """``on_data`` gets bytes and the boot ns at which they were read.

        ``on_sent`` is called when all is written, ``on_lost`` with the cause (``vanished`` or
        ``error``) and what the kernel said.
        """
        self._loop = asyncio.get_running_loop()
        self._port = port
        self._descriptor = port.fileno()
        self._clock = clock
        self._on_data = on_data
        self._on_sent = on_sent
        self._on_lost = on_lost
        self._unsent = bytearray()
        self.stats: PortStats | None = None
        """Of the device that is counted for."""
        self.received = False
        """Any byte came."""
        self.last_received_at = self._loop.time()
        """Loop time of the last byte, or of the opening."""

    @property
    def unsent_bytes(self) -> int:
        """Return how many bytes the port has not taken yet."""
        return len(self._unsent)

    def listen(self) -> None:
        """Take what comes from now on."""
        self._loop.add_reader(self._descriptor, self._on_readable)

    def close(self) -> None:
        """Close the port without waiting for the device."""
        self._detach()
        # The kernel would wait up to 30 s in close for bytes that a dead device does not take.
        with contextlib.suppress(OSError, termios.error):
            self._port.reset_output_buffer()
        with contextlib.suppress(OSError):
            self._port.close()

    def read(self) -> bool:
        """Read what is there; False if the port has come to its end."""
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return True
        except OSError as error:
            self._lose_by(error)
            return True
        received_ns = self._clock.now_ns()
        if not data:
            return False
        self.received = True
        self.last_received_at = self._loop.time()
        if self.stats is not None:
            self.stats.received_bytes += len(data)
            self.stats.last_received_ns = received_ns
        self._on_data(data, received_ns)
        return True

    def write(self, data: bytes) -> None:
        """Write what the port takes now, and the rest when it takes more."""
        self._unsent += data
        self._write()

    def lose(self, cause: str, problem: str) -> None:
        """Give the port up, for this reason."""
        # Without this, a port that stays readable would call back until the task gets its turn.
        self._detach()
        self._on_lost(cause, problem)

    def _detach(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)

    def _on_readable(self) -> None:
        if not self.read():  # a terminal that was hung up is readable, and reads as its end
            self.lose("vanished", "the device is gone")

    def _write(self) -> None:
        try:
            sent = os.write(self._descriptor, self._unsent) if self._unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose_by(error)
            return
        del self._unsent[:sent]
        if self.stats is not None:
            self.stats.sent_bytes += sent
        if self._unsent:
            self._loop.add_writer(self._descriptor, self._write)
        else:
            self._loop.remove_writer(self._descriptor)
            self._on_sent()

    def _lose_by(self, error: OSError) -> None:
        cause = "vanished" if error.errno in VANISHED else "error"
        self.lose(cause, os.strerror(error.errno) if error.errno else str(error))
