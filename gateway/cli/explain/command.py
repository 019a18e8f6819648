"""Gathers the readings, lets them through the chains, and prints what was found."""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.assembly import Sensor
from gateway.cli.buffer.source import open_ring
from gateway.cli.explain.recorded import Played, play
from gateway.cli.explain.report import Report, Times, series_text
from gateway.cli.explain.stored import Stored, inputs, is_raw
from gateway.cli.explain.text import lines
from gateway.cli.explain.trace import TracedChain, traced_builder
from gateway.config.model import Configuration, SensorSection
from gateway.config.secrets import driver_options
from gateway.config.words import nearest
from gateway.driver import Driver, driver_class, info_with
from gateway.errors import ConfigError, GatewayError
from gateway.filters import Environment, filters_for
from gateway.reading import Dims, PrivacyClass, Series

__all__ = ["add_arguments", "explain"]

DEFAULT_MINUTES = 15.0
MAX_MINUTES = 31 * 24 * 60.0
NS_PER_S = 1_000_000_000
NS_PER_MIN = 60 * NS_PER_S
MAX_NAMED = 20
PASSED = (
    "Stored readings have already passed the filters that were configured then: what those "
    "dropped, thinned or smoothed is not there any more. Marks of range, rate, spike and stuck "
    "are judged anew. A recording (--recording FILE) shows the chain from raw."
)
RAW_USED = (
    "the raw series that was kept; filters before the one that kept it have passed it already"
)
CALIBRATED = "was calibrated when it was stored ({}); this chain calibrates it again"
PRIVATE = "Class {}: counts only, no values and no times of single readings."
HIDDEN = "small counts are hidden here, so no value is shown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--explain`` and what belongs to it."""
    parser.add_argument(
        "--explain",
        metavar="SENSOR",
        help="say what the filters of this sensor do to its recorded readings",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help=f"with --explain: the last N minutes that are stored (default: {DEFAULT_MINUTES:g})",
    )
    source.add_argument(
        "--recording",
        type=Path,
        metavar="FILE",
        help="with --explain: recorded device bytes or advertisements, as replay reads them",
    )


def explain(arguments: argparse.Namespace, configuration: Configuration) -> int:
    """Print what the filters do; 0. ConfigError: wrong usage, GatewayError: nothing to look at."""
    section = _section(configuration, arguments.explain)
    driver = driver_class(section.driver)
    if driver is None:  # the configuration has refused it
        raise ConfigError("no such driver", key="driver", value=section.driver)
    if arguments.recording is not None:
        report = _recorded(section, driver, arguments.recording)
    else:
        minutes = DEFAULT_MINUTES if arguments.minutes is None else arguments.minutes
        if not 0 < minutes <= MAX_MINUTES:
            allowed = f"above 0, up to {MAX_MINUTES:g}"
            raise ConfigError(
                "is no length of time", key="--minutes", value=minutes, allowed=allowed
            )
        report = _stored(configuration, section, driver, minutes, time.time_ns())
    if not report.shown:
        report.notes.append(PRIVATE.format(report.privacy))
    for chain in report.chains:
        if chain.hides:
            report.series_notes.setdefault((chain.quantity, chain.dims), []).append(HIDDEN)
    document = report.document()
    print(json.dumps(document, indent=2) if arguments.json else "\n".join(lines(document)))
    return 0


def _section(configuration: Configuration, name: str) -> SensorSection:
    for section in configuration.sensor:
        if section.name == name:
            return section
    names = [section.name for section in configuration.sensor]
    near = nearest(name, names)
    allowed = "" if near else ", ".join(names[:MAX_NAMED])
    raise ConfigError("no such sensor", key="--explain", value=name, allowed=allowed, nearest=near)


# -- from a recording -----------------------------------------------------------------------------


def _recorded(section: SensorSection, driver: type[Driver], path: Path) -> Report:
    sensor = Sensor(
        section, driver(driver_options(section, driver)), section.privacy or driver.info.privacy
    )
    played = play(path, sensor, traced_builder(section.filter, Environment(synced=lambda: True)))
    if not any(chain.entered for chain in played.chains):
        raise GatewayError(_nothing_in(path, section.name, played))
    times = Times.of(played.begin_ns)
    report = Report(
        sensor=section.name,
        driver=section.driver,
        privacy=sensor.privacy,
        source="recording",
        times=times,
        begin_ns=played.begin_ns or 0,
        end_ns=played.end_ns,
        chains=sorted(played.chains, key=_order),
        notes=list(_told(played)),
    )
    report.notes.append("The times of the recording count; windows lie on their grid.")
    return report


def _told(played: Played) -> Iterator[str]:
    """Say what did not become a reading."""
    stats = played.stats
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(stats.faults.items()))
    if faults:
        yield f"Faults that the driver found: {faults}."
    if stats.refused:
        yield f"{stats.refused} values refused: not finite, or of an undeclared quantity."
    if stats.restarts:
        yield f"{stats.restarts} restarts of the device."
    if played.malformed:
        yield f"{played.malformed} lines passed over, which are of no recording."


