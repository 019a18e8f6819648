"""Short words for times and counts, so that a column keeps its width."""

__all__ = ["count_text", "rate_text", "size_text", "time_text"]

S_PER_MIN = 60.0
S_PER_H = 3600.0
S_PER_D = 86400.0
NONE = "-"


def time_text(seconds: float | None) -> str:
    """Return at most six characters: ``4.2 s``, ``85 s``, ``12 min``, ``5 h``, ``3 d``."""
    if seconds is None:
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 2 * S_PER_MIN:
        return f"{seconds:.0f} s"
    if seconds < 2 * S_PER_H:
        return f"{seconds / S_PER_MIN:.0f} min"
    if seconds < 2 * S_PER_D:
        return f"{seconds / S_PER_H:.0f} h"
    return f"{seconds / S_PER_D:.0f} d"


def count_text(count: float) -> str:
    """Return at most six characters: ``99999``, ``123k``, ``1.04M``, ``2.3G``."""
    if count < 100_000:
        return f"{count:.0f}"
    for letter, unit in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if count < 999.5 * unit:
            return f"{count / unit:.3g}{letter}"
    return f"{count / 1e12:.3g}T"


def rate_text(rate: float | None) -> str:
    """Return readings a minute: ``0``, ``0.3``, ``12``, ``3600``."""
    if rate is None:
        return NONE
    return f"{rate:.1f}" if 0 < rate < 9.95 else count_text(rate)


def size_text(size: int) -> str:
    """Return a size of the ring: ``256 MiB``."""
    return f"{size / (1 << 20):.0f} MiB" if size < 10 << 30 else f"{size / (1 << 30):.0f} GiB"
