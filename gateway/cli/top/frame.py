"""One picture of the gateway for a screen of any size: what needs somebody stands on top."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.cli.top.rates import Rates
from gateway.cli.top.snapshot import Buffer, Link, Sensor, Snapshot
from gateway.cli.top.table import Column, Line, Span, Style, Table, cut, line, width_of
from gateway.cli.top.words import count_text, rate_text, size_text, time_text

__all__ = ["Looks", "frame", "once_lines", "paint", "sensor_rows"]

SGR: dict[Style, str] = {
    "": "",
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
    "red": "\x1b[1;31m",
    "yellow": "\x1b[33m",
    "green": "\x1b[32m",
}
PLAIN = "\x1b[0m"
BAR_CELLS = 10
MAX_NAME = 24
MAX_REASONS = 3
MAX_PROBLEM_LINES = 4
FOOTER_FROM_LINES = 8
INDENT = 2
WIDE = 100
"""From so many columns on the values have enough room beside the other figures."""
SHORT_LINES = 14
WELL_LINK = 2
"""The rank of a link that needs nobody."""
STATES: dict[str, Style] = {"fresh": "green", "online": "green", "ok": "green"}
WARNINGS = ("stale", "connecting", "degraded", "uncertain")


@dataclass(frozen=True, slots=True)
class Looks:
    """What the terminal can show."""

    colour: bool = False
    ascii_only: bool = True

    @property
    def mark(self) -> str:
        """Return what stands for cut text."""
        return "~" if self.ascii_only else "…"


def paint(spans: Line, looks: Looks) -> str:
    """Return a line with its colours."""
    if not looks.colour:
        return "".join(span.text for span in spans)
    return "".join(
        f"{SGR[span.style]}{span.text}{PLAIN}" if span.style else span.text for span in spans
    )


def once_lines(snapshot: Snapshot, rates: Rates, looks: Looks) -> list[str]:
    """Return the whole picture, however long, as wide as the terminal."""
    width = shutil.get_terminal_size().columns
    lines = [*_head(snapshot, width, looks), *_links(snapshot.links, width, looks)]
    lines.insert(len(lines) - 1 - len(snapshot.links), ())
    lines.append(())
    for rows in sensor_rows(snapshot.sensors, rates, width, looks, room=None):
        lines += rows
    return [paint(each, looks) for each in lines]


def frame(  # noqa: PLR0913 - what is to be seen, where, and how
    snapshot: Snapshot | None,
    rates: Rates,
    size: tuple[int, int],
    looks: Looks,
    *,
    problem: str = "",
    scroll: int = 0,
) -> list[Line]:
    """Return exactly the lines of one screen of (columns, lines).

    ``problem`` says why there is no newer snapshot; ``scroll`` leaves out so many sensors on top.
    """
    width, height = size
    lines = _problem(problem, width)[: max(1, height - 1)]
    footer = height >= FOOTER_FROM_LINES
    room = height - footer
    below = 0
    if snapshot is not None:
        short = height < SHORT_LINES
        lines += _head(snapshot, width, looks, short=short)
        links = _links(snapshot.links, width, looks, short=short)
        links = _some(links, max(2, room // 3), snapshot.links, width)
        if len(snapshot.sensors) >= room - len(lines) - len(links):
            # The sensors need the room: of the links those that are not well are enough.
            needed = sum(link.rank < WELL_LINK for link in snapshot.links)
            links = _some(links, needed + 2, snapshot.links, width)
        left = room - len(lines) - len(links)
        rows = sensor_rows(snapshot.sensors, rates, width, looks, room=left)
        spacious = sum(map(len, rows)) + 2 <= left
        gap: list[Line] = [()] if spacious else []
        shown, below = _list(rows, left - 2 * len(gap), scroll)
        lines += [*gap, *links, *gap, *shown]
    lines = lines[:room] + [()] * (room - len(lines))
    if footer:
        lines.append(_footer(width, below, looks))
    return [cut(each, width, mark=looks.mark) for each in lines]


def _problem(problem: str, width: int) -> list[Line]:
    wrapped = textwrap.wrap(problem, width)[:MAX_PROBLEM_LINES]
    return [line(Span(each, "red")) for each in wrapped]


def _head(snapshot: Snapshot, width: int, looks: Looks, *, short: bool = False) -> list[Line]:
    """Return who it is and how it is, its clock, its ring and its radio.

    On a short screen those that are well are left out.
    """
    health = snapshot.health or "unknown"
    first = line(
        Span(snapshot.gateway, "bold"),
        "  ",
        Span(health if health == "ok" else health.upper(), _style(health)),
        f"  up {time_text(snapshot.uptime_s)}",
    )
    when = f"{snapshot.time.partition('T')[2]}  v{snapshot.version}"
    if width_of(first) + 2 + len(when) <= width:
        first += (Span(" " * (width - width_of(first) - len(when))), Span(when, "dim"))
    lines = [first]
    for reason in snapshot.reasons[: 1 if short else MAX_REASONS]:
        wrapped = textwrap.wrap(reason, width, subsequent_indent=" " * INDENT)
        lines += [line(Span(each, _style(health))) for each in wrapped]
    if not (short and snapshot.synced):
        lines.append(_clock(snapshot))
    if not (short and not snapshot.buffer.degraded):
        lines += _ring(snapshot.buffer, width, told=" ".join(snapshot.reasons))
    for name, state, error in snapshot.adapters:
        if short and state != "closed":
            continue
        style: Style = "red" if state == "closed" else ""
        lines.append(line("radio ", f"{name} ", Span(state, style), f" {error}".rstrip()))
    return [cut(each, width, mark=looks.mark) for each in lines]


def _clock(snapshot: Snapshot) -> Line:
    bound_s = snapshot.clock_bound_s
    within = "" if bound_s is None else f", within {bound_s:.2g} s"
    steps = f", {snapshot.clock_steps} steps" if snapshot.clock_steps else ""
    if not snapshot.synced:
        return line("clock ", Span("not known to be right", "yellow"), within, steps)
    return line("clock ", f"right ({snapshot.clock_source})", within, steps)


def _ring(buffer: Buffer, width: int, *, told: str) -> Iterator[Line]:
    filled = round(buffer.used * BAR_CELLS)
    bar = f"[{'#' * filled}{'.' * (BAR_CELLS - filled)}] "
    words = (
        f"{buffer.used:.1%} of {size_text(buffer.size_bytes)}",
        f"{count_text(buffer.readings)} readings",
        f"{count_text(buffer.unflushed)} unflushed",
    )
    text = "ring  " + (bar if width >= 60 else "")
    for number, each in enumerate(words):
        if len(text) + len(each) + 2 <= width:
            text += (", " if number else "") + each
    yield line(text)
    if buffer.degraded and not (buffer.reason and buffer.reason in told):
        yield line("ring  ", Span(f"IN MEMORY ONLY: {buffer.reason}", "red"))
    if buffer.damaged:
        yield line("ring  ", Span(f"{buffer.damaged} damaged blocks", "yellow"))


def _links(links: Sequence[Link], width: int, looks: Looks, *, short: bool = False) -> list[Line]:
    if not links:
        return [line(Span("no link: readings stay in the ring", "dim"))]
    if short and all(link.state == "online" for link in links):
        pending = count_text(sum(link.pending for link in links))
        return [line("links ", Span("all online", "green"), f", {pending} pending")]
    longest = max(len("link"), *(len(link.name) for link in links))
    wide = width >= 60
    table = Table(
        [
            Column("link", min(longest, MAX_NAME, max(8, width // 3)), 0, both_ends=True),
            Column("state", 20 if wide else 14 if width >= 40 else 10, 0),
            Column("pending", 7, 0, right=True),
            Column("oldest", 6, 1, right=True),
            Column("lost", 6, 2, right=True),
            Column("acked", 6, 3, right=True),
        ],
        width,
        mark=looks.mark,
    )
    return [table.title(), *(_link(link, table, wide=wide, wordy=width >= WIDE) for link in links)]


def _link(link: Link, table: Table, *, wide: bool, wordy: bool) -> Line:
    state = link.state or "unknown"
    if link.cause:
        state = f"{state}: {link.cause}" if wide else link.cause
    style: Style = "yellow" if link.lost else ""
    return table.row(
        {
            "link": Span(link.name),
            "state": Span(state, _style(link.state)),
            "pending": Span(count_text(link.pending)),
            "oldest": Span(time_text(link.oldest_s)),
            "lost": Span(count_text(link.lost), style),
            "acked": Span(count_text(link.acknowledged)),
        },
        Span(link.error.removeprefix(f"{link.name}: ") if wordy else "", "dim"),
    )


def _some(lines: list[Line], room: int, links: Sequence[Link], width: int) -> list[Line]:
    """Keep the first lines of the links, and say how the others are."""
    if len(lines) <= room:
        return lines
    hidden = links[room - 2 :]
    down = sum(link.state != "online" for link in hidden)
    rest = f"{len(hidden)} more links, {f'{down} not online' if down else 'all online'}"
    rest += f", {count_text(sum(link.pending for link in hidden))} pending"
    return [*lines[: room - 1], line(Span(rest[:width], "red" if down else "dim"))]


def _list(rows: list[list[Line]], room: int, scroll: int) -> tuple[list[Line], int]:
    """Return what fits of the title and the sensors, and how many of them are below."""
    title, entries = rows[0], rows[1:]
    lines = list(title)
    start = min(scroll, max(0, len(entries) - 1))
    shown = 0
    for entry in entries[start:]:
        if len(lines) + len(entry) > room:
            break
        lines += entry
        shown += 1
    return lines, len(entries) - start - shown


def sensor_rows(
    sensors: Sequence[Sensor], rates: Rates, width: int, looks: Looks, *, room: int | None
) -> list[list[Line]]:
    """Return the title, then the lines of each sensor; for ``room`` lines, None: no limit.

    What a sensor says stands beside its figures on a wide screen, else below them: where there is
    no room for that either, of those only that need somebody.
    """
    if not sensors:
        return [[line(Span("no sensor: nothing is measured", "yellow"))]]
    longest = max(len("sensor"), *(len(sensor.name) for sensor in sensors))
    table = Table(
        [
            Column("sensor", min(longest, MAX_NAME, max(8, width // 3)), 0, both_ends=True),
            Column("state", 6, 0),
            Column("age", 6, 0, right=True),
            Column("quality", 9, 1),
            Column("/min", 6, 2, right=True),
            Column("faults", 6, 3, right=True),
        ],
        width,
        mark=looks.mark,
    )
    all_below = room is None or 1 + 2 * len(sensors) <= room
    below = width < WIDE and (all_below or not table.has_rest)
    rows = [[table.title("" if below else "values")]]
    for sensor in sensors:
        lines = [_sensor(sensor, table, rates, beside=not below)]
        said = _said(sensor)
        if below and said and (all_below or sensor.rank < 4):
            lines.append(cut((Span(" " * INDENT), *said), width, mark=looks.mark))
        rows.append(lines)
    return rows


def _sensor(sensor: Sensor, table: Table, rates: Rates, *, beside: bool) -> Line:
    quality = sensor.quality or "-"
    return table.row(
        {
            "sensor": Span(sensor.name),
            "state": Span(sensor.state or "?", _style(sensor.state)),
            "age": Span(time_text(sensor.age_s)),
            "quality": Span(quality, "" if quality in ("good", "-") else _style(quality)),
            "/min": Span(rate_text(rates.per_minute(sensor.name))),
            "faults": Span(count_text(sensor.faults)),
        },
        *(_said(sensor) if beside else ()),
    )


def _said(sensor: Sensor) -> list[Span]:
    """Return what is wrong, then the values; of P2 and P3 the class in the place of values."""
    wrong = []
    if sensor.port == "closed":
        wrong.append(f"port closed: {sensor.error}" if sensor.error else "port closed")
    if sensor.flags:
        wrong.append(" ".join(sensor.flags))
    elif sensor.stuck:
        wrong.append("stuck")
    if sensor.expired:
        wrong.append("calibration expired")
    if sensor.rank == 0 and sensor.last_fault:
        wrong.append(f"last fault {sensor.last_fault}")
    values = ", ".join(sensor.values)
    if sensor.privacy not in ("P0", "P1"):
        values = f"({sensor.privacy or 'unknown class'}: values are not shown)"
    style: Style = "red" if sensor.rank < 3 else "yellow" if sensor.rank < 4 else ""
    spans = [Span("; ".join(wrong), style)] if wrong else []
    if values:
        spans += [Span("  "), Span(values, "dim")] if wrong else [Span(values, "dim")]
    return spans


def _style(state: str) -> Style:
    return STATES.get(state, "yellow" if state in WARNINGS else "red")


def _footer(width: int, below: int, looks: Looks) -> Line:
    keys = "q ends, arrows scroll"
    more = f"{below} more below" if below > 0 else ""
    if not more:
        return line(Span(keys, "dim"))
    if len(keys) + len(more) + 2 > width:
        return cut(line(Span(more, "yellow")), width, mark=looks.mark)
    fill = " " * (width - len(keys) - len(more))
    return line(Span(keys, "dim"), fill, Span(more, "yellow"))
