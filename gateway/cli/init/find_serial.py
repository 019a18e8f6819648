"""Finds sensors at the serial ports."""

from pathlib import Path

from gateway.cli.init.looking import Candidate, Search, value_texts
from gateway.cli.scan.advice import advice
from gateway.cli.scan.hearing import installed
from gateway.cli.scan.listen import Found, line_settings, listen
from gateway.cli.scan.ports import find_ports
from gateway.cli.scan.probe import probe_all

__all__ = ["find_serial"]


def find_serial(search: Search) -> list[Candidate]:
    """Listen at the serial ports; ask there only if that is allowed."""
    if not search.listen_s or not (search.ports or search.everywhere):
        return []
    ports = find_ports(search.ports)
    if not ports:
        search.tell("No serial port is there. Is the adapter plugged in?")
        return []
    drivers = installed()
    longest_s = len(line_settings(drivers)) * search.listen_s
    search.tell(
        f"Listening at {_ports(len(ports))}, {search.listen_s:g} s or more (up to "
        f"{longest_s:.0f} s where one is not recognised). Nothing is written to them."
    )
    waiting: list[Found] = []

    def heard(found: Found) -> None:
        if found.sure or found.error:
            search.tell(_short(found))
        else:
            waiting.append(found)

    found = listen(ports, drivers, search.listen_s, heard)
    if waiting and search.may_probe(len(waiting)):
        search.tell("Asking; a bus with many meters takes minutes.")
        probe_all(waiting, drivers, search.listen_s)
    for each in waiting:
        search.tell(_short(each))
    return [candidate for each in found for candidate in _candidates(each)]


def _candidates(found: Found) -> list[Candidate]:
    """Return the best that a port can be: one device, or all devices of a bus."""
    best = found.best
    if not best:
        return []
    fits = [best[0]]
    if best[0].options:
        fits = [fit for fit in best if fit.options and fit.driver == best[0].driver]
    return [
        Candidate(
            fit.driver,
            "port",
            found.port.path,
            dict(fit.options),
            value_texts(fit.values),
            fit.confidence,
        )
        for fit in fits
    ]


def _short(found: Found) -> str:
    """Return what a port is in a few words."""
    name = Path(found.port.path).name
    if best := found.best:
        return f"- {name}: {best[0].driver}"
    if found.error:
        mend = advice(found.port.device or found.port.path, found.error)
        return f"- {name}: {found.error}" + (f"; {mend}" if mend else "")
    return f"- {name}: " + ("nobody understands it" if found.received_bytes else "silent")


def _ports(count: int) -> str:
    return "1 serial port" if count == 1 else f"{count} serial ports"
