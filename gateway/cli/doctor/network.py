"""Looks whether there is a network, a way out, and a name server; brokers come later."""

from collections.abc import Iterator
from ipaddress import ip_address

from gateway.cli.doctor.box import Box, System
from gateway.cli.doctor.finding import Finding, Trouble

__all__ = ["TROUBLES", "look"]

INTERFACES = "/sys/class/net"
UP = ("up", "unknown")
"""``unknown`` is what tunnels and modems say that are up."""
RTF_UP = 0x1
RTF_REJECT = 0x200
EVERYWHERE_4 = "00000000"
EVERYWHERE_6 = "0" * 32
WHY = "Readings are kept on the box until there is a way to the brokers."
DOWN = Trouble(
    "network_down",
    "warn",
    WHY,
    "ip -brief link; then the cable, the SIM card, or sudo systemctl restart NetworkManager",
)
NO_ROUTE = Trouble(
    "network_no_route",
    "warn",
    f"Only what is on the same network is reached. {WHY}",
    "ip route; then the address by hand, or the router's DHCP: sudo systemctl restart "
    "NetworkManager",
)
NO_NAME_SERVER = Trouble(
    "dns_missing",
    "warn",
    "The name of a broker cannot be resolved.",
    "nmcli device show | grep DNS; then the router's DHCP, or sudo nmcli connection modify NAME "
    "ipv4.dns ADDRESS",
)
TROUBLES = (DOWN, NO_ROUTE, NO_NAME_SERVER)


def look(box: Box) -> Iterator[Finding]:
    """Yield what is missing between this box and any other one, or that nothing is."""
    interfaces = [name for name in box.system.names(INTERFACES) if _is_up(box.system, name)]
    if not interfaces:
        yield DOWN.found("network", "no interface is up")
    else:
        routes = sorted(_default_routes(box.system))
        if routes:
            yield Finding.fine("network", f"{', '.join(routes)} leads everywhere")
        else:
            yield NO_ROUTE.found("network", f"{', '.join(interfaces)} up, and no default route")
    if _needs_names(box):
        yield _name_servers(box.system)


def _is_up(system: System, name: str) -> bool:
    state = (system.read(f"{INTERFACES}/{name}/operstate") or "").strip()
    return name != "lo" and state in UP


def _default_routes(system: System) -> set[str]:
    found = set()
    for line in (system.read("/proc/net/route") or "").splitlines()[1:]:
        words = line.split()
        if len(words) > 3 and words[1] == EVERYWHERE_4 and int(words[3], 16) & RTF_UP:
            found.add(words[0])
    for line in (system.read("/proc/net/ipv6_route") or "").splitlines():
        words = line.split()
        everywhere = len(words) > 9 and words[0] == EVERYWHERE_6 and words[1] == "00"
        if everywhere and not int(words[8], 16) & RTF_REJECT and words[9] != "lo":
            found.add(words[9])
    return found


def _needs_names(box: Box) -> bool:
    brokers = () if box.configuration is None else box.configuration.broker
    return any(not _is_address(broker.host) for broker in brokers)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _name_servers(system: System) -> Finding:
    lines = (system.read("/etc/resolv.conf") or "").splitlines()
    servers = [line for line in lines if line.split()[:1] == ["nameserver"]]
    if servers:
        return Finding.fine("DNS", f"name servers in /etc/resolv.conf: {len(servers)}")
    return NO_NAME_SERVER.found("DNS", "/etc/resolv.conf names no server")
