"""Every capture through its real decoder: whole, in pieces, and damaged.

They are not infallible: where we differ, the difference stands in its family as data, with its
reason. A difference that is none any more fails as well.
"""

import json
from typing import Any

import pytest

from gateway.driver import Outcome
from gateway.reading import Fault, Measured
from tests.drivers.captures.counting import PAGE, all_families, count, verdict
from tests.drivers.captures.parts import (
    ABSENT,
    CUTS,
    Family,
    Frame,
    behind,
    collect,
    damaged,
    invented,
    load,
)
from tests.shared_material import shared

FAMILIES = all_families()


def frames(*, in_pieces: bool = False) -> list[Any]:
    """Return each frame with its family as test parameters; one skipped one if a file is absent."""
    found: list[Any] = []
    for family in FAMILIES:
        if in_pieces and not family.in_pieces:
            continue
        loaded = load(family)
        if loaded is None:
            absent = pytest.mark.skip(reason=ABSENT)
            found.append(pytest.param(family, None, id=str(family), marks=absent))
            continue
        found += [pytest.param(family, f, id=f"{family}-{f.number}") for f in loaded]
    return found


each_frame = pytest.mark.parametrize(("family", "frame"), frames())


def said(outcomes: list[Outcome]) -> tuple[list[Outcome], list[str]]:
    """Return readings and restarts, and the kinds of the faults."""
    kinds: list[str] = [each.kind for each in outcomes if isinstance(each, Fault)]
    return [each for each in outcomes if not isinstance(each, Fault)], kinds


@each_frame
def test_a_frame_gives_what_is_expected(family: Family, frame: Frame) -> None:
    assert verdict(family, frame) in {"as_expected", "explained"}


@pytest.mark.parametrize(("family", "frame"), frames(in_pieces=True))
def test_pieces_of_a_frame_give_the_same(family: Family, frame: Frame) -> None:
    whole = said(family.run(family, frame, frame.data, CUTS["whole"]))
    for cut in CUTS.values():
        assert said(family.run(family, frame, frame.data, cut)) == whole


@each_frame
def test_a_damaged_frame_invents_nothing(family: Family, frame: Frame) -> None:
    """A frame without a checksum can say something else then, but the next one is found."""
    whole = CUTS["whole"]
    good = family.run(family, frame, frame.data, whole)
    is_good = "error" not in frame.expected
    tail = behind(family, frame)
    for bytes_ in damaged(family, frame):
        # Of two good frames behind it the first may complete what was lost: a byte like its own.
        bad = family.run(family, frame, bytes_ + family.after, whole)
        got = collect(bad)
        for key, values in tail.items():
            assert got[key][-len(values) :] == list(values), bytes_.hex()
        if is_good and family.checked(frame):
            assert invented(collect(good), tail, got) == "", bytes_.hex()


def test_damage_is_seen() -> None:
    """Guard against a test of damage in which nothing is damaged."""
    if shared("captures") is None:
        pytest.skip(ABSENT)
    for family in FAMILIES:
        for frame in load(family) or ():
            assert all(each != frame.data for each in damaged(family, frame))
    (sds011,) = (family for family in FAMILIES if family.driver == "sds011")
    first = (load(sds011) or [])[0]
    wrong = 0
    for bytes_ in damaged(sds011, first):
        outcomes = sds011.run(sds011, first, bytes_, CUTS["whole"])
        wrong += not any(isinstance(o, Measured) and o.value == 0.6 for o in outcomes)
    assert wrong == 2 * len(first.data)


def test_the_page_tells_these_counts() -> None:
    if shared("captures") is None:
        pytest.skip(ABSENT)
    assert json.loads(PAGE.read_text(encoding="utf-8")) == count()


NOT_READ = {
    "hci_energy.json": "no driver for these devices",
    "hci_radar_presence_door.json": "no driver for these devices",
    "hci_switchbot.json": "no driver for these devices",
}


def test_every_capture_is_read_or_it_is_said_why_not() -> None:
    index = shared("captures", "INDEX.json")
    if index is None:
        pytest.skip(ABSENT)
    files = {path.name for path in index.parent.iterdir() if path.suffix in (".json", ".bin")}
    read = {family.file for family in FAMILIES}
    assert files - {index.name} == read | NOT_READ.keys()
    assert not read & NOT_READ.keys()


def test_every_difference_is_one_of_a_frame() -> None:
    if shared("captures") is None:
        pytest.skip(ABSENT)
    used = {id(family.difference(frame)) for family in FAMILIES for frame in load(family) or ()}
    unused = [
        f"{family}: {where}"
        for family in FAMILIES
        for where, difference in family.differences.items()
        if id(difference) not in used
    ]
    assert unused == []
