"""Reads and computes arithmetic that somebody wrote into a configuration; nothing is evaluated.

    sum     := product (("+" | "-") product)*
    product := signed (("*" | "/") signed)*
    signed  := ("+" | "-") signed | power
    power   := atom ("**" signed)?
    atom    := number | "x" | quantity in quotes | function "(" sum ("," sum)* ")" | "(" sum ")"

The text becomes a tree of small functions of the values. Length, depth and number of terms are
bounded, there are no loops and no names but those above, so the time to compute it is bounded, too.
All is done in doubles: there are no large integers and no complex numbers.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["FUNCTIONS", "MAX_DEPTH", "MAX_LENGTH", "MAX_TERMS", "Formula", "parse_formula"]

MAX_LENGTH = 500
"""Characters."""
MAX_DEPTH = 20
"""Brackets, signs and powers inside one another."""
MAX_TERMS = 100
"""Numbers, values and functions."""
MAX_ARGUMENTS = 8

Term = Callable[[Sequence[float]], float]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'"
    r"|(?P<sign>\*\*|[-+*/(),]))",
    re.ASCII,
)


def _log(value: float) -> float:
    return math.log(value)


FUNCTIONS: dict[str, tuple[Callable[..., float], int, int]] = {
    "abs": (abs, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "exp": (math.exp, 1, 1),
    "log": (_log, 1, 1),
    "log10": (math.log10, 1, 1),
    "min": (min, 2, MAX_ARGUMENTS),
    "max": (max, 2, MAX_ARGUMENTS),
}
"""Name -> the function, and how many values it takes at least and at most."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula of x and of other quantities."""

    quantities: tuple[str, ...]
    """The other quantities, in the order in which ``compute`` takes their values behind x."""
    uses_x: bool
    term: Term

    def compute(self, values: Sequence[float]) -> float | None:
        """Return the result for x and the other values; None where there is no finite one."""
        try:
            result = self.term(values)
        except (ArithmeticError, ValueError):  # division by zero, a root of -1, an overflow
            return None
        return result if math.isfinite(result) else None


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


def parse_formula(text: str) -> Formula:
    """Read a formula. ValueError, which says what is wrong and where, if it is none."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"has {len(text)} characters, at most {MAX_LENGTH}")
    return _Parser(_tokens(text)).formula()


def _tokens(text: str) -> list[_Token]:
    found = []
    place = 0
    stop = len(text.rstrip())
    while place < stop:
        match = _TOKEN.match(text, place)
        if match is None:
            bad = text[place:].lstrip()[0]
            raise ValueError(
                f"does not know {bad!r} at character {stop - len(text[place:].strip()) + 1}"
            )
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind], match.start(kind) + 1))
        place = match.end()
    return found


class _Parser:
    """Recursive descent; the depth is counted."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._terms = 0
        self._quantities: list[str] = []
        self._uses_x = False

    def formula(self) -> Formula:
        if not self._tokens:
            raise ValueError("is empty")
        term = self._sum()
        if self._at < len(self._tokens):
            raise self._unexpected()
        return Formula(tuple(self._quantities), self._uses_x, term)

    def _unexpected(self) -> ValueError:
        if self._at >= len(self._tokens):
            return ValueError("ends too early")
        token = self._tokens[self._at]
        return ValueError(f"does not expect {token.text!r} at character {token.place}")

    def _take(self, *signs: str) -> str:
        """Return the next token if it is one of these signs, and go on; else nothing."""
        if self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.kind == "sign" and token.text in signs:
                self._at += 1
                return token.text
        return ""

    def _sum(self) -> Term:
        term = self._product()
        while sign := self._take("+", "-"):
            term = _add(term, self._product()) if sign == "+" else _subtract(term, self._product())
        return term

    def _product(self) -> Term:
        term = self._signed()
        while sign := self._take("*", "/"):
            term = _multiply(term, self._signed()) if sign == "*" else _divide(term, self._signed())
        return term

    def _signed(self) -> Term:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"has more than {MAX_DEPTH} brackets, signs or powers in one another")
        sign = self._take("+", "-")
        if sign:
            inner = self._signed()
            term = _negate(inner) if sign == "-" else inner
        else:
            term = self._atom()
            if self._take("**"):
                term = _power(term, self._signed())
        self._depth -= 1
        return term

    def _atom(self) -> Term:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise ValueError(f"has more than {MAX_TERMS} numbers, values and functions")
        if self._take("("):
            term = self._sum()
            self._close()
            return term
        if self._at >= len(self._tokens):
            raise self._unexpected()
        token = self._tokens[self._at]
        if token.kind == "sign":
            raise self._unexpected()
        self._at += 1
        if token.kind == "number":
            return self._number(token)
        if token.kind == "name":
            return self._name(token)
        return self._quantity(token.text)

    def _close(self) -> None:
        if not self._take(")"):
            raise self._unexpected()

    def _number(self, token: _Token) -> Term:
        number = float(token.text)
        if not math.isfinite(number):
            raise ValueError(f"has a number that is too large at character {token.place}")
        return lambda _values: number

    def _name(self, token: _Token) -> Term:
        if token.text == "x":
            self._uses_x = True
            return lambda values: values[0]
        if token.text not in FUNCTIONS:
            known = ", ".join(["x", *FUNCTIONS])
            raise ValueError(
                f"does not know {token.text!r} at character {token.place}; there are {known}, and "
                "quantities in quotes"
            )
        function, least, most = FUNCTIONS[token.text]
        if not self._take("("):
            raise self._unexpected()
        arguments = [self._sum()]
        while self._take(","):
            arguments.append(self._sum())
        self._close()
        if not least <= len(arguments) <= most:
            raise ValueError(f"{token.text} takes {least} to {most} values, not {len(arguments)}")
        if len(arguments) == 1:
            only = arguments[0]
            return lambda values: function(only(values))
        return lambda values: function(*[each(values) for each in arguments])

    def _quantity(self, name: str) -> Term:
        if name not in self._quantities:
            self._quantities.append(name)
        index = self._quantities.index(name) + 1
        return lambda values: values[index]


def _add(first: Term, second: Term) -> Term:
    return lambda values: first(values) + second(values)


def _subtract(first: Term, second: Term) -> Term:
    return lambda values: first(values) - second(values)


def _multiply(first: Term, second: Term) -> Term:
    return lambda values: first(values) * second(values)


def _divide(first: Term, second: Term) -> Term:
    return lambda values: first(values) / second(values)


def _negate(inner: Term) -> Term:
    return lambda values: -inner(values)


def _power(base: Term, exponent: Term) -> Term:
    return lambda values: math.pow(base(values), exponent(values))
