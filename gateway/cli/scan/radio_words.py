"""What was heard by radio, as text for people and as JSON for programs.

Strangers appear as numbers. Only on a terminal, for whoever holds a new sensor to the antenna,
are the strongest ones shown, with a shortened address; in nothing that may become a file.
"""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.cli.scan.attempts import Attempt
from gateway.cli.scan.hearing import value_documents
from gateway.cli.scan.sightings import UNKNOWN_DBM, Others, Rhythm, Sighting, Sightings
from gateway.cli.scan.words import terminal_width, value_lines, wrapped
from gateway.quantities import registry

__all__ = ["Scan", "config_lines", "document", "report", "screen"]

ENDINGS = {
    "bus": "the system bus is gone",
    "bluez": "BlueZ stopped or restarted",
    "power": "the adapter was switched off",
    "gone": "the adapter was pulled out",
}
SECRETS = "/etc/citylab-gateway/secrets"
OURS = (
    "Lines for the configuration. Take only what is yours: a neighbour's sensor is heard as well."
)
PASSIVE = (
    "Listened passively. What is not heard that way, or says more when it is asked, is heard with "
    "--active."
)
NOBODY = "Nothing at all was heard: has the adapter its antenna, and is it outside a metal cabinet?"
MAX_NAMED_UNHEARD = 16
NAME_WIDTH = 13
ROW = f"{{:>4}}  {{:<17}}  {{:<{NAME_WIDTH}}}  {{:>5}}  {{:>6}}  {{}}"
LEAST_ROWS = 1
DEVICE = "device."
"""How the quantities begin that are about the sensor itself."""
LONG_S = 10.0
"""From here on tenths of a second say nothing."""


@dataclass(slots=True)
class Scan:
    """One scan: how it is done, and what is heard."""

    sightings: Sightings
    adapter: str
    duration_s: float
    mode: str = ""
    elapsed_s: float = 0.0
    cause: str = ""
    """Why it ended early: stop where somebody wished so, or what was lost."""

    @property
    def where(self) -> str:
        """Return with what and how it listens."""
        return f"{f'with {self.adapter}, ' if self.adapter else ''}{self.mode}ly"


def document(scan: Scan) -> dict[str, object]:
    """Return everything for JSON; of strangers only numbers."""
    sensors = scan.sightings.sensors
    names = _names(sensors, scan.sightings)
    others = scan.sightings.others
    return {
        "adapter": scan.adapter,
        "mode": scan.mode,
        "seconds": round(scan.elapsed_s, 1),
        "ended": scan.cause,
        "devices": [_device(each, names[each.address]) for each in sensors],
        "unheard": [
            {"sensor": known.sensor, "driver": known.driver.info.name, "address": address}
            for address, known in scan.sightings.unheard
        ],
        "others": {
            "fixed": others.fixed,
            "changing": others.changing,
            "more": others.more,
            "strongest_dbm": others.strongest_dbm,
            "claimed": dict(others.claimed),
        },
    }


def _device(sighting: Sighting, name: str) -> dict[str, object]:
    rhythm = sighting.rhythm
    interval_s = rhythm.interval_s
    return {
        "address": sighting.address,
        "signal_dbm": _dbm(sighting),
        "heard": rhythm.count,
        "interval_s": None if interval_s is None else round(interval_s, 3),
        "longest_pause_s": round(rhythm.longest_s, 3),
        "sensor": sighting.sensor,
        "fits": [
            {
                "driver": fit.info.name,
                "readings": fit.readings,
                "values": value_documents(fit.values),
                "faults": dict(fit.faults),
                "problem": fit.key_problem,
                "secrets": list(fit.info.secrets),
                "connects": fit.connects,
            }
            for fit in sighting.fits
        ],
        "config": "" if sighting.sensor else config_lines(sighting, name),
    }


def report(scan: Scan, *, shortened: bool) -> str:
    """Return the whole text at the end; ``shortened``: it goes to nobody but a person's eyes."""
    width = terminal_width()
    sensors = scan.sightings.sensors
    lines = []
    if scan.cause in ENDINGS:
        lines += [f"ended early: {ENDINGS[scan.cause]}", ""]
    for sighting in sensors:
        lines += _sensor(sighting, width)
    if unheard := scan.sightings.unheard:
        named = [f"{known.sensor} ({address})" for address, known in unheard[:MAX_NAMED_UNHEARD]]
        more = f" and {len(unheard) - len(named)} more" if len(unheard) > len(named) else ""
        lines += textwrap.wrap(f"configured and not heard: {', '.join(named)}{more}", width)
    others = scan.sightings.others
    lines += textwrap.wrap(_others(others), width)
    if shortened:
        lines += [f"    {_strength(dbm)}  {address}" for address, dbm in others.nearest]
    if not sensors and not others.fixed + others.changing:
        lines += textwrap.wrap(NOBODY, width)
    if scan.mode == "passive":
        lines += ["", *textwrap.wrap(PASSIVE, width)]
    new = [each for each in sensors if not each.sensor]
    if new:
        names = _names(sensors, scan.sightings)
        lines += ["", *textwrap.wrap(OURS, width)]
        lines += [f"\n{config_lines(each, names[each.address])}" for each in new]
    return "\n".join(lines)


