"""Style and script of the status page: files beside this module, served under their own mark."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2s
from importlib.resources import files

__all__ = ["CONTENT_SECURITY_POLICY", "CSS", "FILES", "JS", "PageFile", "address_of"]

MARK_BYTES = 8

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file: its path on the server, its media type and its bytes."""

    path: str
    kind: str
    body: bytes
    mark: str
    """Changes with the content, so that a browser may keep the file for ever."""


def _read(name: str, kind: str) -> PageFile:
    body = files("gateway.observe").joinpath(f"assets/{name}").read_bytes()
    return PageFile(f"/{name}", kind, body, blake2s(body, digest_size=MARK_BYTES).hexdigest())


CSS = _read("page.css", "text/css; charset=utf-8")
JS = _read("page.js", "text/javascript; charset=utf-8")
FILES: Mapping[str, PageFile] = {each.path: each for each in (CSS, JS)}


def address_of(file: PageFile) -> str:
    """Return the address of a file as the page names it."""
    return f"{file.path.removeprefix('/')}?{file.mark}"
