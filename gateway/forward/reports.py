"""The messages that are not readings: a gap, the state of the gateway, and mended times."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.buffer import DropReason
from gateway.forward.formats.base import FormatContext, TimeText

__all__ = [
    "gap_payload",
    "offline_payload",
    "online_payload",
    "time_fix_payload",
]

TIME_DIGITS = 3


def gap_payload(  # noqa: PLR0913 - each is one key of the payload
    context: FormatContext,
    *,
    first: int,
    last: int,
    count: int,
    reason: DropReason,
    epoch: int | None = None,
    sensors: Sequence[str] = (),
    first_time_ns: int | None = None,
    last_time_ns: int | None = None,
) -> bytes:
    """Return the JSON that says which readings will never come, and why.

    ``count`` readings of ``first`` .. ``last`` are missing; where it is less than the whole range,
    ``sensors`` tells whose they are. Times are wall ns. Described in docs/payloads.md.
    """
    payload: dict[str, Any] = {"gateway": context.gateway}
    if epoch is not None:
        payload["epoch"] = epoch
    payload |= {"from": first, "to": last, "count": count, "reason": reason}
    if sensors:
        payload["sensors"] = list(sensors)
    text = TimeText(TIME_DIGITS)
    if first_time_ns is not None:
        payload["first_time"] = text(first_time_ns)
    if last_time_ns is not None:
        payload["last_time"] = text(last_time_ns)
    return _json(payload)


def time_fix_payload(  # noqa: PLR0913 - each is one key of the payload
    context: FormatContext,
    *,
    epoch: int,
    boot: int,
    first: int,
    last: int,
    correction_s: float,
    bound_s: float | None,
    estimated: bool,
    wall_ns: int,
) -> bytes:
    """Return the JSON that says what to add to times that were sent before the clock was right.

    ``bound_s`` None: nobody knows how far the mended times may be off. ``estimated``: the clock of
    that boot was never right. Described in docs/payloads.md.
    """
    payload: dict[str, Any] = {
        "gateway": context.gateway,
        "epoch": epoch,
        "boot": boot,
        "from": first,
        "to": last,
        "correction_s": correction_s,
        "bound_s": bound_s,
        "estimated": estimated,
        "time": TimeText(TIME_DIGITS)(wall_ns),
    }
    return _json(payload)


def online_payload(context: FormatContext, wall_ns: int, status: Mapping[str, Any]) -> bytes:
    """Return the retained JSON of a running gateway; ``status`` is what the daemon adds."""
    told = {"state": "online", "gateway": context.gateway, "time": TimeText(TIME_DIGITS)(wall_ns)}
    return _json(told | dict(status) | told)  # ours win, and stand first


def offline_payload(context: FormatContext, reason: str, wall_ns: int | None = None) -> bytes:
    """Return the JSON of a gateway that is gone.

    ``reason``: ``stopped``, ``waiting`` for the consumer, or ``lost`` as the last will.
    """
    told = {"state": "offline", "gateway": context.gateway, "reason": reason}
    if wall_ns is not None:
        told["time"] = TimeText(TIME_DIGITS)(wall_ns)
    return _json(told)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
