"""Airthings Wave, Wave Plus, Wave Radon, Wave Mini, Wave Enhance and Corentium Home 2.

Written from the vendor's own programs: waveplus-reader, wave-reader and wavemini-reader for the
values of the Waves, airthings-ble for their self-check and for the newer models.
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from drivers.airthings import atom, wave
from drivers.airthings.limits import LIMITS
from gateway.driver import Advert, DriverInfo, GattClient, NoOptions, Outcome
from gateway.reading import Fault

__all__ = ["Airthings"]

COMPANY = 0x0334
MODEL = "00002a24-0000-1000-8000-00805f9b34fb"
ATOMS = ("3210", "3220", "3250")
"""Wave Enhance (Europe, America) and Corentium Home 2."""
MIN_INTERVAL_S = 60.0
"""The device measures each five minutes; to ask more often only empties its battery."""
SELF_CHECK_EVERY = 12
"""Of so many visits one asks for the battery as well: once an hour, at the usual interval."""
MAX_SELF_CHECK_BYTES = 64


class Airthings:
    """Reads climate, CO2, VOC, radon, pressure and battery over a connection, as the model has.

    One instance serves one device.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="airthings",
        title="Airthings Wave, Wave Plus, Wave Radon, Wave Mini, Wave Enhance, Corentium Home 2",
        domain="air",
        quantities=tuple(LIMITS),
        # All but radon is measured each five minutes.
        interval_s=300.0,
        document="Airthings/waveplus-reader, Airthings/wavemini-reader, Airthings/airthings-ble",
    )
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: NoOptions) -> None:
        del options
        self._model = ""
        self._visits = 0

    def due(self, advert: Advert, since_last_s: float | None) -> bool:
        """Tell whether it is time to connect: not sooner than a minute after the last reading."""
        if COMPANY not in advert.manufacturer_data:
            return False
        return since_last_s is None or since_last_s >= MIN_INTERVAL_S

    async def read(self, client: GattClient) -> Iterable[Outcome]:
        """Return what the device measured last; the first time it is asked for its model."""
        if not self._model:
            self._model = (await client.read(MODEL)).decode("ascii", "replace").strip("\0 ")
        visit = self._visits
        self._visits += 1
        if self._model in ATOMS:
            return await _read_atom(client, visit)
        model = wave.WAVES.get(self._model)
        if model is None:
            self._model = ""  # asked anew: what was read may have been damaged
            return [Fault("unknown", "a model that this driver does not know")]
        outcomes = await _read_wave(client, model)
        if model.command and visit % SELF_CHECK_EVERY == 0:
            outcomes += await _self_check(client, model)
        return outcomes


async def _read_wave(client: GattClient, model: wave.Wave) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for characteristic in model.characteristics:
        outcomes += wave.readings(characteristic, await client.read(characteristic))
    return outcomes


async def _self_check(client: GattClient, model: wave.Wave) -> list[Outcome]:
    """Ask for the battery; what goes wrong with that must not cost the values that are there."""
    answer = b""
    try:
        parts = client.notifications(model.command)
        await client.write(model.command, wave.SELF_CHECK)
        async for part in parts:
            answer += part[:MAX_SELF_CHECK_BYTES]
            if len(answer) >= model.answer_bytes:
                return list(wave.battery(answer, model.answer_bytes))
    except OSError:
        return [Fault("device_error", "the connection was lost at the self-check")]
    if answer:
        return [Fault("short", f"{len(answer)} bytes of the self-check")]
    return [Fault("timeout", "no answer to the self-check")]


async def _read_atom(client: GattClient, nonce: int) -> list[Outcome]:
    nonce &= 0xFFFF
    parts = client.notifications(atom.ANSWERS)
    await client.write(atom.REQUESTS, atom.request(nonce))
    answer = await atom.collect(parts)
    return [answer] if isinstance(answer, Fault) else list(atom.readings(answer, nonce))
