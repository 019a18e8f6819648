"""Certificates for tests, made by openssl, and a broker that uses them.

Two authorities, servers good and bad, clients; and one mosquitto with all four ways in.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from gateway.config.model import TlsSection
from gateway.forward.mqtt import ConnectionSettings
from tests.brokers import LOOPBACK, Mosquitto, free_port
from tests.forward.fake_broker import settings

__all__ = [
    "WAYS",
    "FourDoors",
    "listener",
    "make_ca",
    "make_certificate",
    "make_pki",
    "openssl",
    "serving",
]

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*arguments: str | Path) -> None:
    """Run it; fail the test when it fails."""
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_ca(folder: Path, name: str, days: int = 2) -> Path:
    """Make an authority: NAME.pem and NAME.key."""
    certificate = folder / f"{name}.pem"
    key = folder / f"{name}.key"
    subject = ("-subj", f"/CN={name}")
    openssl(
        "req", "-x509", *CURVE, "-keyout", key, "-out", certificate, "-days", str(days), *subject
    )
    return certificate


def make_certificate(folder: Path, name: str, ca: str, alternative: str, days: int = 2) -> Path:
    """Make a certificate signed by ``ca``: NAME.pem and NAME.key."""
    certificate, request = folder / f"{name}.pem", folder / f"{name}.csr"
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={alternative}\n", encoding="ascii")
    key = folder / f"{name}.key"
    openssl("req", *CURVE, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
    openssl(
        *("x509", "-req", "-in", request, "-CA", folder / f"{ca}.pem"),
        *("-CAkey", folder / f"{ca}.key", "-CAcreateserial", "-out", certificate),
        *("-days", str(days), "-extfile", extensions),
    )
    return certificate


def make_pki(folder: Path) -> Path:
    """Make what the TLS tests need; return the folder."""
    make_ca(folder, "city-ca")
    make_ca(folder, "other-ca")
    make_certificate(folder, "server", "city-ca", "DNS:localhost,IP:127.0.0.1")
    make_certificate(folder, "elsewhere", "city-ca", "DNS:mqtt.example.org")
    make_certificate(folder, "expired", "city-ca", "DNS:localhost", days=-1)
    make_certificate(folder, "gateway", "city-ca", "DNS:gateway")
    make_certificate(folder, "renewed", "city-ca", "DNS:gateway", days=3)
    make_certificate(folder, "stranger", "other-ca", "DNS:gateway")
    return folder


def listener(pki: Path, certificate: str = "server", *more: str) -> list[str]:
    """Return the lines of a mosquitto listener with TLS."""
    return [
        f"cafile {pki / 'city-ca.pem'}",
        f"certfile {pki / certificate}.pem",
        f"keyfile {pki / certificate}.key",
        *more,
    ]


WAYS = ("mqtt", "mqtts", "ws", "wss")


class FourDoors(Mosquitto):
    """One broker with and without TLS and WebSocket; ``more`` are lines for the doors with TLS."""

    def __init__(self, folder: Path, pki: Path, *more: str) -> None:
        self.pki = pki
        self.ports = {way: free_port() for way in WAYS}
        lines = []
        for way in WAYS[1:]:
            lines.append(f"listener {self.ports[way]} {LOOPBACK}")
            lines += ["protocol websockets"] if way.startswith("ws") else []
            lines += listener(pki, "server", *more) if way in ("mqtts", "wss") else []
        super().__init__(folder, lines=lines, port=self.ports["mqtt"])

    async def start(self) -> None:
        """Start, and return once every door is open."""
        await super().start()
        for port in self.ports.values():
            while True:
                try:
                    _, writer = await asyncio.open_connection(LOOPBACK, port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                await writer.wait_closed()
                break

    def through(self, way: str, **changes: object) -> ConnectionSettings:
        """Return the settings of a connection through one of the doors."""
        keys: dict[str, object] = {
            "port": self.ports[way],
            "host": "localhost",
            "tls": self.tls() if way in ("mqtts", "wss") else None,
            "websocket_path": "/mqtt" if way.startswith("ws") else None,
        }
        return settings(**(keys | changes))  # type: ignore[arg-type] # a port is among them

    def tls(self, client: str = "") -> TlsSection:
        """Return what trusts it, with the certificate of a client."""
        files = {"cert_file": f"{self.pki / client}.pem", "key_file": f"{self.pki / client}.key"}
        return TlsSection(ca_file=str(self.pki / "city-ca.pem"), **(files if client else {}))


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """Serve on a free port; what is still talked to is dropped at the end."""
    tasks: set[asyncio.Task[object]] = set()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await serve(reader, writer)
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(keep, LOOPBACK, 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
