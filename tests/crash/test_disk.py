"""A disk that is really full and one that really answers EIO: degraded, nothing lost, mended.

A loop-mounted ext4 where that is allowed; always the limit on a file's size: it needs no rights.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import resource
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.buffer import Buffer
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT, READINGS_PER_BLOCK
from tests.buffer.support import (
    abandon,
    append,
    balanced,
    drain,
    open_buffer,
    sequences,
    settle,
)

MIB = 1 << 20
FIRST_MIB = 2
"""The length of the ring file when it is new."""
FIRST_BLOCKS = FIRST_MIB * MIB // BLOCK_SIZE - FIRST_DATA_SLOT
BLOCKS = 4 * MIB // BLOCK_SIZE
TRIES = 3
LINK = "aarhus"
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
LOOP_SET_STATUS64, LOOP_GET_STATUS64 = 0x4C04, 0x4C05
LOOP_STATUS_BYTES, SIZE_LIMIT_AT = 232, 32
"""Size of ``struct loop_info64`` of linux/loop.h, and where ``lo_sizelimit`` stands in it."""
RETRIES = 50
SHORT_BYTES = 64 << 10


class Mounts:
    """Makes small file systems and takes them down again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounted: list[Path] = []

    def ext4(self, name: str, image: Path, size_mib: int, *options: str) -> Path:
        """Make a file system in a sparse image and mount it."""
        with image.open("wb") as file:
            file.truncate(size_mib * MIB)
        make = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0", *options]
        _run(*make, str(image))
        return self._mount(name, "-o", "loop,noatime", str(image))

    def _mount(self, name: str, *arguments: str) -> Path:
        path = self._folder / name
        path.mkdir()
        _run("mount", *arguments, str(path))
        self._mounted.append(path)
        return path

    def unmount_all(self) -> None:
        for path in reversed(self._mounted):
            _run("umount", "--lazy", str(path))  # a failed test may hold a file


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    """Skip, and say why, where nothing can be mounted; the size limit below is tested anyway."""
    made = Mounts(tmp_path)
    try:
        made.ext4("probe", tmp_path / "probe.img", 4)
    except (OSError, subprocess.CalledProcessError) as error:
        made.unmount_all()
        pytest.skip(f"cannot mount a small ext4 here ({error}); the size limit stands for it")
    yield made
    made.unmount_all()


async def use_a_little(folder: Path) -> None:
    """Make the side files while there is room: what is full later is the ring."""
    buffer = await open_buffer(folder, blocks=BLOCKS)
    buffer.reader(LINK)
    append(buffer, 10)
    await buffer.close()


async def use_until_refused(folder: Path) -> tuple[Buffer, int, int]:
    """Fill the ring file and go on: returns the buffer, the durable end, and the errno."""
    buffer = await open_buffer(folder, blocks=BLOCKS)
    buffer.reader(LINK)
    append(buffer, 1000)
    await buffer.flush()
    durable, number = buffer.next_sequence, 0
    while buffer.next_sequence < (FIRST_BLOCKS + 100) * READINGS_PER_BLOCK and not number:
        append(buffer, 50 * READINGS_PER_BLOCK)
        try:
            await buffer.flush()
            durable = buffer.next_sequence
        except OSError as error:
            number = error.errno or -1
    return buffer, durable, number


async def is_degraded_and_whole(buffer: Buffer) -> None:
    """More failures do not change what a link gets."""
    for _ in range(TRIES):
        append(buffer, 10)
        with pytest.raises(OSError):
            await buffer.flush()
    assert buffer.stats.degraded
    assert buffer.stats.degraded_reason
    link = buffer.readers[LINK]
    assert sequences(await drain(link, 5000)) == list(range(buffer.next_sequence))
    assert balanced(link)
    link.rewind()


