"""What went wrong with a broker, in one word: a metric label, and what ``doctor`` explains.

The words are a closed set, so that metrics stay small whatever a broker sends. Reason codes are
those of MQTT 5.0, sections 3.2.2.2 (CONNACK), 3.4.2.1 (PUBACK) and 3.14.2.1 (DISCONNECT); the
library translates the five codes of MQTT 3.1.1.
"""

import socket
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.dial import (
    ClientCertificateRefused,
    HandshakeCutShort,
    PacketTooLarge,
    WebSocketError,
)

__all__ = [
    "ENDED_OVERSIZED",
    "ENDED_PROTOCOL",
    "ENDED_SILENT",
    "ENDED_TLS",
    "ENDED_WEBSOCKET",
    "EXPLANATIONS",
    "PACKET_TOO_LARGE",
    "QUOTA_EXCEEDED",
    "REFUSING",
    "SUCCESS",
    "BrokerError",
    "Ending",
    "connack_error",
    "disconnect_error",
    "network_error",
    "printable",
    "server_reference",
]

BrokerError = BrokerUnreachable | BrokerRefused

SUCCESS = frozenset({0x00, 0x10})
"""Accepted, and accepted although nobody subscribes."""
QUOTA_EXCEEDED = 0x97
PACKET_TOO_LARGE = 0x95
REFUSING = frozenset({0x87, 0x90, PACKET_TOO_LARGE, 0x99})
"""This message will never do: not authorised, topic name, too large, payload format."""
MAX_DETAIL_CHARACTERS = 120
"""Of what a stranger says, in a log or on a page."""

ENDED_OVERSIZED = 0x100
ENDED_PROTOCOL = 0x101
ENDED_SILENT = 0x102
ENDED_TLS = 0x103
ENDED_WEBSOCKET = 0x104
"""We ended the connection ourselves: these follow the reason codes, which are bytes."""

