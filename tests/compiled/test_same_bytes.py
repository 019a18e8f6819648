"""Interpreted and compiled the ring does the same, to the byte."""

import asyncio
import itertools
import os
import random
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from gateway.buffer import Batch
from gateway.buffer.layout import READINGS_PER_BLOCK
from tests.buffer.support import KEY, HandClock, open_buffer
from tests.compiled.twin import INSTALLED, swap

STEPS = 60
FILES = ("ring", "series.json", "boots.json", "open")
NAN_BITS = array("d", [float("nan"), float("inf"), -0.0, 5e-324])


@contextmanager
def using(ring: ModuleType) -> Iterator[None]:
    """Let the whole buffer use this ring, and a salt that is the same for everyone."""
    with pytest.MonkeyPatch.context() as patch:
        swap(patch, INSTALLED, ring)
        salts = itertools.count()
        patch.setattr(os, "urandom", lambda size: next(salts).to_bytes(size, "little"))
        yield


async def session(folder: Path, seed: int) -> list[object]:
    """Append, flush, read, settle and reopen as the seed says; return all that was read."""
    rng = random.Random(seed)
    clock = HandClock()
    seen: list[object] = []
    buffer = await open_buffer(folder, blocks=24, clock=clock)
    for _ in range(STEPS):
        link = buffer.reader("aarhus")
        series = buffer.series_id(KEY, unit="ug/m3", privacy="P0")
        clock.boot_ns += rng.randrange(10**9)
        match rng.randrange(6):
            case 0:
                for _ in range(rng.randrange(2 * READINGS_PER_BLOCK)):
                    buffer.append(series, clock.boot_ns, rng.gauss(0, 1e6), rng.randrange(1 << 16))
            case 1:
                count = rng.randrange(3 * READINGS_PER_BLOCK)
                buffer._ring.append_many(
                    [series] * count,
                    array("q", (clock.boot_ns + i for i in range(count))),
                    [rng.choice(NAN_BITS) if not i % 7 else rng.random() for i in range(count)],
                    array("H", (rng.randrange(1 << 16) for _ in range(count))),
                )
            case 2:
                await buffer.flush(cursors=rng.random() < 0.5)
            case 3:
                await buffer._flusher._save_open()
            case 4:
                while (item := await link.read(rng.randrange(1, 500))) is not None:
                    seen.append(repr(item))
                    count = item.last - item.first + 1
                    if isinstance(item, Batch):
                        link.settle(item.first, item.last, acknowledged=count)
                    else:
                        link.settle(item.first, item.last, dropped={item.reason: count})
            case _:
                await buffer.close()
                buffer = await open_buffer(folder, blocks=24, clock=clock)
    await buffer.close()
    return seen


@pytest.mark.parametrize("seed", range(6))
def test_the_same_run_leaves_the_same_bytes(tmp_path: Path, twin: ModuleType, seed: int) -> None:
    found = []
    for mode in (INSTALLED, twin):
        folder = tmp_path / ("compiled" if mode.COMPILED else "interpreted")
        with using(mode):
            seen = asyncio.run(session(folder, seed))
        files = {
            name: path.read_bytes()
            for name in FILES
            for path in (folder / "data" / name, folder / "run" / name)
            if path.exists()
        }
        found.append((seen, files))
    assert set(found[0][1]) >= {"ring", "series.json", "boots.json"}
    assert len(found[0][0]) > 0
    assert found[0] == found[1]


def both(twin: ModuleType) -> list[ModuleType]:
    return [INSTALLED, twin]


def closed_block(ring: ModuleType, rng: random.Random, *, batch: bool) -> bytes:
    """Return the bytes of a block that was filled one by one or at once."""
    made = ring.Ring(epoch=1, boot=1, next_sequence=7, max_unflushed_blocks=4)
    columns = (
        [rng.randrange(1 << 32) for _ in range(100)],
        [rng.randrange(-(1 << 63), 1 << 63) for _ in range(100)],
        [rng.uniform(-1e308, 1e308) for _ in range(100)],
        [rng.randrange(1 << 16) for _ in range(100)],
    )
    if batch:
        assert made.append_many(*columns) == 7
    else:
        for reading in zip(*columns, strict=True):
            made.append(*reading)
    made.close_block()
    return bytes(made.take(1)[0].data)


