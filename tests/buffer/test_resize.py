"""A changed size is applied when the ring is opened; a power cut leaves the old or the new one."""

import asyncio
from pathlib import Path

import pytest

from gateway.buffer import Gap
from gateway.buffer import resize as resize_module
from gateway.buffer.files import Damaged, RingFile
from gateway.buffer.recovery import recover
from gateway.buffer.store import Store
from tests.buffer.support import (
    BOOT_B,
    HandClock,
    abandon,
    append,
    balanced,
    drain,
    open_buffer,
    sequences,
    settings_for,
    settle,
)

LINK = "aarhus"


async def written(folder: Path, *, blocks: int, flushes: int) -> None:
    buffer = await open_buffer(folder, blocks=blocks)
    link = buffer.reader(LINK)
    buffer.reader("slow")
    for _ in range(flushes):
        append(buffer, 3)
        await buffer.flush()
        settle(link, await drain(link))
    append(buffer, 2)
    await buffer.close()


@pytest.mark.parametrize("flushes", [0, 5, 60, 200])
@pytest.mark.parametrize("blocks", [16, 40, 200])
async def test_the_newest_that_fit_are_kept(tmp_path: Path, blocks: int, flushes: int) -> None:
    await written(tmp_path, blocks=64, flushes=flushes)
    end = 3 * flushes + 2
    buffer = await open_buffer(tmp_path, blocks=blocks, clock=HandClock(BOOT_B))
    assert buffer.stats.blocks == blocks
    assert (buffer.next_sequence, buffer.epoch) == (end, 2)
    assert buffer.readers[LINK].cursor == 3 * flushes
    slow = buffer.readers["slow"]
    items = await drain(slow)
    kept = min(64, blocks, flushes + 1)
    first = 0 if flushes < min(64, blocks) - 1 else end - 2 - 3 * (kept - 1)
    assert sequences(items) == list(range(first, end))
    gaps = [(item.first, item.last, item.reason) for item in items if isinstance(item, Gap)]
    assert gaps == ([(0, first - 1, "overwritten")] if first else [])
    settle(slow, items)
    assert balanced(slow)
    for _ in range(3 * blocks):  # around the end of the new ring
        append(buffer, 1)
        await buffer.flush()
    await abandon(buffer)
    buffer = await open_buffer(tmp_path, blocks=blocks)
    assert buffer.next_sequence == end + 3 * blocks
    assert buffer.stats.damaged_blocks == 0
    assert sequences(await drain(buffer.readers[LINK]))[-1] == end + 3 * blocks - 1
    assert buffer.readers["slow"].cursor == end
    await buffer.close()


@pytest.mark.leaks  # the power is cut: nobody closes anything
async def test_an_interruption_anywhere_leaves_the_old_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing stops after so many blocks, as the power would stop it; then again, and again."""

    class PowerCut(BaseException):
        pass

    await written(tmp_path, blocks=64, flushes=30)
    monkeypatch.setattr(resize_module, "COPIED_BLOCKS", 4)
    directory = settings_for(tmp_path).directory
    real = Store._write
    for allowed in range(12):
        left = [allowed]

        def write(store: Store, data: bytes, offset: int, left: list[int] = left) -> None:
            if store.path.name.endswith(".new"):
                left[0] -= 1
                if left[0] < 0:
                    raise PowerCut
            real(store, data, offset)

        monkeypatch.setattr(Store, "_write", write)
        content = await asyncio.to_thread((directory / "ring").read_bytes)
        with pytest.raises(PowerCut):
            await asyncio.to_thread(resize, directory)
        assert await asyncio.to_thread((directory / "ring").read_bytes) == content
        if left[0] < 0 <= allowed - 8:
            break
    monkeypatch.setattr(Store, "_write", real)
    assert await asyncio.to_thread((directory / "ring.new").exists)
    buffer = await open_buffer(tmp_path, blocks=64)
    assert sequences(await drain(buffer.readers["slow"])) == list(range(92))
    await buffer.close()
    names = await asyncio.to_thread(lambda: {path.name for path in directory.iterdir()})
    assert "ring.new" not in names


def resize(directory: Path) -> None:
    path = directory / "ring"
    recover(
        directory,
        size_bytes=40 * 4096,
        open_image=b"",
        boot_id=bytes(16),
        open_file=RingFile,
        damaged=Damaged(path.parent),
    )


async def test_without_room_for_both_the_ring_keeps_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await written(tmp_path, blocks=64, flushes=30)
    monkeypatch.setattr(Store, "free", property(lambda _: 4096))
    buffer = await open_buffer(tmp_path, blocks=128)
    assert buffer.stats.blocks == 64
    assert "keeps its size" in caplog.text
    assert sequences(await drain(buffer.readers["slow"])) == list(range(92))
    await buffer.close()
