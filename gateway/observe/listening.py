"""Sockets to listen on: handed over by systemd, or bound here; with the rule who needs a token."""

import ipaddress
import os
import socket
from collections.abc import MutableMapping, Sequence

from gateway.errors import ConfigError

__all__ = ["address_text", "bound_socket", "check_exposure", "split_address", "systemd_sockets"]

FIRST_DESCRIPTOR = 3
"""systemd passes sockets from this descriptor on (sd_listen_fds(3))."""
MAX_SOCKETS = 8
BACKLOG = 16


def systemd_sockets(environ: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """Take over the listening TCP sockets that systemd passed; none if it passed none.

    The variables are removed, so that no child and no second call takes the same sockets.
    """
    for_us = environ.pop("LISTEN_PID", "") == str(os.getpid())
    count = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not for_us or not (count.isascii() and count.isdigit()):
        return []
    sockets = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + min(int(count), MAX_SOCKETS)):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - os has no keyword for it
        passed = socket.socket(fileno=descriptor)
        listening = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        internet = passed.family in (socket.AF_INET, socket.AF_INET6)
        if not internet or passed.type != socket.SOCK_STREAM or not listening:
            passed.close()
            continue
        passed.setblocking(False)  # noqa: FBT003 - socket has no keyword for it
        sockets.append(passed)
    return sockets


def split_address(listen: str) -> tuple[str, int]:
    """Return host and port of ``127.0.0.1:9469`` or ``[::1]:9469``; ConfigError otherwise."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError("is no address:port", key="http.listen", value=listen)
    return host.removeprefix("[").removesuffix("]"), int(port)


def bound_socket(host: str, port: int) -> socket.socket:
    """Bind and listen on a numeric address or ``localhost``; OSError if it is taken or denied.

    Names are not looked up: that would wait for a name server.
    """
    if host == "localhost":
        host = "127.0.0.1"
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        raise ConfigError("needs a numeric address", key="http.listen", value=host) from None
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if version == 6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)  # noqa: FBT003 - socket has no keyword for it
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def check_exposure(sockets: Sequence[socket.socket], token: str) -> None:
    """Refuse to listen beyond this machine without a token (SEC-04)."""
    for listening in sockets:
        if token:
            continue
        address = str(listening.getsockname()[0]).partition("%")[0]
        if not ipaddress.ip_address(address).is_loopback:
            raise ConfigError(
                f"listening on {address_text(listening)} needs a token, "
                "because other machines can reach it; set http.token_file",
                key="http.listen",
            )


def address_text(listening: socket.socket) -> str:
    """Return ``127.0.0.1:9469`` or ``[::1]:9469``."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if listening.family == socket.AF_INET6 else f"{host}:{port}"
