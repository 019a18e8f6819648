"""PRIV-01: a thousand known devices pass, a window ends, and they are looked for everywhere.

The real daemon with the real bleak on a private bus; only the radio and the length of the window
are not real. What BlueZ itself keeps, and writes, is not ours: docs/privacy-footfall.md says what
to do about that.
"""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.discretion import ALLOCATOR, OVERWRITE, TUNABLES
from tests.brokers import Mosquitto
from tests.end_to_end.gateway_process import GatewayProcess, broker, run_command
from tests.end_to_end.subscriber import Subscriber
from tests.privacy import quick
from tests.privacy.memory import PREFIX, digests, found_in, memory_of
from tests.transports.fake_bluez import DEVICE, FakeBlueZ, _new_device

STRANGERS = 1000
NEXT = "C0:FF:EE:00:00:09"
"""Who passes when the window of the others is over."""
READINGS = 6
"""Of one window: two kinds of addresses, and of each the sum and two zones."""
APPLE = 0x004C
SECTIONS = """
    [log]
    level = "debug"
    [[sensor]]
    name = "square"
    driver = "footfall-quick"
    address = "*"
    purpose = "How busy the square is."
    controller = "Aarhus Kommune, dpo@example.org"
    legal_basis = "GDPR art. 6(1)(e)"
    sign = "On the pole"
    options = { near_dbm = -60 }
"""
TAG = """
    [[sensor]]
    name = "air-square"
    driver = "ruuvi"
    address = "C4:7F:51:00:00:01"
"""


def strangers() -> list[str]:
    rng = random.Random(1)
    octets = ((*PREFIX, *rng.randbytes(3)) for _ in range(STRANGERS))
    return [":".join(f"{octet:02X}" for octet in each) for each in octets]


