"""What a link keeps of doubtful times over restarts, also under another name or destroyed."""

import asyncio
import logging
import os
from pathlib import Path
from typing import cast

import pytest

from gateway.buffer import Batch, BootTime, Reader
from gateway.forward.time_fixes import FILE_NAME, TimeFixes

BOOT_ID = bytes(range(16))
OFFSET_NS = 1_795_338_000_000_000_000


class Known:
    """A reader that has sent everything below 100; ``truth`` is where the boot lies for good."""

    name = "city"
    next_sequence = 100

    def __init__(self) -> None:
        self.truth: BootTime | None = None
        self.has_record = True
        self.unanswered: set[int] = set()

    def owes(self, first: int, last: int) -> bool:
        return any(first <= number <= last for number in self.unanswered)

    def boot_id(self, boot: int) -> bytes | None:
        return BOOT_ID

    def boot_time(self, boot_id: bytes) -> BootTime | None:
        if not self.has_record:
            raise KeyError(boot_id.hex())
        return self.truth


def fixes(reader: Known, folder: Path, name: str = "city", before: str | None = None) -> TimeFixes:
    return TimeFixes(cast("Reader", reader), folder, name, before)


def batch(first: int, count: int, offset_ns: int = OFFSET_NS) -> Batch:
    return Batch(
        epoch=3,
        boot=2,
        first=first,
        series=[1] * count,
        times_ns=[0] * count,
        values=[0.0] * count,
        flags=[0] * count,
        offset_ns=offset_ns,
    )


async def due(kept: TimeFixes) -> list[tuple[int, int, float]]:
    await kept.load()
    return [(fix.sent.first, fix.sent.reserved, fix.correction_s) for fix in kept.due()]


async def test_an_orderly_end_says_exactly_what_was_sent(tmp_path: Path) -> None:
    reader = Known()
    kept = fixes(reader, tmp_path)
    await kept.load()
    await kept.note(batch(10, 5))
    await kept.note(batch(15, 5, OFFSET_NS + 1000))
    await kept.close()
    reader.truth = BootTime(OFFSET_NS + 7_000_000_000, 16_000, estimated=False)
    ((first, last, correction_s),) = await due(fixes(reader, tmp_path))
    assert (first, last) == (10, 19)
    assert correction_s == pytest.approx(7.0, abs=0.001)


async def test_nothing_is_due_before_the_boot_has_its_place(tmp_path: Path) -> None:
    kept = fixes(Known(), tmp_path)
    await kept.load()
    await kept.note(batch(10, 5))
    assert await due(kept) == []
    assert len(kept) == 1


async def test_nothing_is_due_before_all_of_it_was_answered(tmp_path: Path) -> None:
    """Or the message could overtake the readings that it is about."""
    reader = Known()
    reader.truth, kept = None, fixes(reader, tmp_path)
    await kept.load()
    await kept.note(batch(10, 5))
    reader.truth, reader.unanswered = BootTime(OFFSET_NS, 16_000, estimated=False), {14}
    assert await due(kept) == []
    reader.unanswered = {9, 15}
    assert len(await due(kept)) == 1


async def test_what_the_old_name_had_to_mend_goes_with_the_link(tmp_path: Path) -> None:
    reader = Known()
    old = fixes(reader, tmp_path, "old")
    await old.load()
    await old.note(batch(10, 5))
    await old.close()
    reader.truth = BootTime(OFFSET_NS, 16_000, estimated=False)
    new = fixes(reader, tmp_path, "new", "old")
    assert len(await due(new)) == 1
    for fix in new.due():
        new.forget(fix, is_told=True)
    await new.save()
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
    assert await due(fixes(reader, tmp_path, "new", "old")) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 9, b"{}", b"[1]", b'[{"epoch": 1}]', b"null", b"[[]]", b'[{"epoch":"x"}]'],
)
async def test_a_file_that_makes_no_sense_stops_nothing(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME.format(link="city")).write_bytes(content)
    kept = fixes(Known(), tmp_path)
    with caplog.at_level(logging.WARNING):
        assert await due(kept) == []
    assert "forgotten" in caplog.text
    await kept.note(batch(10, 5))
    assert len(kept) == 1
    await kept.close()


async def test_a_boot_that_nobody_knows_any_more_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader = Known()
    kept = fixes(reader, tmp_path)
    await kept.load()
    await kept.note(batch(10, 5))
    reader.has_record = False
    assert await due(kept) == []
    assert len(kept) == 0
    assert "readings 10 to 14 of boot 2" in caplog.text
    await kept.close()
