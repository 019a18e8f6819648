"""Fourteen cities: half of them dead, some in trouble, each with a format and a pace of its own."""

from collections import Counter

from gateway.forward.formats.base import Format, format_class, format_names
from gateway.quantities import registry
from tests.many_links.city import Plan
from tests.proxy import CLEAR, Way

__all__ = ["DEAD", "GOOD", "fourteen"]

TROUBLES: tuple[tuple[str, int, Way | None], ...] = (
    ("healthy", 4, CLEAR),
    ("refused", 4, None),
    ("black-hole", 3, Way(black_hole=True)),
    ("mute", 1, Way(first_answer_only=True)),
    ("reset", 1, Way(reset_every_s=5.0)),
    ("rough", 1, Way(delay_s=0.025, loss=0.05)),
)
"""Trouble, how many cities have it, and their way; ``mute`` accepts and never acknowledges."""
DEAD = frozenset({"refused", "black-hole", "mute"})
"""These get nothing as long as the trouble lasts."""
GOOD = frozenset({"healthy", "rough"})
"""These stay connected."""
LINGERS_S = (0.05, 0.2, 1.0)


def installed() -> dict[str, type[Format]]:
    """Return every format that is installed. Reads files, so call it outside the event loop."""
    registry()  # formats look quantities up; the daemon has read that list long before
    return {name: format_class(name) for name in format_names()}


def fourteen() -> list[Plan]:
    """Return the plans; every installed format has its turn, the dead take the rest.

    Sent is acknowledged where a format speaks QoS 0: such a one does not go where connections
    are cut, because nothing would send again what was on the way.
    """
    classes = installed()
    uncut = [*classes]
    at_least_once = [name for name in uncut if classes[name].qos == 1]
    plans: list[Plan] = []
    seen: Counter[str] = Counter()
    for trouble, count, way in TROUBLES:
        for _ in range(count):
            number = len(plans)
            choice = uncut if trouble in ("healthy", "refused") else at_least_once
            name = min(choice, key=lambda name: (seen[name], choice.index(name)))
            seen[name] += 1
            plans.append(
                Plan(
                    name=f"city-{number:02}",
                    trouble=trouble,
                    way=way,
                    format=name,
                    cls=classes[name],
                    protocol=("5", "3.1.1")[number % 2],
                    linger_s=LINGERS_S[number % len(LINGERS_S)],
                    tls=number % 4 == 1,
                    sensors="air-[0-5]" if number % 3 == 2 else "*",
                )
            )
    return plans
