"""Lists of terms with their values, as several parts of the status page have them."""

from collections.abc import Iterable

from gateway.observe.page_cells import Sheet
from gateway.observe.page_texts import Words

__all__ = ["definitions", "utc"]


def definitions(at: str, rows: Iterable[tuple[str, str]], words: Words, sheet: Sheet) -> str:
    """Return terms (keys of the catalogue) with their values; one without a value is not seen."""
    lines = (
        f"<div><dt>{words(key)}</dt>{sheet.cell(f'{at}/{key}', text, 'dd')}</div>"
        for key, text in rows
    )
    return f"<dl>{''.join(lines)}</dl>"


def utc(text: str | None) -> str:
    """Return a time of the status document as people read it; in UTC, as everywhere."""
    return "" if text is None else text.replace("T", " ").replace("Z", " UTC")
