"""Links of all pages, and pages that code and units name, are there. Nothing is fetched."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.docs.pages import ROOT, Page, links_of, named_pages, pages, read, repository_files

OUTSIDE = re.compile(r"^[a-z][a-z0-9+.-]*:")
NAMED = re.compile(r"(?<![\w/.-])((?:docs|systemd|drivers)/[\w/.-]*\.md)(#[\w-]+)?")
DECISION = re.compile(r"docs/decisions/(\d{4})")
INSTALLED = re.compile(r"/usr/share/doc/citylab-gateway/([\w./-]+)")
OUR_FOLDERS = (
    "gateway",
    "drivers",
    "tests",
    "config",
    "systemd",
    "scripts",
    "docs",
    "requirements",
)
DOCS = ROOT / "docs"
MAX_DRAWING_BYTES = 16 << 10
MADE_LATER = ("gateway/buffer/ring.so",)
A_PATH = re.compile(rf"(?:{'|'.join(OUR_FOLDERS)})/[\w./-]+")
NAMES = [page.name for page in pages()]
TEXT_FILES = (".py", ".toml", ".yml", ".json", ".service", ".socket", ".rules", ".sysusers", ".sh")


def problem_of(page: Page, target: str) -> str:
    """Return what is wrong with the target of a link, or nothing."""
    path, _, anchor = target.partition("#")
    there = (page.path.parent / path).resolve() if path else page.path
    if not there.exists():
        return "is not there"
    if not there.is_relative_to(ROOT):
        return "leads out of the repository"
    if anchor and (there.suffix != ".md" or anchor not in read(there).anchors):
        return "has no such heading"
    return ""


def test_every_link_leads_somewhere() -> None:
    wrong = [
        f"{page.name}: {target} {problem}"
        for page in pages()
        for _, _, target in links_of(page)
        if not OUTSIDE.match(target) and (problem := problem_of(page, target))
    ]
    assert wrong == []


def test_links_to_the_world_are_safe_and_pictures_are_told_in_words() -> None:
    for page in pages():
        for is_picture, text, target in links_of(page):
            where = f"{page.name}: {target}"
            assert not OUTSIDE.match(target) or target.startswith(("https://", "mailto:")), where
            assert not is_picture or len(text) > len("a picture"), f"{where} has no words"


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = read(ROOT / "docs" / "operate.md")
    assert problem_of(page, "metrics.md") == ""
    assert problem_of(page, "#health") == ""
    assert problem_of(page, "metrics.md#no-such-heading") == "has no such heading"
    assert problem_of(page, "#no-such-heading") == "has no such heading"
    assert problem_of(page, "no-such-page.md") == "is not there"
    assert problem_of(page, "../../") == "leads out of the repository"


def test_pages_that_code_and_units_name_are_there() -> None:
    known = named_pages()
    wrong = []
    for path in repository_files(*TEXT_FILES):
        if path.is_relative_to(ROOT / "tests" / "docs"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for name, anchor in NAMED.findall(text):
            if name not in known or (anchor and anchor[1:] not in known[name].anchors):
                wrong.append(f"{path.relative_to(ROOT)}: {name}{anchor}")
        wrong += [
            f"{path.relative_to(ROOT)}: decision {number}"
            for number in DECISION.findall(text)
            if not list((ROOT / "docs" / "decisions").glob(f"{number}-*.md"))
        ]
    assert wrong == []


def test_what_units_call_their_documentation_is_installed_and_is_ours() -> None:
    units = [*repository_files(".service", ".socket")]
    assert units
    manual = (ROOT / "systemd" / "README.md").read_text(encoding="utf-8")
    for unit in units:
        for name in INSTALLED.findall(unit.read_text(encoding="utf-8")):
            assert (ROOT / "docs" / name).is_file(), f"{unit.name}: {name}"
            assert f"/usr/share/doc/citylab-gateway/{name}" in manual


def test_files_that_a_page_names_are_there() -> None:
    """A path in backquotes is one of the repository, from its root."""
    wrong = [
        f"{page.name}: {span}"
        for page in pages()
        for span in page.spans
        if A_PATH.fullmatch(span) and span not in MADE_LATER and not exists(page, span)
    ]
    assert wrong == []


def exists(page: Page, span: str) -> bool:
    return (ROOT / span).exists() or (page.path.parent / span).exists()


def test_every_page_can_be_found_from_the_first_one() -> None:
    known = named_pages()
    seen: set[str] = set()
    ahead = ["README.md"]
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        for _, _, target in links_of(known[name]):
            there = (known[name].path.parent / target.partition("#")[0]).resolve()
            if not OUTSIDE.match(target) and there.is_relative_to(ROOT):
                inner = there / "README.md" if there.is_dir() else there
                next_name = inner.relative_to(ROOT).as_posix()
                ahead += [next_name] if next_name in known else []
    assert sorted(set(known) - seen) == []


def test_every_page_of_docs_stands_in_its_index() -> None:
    index = {target.partition("#")[0] for _, _, target in links_of(named_pages()["docs/README.md"])}
    for name in NAMES:
        path = Path(name)
        if path.parent == Path("docs") and path.name != "README.md":
            assert path.name in index, name
    decisions = {target for _, _, target in links_of(named_pages()["docs/decisions/README.md"])}
    there = {path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")}
    assert there == {target for target in decisions if target[0].isdigit()}


def test_a_drawing_is_small_asks_nobody_and_says_what_it_shows() -> None:
    drawings = repository_files(".svg")
    assert drawings
    for path in drawings:
        text = path.read_text(encoding="utf-8")
        tree = ET.fromstring(text)
        assert tree.find("{http://www.w3.org/2000/svg}title") is not None
        assert "viewBox" in tree.attrib
        assert "prefers-color-scheme: dark" in text
        values = [value for element in tree.iter() for value in element.attrib.values()]
        assert not [value for value in values if value.startswith(("http:", "https:", "data:"))]
        assert len(text) < MAX_DRAWING_BYTES, path


def test_every_picture_of_the_docs_is_shown_somewhere() -> None:
    shown = {
        (page.path.parent / target).resolve()
        for page in pages()
        for is_picture, _, target in links_of(page)
        if is_picture
    }
    there = {path for path in repository_files(".svg", ".png") if path.is_relative_to(DOCS)}
    assert there == {path for path in shown if path.is_relative_to(DOCS)}
