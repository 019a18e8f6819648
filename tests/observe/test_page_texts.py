"""The catalogue: complete in each language, used, and chosen as a browser asks."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import gateway.observe
from gateway.forward.causes import EXPLANATIONS
from gateway.forward.stats import LinkStats
from gateway.observe import Standstill, health
from gateway.observe.health import HEALTH_STATES
from gateway.observe.metric_readers import SCAN_STEPS
from gateway.observe.page_texts import LANGUAGES, Words, chosen_language
from gateway.observe.staleness import SENSOR_STATES
from gateway.observe.view import DROP_REASONS
from gateway.reading import FAULT_KINDS, Flag
from tests.observe.figures import SECOND, Room

FOLDER = Path(gateway.observe.__file__).parent
CATALOGUE = tomllib.loads((FOLDER / "assets" / "texts.toml").read_text(encoding="utf-8"))


def entries() -> Iterator[tuple[str, dict[str, str]]]:
    for kind, texts in CATALOGUE.items():
        pairs = enumerate(texts) if isinstance(texts, list) else texts.items()
        yield from ((f"{kind} {key}", each) for key, each in pairs)


ENTRIES = list(entries())


@pytest.mark.parametrize(("key", "texts"), ENTRIES, ids=[key for key, _ in ENTRIES])
def test_every_text_is_there_in_each_language_with_the_same_gaps(
    key: str, texts: dict[str, str]
) -> None:
    assert texts.keys() == LANGUAGES.keys()
    gaps = {language: sorted(re.findall(r"\{(\w+)\}", text)) for language, text in texts.items()}
    assert len({tuple(each) for each in gaps.values()}) == 1, gaps
    assert all(text == text.strip() != "" for text in texts.values())
    assert not any(char in text for text in texts.values() for char in "<>&")
    assert not any('"' in text for text in texts.values()) or key.startswith("cause ")


def test_every_text_is_used() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("page*.py"))
    unused = [key for key in CATALOGUE["word"] if f'"{key}"' not in sources]
    unused = [key for key in unused if f"'{key}'" not in sources]
    assert unused == []


def test_every_word_of_ours_has_a_text() -> None:
    states = {*SENSOR_STATES, *HEALTH_STATES, "open", "closed", "active", "passive"}
    assert states | {"replay", LinkStats().state} <= CATALOGUE["state"].keys()
    assert CATALOGUE["flag"].keys() == {flag.name.lower() for flag in Flag if flag.name}
    assert CATALOGUE["drop"].keys() == set(DROP_REASONS)
    assert CATALOGUE["fault"].keys() == set(FAULT_KINDS)
    assert len(CATALOGUE["adapter_step"]) == len(set(SCAN_STEPS) - {"power_cycle_skipped"})


def test_causes_are_explained_as_in_the_documents() -> None:
    english = {key: texts["en"] for key, texts in CATALOGUE["cause"].items()}
    assert english == dict(EXPLANATIONS)
    # What people have to type or look up is the same in each language.
    names = re.compile(r"\b[a-z]+_[a-z_]+\b|\w+\.\w+_file|--[\w-]+|\b\w+://|QoS \d")
    for key, texts in CATALOGUE["cause"].items():
        assert set(names.findall(texts["da"])) == set(names.findall(texts["en"])), key


def sentences(room: Room) -> Iterator[str]:
    """Bring about everything that health can say."""
    room.buffer.degraded, room.buffer.degraded_reason = True, "No space left on device"
    room.loop_lag.observe(2.5, room.now_ns / SECOND)
    for link in room.links.values():
        link.state = "waiting"
    room.now_ns += 3600 * SECOND
    room.clock._trusted = False
    room.clock.sync_source = ""
    yield from health(room.look()).reasons
    room.buffer.degraded = False
    room.flush_watch.look(room.buffer.unflushed_readings)
    room.now_ns += 600 * SECOND
    room.loop_lag.observe(9.0, room.now_ns / SECOND)
    yield from health(room.look()).reasons
    for stuck in ((), ("a",)):
        standstill = Standstill()
        for now_s in range(0, 1000, 10):
            standstill.look({"a": 1, "b": 1 if not stuck else now_s}, now_s)
        yield from health(replace(room.look(), standstill=standstill)).reasons


def test_health_is_translated_and_what_is_not_known_stays(room: Room) -> None:
    danish = Words("da")
    told = list(sentences(room))
    assert len(told) >= 7
    for sentence in told:
        text, translated = danish.reason(sentence)
        assert translated, sentence
        assert text != sentence
    assert danish.reason("something new") == ("something new", False)
    assert Words("en").reason("something new") == ("something new", True)


@pytest.mark.parametrize(
    ("query", "accept", "wanted"),
    [
        ("", "", "en"),
        ("", "da", "da"),
        ("", "DA-dk,en;q=0.9", "da"),
        ("", "en-GB,da;q=0.8", "en"),
        ("", "en;q=0.3, da;q=0.7", "da"),
        ("", "de,fr", "en"),
        ("", "da;q=0,en;q=0.1", "en"),
        ("", "da;q=nonsense", "en"),
        ("", "da;q=9", "en"),
        ("", ",;,;q=,,=", "en"),
        ("", "x," * 5000 + "da", "en"),
        ("lang=da", "en", "da"),
        ("x=1&lang=da", "en", "da"),
        ("lang=xx", "da", "da"),
        ("lang=", "", "en"),
    ],
)
def test_the_switch_comes_first_then_the_browser(query: str, accept: str, wanted: str) -> None:
    assert chosen_language(query, accept) == wanted


@pytest.mark.parametrize(
    ("value", "english", "danish"),
    [
        (0.0, "0", "0"),
        (7.3, "7.3", "7,3"),
        (-3.25, "-3.25", "-3,25"),
        (1234567.891, "1234567.891", "1234567,891"),
        (1e12, "1000000000000", "1000000000000"),
        (1e-7, "1e-07", "1e-07"),
    ],
)
def test_numbers_are_written_as_people_do(value: float, english: str, danish: str) -> None:
    assert (Words("en").number(value), Words("da").number(value)) == (english, danish)


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (7.0, 9.666, ("7", "9.67")),
        (996.91, 997.02, ("996.9", "997")),
        (12327.5, 12345.5, ("12328", "12346")),
        (5.0, 5.0, ("5", "5")),
        (-0.1, 0.0, ("-0.1", "0")),
    ],
)
def test_bounds_have_the_digits_that_tell_them_apart(
    low: float, high: float, texts: tuple[str, str]
) -> None:
    assert Words("en").bounds(low, high) == texts


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_ages_are_coarser_the_longer_they_are(seconds: float, text: str) -> None:
    assert Words("en").age(seconds) == text
    assert Words("en").ago(seconds) == f"{text} ago"
