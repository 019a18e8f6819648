"""What is written and what is only counted: nothing is lost, and nothing new is held back."""

import logging
import random
import re
from collections import Counter

from gateway.about import ABOUT
from gateway.logs.repeats import BURST, MAX_RUNS, WINDOW_S, Line, Repeats

WARNING, ERROR = logging.WARNING, logging.ERROR
TIMES = re.compile(r" … (\d+) times in \d+ s$")


def record(
    text: str, *values: object, level: int = WARNING, name: str = "link"
) -> logging.LogRecord:
    return logging.LogRecord(f"citylab_gateway.{name}", level, "x.py", 1, text, values, None)


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def test_a_storm_becomes_a_few_lines_and_a_count() -> None:
    repeats = Repeats()
    written = []
    for number in range(412):
        written += texts(repeats.admit(record("port %s is gone", "roof"), number / 10))
    assert written == ["port roof is gone"] * BURST
    assert texts(repeats.due(WINDOW_S - 0.1)) == []
    assert texts(repeats.due(WINDOW_S)) == ["port roof is gone … 412 times in 60 s"]
    assert texts(repeats.due(WINDOW_S * 3)) == []
    (anew,) = repeats.admit(record("port %s is gone", "roof"), WINDOW_S)
    assert anew.text == "port roof is gone"


def test_few_repeats_need_no_summary() -> None:
    repeats = Repeats()
    for _ in range(BURST):
        assert repeats.admit(record("again"), 0.0)
    assert repeats.due(WINDOW_S) == []


def test_numbers_are_no_difference_and_names_are() -> None:
    repeats = Repeats()
    for number in range(BURST):
        repeats.admit(record("%s: no flush for %d s, rate %.2f", "air-1", number, number / 3), 0.0)
    assert not repeats.admit(record("%s: no flush for %d s, rate %.2f", "air-1", 99, 0.5), 0.0)
    assert repeats.admit(record("%s: no flush for %d s, rate %.2f", "air-2", 99, 0.5), 0.0)
    assert repeats.admit(record("%s: no flush for %d s, rate %.2f", "m7", 99, 0.5), 0.0)
    assert repeats.admit(record("%s: no flush for %d s, rate %.2f", "air-1", 9, 0.5, name="x"), 0.0)
    (summary,) = repeats.rest(10.0)
    assert summary.text == "air-1: no flush for 99 s, rate 0.50 … 6 times in 10 s", "the newest"


def test_two_tasks_that_say_the_same_are_two() -> None:
    repeats = Repeats()
    for name in ("sensor:roof", "sensor:square"):
        token = ABOUT.set(name)
        passed = [bool(repeats.admit(record("no answer"), 0.0)) for _ in range(BURST + 1)]
        ABOUT.reset(token)
        assert passed == [True] * BURST + [False]
    assert [(line.about, line.times) for line in repeats.rest(1.0)] == [
        ("sensor:roof", BURST + 1),
        ("sensor:square", BURST + 1),
    ]


def test_what_is_graver_passes() -> None:
    repeats = Repeats()
    for _ in range(BURST + 7):
        repeats.admit(record("trouble"), 0.0)
    assert texts(repeats.admit(record("trouble", level=ERROR), 1.0)) == ["trouble"]
    for _ in range(BURST - 1):
        assert repeats.admit(record("trouble", level=ERROR), 1.0)
    assert not repeats.admit(record("trouble", level=ERROR), 1.0)
    (summary,) = repeats.rest(2.0)
    assert summary.record.levelno == ERROR
    assert summary.times == 2 * BURST + 8


def test_each_audit_event_is_its_own_also_by_its_numbers() -> None:
    repeats = Repeats()
    events = [record("purge: %d readings", number, name="audit") for number in range(50)]
    assert all(len(repeats.admit(event, 0.0)) == 1 for event in events)


def test_no_count_is_lost_and_the_table_is_bounded_whatever_is_said() -> None:
    rng = random.Random(8)
    repeats = Repeats()
    said: Counter[str] = Counter()
    lines: list[Line] = []
    now_s = 0.0
    for _ in range(20_000):
        now_s += rng.expovariate(40.0)
        text = f"kind k{int(rng.paretovariate(0.5)) % 3000}"
        first = said[text] == 0
        said[text] += 1
        new = repeats.admit(record(text), now_s)
        assert not first or text in texts(new), "the first is never held back"
        lines += new
        assert len(repeats._runs) <= MAX_RUNS
    lines += repeats.rest(now_s)
    told: Counter[str] = Counter()
    for line in lines:  # a summary counts those that were written in its window, too
        told[TIMES.sub("", line.text)] += line.times - BURST if line.times > 1 else 1
    assert told == said
    assert len(lines) < sum(said.values()), "and some were held back"


def test_a_full_table_tells_the_oldest_count_early() -> None:
    repeats = Repeats()
    for _ in range(BURST + 5):
        repeats.admit(record("the oldest"), 0.0)
    for number in range(MAX_RUNS - 1):
        assert len(repeats.admit(record(f"kind k{number}"), 1.0)) == 1
    assert texts(repeats.admit(record("one too many"), 7.0)) == [
        "the oldest … 10 times in 7 s",
        "one too many",
    ]


def test_nothing_is_kept_of_what_an_exception_holds() -> None:
    repeats = Repeats()
    try:
        raise ValueError("a frame with values")  # noqa: TRY301 - so that it has a trace
    except ValueError as error:
        told = record("failed")
        told.exc_info = (type(error), error, error.__traceback__)
        lines = [line for _ in range(BURST + 3) for line in repeats.admit(told, 0.0)]
    lines += repeats.rest(1.0)
    assert all(line.record.exc_info is None and line.record.args is None for line in lines)
    assert "ValueError at logs/test_repeats.py:" in lines[-1].text