@pytest.mark.parametrize("seed", range(3))
def test_one_by_one_and_at_once_are_the_same_in_both_modes(twin: ModuleType, seed: int) -> None:
    blocks = {
        closed_block(ring, random.Random(seed), batch=batch)
        for ring in both(twin)
        for batch in (False, True)
    }
    assert len(blocks) == 1


@pytest.mark.parametrize(
    "reading",
    [
        (-1, 1, 1.0, 0),
        (1 << 32, 1, 1.0, 0),
        (1, 1 << 63, 1.0, 0),
        (1, 1, 1.0, 1 << 16),
        (1, 1, 1.0, -1),
        (1, 1, "one", 0),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_refused_whole(twin: ModuleType, reading: tuple[object, ...]) -> None:
    for ring in both(twin):
        made = ring.Ring(epoch=1, boot=1, next_sequence=0, max_unflushed_blocks=4)
        with pytest.raises((ValueError, TypeError, OverflowError)):
            made.append(*reading)
        with pytest.raises((ValueError, TypeError, OverflowError)):
            made.append_many([1, reading[0]], [1, reading[1]], [1.0, reading[2]], [0, reading[3]])
        assert made.next_sequence == 0
        assert not any(made.open_block().data)
        made.append(1, 2, 3.0, 4)
        assert made.read(0, 1).values == [3.0]


def test_columns_of_different_length_are_refused(twin: ModuleType) -> None:
    for ring in both(twin):
        made = ring.Ring(epoch=1, boot=1, next_sequence=0, max_unflushed_blocks=4)
        for short in range(4):
            columns = [[1] * (2 if place == short else 3) for place in range(4)]
            with pytest.raises(ValueError, match="same length"):
                made.append_many(*columns)
        assert made.append_many([], [], [], []) == 0
        assert made.next_sequence == 0


def test_a_batch_fills_blocks_and_says_so_once(twin: ModuleType) -> None:
    for ring in both(twin):
        made = ring.Ring(epoch=1, boot=1, next_sequence=0, max_unflushed_blocks=2)
        calls: list[int] = []
        made.on_full = lambda made=made, calls=calls: calls.append(made.next_sequence)
        count = 4 * READINGS_PER_BLOCK + 5
        made.append_many([3] * count, range(count), [0.5] * count, [0] * count)
        assert calls == [count]
        assert made.lost_readings == 2 * READINGS_PER_BLOCK, "memory stays bounded"
        assert made.open_block().count == 5


def test_the_open_block_never_shows_what_the_last_one_held(twin: ModuleType) -> None:
    for ring in both(twin):
        made = ring.Ring(epoch=1, boot=1, next_sequence=0, max_unflushed_blocks=4)
        made.append_many([9] * 40, [9] * 40, [9.0] * 40, [9] * 40)
        made.close_block()
        closed = made.take(1)[0]
        before = bytes(closed.data)
        made.append(1, 2, 3.0, 4)
        data = made.open_block().data
        assert any(data[192 : 192 + 24])
        assert not any(data[192 + 24 :])
        assert bytes(closed.data) == before, "a closed block never changes"


def test_a_compiled_ring_checks_its_bounds(twin: ModuleType) -> None:
    """More than a block at once cannot be written over its end, whatever is asked."""
    for ring in both(twin):
        made = ring.Ring(epoch=1, boot=1, next_sequence=0, max_unflushed_blocks=4)
        made.next_sequence = 10_000  # as if 10,000 readings stood in the open block
        with pytest.raises(IndexError):
            made.append(1, 1, 1.0, 0)


def test_ci_really_has_the_leg_that_it_asked_for() -> None:
    """.ci/run says which mode each of its legs has installed."""
    asked = os.environ.get("CITYLAB_GATEWAY_LEG")
    if asked is None:
        pytest.skip("only a leg of CI asks for a mode")
    assert asked == ("compiled" if INSTALLED.COMPILED else "interpreted")
    if INSTALLED.COMPILED:
        built = Path(str(INSTALLED.__file__)).stat().st_mtime_ns
        for name in ("ring.py", "ring.pxd"):
            source = Path(str(INSTALLED.__file__)).with_name(name)
            assert source.stat().st_mtime_ns <= built, "compiled from an older source"
