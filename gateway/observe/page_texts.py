"""The texts of the status page in its languages, from one catalogue: ``assets/texts.toml``."""

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from math import floor, log10
from typing import Any

__all__ = ["DEFAULT_LANGUAGE", "LANGUAGES", "Words", "chosen_language"]

LANGUAGES: Mapping[str, str] = {"en": "English", "da": "Dansk"}
"""Code -> what its own speakers call it; the first is taken where nobody asks for one of them."""
DEFAULT_LANGUAGE = "en"
DIGITS = 10
ROUGH_DIGITS = 3
MAX_OFFERS = 16
"""Of an Accept-Language header; nobody speaks more."""
_DECIMAL_COMMA = frozenset({"da"})

_CATALOGUE: Mapping[str, Any] = tomllib.loads(
    files("gateway.observe").joinpath("assets/texts.toml").read_text(encoding="utf-8")
)


def chosen_language(query: str, accept: str) -> str:
    """Return the language of a request: what its switch says, else what its browser likes most.

    ``query`` is what stands behind the question mark, ``accept`` is Accept-Language (RFC 9110).
    """
    for part in query.split("&"):
        key, _, value = part.partition("=")
        if key == "lang" and value in LANGUAGES:
            return value
    best, most = DEFAULT_LANGUAGE, 0.0
    for offer in accept.split(",", MAX_OFFERS)[:MAX_OFFERS]:
        tag, _, weight = offer.replace(" ", "").partition(";q=")
        language = tag.lower().partition("-")[0]
        quality = _quality(weight)
        if language in LANGUAGES and quality > most:
            best, most = language, quality
    return best


def _quality(weight: str) -> float:
    if not weight:
        return 1.0
    return float(weight) if re.fullmatch(r"[01](\.[0-9]{0,3})?", weight) else 0.0


def _pattern(sentence: str) -> re.Pattern[str]:
    """Return what recognises a sentence, with its gaps as named groups."""
    parts = re.split(r"\{(\w+)\}", sentence)
    return re.compile(
        "".join(
            f"(?P<{part}>.+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
        )
    )


_REASONS = tuple((_pattern(each["en"]), each) for each in _CATALOGUE["reason"])


class Words:
    """The texts of one language, and how it writes numbers and ages."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._words = {key: texts[language] for key, texts in _CATALOGUE["word"].items()}

    def __call__(self, key: str, **gaps: object) -> str:
        """Return a text with its gaps filled; KeyError if the catalogue has none of that key."""
        text: str = self._words[key]
        return text.format(**gaps) if gaps else text

    def term(self, kind: str, name: str) -> str:
        """Return the word for a state, a flag and the like; one that is not known, as it is."""
        return self.known_term(kind, name) or name

    def known_term(self, kind: str, name: str) -> str:
        """Return the word or sentence for a name, empty for one that is not known."""
        texts = _CATALOGUE[kind].get(name)
        return "" if texts is None else str(texts[self.language])

    def reason(self, sentence: str) -> tuple[str, bool]:
        """Return a sentence of health, and whether it is in this language now."""
        if self.language == DEFAULT_LANGUAGE:
            return sentence, True
        for pattern, texts in _REASONS:
            found = pattern.fullmatch(sentence)
            if found is not None:
                return str(texts[self.language]).format(**found.groupdict()), True
        return sentence, False

    def decimals(self, text: str) -> str:
        """Write the decimal sign of a number as this language does."""
        return text.replace(".", ",") if self.language in _DECIMAL_COMMA else text

    def number(self, value: float, digits: int = DIGITS) -> str:
        """Return a number with so many digits at most, never as a power of ten if it is large."""
        if value and abs(value) >= 10**digits:
            return self.decimals(f"{value:.0f}")
        return self.decimals(f"{value:.{digits}g}")

    def rough(self, value: float, digits: int = ROUGH_DIGITS) -> str:
        """Return a number with few digits, or all that stand before the decimal sign."""
        before = floor(log10(abs(value))) + 1 if value else 1
        return self.number(value, max(digits, before))

    def bounds(self, low: float, high: float) -> tuple[str, str]:
        """Return two numbers, with as many digits as it takes to tell them apart."""
        for digits in range(ROUGH_DIGITS, DIGITS):
            texts = self.rough(low, digits), self.rough(high, digits)
            if texts[0] != texts[1]:
                return texts
        return self.number(low), self.number(high)

    def age(self, seconds: float) -> str:
        """Return a length of time, coarser the longer it is."""
        for limit, size, unit in (
            (120, 1, "age_second"),
            (7200, 60, "age_minute"),
            (172_800, 3600, "age_hour"),
        ):
            if seconds < limit:
                return self(unit, count=f"{seconds / size:.0f}")
        return self("age_day", count=f"{seconds / 86400:.0f}")

    def ago(self, seconds: float | None) -> str:
        """Return when something was; None: not since the start."""
        return self("before_start") if seconds is None else self("ago", age=self.age(seconds))
