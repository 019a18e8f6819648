"""The table at the end, and the line for scripts."""

import statistics
from collections.abc import Iterator, Sequence

from tests.pi.boot import Boot
from tests.pi.judge import Verdict, account_problems, disk_problems, verdict
from tests.pi.tools import say
from tests.pi.trial import Story

__all__ = ["tell"]

MIB = 1 << 20
HEAD = (
    *("boot", "cut", "clock", "ready s", "reading s", "at city s", "MiB", "flushed", "on disk"),
    *("lost", "at risk", "oldest s", "time off s", ""),
)
"""lost: readings that were flushed; at risk: reports that were not, and are gone with the cut."""


def tell(story: Story, seed: int) -> int:
    """Judge the story, print what was found, and return how many things are wrong."""
    verdicts = [verdict(boot, story.sent, story.arrived) for boot in story.boots]
    rows = [
        _row(boot, found, is_last=boot is story.boots[-1])
        for boot, found in zip(story.boots, verdicts, strict=True)
    ]
    say("")
    for line in _table([HEAD, *rows]):
        say(line)
    say("")
    for line in _figures(story, verdicts):
        say(line)
    wrong = [
        f"boot {boot.number}: {problem}"
        for boot, found in zip(story.boots, verdicts, strict=True)
        for problem in found.problems
    ]
    disks = [boot.disk for boot in story.boots if boot.disk is not None]
    wrong += disk_problems(disks, story.arrived)
    wrong += account_problems(story.boots[-1], story.sent, story.arrived)
    for problem in wrong:
        say(f"FAILED: {problem}")
    account = story.boots[-1].seen[-1].account if story.boots[-1].seen else None
    say(
        f"pi cuts={len(story.boots) - 1} seed={seed} boots={len(story.boots)} "
        f"lost_flushed={sum(found.lost_flushed for found in verdicts)} "
        f"holes={sum(found.holes for found in verdicts)} "
        f"arrived={len(story.arrived.readings)} repeats={story.arrived.repeats} "
        f"gaps={len(story.arrived.gaps)} "
        + (
            f"accepted={account.accepted} acknowledged={account.acknowledged} "
            f"pending={account.pending} dropped={account.dropped} "
            if account
            else ""
        )
        + f"failures={len(wrong)}"
    )
    return len(wrong)


def _row(boot: Boot, found: Verdict, *, is_last: bool) -> Sequence[str]:
    unit = boot.unit
    at_city_s = boot.arrived_s - boot.kernel_s if boot.arrived_s else None
    return (
        str(boot.number),
        "none" if is_last else boot.cut.moment,
        boot.cut.clock + ("" if boot.cut.time_server else ", alone"),
        _seconds(unit.ready_s if unit else None),
        _seconds(found.first_s),
        _seconds(at_city_s),
        f"{unit.rss_bytes / MIB:.0f}" if unit else "-",
        str(found.claimed),
        str(found.on_disk),
        str(found.lost_flushed),
        str(found.lost),
        _seconds(found.lost_s) if found.lost else "-",
        f"{found.worst_time_s:.2f}" + (f" ({found.doubtful} in doubt)" if found.doubtful else ""),
        f"{len(found.problems)} WRONG" if found.problems else "good",
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _figures(story: Story, verdicts: Sequence[Verdict]) -> Iterator[str]:
    ready = [boot.unit.ready_s for boot in story.boots if boot.unit is not None]
    if ready:
        yield (
            f"the unit was ready {statistics.median(ready):.1f} s after the kernel began "
            f"(median; {min(ready):.1f} to {max(ready):.1f})"
        )
    memory = [boot.unit for boot in story.boots if boot.unit is not None]
    if memory:
        rss, group = (
            max(getattr(unit, name) for unit in memory) / MIB
            for name in ("rss_bytes", "cgroup_bytes")
        )
        yield f"memory of the daemon: {rss:.1f} MiB at most; its group with page cache {group:.1f}"
    for boot in story.boots:
        if boot.replugged_s:
            after = [
                each.monotonic_s
                for number, each in story.sent.items()
                if each.monotonic_s > boot.replugged_s and number in story.arrived.reports
            ]
            if after:
                yield (
                    f"adapter out for {boot.replugged_s - boot.unplugged_s:.1f} s; first reading "
                    f"{after[0] - boot.replugged_s:.1f} s after it was back"
                )
    doubtful = sum(found.doubtful for found in verdicts)
    yield (
        f"reports in the city: {len(story.arrived.reports)}, of {len(story.sent)}: the sensor "
        "speaks while nobody listens, too; lost with the power: "
        f"{sum(found.lost for found in verdicts)}, "
        f"{max(found.lost_s for found in verdicts):.1f} s old at most"
    )
    yield (
        f"times: off by {max(found.worst_time_s for found in verdicts):.2f} s at most; "
        f"{story.arrived.fixes} messages mended times; {doubtful} reports stay marked as doubtful, "
        f"off by {max(found.worst_doubtful_s for found in verdicts):.1f} s at most"
    )