def environment(folder: Path) -> dict[str, str]:
    """Return what lets the daemon find the driver with the short window."""
    path = [quick.install(folder), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": ":".join(filter(None, path))}


async def pass_by(bluez: FakeBlueZ, address: str, number: int) -> None:
    """Let one device advertise, with its address in its name or its payload, too."""
    raw = bytes.fromhex(address.replace(":", ""))
    assert await bluez.advert(
        address,
        rssi=-50 if number % 2 else -70,
        name=f"Band {address}" if number % 3 == 0 else "",
        manufacturer_data={APPLE: b"\x10\x05" + raw if number % 3 == 1 else b"\x12\x02\x00\x01"},
    )


async def counted(gateway: GatewayProcess) -> dict[str, Any]:
    sensor = (await gateway.status())["sensors"]["square"]
    assert isinstance(sensor, dict)
    return sensor


def files_below(*folders: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() + str(path).encode()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.dbus
@pytest.mark.mosquitto
@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_priv_01_nothing_of_a_thousand_devices_is_left_when_their_window_is_over(
    tmp_path: Path, bluez: FakeBlueZ
) -> None:
    passing = strangers()
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        selected = "select = { suppressed_counts = true }"
        sections = SECTIONS + broker("aarhus", mosquitto.port, f'format = "json"\n{selected}')
        gateway = GatewayProcess(tmp_path, sections, size="1 MiB")
        async with gateway.by_hand(), Subscriber(tmp_path, mosquitto.port) as city:
            path = f"/org/bluez/hci0/dev_{passing[0].replace(':', '_')}"
            known = _new_device(passing[0], "Band", "/org/bluez/hci0")
            bluez._objects[path] = {DEVICE: known}  # somebody else has scanned before us
            await gateway.start(**environment(tmp_path / "installed"))
            await gateway.until_metric("scanner_open", 1)
            await bluez.until_scanned()

            async def a_window_begins() -> bool:  # so that theirs is a whole one
                return int((await counted(gateway))["faults"]) > 0

            await gateway.eventually(a_window_begins, lambda: "no window has ended")
            for _ in range(2):
                for number, address in enumerate(passing):
                    await pass_by(bluez, address, number)
            for address in passing:  # as BlueZ does half a minute after it heard one last
                await bluez.forget(address)
            before = (await counted(gateway))["readings"]

            async def windows_are_over() -> bool:
                await bluez.advert(NEXT, manufacturer_data={APPLE: b"\x10\x05"})
                readings: int = (await counted(gateway))["readings"]
                return readings >= int(before) + 2 * READINGS

            await gateway.eventually(windows_are_over, lambda: "no window has ended")
            memory = dict(memory_of(gateway.pid))
            await gateway.until("aarhus", pending=0)
            places = {
                "/metrics": (await gateway.get("/metrics")),
                "/status.json": await gateway.get("/status.json"),
                "/": await gateway.get("/"),
                **files_below(gateway.state, gateway.runtime),
            }
            assert await gateway.stop() == 0, gateway.log
        places |= files_below(gateway.state, gateway.runtime)
        places["log"] = gateway.log.encode()
        readings = [each for each in city.readings() if each["sensor"] == "square"]
        for number, message in enumerate(city.messages()):
            content = message.topic.encode() + b" " + message.payload + message.properties.encode()
            places[f"message {number}"] = content
    assert max(each["value"] for each in readings if each["quantity"] == "devices.count") > 100
    assert {each["quantity"] for each in readings} == {
        "devices.count",
        "devices.count_near",
        "devices.count_far",
    }
    assert all(each["value"] == 0 or each["value"] >= 5 for each in readings)
    assert found_in(places, [*passing, NEXT]) == []
    assert sum(map(len, memory.values())) > 1 << 24, "that was the whole of it"
    assert found_in(memory, passing) == []


@pytest.mark.dbus
@pytest.mark.timeout(30)
async def test_counting_begins_with_a_restart_and_in_a_process_of_its_own_kind(
    tmp_path: Path, bluez: FakeBlueZ
) -> None:
    gateway = GatewayProcess(tmp_path, TAG, size="1 MiB")
    async with gateway.by_hand():
        await gateway.start(**environment(tmp_path / "installed"))
        await gateway.until_metric("scanner_open", 1)
        await bluez.until_scanned()
        assert not overwrites(gateway.pid)
        gateway.write_config(TAG + SECTIONS)
        gateway.hang_up()
        await gateway.logged("begins with a restart of the daemon")
        assert "square" not in (await gateway.status())["sensors"]
        assert await gateway.stop() == 0
        await gateway.start(**environment(tmp_path / "again"))
        pid = gateway.pid
        assert overwrites(pid), "the same process, begun anew"
        assert core_limits(pid) == ["0", "0"]
        assert "not overwritten" not in gateway.log
        assert "look into memory" not in gateway.log
        await gateway.until_metric("scanner_open", 1)
        await bluez.until_scanned()
        gateway.write_config(TAG)
        gateway.hang_up()
        await gateway.logged("sensors removed: square")
        assert await gateway.stop() == 0, gateway.log


def core_limits(pid: int) -> list[str]:
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    return core.split()[-3:-1]


def overwrites(pid: int) -> bool:
    return b"glibc.malloc.perturb=" in Path(f"/proc/{pid}/environ").read_bytes()


PROBE = """
import sys
from gateway.discretion import forgets, be_discreet
import ctypes
was = forgets()
assert be_discreet()
assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0, "PR_GET_DUMPABLE"
sys.exit(0 if was else 7)
"""


@pytest.mark.parametrize(("asked", "code"), [(False, 7), (True, 0)])
def test_it_is_found_out_whether_freed_memory_is_overwritten(asked: bool, code: int) -> None:  # noqa: FBT001
    more = {ALLOCATOR[0]: ALLOCATOR[1], TUNABLES: OVERWRITE} if asked else {}
    done = subprocess.run([sys.executable, "-c", PROBE], env={**os.environ, **more}, check=False)
    assert done.returncode == code


async def test_priv_14_the_log_has_no_word_of_what_was_heard(tmp_path: Path) -> None:
    """`check` prints what would run; nothing in it can be anybody's device."""
    gateway = GatewayProcess(tmp_path, SECTIONS)
    answer = await run_command(
        "check", "--config", str(gateway.config), **environment(tmp_path / "installed")
    )
    assert answer.code == 0, answer.errors
    assert "footfall-quick at *, privacy P2" in answer.output


def test_the_search_finds_what_it_looks_for() -> None:
    address = "C2:5D:E7:0A:0B:0C"
    raw = bytes.fromhex("c25de70a0b0c")
    for trace in (
        raw,
        raw[::-1],
        b"/org/bluez/hci0/dev_C2_5D_E7_0A_0B_0C",
        b"c2:5d:e7:0a:0b:0c",
        b"C25DE70A0B0C",
        b"0c0b0ae75dc2",
        b"0C-0B-0A-E7-5D-C2",
        b"%d" % 0xC25DE70A0B0C,
        *digests(address),
        digests(address)[2].hex().encode(),
    ):
        assert found_in({"somewhere": b"\x00x" + trace + b" y"}, [address]), trace
    assert not found_in({"somewhere": b"C2:5D:E7:0A:0B:0D"}, [address])