def screen(scan: Scan, width: int, height: int) -> list[str]:
    """Return the present state in at most ``height`` lines, one a sensor."""
    sensors = scan.sightings.sensors
    left_s = max(0.0, scan.duration_s - scan.elapsed_s)
    head = [
        f"listening {scan.where}, {left_s:.0f} s left; Ctrl-C ends it",
        "",
        ROW.format("dBm", "address", "driver/sensor", "heard", "every", "values"),
    ]
    others = scan.sightings.others
    nearest = ", ".join(f"{address} {_strength(dbm)}" for address, dbm in others.nearest)
    tail = ["", _others(others), f"strongest: {nearest}" if nearest else ""]
    room = max(LEAST_ROWS, height - len(head) - len(tail))
    rows = [_row(each) for each in sensors]
    if len(rows) > room:
        rows = [*rows[: room - 1], f"and {len(rows) - room + 1} weaker ones"]
    return [_cut(line, width) for line in (*head, *rows, *tail)][:height]


def config_lines(sighting: Sighting, name: str) -> str:
    """Return the section of the configuration for a new sensor."""
    fit = sighting.fits[0]
    lines = [
        "[[sensor]]",
        f'name = "{name}"',
        f'driver = "{fit.info.name}"',
        f'address = "{sighting.address}"',
    ]
    if fit.key_problem:
        keys = (f'{key}_file = "{SECRETS}/{name}-{key}"' for key in fit.info.secrets)
        lines.append(f"options = {{ {', '.join(keys)} }}")
    return "\n".join(lines)


def _names(sensors: Iterable[Sighting], sightings: Sightings) -> dict[str, str]:
    """Return a name for each address: its driver, and the end of the address as on most labels."""
    taken = {known.sensor for known in sightings.configured.values()}
    names = {}
    for sighting in sensors:
        digits = sighting.address.replace(":", "").lower()
        driver = sighting.fits[0].info.name.replace("_", "-") if sighting.fits else "sensor"
        short, whole = f"{driver}-{digits[-4:]}", f"{driver}-{digits}"
        names[sighting.address] = whole if short in taken else short
        taken.add(names[sighting.address])
    return names


def _sensor(sighting: Sighting, width: int) -> list[str]:
    fits = sighting.fits
    drivers = " or ".join(fit.info.name for fit in fits) or sighting.attempts[0].info.name
    configured = f", configured as {sighting.sensor}" if sighting.sensor else ""
    title = f"{sighting.address}  {_strength(sighting.signal_dbm)}  {drivers}{configured}"
    lines = [*textwrap.wrap(title, width), f"    {_rhythm(sighting.rhythm)}"]
    best = fits[0] if fits else sighting.attempts[0]
    if best.values:
        return [*lines, *value_lines(best.values, width)]
    return [*lines, *wrapped(_why_nothing(best), width)]


def _why_nothing(attempt: Attempt) -> str:
    """Return why there are no values, or none to be shown."""
    keys = " and ".join(attempt.info.secrets)
    if attempt.discreet:
        return "its values are of a household or a person, and not shown"
    if attempt.key_problem == "key_missing":
        return f"encrypted: needs {keys}"
    if attempt.key_problem:
        return f"encrypted, and {keys} does not fit"
    if attempt.connects:
        return "is read over a connection; not tried here"
    faults = ", ".join(f"{count} x {kind}" for kind, count in attempt.faults.items())
    return f"no values yet{f': {faults}' if faults else ''}"


def _row(sighting: Sighting) -> str:
    best = sighting.fits[0] if sighting.fits else sighting.attempts[0]
    interval_s = sighting.rhythm.interval_s
    every = "" if interval_s is None else _seconds(interval_s)
    dbm = _dbm(sighting)
    # What it measures comes before its battery, for there is little room.
    shown = sorted(best.values.items(), key=lambda item: item[0][0].startswith(DEVICE))
    values = (
        f"{value:.4g} {registry()[quantity].ucum.strip('[]')}" for (quantity, _), value in shown
    )
    return ROW.format(
        "?" if dbm is None else dbm,
        sighting.address,
        (sighting.sensor or best.info.name)[:NAME_WIDTH],
        sighting.rhythm.count,
        every,
        ", ".join(values) or _why_nothing(best),
    )


def _rhythm(rhythm: Rhythm) -> str:
    interval_s = rhythm.interval_s
    if interval_s is None:
        return "heard once"
    every, longest = _seconds(interval_s), _seconds(rhythm.longest_s)
    return f"heard {rhythm.count} x, every {every}, at most {longest} apart"


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.1f} s" if duration_s < LONG_S else f"{duration_s:.0f} s"


def _others(others: Others) -> str:
    """Return one line about everybody else."""
    count = others.fixed + others.changing
    if not count:
        return "no other device"
    parts = [f"{'more than ' if others.more else ''}{count} other device{'s' * (count != 1)}"]
    if others.strongest_dbm is not None:
        parts.append(f"the strongest at {others.strongest_dbm} dBm")
    if others.changing:
        parts.append(f"{others.changing} with changing addresses (phones and the like)")
    parts += [
        f"{number} of a family that {driver} knows, without a value"
        for driver, number in sorted(others.claimed.items())
    ]
    return ", ".join(parts)


def _dbm(sighting: Sighting) -> int | None:
    return None if sighting.signal_dbm == UNKNOWN_DBM else round(sighting.signal_dbm)


def _strength(dbm: float) -> str:
    return "?" if dbm == UNKNOWN_DBM else f"{dbm:.0f} dBm"


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 2]}.."
