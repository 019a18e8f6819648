"""At least ten thousand states that a power cut may leave, and rings that must not survive them."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.crash.checker import Figures, check_mutant, check_seeds
from tests.crash.mutants import MUTANTS, UNCAUGHT, Mutant

STATES = 10_000
SEEDS = 125
STATES_PER_SEED = 80
PARTS = 2
FIRST_SEED = 1
MUTANT_STATES = 3000
"""Any of them is caught long before."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.leaks  # multiprocessing keeps the pipe of its resource tracker for ever
def test_no_promise_is_broken_in_any_state() -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + SEEDS)
    figures = Figures()
    with ProcessPoolExecutor(PARTS, mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(check_seeds, seeds[part::PARTS], limit=STATES_PER_SEED)
            for part in range(PARTS)
        ]
        for part in parts:
            figures.add(part.result())
    assert [str(broken) for broken in figures.broken] == []
    assert figures.states >= STATES
    assert set(figures.kinds) == {"all", "none", "alone", "but_one", "sectors", "torn", "garbage"}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_bad_ring_is_caught(mutant: Mutant) -> None:
    states, broken = check_mutant(mutant, first_seed=FIRST_SEED, most=MUTANT_STATES)
    assert broken is not None, f"got away with {states} states"


def test_a_state_is_the_same_when_it_is_replayed() -> None:
    """A mutant's broken state breaks the same promise again, in the same words."""
    mutant = next(one for one in MUTANTS if one.name == "catalogue late")
    _, broken = check_mutant(mutant, first_seed=FIRST_SEED, most=MUTANT_STATES)
    assert broken is not None
    with mutant.applied():
        again = check_seeds([broken.seed], only=broken.number)
    assert again.broken == [broken]


@pytest.mark.parametrize("mutant", UNCAUGHT, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_what_is_not_caught_still_runs(mutant: Mutant) -> None:
    """Scrubbing guards against a block completed by a second accident: never seen to do harm.

    The states of this test do not show harm without it either; a failure here means that they now
    do, and that the mutant belongs to those that must be caught.
    """
    with mutant.applied():
        figures = check_seeds(range(4), limit=30)
    assert figures.states > 0
    assert [str(broken) for broken in figures.broken] == []
