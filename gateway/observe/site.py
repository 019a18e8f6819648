"""What the HTTP server answers: one function from a request to an answer, no connection in it."""

import gzip
import hmac
import json
import logging
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.observe.health import health
from gateway.observe.metrics import MetricsPage
from gateway.observe.page_files import CONTENT_SECURITY_POLICY, FILES, PageFile
from gateway.observe.page_texts import chosen_language
from gateway.observe.pages import Pages
from gateway.observe.status import live_document
from gateway.observe.view import Look, View

__all__ = ["EVENT_STREAM", "Answer", "Site", "Stream"]

AUDIT = logging.getLogger("citylab_gateway.audit")

Headers = Mapping[bytes, bytes]
"""Lower-case names, as h11 gives them."""
GZIP_FROM_BYTES = 1024
"""A scrape of ten sensors shrinks to a tenth, which counts on a mobile link."""
GZIP_LEVEL = 1
COMMON_HEADERS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("Vary", "Accept, Accept-Encoding, Accept-Language, Authorization"),
    ("X-Content-Type-Options", "nosniff"),
)
FRESH = ("Cache-Control", "no-store")
FOR_EVER = ("Cache-Control", "private, max-age=31536000, immutable")
"""Of a file whose address changes with its content."""
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status code, headers without length and connection, and the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """The answer that goes on: the page in one language, as it changes."""

    headers: tuple[tuple[str, str], ...]
    language: str


class Site:
    """/, /events, /status.json, /metrics, /healthz, /readyz; with a token none without it.

    The token comes as ``Authorization: Bearer``, as Prometheus sends it, or as the password of
    ``Basic`` with any user name, which is what a browser on a phone can ask for.
    """

    def __init__(self, look: Look, pages: Pages, *, token: str = "") -> None:
        self._look = look
        self._pages = pages
        self._metrics = MetricsPage(look)
        self._token = token.encode()

    def answer(self, method: str, target: str, headers: Headers) -> Answer | Stream:
        """Return the answer to one request."""
        if not self._may_enter(headers.get(b"authorization", b"")):
            return _text(
                401,
                "a token is needed\n",
                ("WWW-Authenticate", 'Bearer, Basic realm="citylab-gateway", charset="UTF-8"'),
            )
        if method not in ("GET", "HEAD"):
            return _text(405, "only GET and HEAD\n", ("Allow", "GET, HEAD"))
        path, _, query = target.partition("?")
        if path == "/events":
            return _events(method, _language(query, headers))
        answer = self._page(path, query, headers)
        if len(answer.body) >= GZIP_FROM_BYTES and _takes_gzip(headers):
            body = gzip.compress(answer.body, GZIP_LEVEL, mtime=0)
            answer = Answer(answer.status, (*answer.headers, ("Content-Encoding", "gzip")), body)
        return answer

    def _page(self, path: str, query: str, headers: Headers) -> Answer:
        if path == "/metrics":
            accept = headers.get(b"accept", b"").decode("latin-1")
            body, kind = self._metrics.render(accept)
            return _answer(200, kind, body)
        if path in JUDGED:
            is_well, lines = JUDGED[path](self._look())
            return _text(200 if is_well else 503, "\n".join(lines) + "\n")
        if path == "/status.json":
            body = json.dumps(live_document(self._look()), allow_nan=False).encode()
            return _answer(200, "application/json", body)
        if path == "/":
            language = _language(query, headers)
            body = self._pages.now(language).html.encode()
            return _answer(200, HTML, body, ("Content-Language", language))
        file = FILES.get(path)
        if file is not None:
            return _file(file, query)
        return _text(404, "there are /, /events, /status.json, /metrics, /healthz and /readyz\n")

    def _may_enter(self, authorization: bytes) -> bool:
        if not self._token:
            return True
        scheme, _, credentials = authorization.partition(b" ")
        offered = b""
        if scheme.lower() == b"bearer":
            offered = credentials.strip()
        elif scheme.lower() == b"basic":
            try:
                offered = b64decode(credentials.strip(), validate=True).partition(b":")[2]
            except Base64Error:
                offered = b""
        is_right = hmac.compare_digest(offered, self._token)
        if offered and not is_right:  # a browser asks without one first; that is no trial
            AUDIT.warning(
                "the status page refused a request with a wrong token",
                extra={"event": "token-refused"},
            )
        return is_right


def _alive(view: View) -> tuple[bool, tuple[str, ...]]:
    verdict = health(view)
    return verdict.state != "failing", (verdict.state, *verdict.reasons)


def _ready(view: View) -> tuple[bool, tuple[str, ...]]:
    return not view.not_ready, ("not ready", *view.not_ready) if view.not_ready else ("ready",)


JUDGED = {"/healthz": _alive, "/readyz": _ready}
"""What monitors ask: whether it is so, and the lines that say why."""


def _takes_gzip(headers: Headers) -> bool:
    for offer in headers.get(b"accept-encoding", b"").lower().split(b","):
        coding, _, quality = offer.replace(b" ", b"").partition(b";")
        if coding == b"gzip":
            return quality not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


def _language(query: str, headers: Headers) -> str:
    return chosen_language(query, headers.get(b"accept-language", b"").decode("latin-1"))


def _events(method: str, language: str) -> Answer | Stream:
    if method == "HEAD":
        return _answer(200, EVENT_STREAM, b"")
    return Stream((("Content-Type", EVENT_STREAM), FRESH, *COMMON_HEADERS), language)


def _file(file: PageFile, query: str) -> Answer:
    caching = FOR_EVER if query == file.mark else FRESH
    return Answer(200, (("Content-Type", file.kind), caching, *COMMON_HEADERS), file.body)


def _answer(status: int, kind: str, body: bytes, *more: tuple[str, str]) -> Answer:
    return Answer(status, (("Content-Type", kind), *more, FRESH, *COMMON_HEADERS), body)


def _text(status: int, text: str, *more: tuple[str, str]) -> Answer:
    return _answer(status, TEXT, text.encode(), *more)
