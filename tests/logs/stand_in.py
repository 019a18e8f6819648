"""A journal of the test's own: a datagram socket, and what came to it taken apart."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["StandIn", "stand_in", "taken_apart"]

MAX_DATAGRAM = 1 << 20
LENGTH = struct.Struct("<Q")


def taken_apart(datagram: bytes) -> dict[str, str]:
    """Read one entry as journald does: ``NAME=text``, or the name, the length and the bytes."""
    fields = {}
    rest = datagram
    while rest:
        line, _, rest = rest.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = LENGTH.unpack_from(rest)
            value, rest = rest[LENGTH.size : LENGTH.size + length], rest[LENGTH.size + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
    return fields


class StandIn:
    """Keeps the entries in the order in which they came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    @property
    def entries(self) -> list[dict[str, str]]:
        """Take what is there, and return all that ever came."""
        while True:
            try:
                self._entries.append(taken_apart(self._socket.recv(MAX_DATAGRAM)))
            except BlockingIOError:
                return self._entries

    def of(self, **wanted: str) -> list[dict[str, str]]:
        """Return the entries with these fields, as journalctl does."""
        return [each for each in self.entries if wanted.items() <= each.items()]

    def close(self) -> None:
        self._socket.close()


@contextmanager
def stand_in(folder: Path) -> Iterator[StandIn]:
    """Listen at ``journal`` in a folder."""
    journal = StandIn(folder / "journal")
    try:
        yield journal
    finally:
        journal.close()
