"""What is around the daemon in a box: a dust sensor at a port, and BlueZ with what it hears.

Run inside, as root: ``python -m tests.systemd.world``. It tells systemd when all is there.
"""

import asyncio
import itertools
import os
import shutil
import socket
from pathlib import Path

from drivers.airthings.simulated import SimulatedAirthings
from drivers.airthings.wave import WAVES
from drivers.ruuvi.simulated import SimulatedRuuvi
from drivers.sds011.simulated import SimulatedSds011
from drivers.victron.simulated import SimulatedVictron
from gateway.transports import PtySimulator
from tests.transports.fake_gatt import FakeGatt, Peripheral

__all__ = ["DUST", "SOLAR", "SOLAR_KEY", "STRANGER", "TAG", "WAVE"]

DUST = Path("/run/sensors/dust")
TAG, WAVE, SOLAR = (f"C4:7F:51:00:00:{number:02X}" for number in (1, 2, 3))
SOLAR_KEY = SimulatedVictron.OPTIONS["key"]
STRANGER = "5A:9B:34:56:78:{:02X}"
STRANGERS = 50
MODEL = "00002a24-0000-1000-8000-00805f9b34fb"
PAUSE_S = 0.1


async def _peripheral(device: SimulatedAirthings) -> Peripheral:
    model = (await device.read(MODEL)).decode().strip("\0 ")
    uuids = (MODEL, *WAVES[model].characteristics)
    return Peripheral({uuid: await device.read(uuid) for uuid in uuids})


async def _speak(bluez: FakeGatt, wave: SimulatedAirthings) -> None:
    tag, solar = SimulatedRuuvi(1, TAG), SimulatedVictron(1, SOLAR)
    for number in itertools.count():
        await bluez.advert(TAG, manufacturer_data=tag.emit().manufacturer_data)
        await bluez.advert(SOLAR, manufacturer_data=solar.emit().manufacturer_data)
        await bluez.advert(WAVE, manufacturer_data=wave.emit().manufacturer_data)
        stranger = STRANGER.format(number % STRANGERS)
        await bluez.advert(stranger, manufacturer_data={0x004C: b"\x12\x19" + bytes(9)})
        await asyncio.sleep(PAUSE_S)


def _hand_over() -> None:
    """Do what the udev rule does for an adapter."""
    shutil.chown(DUST, group="citylab-gateway")
    DUST.chmod(0o660)


async def _run() -> None:
    dust = SimulatedSds011(1)
    dust.interval_s = PAUSE_S
    port = PtySimulator(dust, DUST)
    bluez = FakeGatt()
    wave = SimulatedAirthings(1, WAVE)
    bluez.add_peripheral(WAVE, await _peripheral(wave))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(port.run())
        await port.ready.wait()
        await asyncio.to_thread(_hand_over)
        await bluez.start()
        tasks.create_task(_speak(bluez, wave))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
            told.send(b"READY=1")


if __name__ == "__main__":
    DUST.parent.mkdir(exist_ok=True)
    asyncio.run(_run())
