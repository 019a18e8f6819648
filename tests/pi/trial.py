"""The life of one emulated Pi: installed, unplugged, cut off again and again, and settled."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.brokers import free_port
from tests.pi.arrived import Arrivals, arrivals
from tests.pi.boot import Boot, Place, powered, run_boot, until, until_up
from tests.pi.box import Share, install
from tests.pi.city import City
from tests.pi.machine import Wiring
from tests.pi.ntp import TimeServer
from tests.pi.plan import Cut, plan
from tests.pi.rootfs import System
from tests.pi.sensor import DustSensor, Sent
from tests.pi.tools import Failed, run, say

__all__ = ["Story", "live"]

ORDERLY = Cut("running", 0.0, 0.0, "none", 0.0, time_server=True)
DRAIN_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Story:
    """All that happened, to be judged."""

    boots: Sequence[Boot]
    """The last one ended in an orderly way."""
    sent: Mapping[int, Sent]
    arrived: Arrivals


async def live(system: System, package: Path, folder: Path, *, seed: int, cuts: int) -> Story:
    """Go through it all; ``folder`` gets the logs and the disk."""
    disk = folder / "disk.img"
    run("cp", "--sparse=always", "--reflink=auto", system.image, disk)
    async with contextlib.AsyncExitStack() as stack:
        time_server = await stack.enter_async_context(TimeServer())
        city = await stack.enter_async_context(City(folder / "city"))
        sensor = await stack.enter_async_context(DustSensor(seed))
        share = Share.make(folder / "share", package, city.port)
        wiring = Wiring(system, disk, sensor.terminal, free_port(), share.folder)
        place = Place(folder, wiring, share.token, sensor, city, time_server)
        await _install(place)
        boots = []
        for number, cut in enumerate(plan(seed, cuts), 1):
            boot = Boot(number, cut)
            boots.append(boot)
            say(f"boot {number:2}: cut {_words(cut)}")
            await run_boot(place, boot, replug=number == 1)
            say(f"         {_result(boot)}")
        boots.append(Boot(len(boots) + 1, ORDERLY))
        say(f"boot {len(boots):2}: to the end")
        await _settle(place, boots[-1])
        return Story(boots, sensor.sent, arrivals(city.listener))


def _words(cut: Cut) -> str:
    after = {
        "booting": "after the kernel began to speak",
        "running": "after the first reading",
        "flushed": "after a flush",
        "broker away": "after the broker was killed",
    }[cut.moment]
    nobody = "" if cut.time_server else ", no time server"
    return f"{cut.after_s:.2f} s {after}; hardware clock: {cut.clock}{nobody}"


def _result(boot: Boot) -> str:
    """Return in one line how it went."""
    if boot.problem:
        return f"PROBLEM: {boot.problem}"
    up = f"ready after {boot.unit.ready_s:.1f} s, " if boot.unit is not None else "not up yet, "
    disk = boot.disk
    held = "" if disk is None else f"{len(disk.readings)} readings on the disk; {disk.verdict}"
    return f"{up}{boot.ended_s - boot.kernel_s:.1f} s of power, {held}"


async def _install(place: Place) -> None:
    """Install the package in the Pi, and switch it off in an orderly way."""
    say("boot  0: installing the package")
    async with powered(place, Boot(0, ORDERLY)) as (machine, watcher):
        said = await install(machine)
        (place.folder / "install.log").write_text(said, encoding="utf-8")
        await until(lambda: bool(watcher.seen), DRAIN_TIMEOUT_S, "nothing was served")
        await machine.switch_off()


async def _settle(place: Place, boot: Boot) -> None:
    """Boot once more, and let everything arrive that is owed."""
    if place.city.is_away:
        await place.city.come_back()
    try:
        async with powered(place, boot) as (machine, watcher):
            await until_up(boot, machine, watcher)
            await until(
                lambda: watcher.seen[-1].synced, DRAIN_TIMEOUT_S, "the clock did not become right"
            )
            # No more reports: what is there has to leave, and then nothing may be pending.
            place.sensor.pause()
            await until(
                lambda: not watcher.seen[-1].account.pending,
                DRAIN_TIMEOUT_S,
                "something stays pending",
            )
            await place.city.listener.subscribed()
            await machine.switch_off()
    except (OSError, Failed) as error:  # TimeoutError is an OSError
        boot.problem = str(error)
