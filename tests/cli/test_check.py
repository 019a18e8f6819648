"""``buffer check`` finds exactly what is wrong, says where, and touches nothing."""

import json
import random
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest

from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT, Block
from gateway.cli import main
from tests.cli.rings import fingerprint, flip, put, reseal, slot_of, write_ring

BLOCKS = 64


def check(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["buffer", "check", "--json", "--directory", str(path)])
    document = json.loads(capsys.readouterr().out)
    assert (code == 1) == (document["damage"] > 0)
    return code, document


def offset_of(slot: int) -> int:
    return (FIRST_DATA_SLOT + slot) * BLOCK_SIZE


@pytest.mark.parametrize("readings", [0, 1, 7, 200, 320, 321, 1000, 3000])
def test_a_healthy_ring_is_fine_and_stays_untouched(
    tmp_path: Path, readings: int, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, readings)
    before = fingerprint(tmp_path)
    code, document = check(written.directory, capsys)
    assert (code, document["findings"]) == (0, [])
    overwritten = 5 * max(0, (readings + 4) // 5 - BLOCKS)
    assert document["good_readings"] == readings - overwritten
    assert fingerprint(tmp_path) == before


def test_several_starts_are_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(5):
        written = write_ring(tmp_path, 37, seed=seed)
    assert check(written.directory, capsys)[1]["findings"] == []


@pytest.mark.parametrize("readings", [200, 1003])
def test_a_flipped_bit_anywhere_is_found_and_nothing_else(
    tmp_path: Path, readings: int, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, readings)
    used = min(BLOCKS, (readings + 4) // 5)
    rng = random.Random(readings)
    intact = written.ring.read_bytes()
    for _ in range(12):
        slot, at, bit = rng.randrange(used), rng.randrange(BLOCK_SIZE), rng.randrange(8)
        number = int.from_bytes(slot_of(written.ring, slot)[8:16], "little")
        newest = number == max(
            int.from_bytes(slot_of(written.ring, one)[8:16], "little") for one in range(used)
        )
        flip(written.ring, offset_of(slot) + at, bit)
        _, document = check(written.directory, capsys)
        found = document["findings"]
        assert len(found) == 1, (slot, at, bit)
        if newest:  # nobody can know that it was whole: a flush may have ended there
            assert found[0]["what"] in ("unfinished", "block"), (slot, at, bit)
        else:
            assert (found[0]["kind"], found[0]["what"]) == ("damage", "block"), (slot, at, bit)
            assert found[0]["block"] == number, (slot, at, bit)
        assert found[0]["offset"] == offset_of(slot)
        put(written.ring, 0, intact)
    assert check(written.directory, capsys)[0] == 0


def test_it_says_so_in_words_for_a_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 200)
    for slot in (3, 4, 5, 20):
        flip(written.ring, offset_of(slot) + 300)
    assert main(["buffer", "check", "--directory", str(written.directory)]) == 1
    output = capsys.readouterr().out.splitlines()
    assert output == [
        f"damage: blocks 3 to 5 at byte {offset_of(3)}: the checksum does not fit",
        f"damage: block 20 at byte {offset_of(20)}: the checksum does not fit",
        f"{written.ring}: 37 blocks with 180 readings are good; damaged: 4, to know: 0",
    ]


@pytest.mark.parametrize("place", [0, 1])
def test_one_destroyed_super_block_is_found(
    tmp_path: Path, place: int, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 20)
    flip(written.ring, place * BLOCK_SIZE + 700)
    _, document = check(written.directory, capsys)
    assert [(one["what"], one["offset"]) for one in document["findings"]] == [
        ("super", place * BLOCK_SIZE)
    ]


def test_a_torn_file_misses_what_was_behind_the_tear(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 1000)  # several laps
    with written.ring.open("r+b") as file:
        file.truncate(offset_of(40) + 1000)
    _, document = check(written.directory, capsys)
    assert document["damage"] == BLOCKS - 40
    assert document["good_blocks"] == 40
    slots = {(one["offset"] // BLOCK_SIZE - FIRST_DATA_SLOT) for one in document["findings"]}
    assert min(slots) == 40


def test_a_half_written_block_ahead_of_the_newest_is_no_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 100)
    newest = 20
    assert slot_of(written.ring, newest)[:4] == b"CLGB"
    torn = slot_of(written.ring, newest)[:512]
    put(written.ring, offset_of(newest + 1), torn)
    code, document = check(written.directory, capsys)
    assert code == 0
    assert [(one["kind"], one["what"]) for one in document["findings"]] == [("note", "unfinished")]
    put(written.ring, offset_of(newest + 30), torn)
    code, document = check(written.directory, capsys)
    assert [(one["kind"], one["block"]) for one in document["findings"]] == [
        ("note", None),
        ("damage", newest + 30),
    ]


def test_a_block_that_never_arrived_is_told_from_a_damaged_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 300)
    old = slot_of(written.ring, 10)
    more = write_ring(tmp_path, 300, seed=2)
    put(more.ring, offset_of(10), old)
    _, document = check(more.directory, capsys)
    assert [one["block"] for one in document["findings"]] == [10 + BLOCKS]
    assert "never arrived" in document["findings"][0]["text"]


def test_a_block_of_another_place_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 100)
    put(written.ring, offset_of(7), slot_of(written.ring, 9))
    _, document = check(written.directory, capsys)
    assert [one["block"] for one in document["findings"]] == [7]
    assert "block 9" in document["findings"][0]["text"]


