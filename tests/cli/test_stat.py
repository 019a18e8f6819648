"""``buffer stat`` says what the ring holds, how long it lasts, and on what that is based."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.buffer import Buffer
from gateway.buffer.inspect import RingView
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT
from gateway.cli import main
from tests.buffer.support import BOOT_B, HandClock
from tests.cli.rings import fingerprint, flip, sparse_ring, write_ring

BLOCKS = 64
HOUR = 3600.0


def stat(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main(["buffer", "stat", "--json", "--directory", str(path), *more]) == 0
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_the_figures_of_a_small_ring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = write_ring(tmp_path, 200)
    before = fingerprint(tmp_path)
    found = stat(written.directory, capsys)
    assert fingerprint(tmp_path) == before
    assert found["ring"] == str(written.ring)
    assert (found["format_version"], found["epoch"]) == (1, 1)
    assert found["size_bytes"] == (FIRST_DATA_SLOT + BLOCKS) * BLOCK_SIZE
    assert (found["blocks"], found["blocks_used"]) == (BLOCKS, 41)
    assert found["readings"] == 200
    assert found["next_sequence"] == 200
    # HandClock: 1,760,000,000 s when it stands still, a second for each reading
    assert found["oldest_time"] == "2025-10-09T08:53:21Z"
    assert found["newest_time"] == "2025-10-09T08:56:40Z"
    assert found["links"] == [
        {
            "name": "aarhus",
            "cursor": 0,
            "pending": 200,
            "overwritten": 0,
            "oldest_pending": "2025-10-09T08:53:21Z",
            "hours_until_loss": pytest.approx((1 + BLOCKS - 41) / found["rate"]["blocks_per_h"]),
        }
    ]
    assert [(boot["number"], boot["clock"]) for boot in found["boots"]] == [(1, "synced")]
    assert (found["series"], found["series_file"], found["boots_file"]) == (3, "good", "good")
    assert found["set_aside_blocks"] == 0


def test_rate_and_room_are_what_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 200)  # 40 blocks of 5 readings, a second each
    found = stat(written.directory, capsys)
    rate = found["rate"]
    assert (rate["blocks"], rate["readings"], rate["seconds"]) == (40, 200, 199.0)
    assert rate["blocks_per_h"] == pytest.approx(40 / 199 * HOUR)
    assert rate["bytes_per_reading"] == pytest.approx(BLOCK_SIZE / 5)
    assert rate["bytes_per_day"] == pytest.approx(40 * BLOCK_SIZE / 199 * 24 * HOUR)
    assert found["hours_until_full"] == pytest.approx((BLOCKS - 41) / rate["blocks_per_h"])
    assert found["hours_when_full"] == pytest.approx(BLOCKS / rate["blocks_per_h"])


def test_after_a_lap_the_oldest_and_what_is_lost_are_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 1000)
    found = stat(written.directory, capsys)
    assert found["blocks_used"] == BLOCKS
    assert (found["oldest_sequence"], found["next_sequence"]) == (680, 1000)
    assert found["hours_until_full"] == 0
    link = found["links"][0]
    assert (link["pending"], link["overwritten"]) == (1000, 680)
    assert link["oldest_pending"] == found["oldest_time"]
    assert link["hours_until_loss"] == 0


def test_the_rate_is_that_of_the_newest_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = HandClock()
    write_ring(tmp_path, 100, flush_every=1, clock=clock)
    clock.boot_ns += 10**15  # off for days
    clock.real_ns += 10**15
    written = write_ring(tmp_path, 100, flush_every=10, clock=clock)
    rate = stat(written.directory, capsys)["rate"]
    assert rate["epoch_only"]
    assert (rate["blocks"], rate["seconds"]) == (10, 99.0)


def test_a_short_run_is_measured_with_the_one_before_if_it_is_the_same_boot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = HandClock()
    write_ring(tmp_path, 100, clock=clock)
    written = write_ring(tmp_path, 20, clock=clock)
    rate = stat(written.directory, capsys)["rate"]
    assert not rate["epoch_only"]
    assert (rate["readings"], rate["seconds"]) == (120, 119.0)
    write_ring(tmp_path, 20, clock=HandClock(BOOT_B))
    found = stat(written.directory, capsys)
    assert found["rate"] is None
    assert (found["hours_until_full"], found["links"][0]["hours_until_loss"]) == (None, None)
    assert [boot["number"] for boot in found["boots"]] == [1, 2]


def test_card_life_follows_from_the_endurance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 200)
    found = stat(written.directory, capsys, "--endurance", "32 TB")
    assert found["endurance_bytes"] == 32 * 10**12
    days = 32 * 10**12 / found["rate"]["bytes_per_day"]
    assert found["card_life_years"] == pytest.approx(days / 365.25)
    assert stat(written.directory, capsys)["card_life_years"] is None
    for text, size in (("2TBW", 2 * 10**12), ("0.5 tb", 5 * 10**11), ("1 GiB", 1 << 30)):
        found = stat(written.directory, capsys, "--endurance", text)
        assert found["endurance_bytes"] == size
    for wrong in ("32", "much", "0 TB", "-1 TB"):
        path = str(written.directory)
        assert main(["buffer", "stat", "--directory", path, f"--endurance={wrong}"]) == 2
        assert "32 TB" in capsys.readouterr().err


def test_links_that_settled_have_less_to_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def settle(buffer: Buffer) -> None:
        buffer.readers["aarhus"].settle(0, 149, acknowledged=150)
        buffer.reader("vejle")

    written = write_ring(tmp_path, 200, more=settle)
    found = {link["name"]: link for link in stat(written.directory, capsys)["links"]}
    assert (found["aarhus"]["cursor"], found["aarhus"]["pending"]) == (150, 50)
    assert found["aarhus"]["oldest_pending"] == "2025-10-09T08:55:51Z"
    assert (found["vejle"]["pending"], found["vejle"]["oldest_pending"]) == (0, None)
    assert found["vejle"]["hours_until_loss"] is None


def test_an_empty_ring_has_figures_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = write_ring(tmp_path, 0)
    found = stat(written.directory, capsys)
    assert (found["readings"], found["oldest_time"], found["rate"]) == (0, None, None)
    assert main(["buffer", "stat", "--directory", str(written.directory)]) == 0
    assert "unknown" in capsys.readouterr().out


def test_a_person_reads_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = write_ring(tmp_path, 200)
    (written.directory / "damaged").mkdir()
    for name in ("block-3", "block-9", "ring"):
        (written.directory / "damaged" / name).touch()
    flip(written.ring, BLOCK_SIZE + 100)
    code = main(["buffer", "stat", "--directory", str(written.directory), "--endurance", "1 TB"])
    output = capsys.readouterr().out
    assert code == 0
    assert "272 KiB in 64 blocks, 64.1% used" in output
    assert "200, 2025-10-09T08:53:21Z to 2025-10-09T08:56:40Z" in output
    assert "measured over the newest 40 blocks, 3.32 min of the newest run" in output
    assert "aarhus: 200 pending, oldest 2025-10-09T08:53:21Z, safe for" in output
    assert "1: since" in output
    assert "one super block is destroyed; 2 blocks and 1 files lie in damaged/" in output
    assert "931.3 GiB last" in output


def test_a_copy_of_the_file_alone_tells_what_it_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_ring(tmp_path, 200)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    found = stat(Path(shutil.copy(written.ring, folder / "copy")), capsys)
    assert (found["readings"], found["series_file"]) == (200, "missing")
    assert found["oldest_time"] == "2025-10-09T08:53:21Z"  # from the header


def test_a_name_that_the_terminal_cannot_show_does_not_stop_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], ascii_run: Callable[..., tuple[int, str]]
) -> None:
    written = write_ring(tmp_path, 20, more=lambda buffer: void(buffer.reader("Århus")))
    code, output = ascii_run("buffer", "stat", "--directory", str(written.directory))
    assert code == 0
    assert "\\xc5rhus: 0 pending" in output


def void(_: object) -> None:
    """Throw an answer away."""


@pytest.mark.parametrize("seed", range(6))
def test_the_newest_block_is_found_with_few_reads_or_with_all(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    blocks = rng.choice((64, 700))
    ring = tmp_path / "ring"
    sparse_ring(ring, blocks)
    for _ in range(20):
        # any number of blocks gone, in one run as after a cut or anywhere
        begin, count = rng.randrange(blocks), rng.choice((0, 1, 5, blocks // 3))
        with ring.open("r+b") as file:
            for slot in range(begin, min(blocks, begin + count)):
                file.seek((FIRST_DATA_SLOT + slot) * BLOCK_SIZE)
                file.write(bytes(BLOCK_SIZE))
        with RingView(ring) as view:
            quick, thorough = view.head(), view.scan_head()
            assert (quick and quick.number) == (thorough and thorough.number)
