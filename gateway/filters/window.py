"""``window``: figures over aligned windows of wall time.

A window is [n · every, (n + 1) · every) of wall time, which is UTC. Readings belong to it by their
event time. It ends when a reading of a later one comes, or, if the sensor is silent, ``settle``
after its end by ``tick``. What comes out has the time of the window's end.

- Each reading counts in exactly one window. One that is late, because its window is over already,
  counts in the window that is open, which is then flagged ``estimated``.
- When the clock is set, the open window ends there and then with what it has, flagged
  ``estimated``, and one begins on the new grid. A window that rests on a clock that was not right
  is flagged ``clock_unsynced``.
- The first window of a chain has missed what came before: it is flagged ``restart`` and
  ``estimated``; so is the last one, which a stop cuts off. The figure ``count`` says how many
  readings a window rests on.
- Without a reading nothing comes out: silence stays silence.
"""

from collections.abc import Callable, Sequence
from math import isfinite, nan
from typing import ClassVar, NamedTuple

from gateway.filters.contract import Environment, FilterOptions, Outbox, Passed, Place
from gateway.filters.quantiles import Quantiles
from gateway.filters.scale import Scale, mean_back, scale_of, spread
from gateway.filters.window_options import Figure, WindowOptions
from gateway.reading import Flag

__all__ = ["STEP_NS", "Outlet", "Window", "WindowOptions"]

STEP_NS = 50_000_000
"""A change of wall time against boot time above this is a step; below it the clock is slewed."""

BAD = int(Flag.RANGE | Flag.STUCK)
DOUBTFUL = BAD | int(
    Flag.RATE
    | Flag.SPIKE
    | Flag.WARM_UP
    | Flag.CALIBRATING
    | Flag.SUBSTITUTED
    | Flag.SUPPRESSED
    | Flag.ESTIMATED
    | Flag.CLOCK_UNSYNCED
    | Flag.STALE
)
LEFT_OUT = {"nothing": 0, "bad": BAD, "doubtful": DOUBTFUL}
ESTIMATED = int(Flag.ESTIMATED)
CUT = int(Flag.ESTIMATED | Flag.RESTART)
UNSYNCED = int(Flag.CLOCK_UNSYNCED)
SHARES: dict[str, float] = {"p50": 0.5, "p85": 0.85, "p95": 0.95}
NEVER_NS = -(1 << 62)
HIGHEST = float("inf")


class Outlet(NamedTuple):
    """Where one figure goes."""

    figure: Figure
    apply: Callable[[int, float, int], Passed | None] | None
    """The filters behind the window, for this figure."""
    slot: int
    """In the outbox."""