EXPLANATIONS: Mapping[str, str] = MappingProxyType(
    {
        "ack_timeout": (
            "The broker took messages and acknowledged none in time: it is overloaded or the "
            "way to it is too slow; look at the broker, or make ack_timeout longer."
        ),
        "administrative": "Somebody closed this connection at the broker; ask who runs it.",
        "banned": "The broker has banned this client; ask who runs it to lift the ban.",
        "busy": "The broker says that it is too busy; nothing to do here unless it lasts.",
        "client_id": (
            "The broker does not accept the client id; set client_id to the one it expects."
        ),
        "closed": (
            "The broker hung up instead of answering: with TLS it may not accept our client "
            "certificate, otherwise look at port, protocol and the broker's log."
        ),
        "connack": "The broker refused without a reason that tells anything; see its log.",
        "consumer_away": (
            "The broker is there and the program that takes the data from it is not (with "
            "Sparkplug: the primary host); readings wait for it."
        ),
        "dns": (
            "The host name of url cannot be resolved: check its spelling and the box's name server."
        ),
        "keepalive": (
            "The broker heard nothing of us for too long: the way to it loses packets, or this "
            "box was too busy; make keepalive longer if it goes on."
        ),
        "login": (
            "User name or password is wrong, or the broker lets this client id in with other "
            "ones only; check username and the password file, then restart."
        ),
        "lost": (
            "The connection ended without a word: the network or the broker went away; it is "
            "opened again by itself."
        ),
        "moved": (
            "The broker sends its clients to another server, which is never followed by itself;"
            " if whoever runs it confirms the new address, put it into url."
        ),
        "mqtt_version": (
            'The broker does not speak this version of MQTT; set protocol = "3.1.1" (or "5" if '
            "it is that already)."
        ),
        "no_qos1": (
            "The broker takes messages without acknowledgement (QoS 0) only, with which nothing"
            " can be promised; have QoS 1 allowed or use another broker."
        ),
        "no_retain": (
            "The broker keeps no retained messages, which status and last will are; set "
            'status_topic = "" or have them allowed.'
        ),
        "not_authorised": (
            "The broker ended the connection because we may not do what we did; have its access"
            " rules compared with what describe --mosquitto-acl prints."
        ),
        "not_mqtt": (
            "Something else than an MQTT broker answers there; check host and port of url."
        ),
        "not_tls": (
            "No TLS is spoken on that port: check the port of url (8883 is usual with TLS, 1883"
            " without), or a proxy stands there whose broker is away."
        ),
        "oversized": (
            "The broker sent a packet larger than anything it has to say to us; look for a huge"
            " retained message on a topic that we subscribe to."
        ),
        "payload_refused": (
            "The broker says that the content of a message is not valid; it checks payloads, so"
            " compare its schema with the configured format."
        ),
        "protocol": (
            "One side broke the rules of MQTT; please report it with the version and make of "
            "the broker."
        ),
        "quota": (
            "A quota of the broker is used up; raise it there, or send less (interval, deadband)."
        ),
        "rate": (
            "The broker limits how fast we may connect or send; raise that limit there, or "
            "lower history_rate and batch more."
        ),
        "receive_maximum": (
            "The broker says that too many messages were under way at once; set in_flight to "
            "what it allows."
        ),
        "refused": (
            "The box was reached and nothing listens on that port: the broker is down, or the "
            "port of url is wrong."
        ),
        "shutdown": "The broker is being shut down; the link comes back with it.",
        "silent": (
            "The broker said nothing for one and a half keep-alives although it was asked: it "
            "hangs, or the way to it is cut."
        ),
        "subscribe": (
            "The broker refuses a subscription that the format needs; allow reading that topic "
            "in its access rules."
        ),
        "taken_over": (
            "Another client uses the same client id, so that one throws the other out; give "
            "each gateway and each test program its own."
        ),
        "timeout": "No answer in time: a firewall drops the packets, or the broker hangs.",
        "tls": (
            "The TLS handshake failed for another reason than a certificate; the detail names "
            "it, most often no cipher is shared."
        ),
        "tls_chain": (
            "The broker's certificate is not signed by an authority that we trust; set "
            "tls.ca_file to the right one, and have the broker send its intermediate "
            "certificates."
        ),
        "tls_client": (
            "The broker wants a client certificate and has none of us, or not one that it "
            "accepts; set tls.cert_file and tls.key_file to what its authority issued."
        ),
        "tls_expected": (
            "The broker speaks TLS on that port and we speak plain text; use mqtts:// or wss://"
            " and remove insecure."
        ),
        "tls_expired": (
            "The broker's certificate has expired or is not valid yet; have it renewed, and "
            "check that the clock of this box is right."
        ),
        "tls_files": "A certificate or key file cannot be used; the detail names it.",
        "tls_name": (
            "The broker's certificate is for another name than the host of url; use the name "
            "that it was issued for."
        ),
        "tls_version": (
            "The broker offers only TLS versions that are no longer safe; have TLS 1.2 or 1.3 "
            "switched on there."
        ),
        "too_large": (
            "The broker ended the connection over the size of a message; have its limit raised,"
            " or lower batch_readings."
        ),
        "topic_refused": "The broker does not accept a topic name; compare topic with its rules.",
        "unavailable": "The broker says that it cannot serve anybody at the moment.",
        "unreachable": (
            "There is no way to the broker's network: cable, mobile router, VPN or route."
        ),
        "websocket": (
            "There is no MQTT over WebSocket behind that address; check port and path of url, "
            "and the proxy in front of the broker."
        ),
        "will_payload": "The broker does not accept the content of the last will; see its log.",
        "will_too_large": "The last will is larger than the broker allows; have its limit raised.",
        "will_topic": (
            "The broker does not accept the topic of the last will; allow writing to "
            "status_topic in its access rules."
        ),
    }
)
"""Cause -> what it means and what mends it. ``doctor``, the pages and the docs use these words."""

_CONNACK_REFUSED: Mapping[int, str] = {
    0x84: "mqtt_version",
    0x85: "client_id",
    0x86: "login",
    0x87: "login",
    0x8A: "banned",
    0x8C: "login",
    0x90: "will_topic",
    0x95: "will_too_large",
    0x99: "will_payload",
    0x9A: "no_retain",
    0x9B: "no_qos1",
}
"""Somebody has to act. Mosquitto answers a wrong password with 0x87, others with 0x86."""
_CONNACK_UNREACHABLE: Mapping[int, str] = {
    0x81: "protocol",
    0x82: "protocol",
    0x88: "unavailable",
    0x89: "busy",
    0x97: "quota",
    0x9C: "moved",
    0x9D: "moved",
    0x9F: "rate",
}
_DISCONNECT: Mapping[int, str] = {
    0x81: "protocol",
    0x82: "protocol",
    0x87: "not_authorised",
    0x89: "busy",
    0x8B: "shutdown",
    0x8D: "keepalive",
    0x8E: "taken_over",
    0x90: "topic_refused",
    0x93: "receive_maximum",
    0x95: "too_large",
    0x96: "rate",
    0x97: "quota",
    0x98: "administrative",
    0x99: "payload_refused",
    0x9A: "no_retain",
    0x9B: "no_qos1",
    0x9C: "moved",
    0x9D: "moved",
    ENDED_OVERSIZED: "oversized",
    ENDED_PROTOCOL: "protocol",
    ENDED_SILENT: "silent",
    ENDED_TLS: "tls",
    ENDED_WEBSOCKET: "websocket",
}

