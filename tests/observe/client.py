"""A plain HTTP client on asyncio's connections."""

import asyncio

__all__ = ["Answer", "ask"]


class Answer:
    """Status, headers and body of one answer."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, _, lines = head.partition(b"\r\n")
        self.status = int(status.split()[1])
        self.headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines.decode().splitlines())
        }


async def ask(address: str, request: str, *, body: bytes = b"") -> Answer:
    """Send one request that ends its connection to ``host:port``, and return the answer."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode() + body)
        return Answer(await reader.read())
    finally:
        writer.close()
        await writer.wait_closed()
