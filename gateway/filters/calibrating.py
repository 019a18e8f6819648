"""What all calibrations have in common: their papers, and the raw series beside them."""

import datetime as dt
from dataclasses import replace
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from gateway.filters.contract import FilterOptions, Flow, Output, Passed, Place
from gateway.reading import Dims, Flag

__all__ = ["Calibrating", "CalibrationOptions", "raw_dims"]

DAY_NS = 86_400_000_000_000
EXPIRED = int(Flag.CALIBRATING)
RAW_KEY, RAW = "channel", "raw"
UNKNOWN_YET_NS = 1 << 62
PAPERS = ("id", "date", "expires")
UNIX_EPOCH = dt.date(1970, 1, 1)
MAX_ID_LENGTH = 60


def raw_dims(dims: Dims) -> Dims:
    """Return the dimensions of the series as it was before calibration: channel = raw."""
    table = dict(dims)
    table[RAW_KEY] = f"{table[RAW_KEY]}-{RAW}" if RAW_KEY in table else RAW
    return tuple(sorted(table.items()))


class CalibrationOptions(FilterOptions):
    """The papers of a calibration."""

    name: ClassVar[str] = ""
    id: str = Field(
        default="",
        max_length=MAX_ID_LENGTH,
        description="Name of this calibration, such as the number of its certificate.",
    )
    date: dt.date | None = Field(
        default=None, description='The day on which it was made, "2026-09-01".'
    )
    expires: dt.date | None = Field(
        default=None,
        description="The day from whose beginning (UTC) readings are flagged calibrating.",
    )
    keep_raw: bool = Field(
        default=False, description="Keep the values as they came in, as a series of their own."
    )

    @field_validator("id")
    @classmethod
    def _is_plain(cls, text: str) -> str:
        if not text.isprintable():
            raise ValueError("has characters that cannot be printed")
        return text

    @model_validator(mode="after")
    def _dates_in_order(self) -> "CalibrationOptions":
        if self.date is not None and self.expires is not None and self.expires <= self.date:
            raise ValueError("expires before it was made")
        return self

    def described(self) -> str:
        """Return in one line what it does."""
        raise NotImplementedError

    def refuse(self, flow: Flow) -> str:
        """Refuse states, and a second raw series."""
        if flow.kind in ("bool", "enum"):
            return f"{flow.quantity} is a state; there is nothing to calibrate"
        if self.keep_raw and "raw" in flow.calibration:
            return "the raw series is kept by a filter before this one already"
        return ""

    def after(self, flow: Flow) -> Flow:
        """Add this calibration to where the values come from."""
        known = dict(flow.calibration)
        mine = {"id": self.id, "date": self.date, "expires": self.expires}
        for paper in PAPERS:
            text = str(mine[paper] or "")
            if text:
                before = known.get(paper, "")
                # Several in one chain: all names; made when the oldest was, good until the first.
                both = f"{before}, {text}" if paper == "id" else min(before, text)
                known[paper] = both if before else text
        before = known.get("formula", "")
        known["formula"] = f"{before}; {self.described()}" if before else self.described()
        if self.keep_raw:
            known["raw"] = "kept"
        return replace(flow, calibration=known)


class Calibrating:
    """The base of the filters that calibrate: ``_value`` is what is special about each.

    Sets ``Flag.CALIBRATING`` from the day on which the calibration expires. Whether it has is asked
    at the first reading and at each tick, because wall time may become better.
    """

    __slots__ = (
        "_environment",
        "_expires_ns",
        "_expires_wall_ns",
        "_raw",
        "_raw_pending",
        "expired",
    )

    def __init__(self, options: CalibrationOptions) -> None:
        expires = options.expires
        self._expires_wall_ns = None if expires is None else (expires - UNIX_EPOCH).days * DAY_NS
        self._expires_ns = UNKNOWN_YET_NS
        self._raw = 0 if options.keep_raw else -1
        self._raw_pending: list[tuple[int, int, float, int]] | None = None
        self.expired = False

    def enter(self, place: Place) -> None:
        """Take wall time, and announce the raw series if there is to be one."""
        self._environment = place.environment
        self._learn_expiry()
        if self._raw >= 0:
            flow = place.flow
            dims = self._raw_dims(place)
            output = Output(flow.quantity, dims, flow.aggregation, flow.unit, flow.calibration)
            self._raw = place.outbox.declare(output)
            self._raw_pending = place.outbox.pending

    def _raw_dims(self, place: Place) -> Dims:
        return raw_dims(place.dims)

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return the calibrated reading; None where it cannot be worked out."""
        if self._raw_pending is not None:
            self._raw_pending.append((self._raw, time_ns, value, flags))
        if time_ns >= self._expires_ns:
            self.expired = True
            flags |= EXPIRED
        return self._calibrate(time_ns, value, flags)

    def _calibrate(self, time_ns: int, value: float, flags: int) -> Passed | None:
        raise NotImplementedError

    def tick(self, now_ns: int) -> None:
        """Ask again when it expires, because the clock may have been set."""
        self._learn_expiry()
        self.expired = now_ns >= self._expires_ns

    def close(self, now_ns: int | None) -> None:
        """Hold nothing, so put out nothing."""

    def _learn_expiry(self) -> None:
        if self._expires_wall_ns is not None:
            self._expires_ns = self._expires_wall_ns - self._environment.wall_ns(0)