_NETWORK: tuple[tuple[type[OSError], str], ...] = (
    (socket.gaierror, "dns"),
    (PacketTooLarge, "oversized"),
    (TimeoutError, "timeout"),
    (ConnectionRefusedError, "refused"),
    (ConnectionError, "lost"),
)
"""The first that fits; anything else is "unreachable"."""

X509_HOSTNAME_MISMATCH = 62
X509_IP_ADDRESS_MISMATCH = 64
X509_NOT_YET_VALID = 9
X509_HAS_EXPIRED = 10
TLS_VERSION_REASONS = frozenset(
    {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"}
)
NOT_TLS_REASONS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})
OUR_CERTIFICATE_ALERTS = ("CERT", "UNKNOWN_CA", "DECRYPT_ERROR", "ACCESS_DENIED")


class Ending(int):
    """How a connection ended: the reason code of a DISCONNECT or one of ours, with a detail."""

    detail: str

    def __new__(cls, code: int, detail: str = "") -> Self:
        """Make one; ``detail`` is shown to people, after ``printable``."""
        ending = super().__new__(cls, code)
        ending.detail = printable(detail)
        return ending


def printable(text: str) -> str:
    """Return what a stranger said, short and of harmless characters only."""
    tame = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return tame if len(tame) <= MAX_DETAIL_CHARACTERS else f"{tame[:MAX_DETAIL_CHARACTERS]}..."


def server_reference(reference: str) -> str:
    """Return the address that a server names, in quotes, without what may be a secret in it."""
    address = reference.partition("?")[0].partition("#")[0].rpartition("@")[2]
    return f'"{printable(address)}"'


def network_error(broker: str, error: OSError) -> BrokerError:
    """Return what an error of the name service, of TCP, TLS or WebSocket means."""
    if isinstance(error, WebSocketError):
        return BrokerRefused(broker, "websocket", str(error))
    if isinstance(error, ssl.SSLError | ClientCertificateRefused):
        return _tls_error(broker, error)
    if isinstance(error, HandshakeCutShort):
        hint = "; does it accept our client certificate?" if error.answered else ""
        cause = "closed" if error.answered else "not_tls"
        return BrokerUnreachable(broker, cause, f"{error}{hint}")
    cause = next((cause for kind, cause in _NETWORK if isinstance(error, kind)), "unreachable")
    return BrokerUnreachable(broker, cause, error.strerror or str(error))


def _tls_error(broker: str, error: ssl.SSLError | ClientCertificateRefused) -> BrokerRefused:
    if isinstance(error, ClientCertificateRefused):
        return BrokerRefused(broker, "tls_client", str(error))
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokerRefused(broker, _certificate_cause(error), error.verify_message)
    reason = error.reason or str(error)
    if reason in TLS_VERSION_REASONS:
        cause = "tls_version"
    elif reason in NOT_TLS_REASONS:
        cause = "not_tls"
    elif "ALERT" in reason and any(part in reason for part in OUR_CERTIFICATE_ALERTS):
        cause = "tls_client"
    else:
        cause = "tls"
    return BrokerRefused(broker, cause, reason)


def _certificate_cause(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in (X509_HOSTNAME_MISMATCH, X509_IP_ADDRESS_MISMATCH):
        return "tls_name"
    if error.verify_code in (X509_HAS_EXPIRED, X509_NOT_YET_VALID):
        return "tls_expired"
    return "tls_chain"


def connack_error(broker: str, code: int, more: str = "") -> BrokerError:
    """Return what a CONNACK other than success means; ``more`` is added to its detail."""
    detail = f"CONNACK 0x{code:02X}" + (f", {more}" if more else "")
    if code in _CONNACK_REFUSED:
        return BrokerRefused(broker, _CONNACK_REFUSED[code], detail)
    return BrokerUnreachable(broker, _CONNACK_UNREACHABLE.get(code, "connack"), detail)


def disconnect_error(broker: str, code: int | None) -> BrokerUnreachable:
    """Return why a connection ended: ``code`` of the broker's DISCONNECT, None without one."""
    if code is None:
        return BrokerUnreachable(broker, "lost", "the connection ended")
    told = f"DISCONNECT 0x{code:02X}" if code < ENDED_OVERSIZED else ""
    more = code.detail if isinstance(code, Ending) else ""
    detail = ", ".join(part for part in (told, more) if part)
    return BrokerUnreachable(broker, _DISCONNECT.get(code, "lost"), detail)
