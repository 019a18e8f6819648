"""What is announced on one connection: each sensor before its data, and again when it changes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gateway.buffer import Batch
from gateway.config.model import SelectSection
from gateway.forward.formats.base import Format, FormatContext, Message, SeriesLookup
from gateway.forward.policy import allows, may_know
from gateway.reading import Series

__all__ = ["Announcer", "SeriesOf", "announces", "withdraws"]

SeriesOf = Callable[[str], Sequence[Series]]
"""Sensor -> all its series that the catalogue knows."""

SILENT_MIN_S = 10.0
SILENT_INTERVALS = 3.0
"""A sensor that gave nothing for so long since the link began has fallen silent."""


def announces(encoder: Format) -> bool:
    """Tell whether a format has anything to say before the data of a sensor."""
    return type(encoder).announce is not Format.announce


def withdraws(encoder: Format) -> bool:
    """Tell whether a format has anything to say about a sensor that fell silent."""
    return type(encoder).withdraw is not Format.withdraw


class Announcer:
    """Keeps what a connection was told about the sensors, and tells what is missing.

    ``post`` sends one message; it returns when the message left. Data of a series may leave once
    ``before`` returned.
    """

    def __init__(  # noqa: PLR0913 - what is told, about what, to whom
        self,
        encoder: Format,
        *,
        select: SelectSection,
        series: SeriesLookup,
        series_of: SeriesOf,
        context: Callable[[], FormatContext],
        wall_ns: Callable[[], int],
        post: Callable[[Message], Awaitable[None]],
    ) -> None:
        self._format = encoder
        self._select = select
        self._series = series
        self._series_of = series_of
        self._context = context
        self._wall_ns = wall_ns
        self._post = post
        self._known: set[int] = set()
        """Ids of series that were announced."""
        self._announced: dict[str, list[tuple[str, bytes]]] = {}
        """Sensor -> topics and payloads of what was last said of it."""
        self._lock = asyncio.Lock()

    async def all(self) -> None:
        """Announce every configured sensor that the broker may know, and what was announced."""
        async with self._lock:
            facts = self._context().sensors
            sensors = [name for name in facts if may_know(self._select, name, facts[name].privacy)]
            sensors += sorted(self._announced.keys() - set(sensors))
            self._known.clear()
            self._announced.clear()
            for sensor in sensors:
                await self._announce(sensor)

    async def before(self, batch: Batch, selected: Sequence[int]) -> None:
        """Announce whose data the selected positions of a batch are, if that is news."""
        series = batch.series
        if {series[position] for position in selected} <= self._known:
            return
        async with self._lock:
            news = {series[position] for position in selected} - self._known
            for sensor in sorted({self._series(series_id).key.sensor for series_id in news}):
                await self._announce(sensor, news)

    async def changed(self, before: FormatContext) -> None:
        """Announce what is not as it was in the context ``before``; withdraw what has gone."""
        async with self._lock:
            now = self._context()
            for sensor in sorted(before.sensors.keys() - now.sensors.keys()):
                await self._withdraw(sensor, before)
            for sensor, facts in now.sensors.items():
                place = now.location_of(sensor)
                same = before.sensors.get(sensor) == facts and before.location_of(sensor) == place
                if not same and may_know(self._select, sensor, facts.privacy):
                    await self._announce(sensor)

    async def look(self, states: Mapping[str, Any], age_s: float) -> None:
        """Withdraw announced sensors that are not fresh any more.

        ``states`` is what the status says of each sensor, ``age_s`` for how long the link has run:
        a sensor that has not measured yet gets the time that it needs.
        """
        async with self._lock:
            context = self._context()
            for sensor in sorted(self._announced):
                facts = context.sensors.get(sensor)
                interval_s = 0.0 if facts is None else facts.interval_s
                patience_s = max(SILENT_MIN_S, SILENT_INTERVALS * interval_s)
                state = _state(states.get(sensor))
                if state == "stale" or (state == "silent" and age_s > patience_s):
                    await self._withdraw(sensor, context)

    async def _announce(self, sensor: str, also: set[int] | None = None) -> None:
        sensors = self._context().sensors
        series = [one for one in self._series_of(sensor) if allows(self._select, one, sensors)]
        ids = {one.id for one in series}
        for series_id in sorted((also or set()) - ids):
            one = self._series(series_id)
            if one.key.sensor == sensor:  # of a unit that was changed since
                series.append(one)
        messages = self._format.announce(sensor, series, self._context(), self._wall_ns())
        said = [(message.topic, message.payload) for message in messages]
        if said != self._announced.get(sensor):  # a new series may change nothing in it
            for message in messages:
                await self._post(message)
        self._announced[sensor] = said
        self._known |= {one.id for one in series}

    async def _withdraw(self, sensor: str, context: FormatContext) -> None:
        if sensor not in self._announced:
            return
        for message in self._format.withdraw(sensor, context, self._wall_ns()):
            await self._post(message)
        del self._announced[sensor]
        self._known = {one for one in self._known if self._series(one).key.sensor != sensor}


def _state(told: object) -> object:
    """Return the word for a sensor's state, which the status may wrap in more facts."""
    return told.get("state") if isinstance(told, Mapping) else told