def _nothing_in(path: Path, name: str, played: Played) -> str:
    text = f"{path}: no reading of {name}"
    if played.lines:
        why = " ".join(_told(played)) or "is it of this kind of device?"
        return f"{text} in {played.lines} lines; {why}"
    if played.others:
        return f"{text}; its lines name {', '.join(sorted(played.others))}"
    if played.malformed:
        return f"{text}; {played.malformed} lines are of no recording (see docs/filters.md)"
    return f"{text}; it has no line of this device"


# -- from the ring --------------------------------------------------------------------------------


def _stored(
    configuration: Configuration,
    section: SensorSection,
    driver: type[Driver],
    minutes: float,
    now_ns: int,
) -> Report:
    since_ns = now_ns - round(minutes * NS_PER_MIN)
    directory = configuration.buffer.directory
    if not directory.is_dir():
        raise ConfigError(
            f"{directory} does not exist: no gateway has run with this configuration yet; "
            "--recording FILE needs none"
        )
    with open_ring(directory) as view:
        stored = Stored(view, section.name, since_ns, _limits(configuration, section, now_ns))
        series = stored.series()
        if not series:
            raise GatewayError(_nothing_stored(section.name, minutes, stored.newest_ns(), now_ns))
        report = Report(
            sensor=section.name,
            driver=section.driver,
            # A class is inherited, never lowered: what was stored as P3 stays so.
            privacy=max(
                section.privacy or driver.info.privacy, *(one.privacy for one in series.values())
            ),
            source="stored",
            times=Times(calendar=True),
            begin_ns=since_ns,
            end_ns=now_ns,
            notes=[PASSED],
        )
        quantities = info_with(driver, section.options).quantities
        _feed(report, stored, series, section.filter, frozenset(quantities))
    if stored.suppressed:
        report.notes.append(f"{stored.suppressed} hidden counts are not looked at.")
    return report


def _feed(
    report: Report,
    stored: Stored,
    series: Mapping[int, Series],
    table: Mapping[str, Mapping[str, object]],
    declared: frozenset[str],
) -> None:
    """Let the stored readings through the chains."""
    fed, others = inputs(series, declared)
    synced = [True]
    build = traced_builder(table, Environment(synced=lambda: synced[0]))
    chains: dict[tuple[str, Dims], TracedChain] = {}
    for series_id, (quantity, dims) in fed.items():
        chains[quantity, dims] = build(quantity, dims)
        report.series_notes[quantity, dims] = list(_doubts(series[series_id], table, quantity))
    last_ns = ticked_ns = -(1 << 62)
    for reading in stored.readings():
        if reading.series.id not in fed:
            continue
        synced[0] = reading.synced
        last_ns = max(last_ns, reading.wall_ns)
        if last_ns >= ticked_ns + NS_PER_S:
            ticked_ns = last_ns
            for chain in chains.values():
                chain.tick(last_ns)
        chains[fed[reading.series.id]].apply(reading.wall_ns, reading.value, reading.flags)
    for chain in chains.values():
        chain.close(last_ns)
    report.chains = sorted(chains.values(), key=_order)
    if others:
        names = [series_text(*each.key[1:]) for each in others]
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        report.notes.append(
            f"Made by filters, or replaced by their raw series, so not fed: "
            f"{', '.join(names[:MAX_NAMED])}{more}."
        )
    if not chains:
        report.notes.append(
            "Only what filters made is stored. A recording shows the chain; keep_raw = true in "
            "window, counter or a calibration would keep what came in."
        )


def _doubts(
    series: Series, table: Mapping[str, Mapping[str, object]], quantity: str
) -> Iterator[str]:
    if is_raw(series.key.dims):
        yield RAW_USED
    formula = series.calibration.get("formula", "")
    if formula and filters_for(table, quantity):
        yield CALIBRATED.format(formula)


def _limits(
    configuration: Configuration, section: SensorSection, now_ns: int
) -> dict[PrivacyClass, int]:
    """Return before when (wall ns) readings of the sensor have expired, by class."""
    own_s = configuration.sensor_retention_s.get(section.name)
    found: dict[PrivacyClass, int] = {}
    for privacy, limit_s in configuration.buffer.retention.by_class().items():
        limits = [each for each in (limit_s, own_s) if each is not None]
        if limits:
            found[privacy] = now_ns - round(min(limits) * NS_PER_S)
    return found


def _nothing_stored(name: str, minutes: float, newest_ns: int | None, now_ns: int) -> str:
    text = f"no reading of {name} in the last {minutes:g} minutes that is on disk yet"
    if newest_ns is None:
        return (
            f"{text}, nor in the newest part of the ring; is it connected (see the status page)? "
            "--recording FILE explains recorded bytes"
        )
    needed = max(1, -(-(now_ns - newest_ns) // NS_PER_MIN)) + round(DEFAULT_MINUTES)
    newest = Times(calendar=True)(newest_ns)
    return f"{text}; its newest is of {newest}: try --minutes {needed}"


def _order(chain: TracedChain) -> tuple[str, Dims]:
    return chain.quantity, chain.dims
