"""A time server for the Pi: SNTP (RFC 4330) from this machine's clock, on loopback."""

import asyncio
import struct
import time
from types import TracebackType
from typing import Any, Self

from tests.pi.tools import Failed

__all__ = ["TimeServer"]

PORT = 123
"""systemd-timesyncd asks at no other."""
PACKET = struct.Struct("!BBbb11I")
SINCE_1900_S = 2_208_988_800
SERVER_MODE = 4
STRATUM = 1
PRECISION = -20
"""2^-20 s."""


class TimeServer(asyncio.DatagramProtocol):
    """Answers while ``is_on``; an asynchronous context manager."""

    def __init__(self) -> None:
        self.is_on = True
        self.answers = 0
        self._transport: asyncio.DatagramTransport

    @property
    def address(self) -> tuple[str, int]:
        """Where it answers."""
        host, port = self._transport.get_extra_info("sockname")
        return host, port

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", PORT))
        except PermissionError:
            raise Failed(
                "the time server of the Pi needs UDP port 123 of the loopback; run it as root, or: "
                "sudo sysctl net.ipv4.ip_unprivileged_port_start=123"
            ) from None
        except OSError as error:
            raise Failed(
                f"UDP port 123 of the loopback is taken ({error.strerror}); stop the time server "
                "of this machine while the Pi runs, for example: sudo systemctl stop chrony"
            ) from None
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str | Any, int]) -> None:
        if not self.is_on or len(data) < PACKET.size:
            return
        received_ns = time.time_ns()
        version = data[0] >> 3 & 7
        asked = PACKET.unpack(data[: PACKET.size])[-2:]
        answer = PACKET.pack(
            *(version << 3 | SERVER_MODE, STRATUM, 6, PRECISION),
            *(0, 0, int.from_bytes(b"HOST")),
            *(*_stamp(received_ns), *asked, *_stamp(received_ns), *_stamp(time.time_ns())),
        )
        self.answers += 1
        self._transport.sendto(answer, address)


def _stamp(time_ns: int) -> tuple[int, int]:
    """Return seconds since 1900 and the fraction of a second in 2^-32."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return (seconds + SINCE_1900_S) & 0xFFFFFFFF, (rest_ns << 32) // 1_000_000_000
