"""What people read about the data: for the open data catalogue and the sign on the pole."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from gateway.config.model.words import Email, Prose, Section
from gateway.config.refusal import Refusal

__all__ = ["CatalogueSection"]

LINK_SCHEMES = ("http", "https")


def _link(url: str) -> str:
    """Refuse what no reader of a catalogue could follow."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in LINK_SCHEMES and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:  # brackets that do not match
        good = False
    if url and not (good and url.isprintable() and not set(url) & set(' <>"{}|\\^`')):
        raise Refusal("is no address of a web page", allowed="https://host/path")
    return url


Link = Annotated[str, AfterValidator(_link)]


class CatalogueSection(Section):
    """Who publishes the data and on what terms; `describe` says what is missing for what."""

    title: Prose = Field(
        default="", description="Name of the data set.", examples=["Air and traffic at Dokk1"]
    )
    description: Prose = Field(
        default="",
        description="A few sentences about it.",
        examples=["Particulate matter and vehicle counts at the harbour front, live."],
    )
    publisher: Prose = Field(
        default="", description="Who publishes it.", examples=["Aarhus City Lab"]
    )
    publisher_url: Link = Field(
        default="", description="Their page.", examples=["https://citylab.example.org"]
    )
    contact: Email = Field(
        default="",
        description="Where questions go.",
        examples=["citylab@example.org"],
    )
    licence: Link = Field(
        default="",
        description="Address of the licence.",
        examples=["http://publications.europa.eu/resource/authority/licence/CC_BY_4_0"],
    )
    keywords: tuple[Prose, ...] = Field(default=(), description="Words to find it by.")
    language: Literal["da", "en", "de", "nl", "no", "sv", "fi", "fr", "es"] = Field(
        default="en", description="Language of title and description."
    )
    page: Link = Field(
        default="",
        description="Page about the data; the sign on the pole points there.",
        examples=["https://citylab.example.org/dokk1"],
    )
    hvd_categories: tuple[Link, ...] = Field(
        default=(),
        description="Categories of high-value data sets (EU 2023/138), if the publisher says that "
        "this is one.",
    )
