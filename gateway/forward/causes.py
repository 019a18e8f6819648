"""What went wrong with a broker, in one word: a metric label, and what ``doctor`` explains.

The words are a closed set, so that metrics stay small whatever a broker sends. Reason codes are
those of MQTT 5.0, sections 3.2.2.2 (CONNACK), 3.4.2.1 (PUBACK) and 3.14.2.1 (DISCONNECT); the
library translates the five codes of MQTT 3.1.1.
"""

import socket
import ssl
from collections.abc import Mapping

from gateway.errors import BrokerRefused, BrokerUnreachable

__all__ = [
    "PACKET_TOO_LARGE",
    "QUOTA_EXCEEDED",
    "REFUSING",
    "SUCCESS",
    "BrokerError",
    "connack_error",
    "disconnect_error",
    "network_error",
]

BrokerError = BrokerUnreachable | BrokerRefused

SUCCESS = frozenset({0x00, 0x10})
"""Accepted, and accepted although nobody subscribes."""
QUOTA_EXCEEDED = 0x97
PACKET_TOO_LARGE = 0x95
REFUSING = frozenset({0x87, 0x90, PACKET_TOO_LARGE, 0x99})
"""This message will never do: not authorised, topic name, too large, payload format."""

_CONNACK_REFUSED: Mapping[int, str] = {
    0x84: "protocol",
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
    0x88: "unavailable",
    0x89: "busy",
    0x97: "quota",
    0x9C: "moved",
    0x9D: "moved",
    0x9F: "rate",
}
_DISCONNECT: Mapping[int, str] = {
    0x82: "protocol",
    0x81: "protocol",
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
}

_NETWORK: tuple[tuple[type[OSError], str], ...] = (
    (socket.gaierror, "dns"),
    (TimeoutError, "timeout"),
    (ConnectionRefusedError, "refused"),
    (ConnectionError, "lost"),
)
"""The first that fits; anything else is "unreachable"."""

X509_HOSTNAME_MISMATCH = 62
X509_IP_ADDRESS_MISMATCH = 64
X509_NOT_YET_VALID = 9
X509_HAS_EXPIRED = 10


def network_error(broker: str, error: OSError) -> BrokerError:
    """Return what an error of the name service, of TCP or of TLS means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokerRefused(broker, _certificate_cause(error), error.verify_message)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        ours = "ALERT" in reason and ("CERT" in reason or "UNKNOWN_CA" in reason)
        return BrokerRefused(broker, "tls_client" if ours else "tls", reason)
    for kind, cause in _NETWORK:
        if isinstance(error, kind):
            return BrokerUnreachable(broker, cause, error.strerror or "")
    return BrokerUnreachable(broker, "unreachable", error.strerror or "")


def _certificate_cause(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in (X509_HOSTNAME_MISMATCH, X509_IP_ADDRESS_MISMATCH):
        return "tls_name"
    if error.verify_code in (X509_HAS_EXPIRED, X509_NOT_YET_VALID):
        return "tls_expired"
    return "tls_chain"


def connack_error(broker: str, code: int) -> BrokerError:
    """Return what a CONNACK other than success means."""
    if code in _CONNACK_REFUSED:
        return BrokerRefused(broker, _CONNACK_REFUSED[code], f"CONNACK 0x{code:02X}")
    return BrokerUnreachable(
        broker, _CONNACK_UNREACHABLE.get(code, "connack"), f"CONNACK 0x{code:02X}"
    )


def disconnect_error(broker: str, code: int | None) -> BrokerUnreachable:
    """Return why a connection ended: ``code`` of the broker's DISCONNECT, None without one."""
    if code is None:
        return BrokerUnreachable(broker, "lost", "the connection ended")
    return BrokerUnreachable(broker, _DISCONNECT.get(code, "lost"), f"DISCONNECT 0x{code:02X}")
