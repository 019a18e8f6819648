"""Lines out of a file or a pipe, in small pieces that never hold up the event loop.

A pipe is read when the loop says that it is readable. A regular file is always readable, so it is
read in slices of 16 KiB with a turn for everybody else in between: each read is bounded, comes
from the page cache as a rule, and needs no thread. Only replay and demo read files this way.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator

from gateway.errors import PortError
from gateway.transports.recording import MAX_LINE_BYTES

__all__ = ["LineSource"]

SLICE_BYTES = 16 * 1024


class LineSource:
    """An open file or pipe; iterate it once for its lines, without their ends, and close it.

    A file ends; a pipe does not: writers may come and go. In place of a line above
    ``MAX_LINE_BYTES`` comes an empty one; empty lines are passed over otherwise.
    """

    def __init__(self, path: str) -> None:
        # For a pipe O_RDWR, which Linux defines: opening does not wait for a writer, and the last
        # writer's leaving is no end of file.
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            mode = os.fstat(self._descriptor).st_mode
            if stat.S_ISFIFO(mode):
                os.close(self._descriptor)
                self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            raise PortError(path, os.strerror(error.errno or 0)) from error
        self._is_file = stat.S_ISREG(mode)
        self._partial = b""
        self._skipping = False

    def close(self) -> None:
        """Close the file or pipe."""
        os.close(self._descriptor)

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yield line after line, until the end of a file; for ever from a pipe."""
        while True:
            data = await self._slice()
            if data is None:
                break
            *complete, rest = (self._partial + data).split(b"\n")
            for line in complete:
                if self._skipping:
                    self._skipping = False
                elif line:
                    yield line
            self._partial = b"" if self._skipping else rest
            if len(self._partial) > MAX_LINE_BYTES:
                self._skipping = True
                self._partial = b""
                yield b""
        if self._partial and not self._skipping:
            yield self._partial
            self._partial = b""

    async def _slice(self) -> bytes | None:
        """Return the next bytes, or None at the end of a file."""
        while True:
            if self._is_file:
                await asyncio.sleep(0)
            else:
                await self._readable()
            try:
                data = os.read(self._descriptor, SLICE_BYTES)
            except BlockingIOError:
                continue
            return data or None

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._descriptor, _settle, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
