"""A disk that takes nothing more: the daemon says so, goes on, and heals by itself.

Two ways to such a disk. A limit on the size of the files of the process (RLIMIT_FSIZE) needs no
rights and makes every write behind it fail with EFBIG, above all those to the ring. A small file
system that is really full needs the right to mount one; that test exists where it can run.
"""

import contextlib
import errno
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Mosquitto, free_port
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor
from tests.end_to_end.held_line import HeldLine, Traffic, dust_frame, number_of
from tests.end_to_end.subscriber import Subscriber, first_arrivals
from tests.proxy import GateProxy

pytestmark = pytest.mark.mosquitto

BLOCK_BYTES = 4096
LIMIT_BYTES = 8 * BLOCK_BYTES
"""The log of the daemon is shorter; the ring is beyond it soon."""
HEAL_TIMEOUT_S = 40.0
"""The next attempt comes within a back-off that has grown a few times by then."""
MORE_READINGS = 1000
VOLATILE_EPOCH = 1 << 31
DISK_BYTES = 24 << 20
MOUNT = ("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none")


def may_mount() -> bool:
    """Tell whether this process may mount file systems; in a container root may not, often."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory(prefix="gw") as folder:
        mounted = subprocess.run([*MOUNT, folder], capture_output=True, check=False).returncode == 0
        if mounted:
            subprocess.run(["umount", folder], check=True)
        return mounted


def limit_files(gateway: GatewayProcess, size_bytes: int) -> None:
    """Let writes beyond this fail from now on; what is on the disk stays."""
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


async def ring_is_beyond_the_limit(gateway: GatewayProcess) -> None:
    async def beyond() -> bool:
        page = await gateway.metrics()
        blocks = page.value("buffer_size_bytes") / BLOCK_BYTES
        return page.value("buffer_used_ratio") * blocks > LIMIT_BYTES / BLOCK_BYTES

    await gateway.eventually(beyond, lambda: "the ring does not grow")


async def until_degraded(gateway: GatewayProcess) -> dict[str, Any]:
    """Return the status of the buffer once everybody who looks can see that the disk fails."""
    await gateway.until_metric("buffer_degraded", 1)
    page = await gateway.metrics()
    assert page.value("buffer_flush_errors_total") >= 3
    assert page.value("health_state", state="degraded") == 1
    status = await gateway.status()
    assert status["health"]["state"] == "degraded"
    assert any("memory only" in reason for reason in status["health"]["reasons"])
    assert "degraded" in gateway.log
    buffer: dict[str, Any] = status["buffer"]
    assert buffer["degraded"]
    return buffer


async def until_healed(gateway: GatewayProcess) -> None:
    async def healed() -> bool:
        page = await gateway.metrics()
        return page.value("buffer_degraded") == 0 and page.value("health_state", state="ok") == 1

    await gateway.eventually(healed, lambda: "it does not heal", HEAL_TIMEOUT_S)
    assert "can be written again" in gateway.log


async def until_flushed(gateway: GatewayProcess) -> None:
    async def flushed() -> bool:
        return (await gateway.metrics()).value("buffer_unflushed_readings") == 0

    await gateway.eventually(flushed, lambda: "readings wait for a flush for ever")


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_writes_that_fail_lose_nothing(tmp_path: Path) -> None:
    late_port = free_port()
    async with Mosquitto(tmp_path / "one") as one, Mosquitto(tmp_path / "two") as two:
        sections = (
            dust_sensor("air", tmp_path)
            + broker("aarhus", one.port, 'format = "json"')
            + broker("vejle", late_port, 'format = "json"')
        )
        gateway = GatewayProcess(tmp_path, sections, flush_interval="100 ms")
        with HeldLine(tmp_path / "tty-air") as line:
            traffic = Traffic(line)
            async with Subscriber(tmp_path, one.port) as city, gateway:
                await gateway.until("aarhus", state="online")
                await gateway.until_metric("port_open", 1)
                async with traffic.flowing():
                    await ring_is_beyond_the_limit(gateway)
                    limit_files(gateway, LIMIT_BYTES)
                    buffer = await until_degraded(gateway)
                    assert os.strerror(errno.EFBIG) in buffer["reason"]

                    before = await gateway.link("aarhus")  # and yet the data flows
                    await gateway.until_metric(
                        "link_acknowledged_readings_total",
                        before.acknowledged + MORE_READINGS,
                        link="aarhus",
                    )
                    page = await gateway.metrics()
                    assert page.value("buffer_degraded") == 1
                    assert page.value("buffer_unflushed_readings") >= MORE_READINGS
                    limit_files(gateway, resource.RLIM_INFINITY)
                    await until_healed(gateway)
                    await traffic.pause()
                total = 2 * traffic.next_number
                end = await gateway.until("aarhus", acknowledged=total, pending=0)
                assert not any(end.dropped.values())
                await gateway.until("vejle", pending=total)
                await until_flushed(gateway)
                await gateway.kill()
                shutil.rmtree(gateway.runtime)  # only the disk counts now
                await city.subscribed()
            async with (
                Subscriber(tmp_path, two.port) as late_city,
                GateProxy(two.port, port=late_port),
                gateway,
            ):
                late = await gateway.until("vejle", pending=0)
                assert late.acknowledged == late.accepted == total
                assert (await gateway.metrics()).value("buffer_damaged_blocks_total") == 0
                await late_city.subscribed()
    for arrived in (first_arrivals(city.readings()), first_arrivals(late_city.readings())):
        assert sorted(sequence for _, sequence in arrived) == list(range(total))
        values = [arrived[name]["value"] for name in sorted(arrived)]
        numbers = [number_of(*pair) for pair in zip(values[::2], values[1::2], strict=True)]
        assert numbers == list(range(traffic.next_number))


@pytest.mark.timeout(120)
async def test_a_directory_that_cannot_be_used_is_no_reason_to_stop(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("somebody put a file here", encoding="utf-8")
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        sections = dust_sensor("air", tmp_path) + broker(
            "aarhus", mosquitto.port, 'format = "json"'
        )
        gateway = GatewayProcess(tmp_path, sections)
        with HeldLine(tmp_path / "tty-air") as line:
            async with Subscriber(tmp_path, mosquitto.port) as city, gateway:
                page = await gateway.metrics()
                assert page.value("buffer_degraded") == 1
                assert page.value("health_state", state="degraded") == 1
                assert "only in memory" in gateway.log
                await gateway.until_metric("port_open", 1)
                await line.write(dust_frame(11, 12))
                await gateway.until("aarhus", acknowledged=2, pending=0)
                await city.until(lambda city: len(city.readings()) == 2)
                (epoch,) = {reading["epoch"] for reading in city.readings()}
                assert epoch >= VOLATILE_EPOCH, "never the name of a reading of a ring on disk"
            state.unlink()  # repaired: the next start has a disk again
            async with gateway:
                assert (await gateway.metrics()).value("buffer_degraded") == 0
    assert state.joinpath("ring").exists()


@contextlib.contextmanager
def small_file_system(path: Path) -> Iterator[Path]:
    path.mkdir()
    subprocess.run([*MOUNT, str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill_up(path: Path) -> None:
    """Write until the file system takes no byte more."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, BLOCK_BYTES, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    usage = os.statvfs(path)
    assert usage.f_bavail == 0


