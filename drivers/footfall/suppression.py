"""Which counts may be known (PRIV-05): the rule of the filter ``suppress_small``, and a split.

A count from 1 to k - 1 is shown as 0 and flagged. The zones add up to a total that is shown, too:
were only the small one of them hidden, subtraction would bring it back. So all zones are shown or
none. Counts of public and of random addresses are never added up, hence apart.
"""

from collections.abc import Sequence

from gateway.reading import Flag

__all__ = ["shown"]

HIDDEN = (0.0, int(Flag.SUPPRESSED))

Shown = tuple[float, int]
"""Value and flags."""


def shown(zones: Sequence[int], k: int) -> tuple[Shown, list[Shown]]:
    """Return what may be known of the total, and of each zone."""
    may_split = all(_may_be_known(count, k) for count in zones)
    split = [(float(count), 0) if may_split else HIDDEN for count in zones]
    total = sum(zones)
    return ((float(total), 0) if _may_be_known(total, k) else HIDDEN), split


def _may_be_known(count: int, k: int) -> bool:
    return count == 0 or count >= k
