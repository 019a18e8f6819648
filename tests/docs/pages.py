"""Takes the Markdown pages apart: code blocks, links, headings, and what stands in backquotes."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["ROOT", "Block", "Page", "links_of", "named_pages", "pages", "read", "repository_files"]

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"build", "dist", "node_modules", "__pycache__"}
"""Folders that tools fill; those that begin with a dot are left out as well."""
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\s`]*) *(?P<label>[^`]*)$")
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
TAG = re.compile(r"<[^>]*>")
ANCHOR = re.compile(r'<a id="([\w-]+)">')


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced piece of code, without its fence and its indentation."""

    page: str
    line: int
    language: str
    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file, its code apart from its prose."""

    path: Path
    blocks: tuple[Block, ...]
    prose: str
    """Everything but fenced code; comments are left out too."""

    @property
    def name(self) -> str:
        """Return its path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def spans(self) -> list[str]:
        """Return what stands in backquotes, line ends as spaces."""
        parts = self.prose.split("\n\n")  # a span ends with its paragraph
        return [" ".join(text.split()) for part in parts for _, text in SPAN.findall(part)]

    @property
    def anchors(self) -> frozenset[str]:
        """Return what a link to a part of this page may say after ``#``."""
        seen: Counter[str] = Counter()
        found = set(ANCHOR.findall(self.prose))
        for heading in HEADING.findall(self.prose):
            slug = slug_of(heading)
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        return frozenset(found)


def slug_of(heading: str) -> str:
    """Return the anchor that the usual Markdown renderers give to a heading."""
    text = TAG.sub("", LINK.sub(r"\2", heading)).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def links_of(page: Page) -> list[tuple[bool, str, str]]:
    """Return links and images: whether it is an image, its text, and where it leads."""
    parts = page.prose.split("\n\n")
    text = "\n\n".join(SPAN.sub(lambda span: "" if "](" in span[2] else span[0], p) for p in parts)
    return [(bool(image), text, target) for image, text, target in LINK.findall(text)]


def repository_files(*suffixes: str) -> list[Path]:
    """Return the files of the repository that end so; also where there is no git."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in NOT_OURS
            and not name.endswith((".egg-info", "fixtures"))
        ]
        found += [Path(folder, name) for name in files if name.endswith(suffixes)]
    return sorted(found)


@cache
def read(path: Path) -> Page:
    """Take one page apart."""
    name = path.relative_to(ROOT).as_posix()
    blocks: list[Block] = []
    prose: list[str] = []
    inside: list[str] = []
    fence, began = None, 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found = FENCE.match(line)
        if fence is None and found:
            fence, inside, began = found, [], number
        elif fence is not None and line.strip() == "```":
            text = "".join(each.removeprefix(fence["indent"]) + "\n" for each in inside)
            blocks.append(Block(name, began, fence["language"], fence["label"], text))
            fence = None
        else:
            (prose if fence is None else inside).append(line)
    assert fence is None, f"{name}:{began}: a code block that does not end"
    text = re.sub(r"<!--.*?-->", "", "\n".join(prose), flags=re.DOTALL)
    return Page(path, tuple(blocks), text)


@cache
def pages() -> tuple[Page, ...]:
    """Return every page of the repository."""
    return tuple(read(path) for path in repository_files(".md"))


def named_pages() -> dict[str, Page]:
    """Return every page by its path from the root."""
    return {page.name: page for page in pages()}
