"""Whether a request names this machine: who may ask without a token must have meant us.

A web page that a person at this machine looks at can have its own name resolved to 127.0.0.1 (DNS
rebinding) and then read what is served here. Its requests carry that name as Host, and a person's
do not.
"""

import ipaddress

__all__ = ["WRONG_HOST", "names_this_machine"]

LOCAL_NAMES = frozenset({"localhost"})
"""Browsers resolve it themselves (RFC 6761), so that nobody else can."""
WRONG_HOST = (
    "this page has no token, so it answers to loopback addresses and localhost only: with any\n"
    "other name in Host a strange web page could read it through a browser on this machine.\n"
    "Open it as http://127.0.0.1:PORT/. A proxy on this machine must ask with such a Host\n"
    "(nginx and Apache do; Caddy: header_up Host {upstream_hostport}), or set http.token_file.\n"
)


def names_this_machine(host: str) -> bool:
    """Judge a Host header, empty if there is none: ``localhost:9469``, ``[::1]``, ``127.0.0.1``."""
    if not host:
        return True  # HTTP/1.0, which no browser speaks
    if host.startswith("["):
        inside, bracket, _ = host[1:].partition("]")
        name = inside.partition("%")[0] if bracket else ""
    else:
        name = host.partition(":")[0].rstrip(".").lower()
    if name in LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
