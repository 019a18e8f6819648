"""What the HTTP server answers: one function from a request to an answer, no connection in it."""

import gzip
import hmac
import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.observe.health import health
from gateway.observe.metrics import MetricsPage
from gateway.observe.page import CONTENT_SECURITY_POLICY, page
from gateway.observe.status import live_document
from gateway.observe.view import Look

__all__ = ["Answer", "Site"]

Headers = Mapping[bytes, bytes]
"""Lower-case names, as h11 gives them."""
GZIP_FROM_BYTES = 1024
"""A scrape of ten sensors shrinks to a tenth, which counts on a mobile link."""
GZIP_LEVEL = 1
COMMON_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("Vary", "Accept, Accept-Encoding, Authorization"),
    ("X-Content-Type-Options", "nosniff"),
)
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status code, headers without length and connection, and the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Site:
    """/, /status.json, /metrics and /healthz; with a token none of them answers without it.

    The token comes as ``Authorization: Bearer``, as Prometheus sends it, or as the password of
    ``Basic`` with any user name, which is what a browser on a phone can ask for.
    """

    def __init__(self, look: Look, *, token: str = "") -> None:
        self._look = look
        self._metrics = MetricsPage(look)
        self._token = token.encode()

    def answer(self, method: str, target: str, headers: Headers) -> Answer:
        """Return the answer to one request."""
        if not self._may_enter(headers.get(b"authorization", b"")):
            return _text(
                401,
                "a token is needed\n",
                ("WWW-Authenticate", 'Bearer, Basic realm="citylab-gateway", charset="UTF-8"'),
            )
        if method not in ("GET", "HEAD"):
            return _text(405, "only GET and HEAD\n", ("Allow", "GET, HEAD"))
        answer = self._page(target.partition("?")[0], headers)
        if len(answer.body) >= GZIP_FROM_BYTES and _takes_gzip(headers):
            body = gzip.compress(answer.body, GZIP_LEVEL, mtime=0)
            answer = Answer(answer.status, (*answer.headers, ("Content-Encoding", "gzip")), body)
        return answer

    def _page(self, path: str, headers: Headers) -> Answer:
        if path == "/metrics":
            accept = headers.get(b"accept", b"").decode("latin-1")
            body, kind = self._metrics.render(accept)
            return _answer(200, kind, body)
        if path == "/healthz":
            verdict = health(self._look())
            lines = "\n".join((verdict.state, *verdict.reasons))
            return _text(503 if verdict.state == "failing" else 200, lines + "\n")
        if path == "/status.json":
            body = json.dumps(live_document(self._look()), allow_nan=False).encode()
            return _answer(200, "application/json", body)
        if path == "/":
            return _answer(200, "text/html; charset=utf-8", page(live_document(self._look())))
        return _text(404, "there are /, /status.json, /metrics and /healthz\n")

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
        return hmac.compare_digest(offered, self._token)


def _takes_gzip(headers: Headers) -> bool:
    for offer in headers.get(b"accept-encoding", b"").lower().split(b","):
        coding, _, quality = offer.replace(b" ", b"").partition(b";")
        if coding == b"gzip":
            return quality not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


def _answer(status: int, kind: str, body: bytes, *more: tuple[str, str]) -> Answer:
    return Answer(status, (("Content-Type", kind), *more, *COMMON_HEADERS), body)


def _text(status: int, text: str, *more: tuple[str, str]) -> Answer:
    return _answer(status, TEXT, text.encode(), *more)