async def heals_and_keeps_all(buffer: Buffer, folder: Path) -> None:
    """The disk is back: without a restart all is durable, and is there after one."""
    append(buffer, 7)
    await buffer.flush()
    assert not buffer.stats.degraded
    end = buffer.next_sequence
    await abandon(buffer)
    again = await open_buffer(folder, blocks=BLOCKS)
    assert again.next_sequence == end
    assert not again.stats.damaged_blocks
    link = again.readers[LINK]
    items = await drain(link, 5000)
    assert sequences(items) == list(range(end))
    settle(link, items)
    assert balanced(link)
    assert not link.pending
    await again.close()


def limit_loop_device(image: Path, size: int) -> None:
    """Let the device of an image end at ``size`` bytes, 0: at the end of the image."""
    listing = subprocess.run(
        ["losetup", "--associated", str(image), "--noheadings", "--output", "NAME"],
        check=True,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    fd = os.open(listing.stdout.split()[0], os.O_RDWR)
    try:
        status = bytearray(LOOP_STATUS_BYTES)
        fcntl.ioctl(fd, LOOP_GET_STATUS64, status)
        struct.pack_into("<Q", status, SIZE_LIMIT_AT, size)
        for _ in range(RETRIES):
            try:
                fcntl.ioctl(fd, LOOP_SET_STATUS64, bytes(status))
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise
                os.fsync(fd)
                continue
            return
    finally:
        os.close(fd)
    raise TimeoutError("the loop device stays busy")


def fill_up(folder: Path) -> Path:
    """Leave no byte on a file system."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MIB, BLOCK_SIZE, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return ballast


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_full_disk(mounts: Mounts, tmp_path: Path) -> None:
    disk = mounts.ext4("full", tmp_path / "full.img", 16)

    async def scenario() -> None:
        await use_a_little(disk)
        ballast = fill_up(disk)
        buffer, durable, number = await use_until_refused(disk)
        assert number == errno.ENOSPC
        assert durable >= (FIRST_BLOCKS - 100) * READINGS_PER_BLOCK
        await is_degraded_and_whole(buffer)
        ballast.unlink()
        await heals_and_keeps_all(buffer, disk)

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_disk_that_is_full_from_the_start(mounts: Mounts, tmp_path: Path) -> None:
    disk = mounts.ext4("full", tmp_path / "full.img", 16)

    async def scenario() -> None:
        ballast = fill_up(disk)
        buffer = await open_buffer(disk, blocks=BLOCKS)
        assert buffer.stats.degraded
        buffer.reader(LINK)
        append(buffer, 500)
        assert sequences(await drain(buffer.readers[LINK], 5000)) == list(range(500))
        await buffer.close()
        ballast.unlink()
        again = await open_buffer(disk, blocks=BLOCKS)
        assert not again.stats.degraded
        append(again, 5)
        await again.flush()
        await again.close()

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_disk_that_answers_with_errors(mounts: Mounts, tmp_path: Path) -> None:
    """Its loop device is made shorter under it, so that the kernel answers EIO; then long again."""
    image = tmp_path / "disk.img"
    disk = mounts.ext4("disk", image, 32, "-O", "^has_journal")

    async def scenario() -> None:
        await use_a_little(disk)
        _run("sync", "-f", str(disk))
        buffer = await open_buffer(disk, blocks=BLOCKS)
        durable = append(buffer, 3 * READINGS_PER_BLOCK)[-1]
        await buffer.flush()
        limit_loop_device(image, SHORT_BYTES)
        append(buffer, 50)
        with pytest.raises(OSError) as caught:
            await buffer.flush()
        assert caught.value.errno == errno.EIO
        assert buffer.stats.unflushed_readings == 50
        await is_degraded_and_whole(buffer)
        limit_loop_device(image, 0)
        assert buffer.next_sequence > durable
        await heals_and_keeps_all(buffer, disk)

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """EFBIG at a real write, wherever the tests run."""

    async def scenario() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (FIRST_MIB * MIB + MIB // 2, hard))
        try:
            buffer, durable, number = await use_until_refused(tmp_path)
            assert number == errno.EFBIG
            assert durable >= (FIRST_BLOCKS - 100) * READINGS_PER_BLOCK
            await is_degraded_and_whole(buffer)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await heals_and_keeps_all(buffer, tmp_path)

    asyncio.run(scenario())
