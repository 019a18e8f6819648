"""The lanes of one connection: what is new, and what piled up while the broker was away.

``in-order`` has one lane. ``beside`` has two, over one account: what is new leaves at once, and the
backlog takes what the window has left, never so much that new readings queue behind it. ``latest``
has a lane for what is new alone, and settles the backlog without sending it.
"""

import logging
from collections.abc import Coroutine
from typing import Any

from gateway.buffer import Lane
from gateway.forward.announcer import Announcer
from gateway.forward.gate import Gate, Share
from gateway.forward.kept import Kept
from gateway.forward.outbox import Outbox
from gateway.forward.parcels import Packer
from gateway.forward.pump import Pump

__all__ = ["open_lanes"]

ALONE_MAX_S = 1.0
"""A suspicious message of one lane holds up the other for at most so long."""
RESERVED_PART = 4
"""One message of so many in the window is kept for what is new, and at least one."""

log = logging.getLogger("citylab_gateway.forward")


def open_lanes(
    kept: Kept, outbox: Outbox, packer: Packer, announcer: Announcer | None
) -> list[Coroutine[Any, Any, None]]:
    """Begin to read the ring for one connection; return what has to run until it ends."""

    def pump(lane: Lane, gate: Gate) -> Coroutine[Any, Any, None]:
        return Pump(
            lane,
            gate,
            outbox,
            reader=kept.reader,
            broker=kept.broker,
            policy=kept.policy,
            packer=packer,
            pace=kept.pace,
            announcer=announcer,
            fixes=kept.fixes,
        ).run()

    kept.reader.holds = kept.history != "latest"  # what has no time can have no wrong one
    if kept.history == "latest":
        _drop(kept, kept.reader.next_sequence)
    lanes = kept.reader.begin(beside=kept.history != "in-order")
    if len(lanes) == 1:
        gate = outbox.gate("data")
        return [outbox.repeat_refused(gate), pump(lanes[0], gate)]
    backlog, new = lanes
    outbox.alone_max_s = ALONE_MAX_S
    live = outbox.gate("live")
    if kept.history == "latest":
        return [outbox.repeat_refused(live), pump(new, live), _pass_over(kept, backlog)]
    limit = outbox.window.limit
    most = max(1, limit - max(1, limit // RESERVED_PART))
    share = Share(kept.broker.batch_readings, most)
    history = outbox.gate("history", above=(live, outbox.system), limit=most, share=share)
    return [
        outbox.repeat_refused(live),
        outbox.repeat_refused(history),
        pump(new, live),
        pump(backlog, history),
    ]


async def _pass_over(kept: Kept, backlog: Lane) -> None:
    """Settle what turns up below the boundary: storage came back with readings of before."""
    while True:
        await backlog.wait()
        _drop(kept, kept.reader.boundary)


def _drop(kept: Kept, below: int) -> None:
    count = kept.reader.drop_below(below, "policy")
    if count:
        text = "%s: %d readings from before the connection are not sent (format without times)"
        log.info(text, kept.broker.name, count)
