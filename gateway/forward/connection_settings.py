"""What one MQTT connection is given, and what the broker allows it."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.config.model import TlsSection

__all__ = ["ConnectionSettings", "Limits", "Will"]


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we vanish, at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Everything that one connection needs; ``tls`` is None for plain text."""

    broker: str
    """Name for errors and logs."""
    host: str
    port: int
    client_id: str
    protocol_5: bool = True
    username: str = ""
    password: str | None = None
    tls: TlsSection | None = None
    websocket_path: str | None = None
    """None: MQTT directly on TCP or TLS."""
    will: Will | None = None
    receive: Callable[[str, bytes], None] | None = None
    """Called with topic and payload of each message of a subscription; must not raise."""
    keepalive_s: float = 30.0
    connect_timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the broker allows, from its CONNACK; the defaults are those of the standard."""

    receive_maximum: int = 65_535
    maximum_packet_bytes: int | None = None
    qos_1: bool = True
    retain: bool = True