if may_mount():

    @pytest.mark.timeout(90)
    async def test_a_really_full_file_system_heals(tmp_path: Path) -> None:
        with small_file_system(tmp_path / "disk") as disk, HeldLine(tmp_path / "tty-air") as line:
            async with Mosquitto(tmp_path / "broker") as mosquitto:
                sections = dust_sensor("air", tmp_path) + broker(
                    "aarhus", mosquitto.port, 'format = "json"'
                )
                gateway = GatewayProcess(tmp_path, sections, size="16 MiB", state=disk / "state")
                async with Subscriber(tmp_path, mosquitto.port) as city:
                    async with gateway:
                        await gateway.until("aarhus", state="online")
                        await gateway.until_metric("port_open", 1)
                        fill_up(disk / "ballast")  # before the ring has its full size
                        await gateway.logged("cannot grow to its full size")
                        traffic = Traffic(line)
                        async with traffic.flowing():
                            buffer = await until_degraded(gateway)
                            assert os.strerror(errno.ENOSPC) in buffer["reason"]
                            before = await gateway.link("aarhus")
                            await gateway.until_metric(
                                "link_acknowledged_readings_total",
                                before.acknowledged + MORE_READINGS,
                                link="aarhus",
                            )
                            (disk / "ballast").unlink()
                            await until_healed(gateway)
                            await traffic.pause()
                        total = 2 * traffic.next_number
                        await gateway.until("aarhus", acknowledged=total, pending=0)
                        await until_flushed(gateway)
                        await city.subscribed()
                    async with gateway:  # names and readings are on the disk
                        page = await gateway.metrics()
                        assert page.value("buffer_damaged_blocks_total") == 0
                        assert page.value("buffer_held_readings") == total
                        assert (await gateway.link("aarhus")).accepted == 0
        arrived = first_arrivals(city.readings())
        assert [sequence for _, sequence in arrived] == list(range(total))
