"""SenML records as JSON text (RFC 8428 section 5)."""

import json
from collections.abc import Sequence
from decimal import Decimal

from gateway.forward.formats.senml_records import Base, Head, Writer

__all__ = ["JsonWriter", "number_text"]

US_PER_S = 1_000_000
PLAIN_FROM, PLAIN_TO = -7, 21
"""Powers of ten within which a decimal is written without an exponent."""


def number_text(value: float) -> str:
    """Return the shortest JSON that gives the same finite double; minus zero keeps its sign."""
    text = repr(value).removesuffix(".0")
    return text if text != "-0" else "-0.0"


class JsonWriter(Writer[str]):
    """Writes the pieces of a pack as text."""

    def head(self, name: str, unit: str, label: str) -> Head[str]:
        """Return ``{"n":"…","u":"…","v":``."""
        fields: dict[str, object] = {"n": name, "u": unit}
        fields = {key: text for key, text in fields.items() if text} | {label: 0}
        text = json.dumps(fields, separators=(",", ":")).removesuffix("0}")
        return Head(plain=text, timed=text)

    def number(self, value: float) -> str:
        """Return the shortest text that gives the same double."""
        return number_text(value)

    def decimal(self, value: Decimal) -> str:
        """Return all digits of a decimal, and no zeros that say nothing."""
        if not value:
            return "-0.0" if value.is_signed() else "0"
        value = value.normalize()
        if PLAIN_FROM <= value.adjusted() <= PLAIN_TO:
            return format(value, "f")
        return str(value)

    def boolean(self, value: bool) -> str:  # noqa: FBT001 - it is the value
        """Return ``true`` or ``false``."""
        return "true" if value else "false"

    def text(self, value: str) -> str:
        """Return a JSON string."""
        return json.dumps(value)

    def tail(self, us: int) -> str:
        """Return what ends a record ``us`` microseconds after the base time."""
        return f',"t":{_seconds(us)}}}' if us else "}"

    def based(self, base: Base, record: str) -> str:
        """Return the record with ``bn`` and the like in front."""
        fields: dict[str, object] = {"bver": base.version, "bn": base.name, "bu": base.unit}
        said = {key: value for key, value in fields.items() if value}
        text = json.dumps(said, separators=(",", ":"))[1:-1]
        time = f'"bt":{_seconds(base.time_us)}' if base.time_us else ""
        return f"{{{','.join(part for part in (text, time, record[1:]) if part)}"

    def pack(self, records: Sequence[str]) -> bytes:
        """Return an array of objects."""
        return f"[{','.join(records)}]".encode()


def _seconds(us: int) -> str:
    seconds, rest_us = divmod(us, US_PER_S)
    return f"{seconds}.{rest_us:06d}".rstrip("0") if rest_us else str(seconds)