class Window:
    """Takes readings in and puts figures of whole windows out; see the module."""

    name: ClassVar[str] = "window"
    Options: ClassVar[type[FilterOptions]] = WindowOptions
    thins: ClassVar[bool] = False
    absorbs: ClassVar[bool] = True
    __slots__ = (
        "_apart",
        "_count",
        "_end_ns",
        "_environment",
        "_every_ns",
        "_first",
        "_flags",
        "_held",
        "_held_ns",
        "_hold_ns",
        "_keeps",
        "_last",
        "_last_ns",
        "_left_out",
        "_max",
        "_min",
        "_next",
        "_number",
        "_offset_ns",
        "_open",
        "_outbox",
        "_outlets",
        "_over_ns",
        "_partial",
        "_quantiles",
        "_scale",
        "_second",
        "_settle_ns",
        "_skip",
        "_start_ns",
        "_sum",
        "_synced",
        "_timed",
        "_until_ns",
        "_weight",
    )

    def __init__(self, options: WindowOptions) -> None:
        self._every_ns = round(options.every) * 1_000_000_000
        self._settle_ns = round(options.settle * 1e9)
        self._hold_ns = round((options.hold or options.every) * 1e9)
        self._skip = LEFT_OUT[options.leave_out]
        self._keeps = options.keep_raw
        self._timed = options.weight == "time"
        self._scale: Scale = "plain"
        self._apart = self._timed
        """There is more to do for each reading than count, sum, minimum, maximum and last."""
        self._quantiles: Quantiles | None = None
        self._environment = Environment()
        self._outbox = Outbox()
        self._outlets: Sequence[Outlet] = ()
        self._open = False
        self._start_ns = self._end_ns = self._over_ns = NEVER_NS
        self._number = self._next = self._offset_ns = 0
        self._partial = CUT
        self._synced = False
        self._held: tuple[float, float] | None = None
        """What the newest reading adds to the mean as long as it holds."""
        self._held_ns = self._until_ns = self._last_ns = NEVER_NS
        self._count = self._flags = 0
        self._sum = self._last = self._weight = self._first = self._second = 0.0
        self._min, self._max = HIGHEST, -HIGHEST
        self._left_out = False

    def enter(self, place: Place) -> None:
        """Take the grid of wall time and the scale of the quantity."""
        self._environment = place.environment
        self._outbox = place.outbox
        self._scale = scale_of(place.flow)
        self._apart = self._apart or self._scale != "plain"
        self._synced = place.environment.synced()

    def connect(self, outlets: Sequence[Outlet]) -> None:
        """Take where the figures go; called once, after ``enter``."""
        self._outlets = outlets
        if any(outlet.figure in SHARES for outlet in outlets):
            self._quantiles = Quantiles()
            self._apart = True

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Count a reading in its window; return it as it is if it is to be kept, too."""
        if time_ns >= self._end_ns or time_ns < self._start_ns:
            self._turn(time_ns)
        if flags & self._skip:
            self._left_out = True
        else:
            self._count += 1
            self._sum += value
            if value < self._min:  # noqa: PLR1730 - min() costs three times as much
                self._min = value
            if value > self._max:  # noqa: PLR1730
                self._max = value
            if time_ns >= self._last_ns:
                self._last_ns = time_ns
                self._last = value
            if flags:
                self._flags |= flags
            if self._apart:
                self._add(time_ns, value)
        return (time_ns, value, flags) if self._keeps else None

    def tick(self, now_ns: int) -> None:
        """End the open window if the clock was set, or if it is over and nobody came."""
        offset_ns = self._environment.wall_ns(0)
        if self._open:
            if abs(offset_ns - self._offset_ns) > STEP_NS:
                self._end(min(now_ns, self._end_ns), ESTIMATED)
                if self._over_ns == now_ns:
                    self._begin(now_ns, offset_ns)
            elif now_ns >= self._end_ns + self._settle_ns:
                self._finish(offset_ns)
        self._synced = self._environment.synced()

    def close(self, now_ns: int | None) -> None:
        """Put out the open window, cut off, because the chain ends."""
        if self._open:
            newest_ns = max(self._last_ns, self._start_ns)
            self._end(min(newest_ns if now_ns is None else now_ns, self._end_ns), CUT)

    def _turn(self, time_ns: int) -> None:
        """Make the window of a reading the open one, unless that is over: then it is late."""
        offset_ns = self._environment.wall_ns(0)
        if self._open:
            if time_ns < self._start_ns:
                self._flags |= ESTIMATED
                return
            slewed = abs(offset_ns - self._offset_ns) <= STEP_NS
            if slewed and (time_ns + offset_ns) // self._every_ns <= self._number:
                self._offset_ns = offset_ns  # back, so that it is not over yet
                self._end_ns = max((self._number + 1) * self._every_ns - offset_ns, time_ns + 1)
                return
            self._finish(offset_ns)
        self._synced = self._environment.synced()
        self._begin(max(time_ns, self._over_ns), offset_ns)
        if time_ns < self._start_ns:
            self._flags |= ESTIMATED

    def _begin(self, time_ns: int, offset_ns: int) -> None:
        """Open the window that a boot time lies in."""
        number = (time_ns + offset_ns) // self._every_ns
        if abs(offset_ns - self._offset_ns) <= STEP_NS:
            number = max(number, self._next)  # slewed back: that window was put out already
        start_ns = number * self._every_ns - offset_ns
        self._flags |= self._partial
        self._partial = 0
        if self._over_ns - start_ns > STEP_NS:
            self._flags |= ESTIMATED  # the clock was set: its first part went out with another
        self._number = number
        self._offset_ns = offset_ns
        self._start_ns = max(start_ns, self._over_ns)
        self._end_ns = start_ns + self._every_ns
        self._open = True
        self._held_ns = max(self._held_ns, self._start_ns)

    def _finish(self, offset_ns: int) -> None:
        """End the open window at the end of its length."""
        if abs(offset_ns - self._offset_ns) > STEP_NS:
            self._end(self._end_ns, ESTIMATED)
            return
        # With the newest offset, so that the wall time of the figures is on the grid.
        self._synced = self._environment.synced()
        end_ns = (self._number + 1) * self._every_ns - offset_ns
        self._end(max(end_ns, self._start_ns + 1), 0)
        self._next = self._number + 1

    def _end(self, end_ns: int, flags: int) -> None:
        """Put out the figures of the open window, which ends now."""
        if self._timed:
            self._hold(end_ns)
        if not self._synced:
            flags |= UNSYNCED
        flags |= self._flags
        pending = self._outbox.pending
        for outlet in self._outlets:
            value = self._figure(outlet.figure)
            if not isfinite(value):
                continue
            if outlet.apply is None:
                pending.append((outlet.slot, end_ns, value, flags))
                continue
            passed = outlet.apply(end_ns, value, flags)
            if passed is not None:
                pending.append((outlet.slot, *passed))
        self._open = False
        self._over_ns = end_ns
        self._start_ns = self._end_ns = NEVER_NS
        self._clear()

    def _clear(self) -> None:
        self._count = self._flags = 0
        self._sum = self._last = 0.0
        self._min, self._max = HIGHEST, -HIGHEST
        self._last_ns = NEVER_NS
        self._left_out = False
        self._weight = self._first = self._second = 0.0
        if self._quantiles is not None:
            self._quantiles.clear()

    def _add(self, time_ns: int, value: float) -> None:
        """Count a reading where its time, its scale or its rank matters."""
        if self._quantiles is not None:
            self._quantiles.add(value)
        first, second = spread(self._scale, value)
        if not self._timed:
            self._weight += 1.0
            self._first += first
            self._second += second
        elif time_ns >= self._held_ns:
            self._hold(time_ns)
            self._held = first, second
            self._until_ns = time_ns + self._hold_ns

    def _hold(self, until_ns: int) -> None:
        """Add the time for which the newest reading held, up to ``until_ns``."""
        held_ns = min(until_ns, self._until_ns) - self._held_ns
        if self._held is not None and held_ns > 0:
            weight = held_ns / 1e9
            self._weight += weight
            self._first += weight * self._held[0]
            self._second += weight * self._held[1]
        self._held_ns = max(self._held_ns, until_ns)

    def _figure(self, figure: Figure) -> float:
        """Return one figure of the open window; NaN where there is none."""
        if figure == "count":
            return float(self._count) if self._count or self._left_out else nan
        if not self._count:
            return nan
        if figure == "mean":
            if self._apart and self._weight:
                first, second = self._first / self._weight, self._second / self._weight
                return mean_back(self._scale, first, second)
            return self._sum / self._count if self._scale == "plain" else nan
        if figure in SHARES:
            return self._quantiles.find(SHARES[figure]) if self._quantiles is not None else nan
        simple = {"sum": self._sum, "min": self._min, "max": self._max, "last": self._last}
        return simple[figure]
