"""What the pages show works: configurations, commands, make targets, JSON, Python, shell."""

import argparse
import contextlib
import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from gateway.cli import COMMANDS, main
from gateway.config.installed import format_class
from gateway.config.load import load
from gateway.driver import driver_class
from gateway.errors import ConfigErrors
from tests.docs.examples import COMMAND, commands_of, configurations_of, dumped
from tests.docs.pages import ROOT, Block, named_pages, pages

BLOCKS = [block for page in pages() for block in page.blocks]
NO_CONFIGURATION = ("entry-point",)
"""Labels of TOML that is for another program."""
TARGET = re.compile(r"(?<![\w-])make ((?:[A-Z]+=\S+ )*)([a-z][a-z-]*)((?: +[A-Z]+=\S+)*)")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"\b([A-Z]+) *\??=", MAKEFILE))
"""Set in the Makefile, or told in its help and handed to a script."""
find_driver = cache(driver_class)
find_format = cache(format_class)
KNOWN_LANGUAGES = {"", "conf", "ini", "json", "python", "sh", "text", "toml"}


class Parsed(Exception):
    """The command line is right; nothing of it is done."""


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


@pytest.fixture
def nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command end where its arguments have been understood."""
    understand = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, words: Sequence[str] | None = None) -> NoReturn:
        understand(parser, words)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)


def understood(words: list[str]) -> bool:
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            main(words)
        except Parsed:
            return True
        except SystemExit:
            return False
    raise AssertionError("it was run")


def test_there_is_no_code_in_a_language_that_nobody_checks() -> None:
    assert {block.language for block in BLOCKS} <= KNOWN_LANGUAGES
    assert {"toml", "sh", "json", "python"} <= {block.language for block in BLOCKS}


def refusal(document: str, path: Path) -> str:
    """Return what the loader says against it."""
    path.write_text(document, encoding="utf-8")
    try:
        load(path, drivers=find_driver, formats=find_format, environ={})
    except ConfigErrors as errors:
        return "; ".join(map(str, errors.errors))
    return ""


def problems_of(block: Block, path: Path) -> list[str]:
    """Return why it is not accepted, in whatever it may be a part of; nothing if it is."""
    problems = []
    for each in configurations_of(block):
        problems.append(refusal(dumped(each), path))
        if not problems[-1]:
            return []
    return problems


def test_every_configuration_is_accepted(tmp_path: Path) -> None:
    blocks = [block for block in of("toml") if block.label not in NO_CONFIGURATION]
    found = {str(block): problems_of(block, tmp_path / "gateway.toml") for block in blocks}
    assert {where: problems for where, problems in found.items() if problems} == {}


def test_a_wrong_configuration_is_found(tmp_path: Path) -> None:
    for text in (
        "range = { mim = 1 }",
        '[[sensor]]\nname = "a"',
        "[buffer]\nsise = 1",
        'privacy = "P3"',
        'schema = 1\n[gateway]\nid = "a b"',
    ):
        block = Block("docs/configure.md", 1, "toml", "", text)
        assert problems_of(block, tmp_path / "gateway.toml"), text


@pytest.mark.usefixtures("nothing_is_done")
def test_every_command_is_understood() -> None:
    wrong = [
        f"{block}: {shlex.join([COMMAND, *words])}"
        for block in of("sh")
        for words in commands_of(block.text)
        if not understood(words)
    ]
    assert wrong == []


@pytest.mark.usefixtures("nothing_is_done")
def test_a_wrong_command_is_found() -> None:
    lines = "sudo -u x /opt/bin/citylab-gateway check --no-such-flag # why\ncitylab-gateway chekc"
    commands = list(commands_of(lines))
    assert commands == [["check", "--no-such-flag"], ["chekc"]]
    assert not any(map(understood, commands))
    assert understood(["check", "--config", "x"])


def test_the_shell_can_read_it() -> None:
    for block in of("sh"):
        done = subprocess.run(
            ["sh", "-n"], input=block.text, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{block}: {done.stderr}"


@cache
def help_of(*words: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return output.getvalue()


def named_commands() -> Iterator[tuple[str, list[str]]]:
    for page in pages():
        for span in page.spans:
            words = re.split(r"[ =]", span.removeprefix("sudo "))
            if len(words) > 1 and words[0].rpartition("/")[2] == COMMAND and words[1].islower():
                yield f"{page.name}: {span}", words[1:]


def test_commands_that_the_text_names_have_these_flags() -> None:
    wrong = []
    for where, (command, *rest) in named_commands():
        if command not in COMMANDS:
            wrong.append(where)
            continue
        action = [rest[0]] if command == "buffer" and rest and rest[0].isalpha() else []
        text = help_of(command, *action)
        flags = [word for word in rest if word.startswith("--")]
        wrong += [f"{where} ({flag})" for flag in flags if not re.search(rf"{flag}\b", text)]
    assert wrong == []
    assert len(list(named_commands())) > 20


def test_the_index_tells_every_command() -> None:
    table = named_pages()["docs/README.md"].prose.split("## Commands")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(COMMANDS)


def test_every_make_target_is_there() -> None:
    wrong = []
    found = 0
    for page in pages():
        shell = [block.text for block in page.blocks if block.language in ("sh", "")]
        indented = re.findall(r"^ {4,}(make .+)$", page.prose, re.MULTILINE)
        for text in (*shell, *page.spans, *indented):
            for before, target, after in TARGET.findall(text):
                found += 1
                names = set(re.findall(r"([A-Z]+)=", before + after))
                if target not in TARGETS or not names <= VARIABLES:
                    wrong.append(f"{page.name}: make {before}{target}{after}")
    assert wrong == []
    assert found > 10


def is_json(text: str) -> bool:
    """Tell whether it is one document, or one a line."""
    for parts in ([text], text.splitlines()):
        with contextlib.suppress(json.JSONDecodeError):
            return bool([json.loads(part) for part in parts])
    return False


def test_json_is_json() -> None:
    assert [str(block) for block in of("json") if not is_json(block.text)] == []
    assert not is_json("{,}")
    assert not is_json("{}\n{")


def test_python_can_be_compiled() -> None:
    for block in of("python"):
        compile(block.text, str(block), "exec")


def test_drop_ins_of_units_have_sections_and_keys() -> None:
    for block in of("ini"):
        lines = [line for line in block.text.splitlines() if line and not line.startswith("#")]
        assert re.fullmatch(r"\[(Unit|Service|Socket|Install)\]", lines[0]), block
        assert all(re.fullmatch(r"\[\w+\]|[A-Z]\w+=.*", line) for line in lines), block
