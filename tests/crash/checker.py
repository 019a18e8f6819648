"""The power-cut checker: runs a buffer by a seed, cuts the power everywhere, and looks.

For each state that a cut may leave: open it with the real code, hold it against every promise, use
it, cut the power a second time, open and hold it again, and at last let every link have everything.
"""

import asyncio
import random
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.crash.memory import Change, FakeOs, Image
from tests.crash.mutants import Mutant
from tests.crash.power import RANDOM_KINDS, Cut, Tape, plan
from tests.crash.session import Geometry, Session, in_memory
from tests.crash.truth import Mark, Truth, Violation

__all__ = ["Broken", "Figures", "check_mutant", "check_seed", "check_seeds"]

LIVES = (1, 2, 3)
"""Lives of the recorded machine; the power is cut between them, too."""
ACTIONS = (25, 40)
SECOND_ACTIONS = 4
STATES_PER_MUTANT_SEED = 40


@dataclass(frozen=True, slots=True)
class Broken:
    """A state that broke a promise; seed and number replay it."""

    seed: int
    number: int
    cut: Cut
    kind: str
    detail: str

    def __str__(self) -> str:
        replay = f"make crash STATES=1 SEED={self.seed} STATE={self.number}"
        return f"{self.detail} [{self.cut.kind} after {self.cut.after}; {replay}]"


@dataclass(slots=True)
class Figures:
    """What was looked at."""

    states: int = 0
    recoveries: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    broken: list[Broken] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        """Take over what another run looked at."""
        self.states += other.states
        self.recoveries += other.recoveries
        self.kinds += other.kinds
        self.broken += other.broken


class _Segment(NamedTuple):
    """The record of one life: where it began, what it asked of the disk, and the truth at each."""

    base: Image
    changes: list[Change]
    marks: list[Mark]


class _State(NamedTuple):
    """What the device holds after a cut, what was known then, and the dice for what follows."""

    image: Image
    mark: Mark
    rng: random.Random


def check_seeds(seeds: Iterable[int], *, limit: int = 0, only: int = -1) -> Figures:
    """Look at the states of these seeds; see ``check_seed``."""

    async def run() -> None:
        with in_memory() as calls:
            for seed in seeds:
                calls.begin_anew()
                await check_seed(calls, seed, figures, limit=limit, only=only)

    figures = Figures()
    asyncio.run(run())
    return figures


def check_mutant(mutant: Mutant, *, first_seed: int, most: int) -> tuple[int, Broken | None]:
    """Look until the mutant breaks a promise that it must break, at ``most`` states at most.

    Returns how many states that took, and the first broken promise, or None: it got away.
    """
    states = 0
    seed = first_seed
    while states < most:
        with mutant.applied():
            figures = check_seeds([seed], limit=STATES_PER_MUTANT_SEED)
        caught = [one for one in figures.broken if one.kind in mutant.promises]
        if caught:
            return states + max(1, figures.states), caught[0]
        states += max(1, figures.states)
        seed += 1
    return states, None


async def check_seed(
    calls: FakeOs, seed: int, figures: Figures, *, limit: int = 0, only: int = -1
) -> None:
    """Look at every state of a seed's run, at ``limit`` of them, or at state ``only`` alone."""
    geometry = Geometry(random.Random(f"geometry {seed}"))
    with geometry.applied():
        try:
            segments = await _record(calls, geometry, random.Random(f"run {seed}"))
        except Violation as violation:
            run = Cut(-1, "run itself")
            figures.broken.append(Broken(seed, -1, run, violation.kind, str(violation)))
            return
        except Exception as error:  # noqa: BLE001 - whatever the buffer raises is a finding
            figures.broken.append(Broken(seed, -1, Cut(-1, "run itself"), "error", _where(error)))
            return
        pick = random.Random(f"plan {seed}")
        plans = [(one, list(plan(one.base, one.changes, pick))) for one in segments]
        total = sum(len(cuts) for _, cuts in plans)
        wanted = set(pick.sample(range(total), limit)) if 0 < limit < total else set(range(total))
        number = 0
        for segment, cuts in plans:
            tape = Tape(segment.base, segment.changes)
            for cut in cuts:
                if number == only or (only < 0 and number in wanted):
                    own = random.Random(f"state {seed} {number}")
                    state = _State(tape.state(cut, own), segment.marks[cut.after], own)
                    await _look(calls, geometry, state, figures, (seed, number, cut))
                number += 1


async def _record(calls: FakeOs, geometry: Geometry, rng: random.Random) -> list[_Segment]:
    """Run the machine; between its lives it is left in some state that a power cut may leave."""
    session = Session(calls, geometry, rng)
    segments: list[_Segment] = []
    lives = rng.choice(LIVES)
    while True:
        await session.boot()
        for _ in range(rng.randint(*ACTIONS)):
            await session.act()
        marks = [*session.marks, session.mark()]
        segments.append(_Segment(session.disk.base, session.disk.changes, marks))
        if len(segments) == lives:
            return segments
        tape = Tape(session.disk.base, session.disk.changes)
        image = tape.state(Cut(len(session.disk.changes), rng.choice(RANDOM_KINDS)), rng)
        session = Session(calls, geometry, rng, image=image)
        session.truth = Truth.after(marks[-1])


async def _look(
    calls: FakeOs,
    geometry: Geometry,
    state: _State,
    figures: Figures,
    which: tuple[int, int, Cut],
) -> None:
    figures.states += 1
    figures.kinds[which[2].kind] += 1
    try:
        await _check_state(calls, geometry, state, figures)
    except Violation as violation:
        figures.broken.append(Broken(*which, violation.kind, str(violation)))
    except Exception as error:  # noqa: BLE001 - whatever the buffer raises is a finding
        figures.broken.append(Broken(*which, "error", _where(error)))


def _where(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"error: {type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"


async def _check_state(calls: FakeOs, geometry: Geometry, state: _State, figures: Figures) -> None:
    rng = state.rng
    first = Session(calls, geometry, rng, image=state.image)
    first.truth = Truth.after(state.mark)
    figures.recoveries += 1
    await first.boot()
    first.append(rng.choice((1, 3, 40, 200)))
    for _ in range(rng.randrange(SECOND_ACTIONS)):
        await first.act()
    if rng.random() < 0.5:
        await first.flush()
    marks = [*first.marks, first.mark()]
    after = rng.randint(0, len(first.disk.changes))
    tape = Tape(first.disk.base, first.disk.changes)
    again = tape.state(Cut(after, rng.choice(RANDOM_KINDS)), rng)
    second = Session(calls, geometry, rng, image=again)
    second.truth = Truth.after(marks[after])
    figures.recoveries += 1
    await second.boot()
    second.append(rng.choice((1, 5, 30)))
    await second.flush()
    await second.drain()
