"""The part of the status page that tells of the links: how each does, and what leaves by it."""

from collections.abc import Mapping
from typing import Any

from gateway.observe.page_cells import ENGLISH, Sheet, plain
from gateway.observe.page_lists import definitions
from gateway.observe.page_texts import Words

__all__ = ["links_section"]

Document = Mapping[str, Any]


def links_section(links: Document, words: Words, sheet: Sheet) -> str:
    """Return one article a link; its state is on the article, too, for the colour of the row."""
    articles = (
        sheet.frame(
            f"link/{name}",
            _link(name, link, words, sheet),
            'article class="link"',
            data_state=link["state"],
        )
        for name, link in links.items()
    )
    return "".join(articles) or f"<p>{words('none_configured')}</p>"


def _link(name: str, link: Document, words: Words, sheet: Sheet) -> str:
    at = f"link/{name}"
    state = link["state"]
    badge = sheet.state(f"{at}/state", state, words.term("state", state))
    cause = words("cause", cause=link["cause"]) if link["cause"] else ""
    meaning = words.known_term("cause", link["cause"])
    oldest_s = link["oldest_pending_s"]
    dropped = (
        f"{words.term('drop', each)} {count}" for each, count in link["dropped"].items() if count
    )
    rows = (
        ("pending", str(link["pending"])),
        ("oldest", "" if oldest_s is None else words.age(oldest_s)),
        ("held", str(link["held"] or "")),
        ("acknowledged", str(link["acknowledged"])),
        ("dropped", ", ".join(dropped) or "0"),
    )
    error = "" if state == "online" else link["error"]
    return (
        f'<div class="row"><h3>{plain(name)}</h3>{badge}</div>'
        + sheet.cell(f"{at}/cause", cause, 'p class="wrong"')
        + sheet.cell(f"{at}/meaning", meaning, "p")
        + sheet.cell(f"{at}/error", error, f'p class="note" {ENGLISH}')
        + definitions(at, rows, words, sheet)
        + _leaves(name, link["leaves"], words)
    )


def _leaves(broker: str, leaves: Document | None, words: Words) -> str:
    if leaves is None:
        return ""
    how = [
        plain(leaves["destination"]),
        words("encrypted" if leaves["encrypted"] else "plain_text"),
        words("format", format=plain(leaves["format"])),
    ]
    if leaves["open"]:
        how.append(words("open"))
    sensors = "".join(
        f"<li><b>{plain(name)}</b>: {plain(', '.join(quantities))}</li>"
        for name, quantities in leaves["sensors"].items()
    )
    gone = f"<ul>{sensors}</ul>" if sensors else f"<p>{words('leaves_nothing')}</p>"
    names = plain(", ".join(leaves["withheld"]))
    kept = f"<p>{words('withheld_sensors', names=names)}</p>" if names else ""
    return (
        f'<details id="leaves/{plain(broker)}">'
        f"<summary>{words('leaves', broker=plain(broker))}</summary>"
        f"<p>{' · '.join(how)}</p>{gone}{kept}</details>"
    )
