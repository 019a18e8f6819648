"""Counts the connections of one link over restarts, for formats whose consumers count them."""

import asyncio
import logging
from pathlib import Path

from gateway.buffer.files import write_atomically

__all__ = ["ConnectionNumber"]

FILE_NAME = "connections-{link}"
LAST = 1 << 53
"""Beyond it the count begins again; a consumer takes it modulo something small anyway."""
MAX_FILE_BYTES = 32

log = logging.getLogger("citylab_gateway.forward")


class ConnectionNumber:
    """The number of the present connection, kept in a small file of the data directory.

    A file that cannot be read or written stops nothing: then the count begins again with the next
    process.
    """

    def __init__(self, directory: Path, link: str) -> None:
        self._path = directory / FILE_NAME.format(link=link)
        self._number: int | None = None
        self._is_unused = False
        self._told = False

    async def next(self) -> int:
        """Return the number of the connection that begins; it is durable by then, if it can be."""
        if self._number is not None and self._is_unused:
            self._is_unused = False
            return self._number
        if self._number is None:
            self._number = await asyncio.to_thread(self._read)
        self._number = (self._number + 1) % LAST
        try:
            await asyncio.to_thread(write_atomically, self._path, b"%d\n" % self._number)
        except OSError as error:
            level = logging.DEBUG if self._told else logging.WARNING
            log.log(level, "the number of connections cannot be kept: %s", error)
            self._told = True
        return self._number

    def give_back(self) -> None:
        """Let the next connection have the same number: this one never got as far as CONNECT."""
        self._is_unused = True

    def _read(self) -> int:
        """Return the number that was kept, -1 if there is none: so that the first is 0."""
        try:
            with self._path.open("rb") as file:
                return int(file.read(MAX_FILE_BYTES))
        except FileNotFoundError:
            return -1
        except (OSError, ValueError) as error:
            log.warning("the number of connections begins again: %s", error)
            return -1
