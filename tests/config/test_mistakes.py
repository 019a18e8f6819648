"""Typical mistakes as data: ``bad/<case>.toml``, and beside it the message, to the letter."""

from pathlib import Path

import pytest

from gateway.errors import ConfigErrors
from tests.config.fakes import load_with_fakes

CASES = sorted((Path(__file__).parent / "bad").glob("*.toml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_message_is_the_one_beside_the_file(path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_with_fakes(path)
    told = str(caught.value).replace(str(path), path.name)
    assert told + "\n" == path.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_each_error_names_its_file_and_what_is_wrong(path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_with_fakes(path)
    assert caught.value.errors
    assert all(error.file == str(path) and error.problem for error in caught.value.errors)


def test_the_table_of_mistakes_is_there() -> None:
    assert len(CASES) > 20
    assert {path.stem for path in CASES} == {
        path.stem for path in (Path(__file__).parent / "bad").glob("*.txt")
    }
