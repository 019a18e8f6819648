"""What the pages for data protection and security claim is what the code and the tests say."""

import re
from collections import defaultdict

import pytest

from gateway.cli import main
from gateway.driver import driver_class, driver_names
from tests.docs.pages import ROOT, named_pages, repository_files

PRIVACY = named_pages()["docs/privacy.md"].prose
SECURITY = named_pages()["docs/security.md"].prose
RULE = re.compile(r"priv_?-?(\d\d)", re.IGNORECASE)


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    lines = text.split(f"## {heading}\n")[1].splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("|"))
    found = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def rules_of(text: str) -> set[str]:
    """Return the numbers of the privacy rules that a test says it is about, ranges apart."""
    together = re.findall(r"priv_(\d\d)_and_(\d\d)", text)
    return {*RULE.findall(text), *(number for pair in together for number in pair)}


PROMISES = rows(PRIVACY, "What is promised, and what shows it")


def test_each_promise_has_a_test_that_says_it_is_about_it() -> None:
    for rule, promise, tests in PROMISES:
        files = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert files, promise
        texts = [(ROOT / name).read_text(encoding="utf-8") for name in files]
        if rule:
            assert any(rule.removeprefix("PRIV-") in rules_of(text) for text in texts), promise
        assert all("def test" in text for text in texts), promise


def test_every_rule_that_tests_are_about_is_on_the_page() -> None:
    told = {row[0].removeprefix("PRIV-") for row in PROMISES if row[0]}
    held: set[str] = set()
    for path in repository_files(".py"):
        if path.name.startswith("test_") and not path.is_relative_to(ROOT / "tests" / "docs"):
            held |= rules_of("\n".join(re.findall(r"def test_priv_\w+", path.read_text("utf-8"))))
    assert held <= told
    assert len(held) > 10


def test_the_page_gives_each_driver_the_class_that_it_has() -> None:
    classes: defaultdict[str, set[str]] = defaultdict(set)
    for name in driver_names():
        driver = driver_class(name)
        assert driver is not None
        classes[driver.info.privacy].add(name)
    for privacy, _, named, _ in rows(PRIVACY, "What is processed"):
        drivers = set(re.findall(r"`(\w+)`", named))
        if privacy == "P0":
            assert drivers <= classes["P0"]
        else:
            assert drivers == classes[privacy], privacy


def test_what_is_shown_of_a_dwelling_is_what_describe_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = next(
        block for block in named_pages()["docs/privacy.md"].blocks if block.language == "text"
    )
    assert main(["describe", "--config", str(ROOT / "config" / "examples" / "dwelling.toml")]) == 0
    told = capsys.readouterr().out.splitlines()
    places = [told.index(line) for line in shown.text.splitlines()]
    assert len(places) > 5
    assert places == sorted(places)


def test_the_page_about_security_counts_what_is_installed() -> None:
    lock = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([\w.-]+)==[\w.]+", lock, re.MULTILINE)
    assert f"pins {len(pinned)} packages" in SECURITY
    assert lock.count("--hash=sha256:") >= len(pinned)
