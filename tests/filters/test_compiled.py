"""Interpreted and compiled, the hot filters do the same."""

import random
import types
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.filters import Environment, FilterOptions, Passed, parse_options
from gateway.filters.contract import Flow, Outbox, Place
from gateway.filters.siblings import Siblings
from gateway.filters.step import Step
from gateway.filters.window import Outlet
from gateway.filters.window_options import WindowOptions
from tests.filters.twin import HOT, load_twins

pytestmark = pytest.mark.timeout(300)

Twins = dict[str, tuple[ModuleType, ModuleType]]
SECOND_NS = 1_000_000_000
FIGURES = ["mean", "min", "max", "count", "last", "p50", "p95"]
CASES: list[tuple[str, Any]] = [
    ("range", {"min": -1, "max": 1}),
    ("range", {"max": 1, "action": "drop"}),
    ("rate", {"max": 0.5}),
    ("rate", {"max": 1, "per": "1 min", "action": "drop"}),
    ("deadband", 0.5),
    ("deadband", {"absolute": 0.1, "percent": 50, "heartbeat": "1 min"}),
    *(("spike", {"n": n, "sigmas": 1, "action": "replace"}) for n in (3, 7, 31)),
    ("spike", {"least": 0.5, "action": "drop"}),
    ("spike", {}),
    ("window", {"every": "1 min", "give": FIGURES}),
    ("window", {"every": "1 min", "give": FIGURES, "weight": "time", "keep_raw": True}),
    ("window", {"every": "1 h", "leave_out": "doubtful"}),
]


@pytest.fixture(scope="module")
def twins(compiled_modules: Path) -> Twins:
    return load_twins(compiled_modules)


def walk(seed: int, count: int = 3000) -> list[Passed]:
    rng = random.Random(seed)
    time_ns, value = 10**15, 0.0
    edges = [0.0, -0.0, 1e300, -1.7e308, 5e-324, 2.0, 2.0]
    fed = []
    for _ in range(count):
        time_ns += rng.choice([0, 1, SECOND_NS, SECOND_NS, 30 * SECOND_NS, -SECOND_NS])
        value = rng.gauss(0, 1) if rng.random() < 0.9 else rng.choice(edges)
        fed.append((time_ns, value, rng.choice([0, 0, 0, 1, 16])))
    return fed


class Stage:
    """One filter in a chain of two, with all around it, in one mode or the other."""

    def __init__(self, twins: Twins, mode: int, name: str, options: FilterOptions) -> None:
        self.offset_ns = 0
        environment = Environment(lambda time_ns: time_ns + self.offset_ns, lambda: True)
        self.outbox = Outbox()
        place = Place(Flow("air.pm25", "gauge", "ug/m3"), (), environment, Siblings(), self.outbox)
        module = twins[name][mode]
        filter_class = getattr(module, name.capitalize())
        made = filter_class(options)
        if isinstance(options, WindowOptions):
            made.enter(place)
            figures = options.figures(place.flow)
            made.connect([Outlet(figure, None, slot) for slot, figure in enumerate(figures)])
        limits = twins["range"][mode].Range(parse_options("range", {"max": 3}))
        steps = [Step(made, name), Step(limits, "range")]
        self.chain = twins["chain"][mode].Chain(steps, outbox=self.outbox)

    def run(self, fed: list[Passed]) -> list[Any]:
        out: list[Any] = []
        for number, reading in enumerate(fed):
            if number == len(fed) // 2:
                self.offset_ns = 1000 * SECOND_NS
            result = self.chain.apply(*reading)
            out.append(self.chain.dropped_by if result is None else result)
            if number % 7 == 0:
                self.chain.tick(reading[0])
            out += self.chain.pending
            self.chain.pending.clear()
        self.chain.close(None)
        out += self.chain.pending
        return out


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("name", "raw"), CASES, ids=[f"{name}-{raw}" for name, raw in CASES])
def test_both_modes_give_the_same_to_the_bit(twins: Twins, name: str, raw: Any, seed: int) -> None:
    fed = walk(seed)
    plain, compiled = (
        Stage(twins, mode, name, parse_options(name, raw)).run(fed) for mode in (0, 1)
    )
    assert len(plain) >= len(fed)
    assert list(map(repr, plain)) == list(map(repr, compiled))


@pytest.mark.parametrize("name", HOT)
def test_they_are_what_they_are_taken_for(twins: Twins, name: str) -> None:
    plain, compiled = (getattr(module, name.capitalize()) for module in twins[name])
    method = "apply" if name != "chain" else "_apply_all"
    assert isinstance(getattr(plain, method), types.FunctionType)
    assert not isinstance(getattr(compiled, method), types.FunctionType)
    assert Path(str(twins[name][1].__file__)).suffix == ".so"


@pytest.mark.parametrize("name", [each for each in HOT if each != "chain"])
def test_a_compiled_filter_has_all_that_a_filter_has(twins: Twins, name: str) -> None:
    compiled = getattr(twins[name][1], name.capitalize())
    assert compiled.name == name
    assert issubclass(compiled.Options, FilterOptions)
    assert compiled.thins == getattr(twins[name][0], name.capitalize()).thins
