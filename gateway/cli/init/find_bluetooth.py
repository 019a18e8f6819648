"""Finds Bluetooth sensors; everybody else's devices are not even counted."""

import asyncio
import contextlib
import resource

from gateway.cli.init.looking import Candidate, Search, value_texts
from gateway.cli.scan.advice import radio_advice
from gateway.cli.scan.attempts import Attempt, radio_drivers
from gateway.cli.scan.sightings import UNKNOWN_DBM, Sighting, Sightings
from gateway.driver import Advert
from gateway.errors import PortError
from gateway.quantities import registry
from gateway.transports.ending import Ending

__all__ = ["find_bluetooth"]


def find_bluetooth(search: Search) -> list[Candidate]:
    """Listen to what is in the air, the nearest first; nothing is connected to.

    What no driver understands, or has an address that changes, is no sensor and shown in no form.
    """
    if not search.hear_s or not (search.addresses or search.everywhere):
        return []
    # What is in memory for a moment must not come to rest on the disk (PRIV-01).
    with contextlib.suppress(OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    registry()  # read before the loop runs, which must not wait for a disk
    # Here, so that nobody else pays for the import of bleak.
    from gateway.cli.scan.bluetooth import known_sensors  # noqa: PLC0415

    sightings = Sightings(radio_drivers(), known_sensors(None))
    search.tell(f"Listening for Bluetooth sensors, {search.hear_s:g} s.")
    try:
        cause = asyncio.run(_hear(sightings, search.hear_s))
    except PortError as error:
        help_ = radio_advice(error.port, error.reason)
        search.tell(f"- no Bluetooth: {error.reason}" + (f"; {help_}" if help_ else ""))
        return []
    if cause:
        search.tell("- it ended early: Bluetooth is gone")
    found = [_candidate(each) for each in sightings.sensors]
    if search.addresses:
        return [each for each in found if each.where in search.addresses]
    if not found:
        search.tell("- no Bluetooth sensor is heard")
    return found


async def _hear(sightings: Sightings, duration_s: float) -> str | None:
    """Listen for so long; return what ended it before. PortError if it cannot begin."""
    from gateway.cli.scan.radio import listening  # noqa: PLC0415 - imports bleak, too

    loop = asyncio.get_running_loop()
    ending = Ending()

    def hear(advert: Advert, fixed: bool) -> None:  # noqa: FBT001 - the transport's call
        sightings.hear(advert, loop.time(), fixed=fixed)

    async with listening("", hear, ending, active=False):
        return await ending.wait(duration_s)


def _candidate(sighting: Sighting) -> Candidate:
    best = (sighting.fits or sighting.attempts)[0]
    return Candidate(
        best.info.name,
        "address",
        sighting.address,
        values=value_texts(best.values),
        note=_note(sighting, best),
        # One that is configured is heard with the key that it has there; the new file has none.
        keys=best.info.secrets if best.key_problem or sighting.sensor else (),
        anybodys=True,
    )


def _note(sighting: Sighting, best: Attempt) -> str:
    """Return how near it is, and what there is to know before it can be read."""
    notes = [] if sighting.signal_dbm == UNKNOWN_DBM else [f"{sighting.signal_dbm:.0f} dBm"]
    if sighting.sensor:
        notes.append(f"was configured as {sighting.sensor}")
    others = [each.info.name for each in sighting.fits[1:]]
    notes += [f"or {' or '.join(others)}"] if others else []
    if best.discreet:
        notes.append("its values are a household's or a person's, and not shown")
    elif best.key_problem:
        notes.append("encrypted")
    elif best.connects:
        notes.append("is read over a connection, not now")
    return ", ".join(notes)