def cursor_ahead(block: Block, cursors: list[int]) -> None:
    cursors[0] = block.end + 1


def sequence_back(block: Block, cursors: list[int]) -> None:
    block.first -= 3


def sequence_on(block: Block, cursors: list[int]) -> None:
    block.first += 4


def epoch_back(block: Block, cursors: list[int]) -> None:
    block.epoch = 0


def foreign_series(block: Block, cursors: list[int]) -> None:
    assert isinstance(block.data, bytearray)
    memoryview(block.data).cast("I")[52] = 4711


def other_boot(block: Block, cursors: list[int]) -> None:
    block.boot = 99


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (cursor_ahead, [("damage", "cursor", 12)]),
        (sequence_back, [("damage", "order", 12), ("note", "hole", 13)]),
        (sequence_on, [("note", "hole", 12), ("damage", "order", 13)]),
        (epoch_back, [("damage", "order", 12)]),
        (foreign_series, [("damage", "series", 12)]),
        (other_boot, [("note", "boot", 12)]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_block_says_has_to_fit(
    tmp_path: Path,
    change: Any,
    expected: list[tuple[str, str, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    written = write_ring(tmp_path, 100)
    reseal(written.ring, 12, change)
    _, document = check(written.directory, capsys)
    found = [(one["kind"], one["what"], one["block"]) for one in document["findings"]]
    assert found == expected


@pytest.mark.parametrize("name", ["series.json", "boots.json"])
def test_side_files_are_verified(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 50)
    path = written.directory / name
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1", b"2", 1))
    _, document = check(written.directory, capsys)
    assert document["findings"][0]["what"] == "side-file"
    path.unlink()
    path.with_name(name + ".bak").unlink(missing_ok=True)
    code, document = check(written.directory, capsys)
    assert (code, len(document["findings"])) == (1, 1)
    assert f"{name} is not there" in document["findings"][0]["text"]


def test_a_copied_ring_file_alone_is_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 400)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    copy = Path(shutil.copy(written.ring, folder / "box-7.bin"))
    code, document = check(copy, capsys)
    assert code == 0
    assert {one["what"] for one in document["findings"]} == {"side-file"}
    assert document["good_readings"] == 320


@pytest.mark.parametrize("action", ["stat", "check", "export"])
def test_what_is_no_ring_is_told_in_one_line(
    tmp_path: Path, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(path: Path) -> tuple[int, str]:
        code = main(["buffer", action, "--directory", str(path)])
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        return code, captured.err

    assert told(tmp_path / "nowhere") == (
        2,
        f"error: {tmp_path}/nowhere does not exist; name the data directory with --directory DIR\n",
    )
    assert told(tmp_path)[0] == 2
    (tmp_path / "ring").write_bytes(b"")
    assert told(tmp_path)[0] == 1
    (tmp_path / "ring").write_bytes(random.Random(1).randbytes(40_000))
    assert told(tmp_path) == (
        1,
        f"error: {tmp_path}/ring: no ring, or both of its super blocks are destroyed\n",
    )
    later = (9).to_bytes(4, "little") + bytes(BLOCK_SIZE - 12)
    crc = zlib.crc32(later).to_bytes(4, "little")
    (tmp_path / "ring").write_bytes(b"CLGS" + crc + later)
    assert told(tmp_path)[1].endswith("format version 9; this program reads 1\n")
    code = main(["buffer", action, "--config", str(tmp_path / "none.toml")])
    assert code == 2
    assert "none.toml" in capsys.readouterr().err


def test_a_ring_of_nothing_but_a_super_block_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 10)
    with written.ring.open("r+b") as file:
        file.truncate(offset_of(0))
    code, document = check(written.directory, capsys)
    assert (code, document["good_blocks"]) == (1, 0)


@pytest.mark.parametrize("blocks", [20, 63, 200])
def test_a_ring_of_another_size_is_fine(
    tmp_path: Path, blocks: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_ring(tmp_path, 500)
    written = write_ring(tmp_path, 50, blocks=blocks)
    assert check(written.directory, capsys)[1]["findings"] == []
    assert main(["buffer", "stat", "--json", "--directory", str(written.directory)]) == 0
    assert json.loads(capsys.readouterr().out)["next_sequence"] == 550
