"""The two messages that are not readings: a gap in the data, and the state of the gateway."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.buffer import DropReason
from gateway.forward.formats.base import FormatContext, TimeText

__all__ = ["GAP_TOPIC", "STATUS_TOPIC", "gap_payload", "offline_payload", "online_payload"]

GAP_TOPIC = "city/{tenant}/{gateway}/gap"
STATUS_TOPIC = "city/{tenant}/{gateway}/status"
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


def online_payload(context: FormatContext, wall_ns: int, status: Mapping[str, Any]) -> bytes:
    """Return the retained JSON of a running gateway; ``status`` is what the daemon adds."""
    told = {"state": "online", "gateway": context.gateway, "time": TimeText(TIME_DIGITS)(wall_ns)}
    return _json(told | dict(status) | told)  # ours win, and stand first


def offline_payload(context: FormatContext, reason: str, wall_ns: int | None = None) -> bytes:
    """Return the JSON of a gateway that is gone: ``stopped``, or ``lost`` as the last will."""
    told = {"state": "offline", "gateway": context.gateway, "reason": reason}
    if wall_ns is not None:
        told["time"] = TimeText(TIME_DIGITS)(wall_ns)
    return _json(told)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
