"""A small HTTP/1.1 server: asyncio's connections, h11's protocol, and a bound on everything."""

import asyncio
import socket
from collections.abc import Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Self

import h11

from gateway.observe.hosts import WRONG_HOST, names_this_machine
from gateway.observe.leaving import LookLeaving, nothing_known
from gateway.observe.listening import address_text, bound_socket, check_exposure
from gateway.observe.pages import NotMade, Pages
from gateway.observe.site import Answer, Site, Stream
from gateway.observe.streams import EventWriter
from gateway.observe.view import Look

__all__ = ["HttpLimits", "StatusServer"]

READ_BYTES = 8192
MAKING_ATTEMPTS = 3
"""More only if the machine stands still for longer than a page is kept."""


class HttpLimits:
    """What one client, and all of them together, may take."""

    connections = 16
    """More are refused at once with 503."""
    header_bytes = 8192
    body_bytes = 0
    """No request here has a body."""
    requests_per_connection = 1000
    request_timeout_s = 10.0
    """For the whole head of a request, and for the next one to come."""
    answer_timeout_s = 10.0
    """For the client to take the answer, or one event of a stream."""
    streams = 8
    """Pages that are kept fresh; they count as connections, too, so others always get in."""
    event_interval_s = 2.0
    """An event goes out this often, changed or not."""
    dead_after_s = 20
    """A watcher whose network is gone: for the kernel to give up on what it does not take."""


class StatusServer:
    """Serves metrics, health, status and the status page; use it with ``async with``.

    ``sockets`` are those that systemd passed (``systemd_sockets()``); without them ``listen`` is
    bound, a numeric host and a port. ConfigError if strangers could connect and ``token`` is empty
    (SEC-04); OSError if the address is taken or binding is denied.
    """

    def __init__(  # noqa: PLR0913 - the daemon opens it, here and nowhere else
        self,
        look: Look,
        *,
        listen: tuple[str, int] = ("127.0.0.1", 9469),
        sockets: Sequence[socket.socket] = (),
        token: str = "",
        leaving: LookLeaving = nothing_known,
        limits: type[HttpLimits] = HttpLimits,
    ) -> None:
        self._pages = Pages(look, leaving, keep_s=limits.event_interval_s / 2)
        self._site = Site(look, self._pages, token=token)
        self._listen = listen
        self._passed = tuple(sockets)
        self._token = token
        self._limits = limits
        self._servers: list[asyncio.Server] = []
        self._clients: set[asyncio.Task[None]] = set()
        self._streams = 0
        self._closing = False
        self.address = ""
        """Where it listens: ``127.0.0.1:9469``, several separated by a comma."""
        self.requests = 0
        self.refused_connections = 0

    async def __aenter__(self) -> Self:
        sockets = self._passed or (bound_socket(*self._listen),)
        try:
            check_exposure(sockets, self._token)
            for listening in sockets:
                server = await asyncio.start_server(
                    self._connected, sock=listening, limit=READ_BYTES
                )
                self._servers.append(server)
        except BaseException:
            for server in self._servers:
                server.close()
            for listening in sockets:
                listening.close()
            raise
        self.address = ", ".join(address_text(listening) for listening in sockets)
        await self._pages.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing = True
        for server in self._servers:
            server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        await self._pages.__aexit__(kind, error, traceback)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client to its end; its faults are its own."""
        task = asyncio.current_task()
        if task is None or self._closing or len(self._clients) >= self._limits.connections:
            self.refused_connections += 1
            writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        self._clients.add(task)
        # What drain() has let pass is with the kernel: nothing of ours outlives this task.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            await self._conversation(reader, writer)
        except (OSError, TimeoutError, h11.ProtocolError, asyncio.CancelledError):
            # Cancelled means that the server closes; asyncio would log it as an error.
            pass
        finally:
            self._clients.discard(task)
            writer.transport.abort()

    async def _conversation(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.header_bytes)
        for _ in range(self._limits.requests_per_connection):
            try:
                async with asyncio.timeout(self._limits.request_timeout_s):
                    request = await self._next_request(connection, reader)
            except h11.RemoteProtocolError as error:
                await self._send(connection, writer, None, _refusal(error.error_status_hint))
                return
            if request is None:
                return
            self.requests += 1
            answer = await self._answer(request)
            if isinstance(answer, Stream):
                await self._follow(connection, reader, writer, answer)
                return
            await self._send(connection, writer, request, answer)
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _answer(self, request: h11.Request) -> Answer | Stream:
        """Return the answer to one request, whose page is made first where it shows one."""
        headers = dict(request.headers)
        if not self._token and not names_this_machine(headers.get(b"host", b"").decode("latin-1")):
            return _refusal(421, WRONG_HOST)
        method, target = request.method.decode("ascii"), request.target.decode("ascii", "replace")
        for _ in range(MAKING_ATTEMPTS):
            try:
                return self._site.answer(method, target, headers)
            except NotMade as missing:
                await self._pages.fresh(missing.language)
        return _refusal(503)

    async def _next_request(
        self, connection: h11.Connection, reader: asyncio.StreamReader
    ) -> h11.Request | None:
        """Return the next complete request, or None at the end; a body is refused."""
        request: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(READ_BYTES))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage):
                return request
            elif isinstance(event, h11.Data):
                raise h11.RemoteProtocolError("no body is taken", error_status_hint=413)
            else:
                return None

    async def _send(
        self,
        connection: h11.Connection,
        writer: asyncio.StreamWriter,
        request: h11.Request | None,
        answer: Answer,
    ) -> None:
        if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
        if request is None:
            headers.append(("Connection", "close"))
        reason = HTTPStatus(answer.status).phrase
        head = connection.send(
            h11.Response(status_code=answer.status, headers=headers, reason=reason.encode())
        )
        with_body = request is None or request.method != b"HEAD"
        body = connection.send(h11.Data(data=answer.body)) if with_body else b""
        end = connection.send(h11.EndOfMessage())
        writer.write(b"".join(part for part in (head, body, end) if part))
        async with asyncio.timeout(self._limits.answer_timeout_s):
            await writer.drain()

    async def _follow(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stream: Stream,
    ) -> None:
        """Send the page as it changes until the client leaves."""
        if self._streams >= self._limits.streams:
            await self._send(connection, writer, None, _refusal(503))
            return
        self._streams += 1
        try:
            _give_up_after(writer, self._limits.dead_after_s)
            head = h11.Response(status_code=200, headers=list(stream.headers), reason=b"OK")
            data = connection.send(head) or b""
            events = EventWriter()
            while not reader.at_eof():
                event = h11.Data(data=events.event(await self._pages.fresh(stream.language)))
                writer.write(data + (connection.send(event) or b""))
                async with asyncio.timeout(self._limits.answer_timeout_s):
                    await writer.drain()
                data = b""
                await asyncio.sleep(self._limits.event_interval_s)
        finally:
            self._streams -= 1


def _give_up_after(writer: asyncio.StreamWriter, seconds: int) -> None:
    """Let the kernel end a connection whose other side acknowledges nothing any more."""
    connected: socket.socket = writer.get_extra_info("socket")
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)


def _refusal(status: int, text: str = "") -> Answer:
    headers = (("Content-Type", "text/plain"), ("X-Content-Type-Options", "nosniff"))
    return Answer(status, headers, text.encode())
