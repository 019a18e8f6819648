import math
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters.formula import MAX_DEPTH, MAX_LENGTH, MAX_TERMS, parse_formula

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
SAFE = {"abs": abs, "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "log10": math.log10}


def trees() -> st.SearchStrategy[str]:
    """Draw texts that Python reads in the same way."""
    leaves = st.one_of(st.just("x"), st.integers(0, 99).map(str), st.just("1.5e1"), st.just(".5"))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from([" + ", "-", " * ", "/", "**"]), inner).map("".join),
            inner.map(lambda text: f"({text})"),
            inner.map(lambda text: f"-{text}"),
            st.tuples(st.sampled_from(list(SAFE)), inner).map(lambda both: f"{both[0]}({both[1]})"),
            st.tuples(inner, inner).map(lambda both: f"min({both[0]}, {both[1]})"),
        ),
        max_leaves=8,
    )


@given(text=trees(), x=NUMBERS)
def test_it_computes_what_python_would_in_doubles(text: str, x: float) -> None:
    formula = parse_formula(text)
    found = formula.compute([x])
    try:
        # Python's own reading of the text, in this test only, of text that this test made up.
        whole = {**SAFE, "min": min, "x": x, "__builtins__": {}}
        expected = eval(text.replace("1.5e1", "15."), whole)
    except (ArithmeticError, ValueError):
        return  # where integers and doubles may differ in how they fail
    if isinstance(expected, complex) or not math.isfinite(float_of(expected)):
        assert found is None
    elif found is None:
        assert abs(float_of(expected)) > 1e300 or expected == 0 or "/" in text or "**" in text
    else:
        assert found == pytest.approx(float_of(expected), rel=1e-6, abs=1e-9)


def float_of(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("x / (1 + 0.25 * ('air.humidity' / 100) ** 2)", [20.0, 80.0], 20 / 1.16),
        ('x - 0.1*"air.temperature" + "air.humidity"*"air.temperature"', [1.0, 2.0, 3.0], 6.8),
        ("-2 ** 2", [0.0], -4.0),
        ("2 ** -1 ** 2", [0.0], 0.5),
        ("2 ** 3 ** 2", [0.0], 512.0),
        ("1 - 2 - 3", [0.0], -4.0),
        ("8 / 4 / 2", [0.0], 1.0),
        ("max(x, 1, 2) - min(3, x)", [5.0], 2.0),
        (" +x ", [5.0], 5.0),
    ],
)
def test_the_rules_of_arithmetic_hold(text: str, values: list[float], expected: float) -> None:
    assert parse_formula(text).compute(values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "x"),
    [
        ("1 / x", 0.0),
        ("sqrt(x)", -1.0),
        ("log(x)", 0.0),
        ("x ** 0.5", -8.0),
        ("exp(x)", 1e6),
        ("x * x", 1e200),
        ("9 ** 9 ** 9 ** 9", 1.0),
        ("0 ** x", -1.0),
    ],
)
def test_where_there_is_no_result_it_says_so(text: str, x: float) -> None:
    assert parse_formula(text).compute([x]) is None


HOSTILE = [
    "",
    " ",
    "x +",
    "* x",
    "(x",
    "x)",
    "x x",
    "2 x",
    "x, x",
    "min(x)",
    "sqrt()",
    "sqrt(x, x)",
    "sqrt",
    "y",
    "x.real",
    "x[0]",
    "x if x else 1",
    "lambda: x",
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "open('/etc/passwd')",
    "exec('1')",
    "[x for x in (1,)]",
    "x := 1",
    "x = 1",
    "x; x",
    "x\n@",
    "x # comment",
    "0x10",
    "1_000",
    "1j",
    "1e999",
    "x & 1",
    "x << 9",
    "x // 2",
    "x % 2",
    "x == 1",
    "'air.humidity",
    "f'{x}'",
    "\x00",
    "x\u00a0+ 1",
    "\u0663 + x",
    "х",  # noqa: RUF001 - a Cyrillic letter
    "(" * 200 + "x" + ")" * 200,
    "-" * 200 + "x",
    "x" + "**x" * 100,
    "+".join(["x"] * (MAX_TERMS + 1)),
    "sqrt(" * 50 + "x" + ")" * 50,
    "1" * (MAX_LENGTH + 1),
    "x + " * 1_000_000 + "x",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:30]))
def test_hostile_text_is_refused_at_once(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"\w"):
        parse_formula(text)
    assert time.monotonic() - began < 5  # a hang, not a pace


@given(text=st.text(st.sampled_from("x'\"().,+-*/ 0123456789eEsqrtminabs_\n\t\\"), max_size=80))
def test_any_text_is_a_formula_or_a_plain_refusal(text: str) -> None:
    try:
        formula = parse_formula(text)
    except ValueError:
        return
    values = [1.0] * (1 + len(formula.quantities))
    result = formula.compute(values)
    assert result is None or math.isfinite(result)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_largest_that_is_allowed_is_quick(seed: int) -> None:
    rng = random.Random(seed)
    deep = "(" * (MAX_DEPTH - 1) + "x" + ")" * (MAX_DEPTH - 1)
    wide = "".join(rng.choice(["+", "-", "*", "/", "**"]) + "x" for _ in range(12))
    formula = parse_formula(deep + wide)
    for _ in range(1000):
        formula.compute([rng.uniform(-9, 9)])


def test_numbers_of_many_digits_are_doubles() -> None:
    assert parse_formula("1" * 300 + " * 0 + x").compute([2.0]) == 2.0
