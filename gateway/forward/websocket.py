"""MQTT over WebSocket (MQTT 5.0, section 6): a stream that the MQTT library takes for a socket.

The handshake and the frames are those of the ``websockets`` library, of which only the part
without input and output is used. Every read and write here returns at once: what cannot be read
or written now raises BlockingIOError, exactly as a socket does.
"""

import contextlib
import functools
import logging
import re
import ssl
from urllib.parse import quote

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from gateway.forward.causes import printable, server_reference
from gateway.forward.dial import (
    READ_BYTES,
    PacketTooLarge,
    PlainSocket,
    TlsSocket,
    WebSocketError,
    check_size,
    when_ready,
)

__all__ = ["WebSocketStream", "open_websocket"]

MAX_HEAD_BYTES = 16_384
"""Of the answer to the handshake."""
MAX_MESSAGE_BYTES = 1_048_576
"""Largest WebSocket message; it may hold several MQTT packets, or a part of one."""
MAX_FRAME_BYTES = 65_536
"""Longer packets leave in several frames."""
MAX_UNSENT_BYTES = 262_144
"""Of one frame of ours and the pongs behind it."""
SUBPROTOCOL = Subprotocol("mqtt")
HTTP = b"HTTP/"
HEAD_END = b"\r\n\r\n"
STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})")
LOCATION = re.compile(rb"\r\nlocation:[ \t]*([^\r\n]*)", re.IGNORECASE)
SWITCHING_PROTOCOLS = 101
SAFE_IN_PATH = "/%:@!$&'()*+,;=~-._"
ORDINARY_CLOSE_CODES = frozenset({1000, 1001, 1005, 1006, 1012})
"""Normal, going away, none given (twice), restart: the same as a connection that ended."""

_library_log = logging.getLogger("citylab_gateway.forward.websocket")
_library_log.setLevel(logging.CRITICAL)
"""The library calls a lost connection an error; the link tells it in its own words, once."""


