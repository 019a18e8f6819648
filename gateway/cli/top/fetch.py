"""Asks the daemon for its status, as anybody may who can reach its page."""

import asyncio
import json
import os
from dataclasses import dataclass, field

import h11

from gateway.cli.top.snapshot import Snapshot, snapshot

__all__ = ["Answer", "Source", "ask"]

TIMEOUT_S = 5.0
READ_BYTES = 1 << 16
MAX_BODY_BYTES = 16 << 20
"""Four times what 256 sensors with 64 values each take."""
PATH = "/status.json"
REFUSED = {
    401: "it wants a token: --token-file, or token_file in [http]",
    404: "there is no status here: is it a citylab-gateway?",
    503: "it is busy with other visitors",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the daemon answers, and the token that it wants, if any."""

    host: str
    port: int
    token: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """Return it for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon said, or why it said nothing."""

    snapshot: Snapshot | None
    problem: str = ""


async def ask(source: Source) -> Answer:
    """Return the daemon's state; never raises for what the other side does."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(source.host, source.port)
            try:
                connection = h11.Connection(h11.CLIENT)
                writer.write(_request(connection, source))
                status, body = await _answer(connection, reader)
            finally:
                writer.transport.abort()
    except TimeoutError:
        return Answer(None, f"no answer within {TIMEOUT_S:g} s")
    except OSError as error:
        return Answer(None, _reason(error))
    except h11.ProtocolError:
        return Answer(None, "what answers there is no web server")
    if status != 200:
        return Answer(None, REFUSED.get(status, f"it answers with {status}"))
    return _understood(body)


def _reason(error: OSError) -> str:
    """Return the system's own words; asyncio puts others in their place."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return (error.strerror or "cannot be reached").lower()  # a name that nobody knows


def _request(connection: h11.Connection, source: Source) -> bytes:
    headers = [("Host", "localhost"), ("Connection", "close"), ("Accept", "application/json")]
    if source.token:
        headers.append(("Authorization", f"Bearer {source.token}"))
    head = connection.send(h11.Request(method="GET", target=PATH, headers=headers)) or b""
    return head + (connection.send(h11.EndOfMessage()) or b"")


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body. h11.ProtocolError if it is no HTTP, or longer than any status."""
    status = 0
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise h11.RemoteProtocolError("longer than any status")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return status, bytes(body)


def _understood(body: bytes) -> Answer:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return Answer(None, "its status cannot be read")
    return Answer(snapshot(document))
