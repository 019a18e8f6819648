"""Times, ages and sizes as a person writes and reads them."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from gateway.config.units import parse_duration
from gateway.errors import ConfigError

__all__ = ["EPOCH_TEXT", "age_text", "bytes_text", "parse_endurance", "parse_moment", "time_text"]

NS_PER_S = 1_000_000_000
_START = datetime(1970, 1, 1, tzinfo=UTC)
_DATED = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DECIMAL_BYTES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
_BINARY_BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_BYTES = {"B": 1, **_DECIMAL_BYTES, **_BINARY_BYTES}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]+?)W?\s*", re.ASCII)
EPOCH_TEXT = 'an RFC 3339 time such as "2026-11-22T09:00:00Z", or an age such as "2 h"'
ENDURANCE_HELP = 'a size such as "32 TB" (B, kB, MB, GB, TB, PB, or KiB to TiB)'


def parse_moment(text: str, *, key: str, now_ns: int) -> int:
    """Return wall ns of an RFC 3339 time, or of so long ago. ConfigError for anything else."""
    problem = ConfigError("is no time", key=key, value=text, allowed=EPOCH_TEXT)
    if _DATED.fullmatch(text.strip()):
        return _moment_ns(text.strip(), problem)
    try:
        return now_ns - int(parse_duration(text) * NS_PER_S)
    except (ValueError, OverflowError):
        raise problem from None


def _moment_ns(text: str, problem: ConfigError) -> int:
    """Return ns since 1970, exact: datetime alone would cut what is below a microsecond."""
    match = _DATED.fullmatch(text)
    fraction = (match[1] or "") if match else ""
    whole = text.replace(fraction, "", 1).upper() if fraction else text.upper()
    try:
        moment = datetime.fromisoformat(whole)
        seconds = (moment - _START) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise problem from None
    return seconds * NS_PER_S + int(f"{fraction[1:]:0<9}")


def time_text(wall_ns: int | None) -> str | None:
    """Return RFC 3339 text in UTC with seconds, None for none."""
    if wall_ns is None:
        return None
    moment = _START + timedelta(seconds=wall_ns // NS_PER_S)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def age_text(hours: float | None) -> str:
    """Return hours in the unit in which a person thinks of them."""
    if hours is None:
        return "unknown"
    for limit, length, unit in ((1.0, 1 / 60, "min"), (72.0, 1.0, "h"), (24 * 730.0, 24.0, "d")):
        if hours < limit:
            return f"{hours / length:.3g} {unit}"
    return f"{hours / (24 * 365.25):,.1f} years"


def parse_endurance(text: str) -> int:
    """Return bytes for text such as ``32 TB``, as makers write it. ConfigError for others."""
    match = _SIZE.fullmatch(text)
    units = {unit.lower(): count for unit, count in _BYTES.items()}
    if match is None or match[2].lower() not in units or not Decimal(match[1]):
        raise ConfigError("is no size", key="--endurance", value=text, allowed=ENDURANCE_HELP)
    return int(Decimal(match[1]) * units[match[2].lower()])


def bytes_text(count: float) -> str:
    """Return a size in the binary unit that keeps it short."""
    for unit, length in (("B", 1), *_BINARY_BYTES.items()):
        if count < 1024 * length or unit == "TiB":
            break
    return f"{count / length:.4g} {unit}"
