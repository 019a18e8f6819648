"""The journal's own protocol: one datagram an entry, one field a line.

After systemd.io/JOURNAL_NATIVE_PROTOCOL. An entry too large for a datagram would have to go through
a memory file; ours are bounded far below that.
"""

import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO

__all__ = ["SOCKET", "JournalSocket", "entry", "is_journal"]

SOCKET = Path("/run/systemd/journal/socket")
STREAM_VARIABLE = "JOURNAL_STREAM"


def is_journal(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """Tell whether a stream goes to the journal: systemd names its device and its inode."""
    device, colon, inode = environ.get(STREAM_VARIABLE, "").partition(":")
    if not colon or not device.isdecimal() or not inode.isdecimal():
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return (status.st_dev, status.st_ino) == (int(device), int(inode))


def entry(fields: Mapping[str, str]) -> bytes:
    """Return the datagram for one entry; a value with line breaks goes with its length."""
    parts = []
    for name, value in fields.items():
        content = value.encode("utf-8", "backslashreplace")
        if b"\n" in content:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(content)) + content + b"\n")
        else:
            parts.append(name.encode() + b"=" + content + b"\n")
    return b"".join(parts)


class JournalSocket:
    """Sends entries without ever waiting."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = str(path)
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind)

    def send(self, fields: Mapping[str, str]) -> None:
        """Send one entry. BlockingIOError if the journal is behind, OSError if there is none."""
        self._socket.sendto(entry(fields), self._path)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
