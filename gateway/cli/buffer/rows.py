"""How readings become bytes of a file: CSV after RFC 4180, and JSON Lines as links send them."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Protocol

from gateway.buffer.batch import Batch
from gateway.buffer.inspect import Names
from gateway.forward.formats.base import FormatContext, TimeText
from gateway.forward.formats.json_lines import JsonLines
from gateway.reading import flag_names, quality_of

__all__ = ["COLUMNS", "CsvRows", "JsonRows", "Rows"]

COLUMNS = (
    "time",
    "sensor",
    "quantity",
    "dims",
    "value",
    "unit",
    "quality",
    "flags",
    "epoch",
    "sequence",
)
TIME_DIGITS = 6


class Rows(Protocol):
    """Turns the chosen readings of a batch into bytes."""

    def head(self) -> bytes:
        """Return what stands before the first reading."""
        ...

    def rows(self, batch: Batch, positions: list[int]) -> bytes:
        """Return these readings, in this order."""
        ...


class CsvRows:
    """One line a reading, ended by CR LF, UTF-8.

    ``dims`` are ``key=value`` and ``flags`` are words, both separated by semicolons.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._time_text = TimeText(TIME_DIGITS)
        self._series: dict[int, tuple[str, str, str, str]] = {}
        self._marks: dict[int, tuple[str, str]] = {}

    def head(self) -> bytes:
        """Return the line with the names of the columns."""
        return _csv([COLUMNS])

    def rows(self, batch: Batch, positions: list[int]) -> bytes:
        """Return a line for each of these readings."""
        doubt = batch.doubt
        return _csv(self._row(batch, index, doubt) for index in positions)

    def _row(self, batch: Batch, index: int, doubt: int) -> tuple[str | int, ...]:
        sensor, quantity, dims, unit = self._texts(batch.series[index])
        quality, flags = self._mark(batch.flags[index] | doubt)
        return (
            self._time_text(batch.times_ns[index] + batch.offset_ns),
            sensor,
            quantity,
            dims,
            repr(batch.values[index]),
            unit,
            quality,
            flags,
            batch.epoch,
            batch.first + index,
        )

    def _texts(self, series_id: int) -> tuple[str, str, str, str]:
        known = self._series.get(series_id)
        if known is None:
            series = self._names.series(series_id)
            dims = ";".join(f"{key}={value}" for key, value in series.key.dims)
            known = (series.key.sensor, series.key.quantity, dims, series.unit)
            self._series[series_id] = known
        return known

    def _mark(self, flags: int) -> tuple[str, str]:
        known = self._marks.get(flags)
        if known is None:
            known = self._marks[flags] = quality_of(flags), ";".join(flag_names(flags))
        return known


class JsonRows:
    """The lines that the format ``json`` sends, all into one file."""

    def __init__(self, names: Names, gateway: str) -> None:
        self._names = names
        self._format = JsonLines()
        # Without a placeholder in the topic all sensors share one message: ring order stays.
        self._context = FormatContext(tenant="", gateway=gateway, topic="export")

    def head(self) -> bytes:
        """Return nothing."""
        return b""

    def rows(self, batch: Batch, positions: list[int]) -> bytes:
        """Return a line for each of these readings."""
        messages = self._format.encode(batch, positions, self._names.series, self._context)
        return b"".join(message.payload for message in messages)


def _csv(rows: Iterable[Sequence[str | int]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
