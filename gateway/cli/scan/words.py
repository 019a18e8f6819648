"""What was found, as text for people and as JSON for programs."""

import json
import shutil
import textwrap
from collections.abc import Sequence

from gateway.cli.scan.advice import advice
from gateway.cli.scan.hearing import Fit, Values
from gateway.cli.scan.listen import Found
from gateway.quantities import registry
from gateway.transports.serial_opening import line_text

__all__ = ["Words", "document", "terminal_width", "value_lines", "wrapped"]

MAX_WIDTH = 100
PRINTABLE_SHARE = 0.9
"""From this share of printable characters on bytes are shown as text."""
SHOWN_BYTES = 24
MAX_SHOWN = 6
MAX_DEVICES = 4
"""Of one bus so many are shown with their values; --json has all."""
MAX_NAMED = 32
GLUE = "\N{NO-BREAK SPACE}"
ASK = (
    "A device that only answers, or wants to be set up first, is found with --probe, which writes "
    "to it."
)
SILENT = (
    "Where nothing was heard: has the device power, does its TX lead to our RX? One that speaks "
    'seldom is heard with --listen "70 s".'
)
RECORD = (
    'What it says can be taken home: citylab-gateway record --port PORT --line "9600 8N1" '
    '--output new.jsonl --for "2 min"'
)


def document(found: Found) -> dict[str, object]:
    """Return one port for JSON."""
    port = found.port
    return {
        "port": port.path,
        "device": port.device,
        "vendor": port.vendor,
        "product": port.product,
        "usb_id": port.usb_id,
        "state": found.state,
        "error": found.error,
        "received_bytes": found.received_bytes,
        "heard": {line_text(line): data.hex() for line, data in found.samples.items()},
        "fits": [fit.document for fit in found.best],
    }


class Words:
    """Text for a terminal of any width; ``drivers`` names those that were tried, if not all."""

    def __init__(self, drivers: Sequence[str] = ()) -> None:
        self._drivers = drivers
        self._width = terminal_width()

    def text(self, found: Found) -> str:
        """Return the lines about one port."""
        lines = self._title(found)
        read = [fit for fit in found.best if fit.understood]
        for number, fit in enumerate(read[:MAX_DEVICES]):
            lines += self._fit(fit, first=number == 0)
        rest = read[MAX_DEVICES:]
        if rest:
            lines += self._wrapped(f"and {len(rest)} more: {_named(rest)}")
        if unread := [fit for fit in found.best if not fit.understood]:
            lines += self._wrapped(f"without a reading: {_named(unread)}")
        if not found.best:
            lines += self._nothing(found)
        return "\n".join(lines)

    def hint(self, found: Sequence[Found], *, probed: bool) -> str:
        """Return what to do about ports that were not recognised; empty if all were."""
        states = {each.state for each in found}
        hints = []
        if "silent" in states:
            hints.append(SILENT)
        if not probed and states & {"silent", "unknown"}:
            hints.append(ASK)
        if "unknown" in states:
            hints.append(RECORD)
        return "".join(f"\n{line}" for hint in hints for line in textwrap.wrap(hint, self._width))

    def _title(self, found: Found) -> list[str]:
        port = found.port
        words = (port.vendor, port.product, f"[{port.usb_id}]" if port.usb_id else "")
        what = " ".join(word for word in words if word)
        title = f"{port.path}  {what}".rstrip()
        return [title] if len(title) <= self._width else [port.path, f"  {what}"]

    def _fit(self, fit: Fit, *, first: bool) -> list[str]:
        either = "" if first or fit.options else "or "
        lines = [
            f"  {either}{fit.driver} at {line_text(fit.line)}, confidence {fit.confidence:.0%}"
        ]
        if fit.options:
            lines.append(f"    options = {_options(fit)}")
        if not fit.values:
            return [*lines, "    no values yet"]
        return lines + value_lines(fit.values, self._width)

    def _nothing(self, found: Found) -> list[str]:
        if found.state == "silent":
            return ["  says nothing by itself"]
        if found.state == "unknown":
            return self._unknown(found)
        lines = [f"  cannot be read: {found.error}"]
        help_ = advice(found.port.device or found.port.path, found.error)
        return lines + self._wrapped(help_) if help_ else lines

    def _unknown(self, found: Found) -> list[str]:
        tried = f"{' and '.join(self._drivers)} cannot make sense of it" if self._drivers else ""
        lines = [f"  speaks, and {tried or 'no driver understands it'}"]
        for line, data in found.samples.items():
            if _is_text(data):
                return [*lines, f"    at {line_text(line)}: {_quoted(data)}"]
        for line, data in list(found.samples.items())[:1]:
            lines.append(f"    at {line_text(line)}: {data[:SHOWN_BYTES].hex(' ')}")
        return lines

    def _wrapped(self, text: str) -> list[str]:
        return wrapped(text, self._width)


def terminal_width() -> int:
    """Return how wide lines of text may be."""
    return min(MAX_WIDTH, shutil.get_terminal_size().columns)


def wrapped(text: str, width: int) -> list[str]:
    """Return indented lines."""
    indent = "    "
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def value_lines(values: Values, width: int) -> list[str]:
    """Return indented lines with the first values; a value and its unit stay on one line."""
    texts = _value_texts(values)
    left = len(texts) - MAX_SHOWN
    text = ", ".join(each.replace(" ", GLUE) for each in texts[:MAX_SHOWN])
    more = f" and {left} more" if left > 0 else ""
    return [line.replace(GLUE, " ") for line in wrapped(text + more, width)]


def _options(fit: Fit) -> str:
    inside = ", ".join(f"{key} = {json.dumps(value)}" for key, value in fit.options.items())
    return f"{{ {inside} }}"


def _named(fits: Sequence[Fit]) -> str:
    return ", ".join(f"{fit.driver} {_options(fit)}" for fit in fits[:MAX_NAMED])


def _value_texts(values: Values) -> list[str]:
    return [
        f"{quantity}{''.join(f' {key}={word}' for key, word in dims)} "
        f"{value:.6g} {registry()[quantity].ucum}"
        for (quantity, dims), value in values.items()
    ]


def _is_text(data: bytes) -> bool:
    return sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in data) >= PRINTABLE_SHARE * len(
        data
    )


def _quoted(data: bytes) -> str:
    return json.dumps(data[:SHOWN_BYTES].decode("ascii", "replace"))