class WebSocketStream:
    """Bytes of MQTT in, bytes of MQTT out; frames, pings and the close are handled inside."""

    def __init__(self, sock: PlainSocket | TlsSocket, protocol: ClientProtocol) -> None:
        self._sock = sock
        self._protocol = protocol
        self._incoming = bytearray()
        self._unsent = bytearray()
        self._framed = 0
        """Bytes of the caller that lie in ``_unsent``: told as taken when that has left."""
        self._at_end = False
        self._failure: OSError | None = None
        self.first = b""

    @property
    def failure(self) -> OSError | None:
        """What ended it, where that is more than "the connection was lost"."""
        return self._failure or self._sock.failure

    def take_failure(self) -> OSError | None:
        """Return what ended it, and forget it; see the socket's."""
        below = self._sock.take_failure()
        failure, self._failure = self._failure or below, None
        return failure

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 when closed."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as a socket has it
        """Do nothing: it never blocks."""

    def pending(self) -> int:
        """Return how many bytes may be read although the descriptor is not readable."""
        if self._at_end:
            return len(self._incoming) + 1  # the end itself
        return len(self._incoming) + self._sock.pending()

    def recv(self, length: int) -> bytes:
        """Return at most ``length`` bytes, none at the end of the stream.

        Raises BlockingIOError when there is nothing now, another OSError when it is over.
        """
        try:
            check_size(length)
        except PacketTooLarge as error:
            self._failure = error
            raise
        if not self._incoming:
            self._read()
        data = bytes(self._incoming[:length])
        del self._incoming[:length]
        if not self.first:
            self.first = data
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Return how many bytes have left. Raises BlockingIOError when that is none.

        After a BlockingIOError the caller has to come again with the same bytes, as with TLS:
        they may lie in a frame already.
        """
        if self._unsent and not self._flush():
            raise BlockingIOError
        if not self._framed:
            if self._protocol.state is not State.OPEN:
                raise BrokenPipeError
            part = bytes(data[:MAX_FRAME_BYTES])
            self._protocol.send_binary(part)
            self._framed = len(part)
            self._collect()
            if not self._flush():
                raise BlockingIOError
        taken, self._framed = self._framed, 0
        return taken

    def close(self) -> None:
        """Say goodbye if that is possible without waiting, and close."""
        if self._sock.fileno() >= 0 and self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            with contextlib.suppress(OSError):
                self._collect()
                self._flush()
        self._sock.close()

    def _read(self) -> None:
        if not self._at_end:
            data = self._sock.recv(READ_BYTES)
            if data:
                self.feed(data)
            else:
                self._at_end = True
            with contextlib.suppress(ConnectionError):  # the caller's next call says it
                self._flush()
        if self._incoming:
            return  # what came before a failure counts
        if self._failure is not None:
            raise self._failure
        if not self._at_end:
            raise BlockingIOError

    def feed(self, data: bytes) -> None:
        """Take what came from the network, the answer to the handshake included."""
        self._protocol.receive_data(data)
        try:
            for event in self._protocol.events_received():
                if isinstance(event, Frame):
                    self._take(event)
            self._collect()
        except WebSocketError as error:
            self._failure, self._at_end = error, True
            return
        if broken := self._protocol.parser_exc:
            self._failure = WebSocketError(printable(f"broken frames: {broken}"))
            self._at_end = True

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            raise WebSocketError("a text frame, where MQTT knows binary ones only")
        if frame.opcode in (Opcode.BINARY, Opcode.CONT):
            self._incoming += frame.data
        elif frame.opcode is Opcode.CLOSE:
            self._at_end = True
            closed = self._protocol.close_rcvd
            if closed is not None and closed.code not in ORDINARY_CLOSE_CODES:
                raise WebSocketError(f"closed with code {closed.code:d}")

    def _collect(self) -> None:
        for part in self._protocol.data_to_send():
            self._unsent += part
        if len(self._unsent) > MAX_UNSENT_BYTES:
            raise WebSocketError("pings, and nobody reads the answers")

    def _flush(self) -> bool:
        """Write as much as goes; say whether that is all."""
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            del self._unsent[:sent]
        return True


async def open_websocket(
    sock: PlainSocket | TlsSocket, host: str, port: int, path: str
) -> WebSocketStream:
    """Ask for MQTT over WebSocket on a fresh connection; the caller bounds the time.

    Raises WebSocketError when the answer is another one, ConnectionResetError when there is none.
    The socket stays the caller's to close until this has returned.
    """
    uri = WebSocketURI(
        secure=isinstance(sock, TlsSocket),
        host=host,
        port=port,
        path=quote(path, safe=SAFE_IN_PATH),
        query="",
    )
    protocol = ClientProtocol(
        uri,
        subprotocols=[SUBPROTOCOL],
        max_size=MAX_MESSAGE_BYTES,
        logger=_library_log,
    )
    protocol.send_request(protocol.connect())
    for part in protocol.data_to_send():
        await _send_all(sock, part)
    head = await _head(sock)
    _check_status(head)
    stream = WebSocketStream(sock, protocol)
    stream.feed(head)
    if protocol.handshake_exc is not None:
        raise WebSocketError(printable(str(protocol.handshake_exc)))
    if protocol.subprotocol != SUBPROTOCOL:
        raise WebSocketError("the server does not offer the subprotocol mqtt")
    return stream


async def _send_all(sock: PlainSocket | TlsSocket, data: bytes) -> None:
    rest = data
    while rest:
        sent = await when_ready(sock, functools.partial(sock.send, rest), reads=False)
        rest = rest[sent:]


async def _head(sock: PlainSocket | TlsSocket) -> bytes:
    """Return the answer up to the end of its headers, and what came with them."""
    head = b""
    while HEAD_END not in head:
        data = await when_ready(sock, functools.partial(sock.recv, READ_BYTES), reads=True)
        if not data:
            raise ConnectionResetError
        head += data
        if not head.startswith(HTTP[: len(head)]):
            raise WebSocketError("the answer is no HTTP")
        if len(head) > MAX_HEAD_BYTES:
            raise WebSocketError("the answer has no end")
    return head


def _check_status(head: bytes) -> None:
    """Refuse every answer but "switching protocols" before anything else of it is read."""
    match = STATUS_LINE.match(head)
    status = int(match[1]) if match else 0
    if status == SWITCHING_PROTOCOLS:
        return
    where = LOCATION.search(head.partition(HEAD_END)[0])
    told = f"HTTP status {status}"
    if where is not None:
        told += f" to {server_reference(where[1].decode('ascii', 'replace'))}, not followed"
    raise WebSocketError(told)
