"""The shape of the configuration file: every key, its default, its limits and its help text.

One module a subject: ``box``, ``sensor``, ``broker``, ``recording``,
``catalogue``; ``whole`` puts them together,
``words`` has the kinds of text, ``terms`` what follows for a reading that leaves.
"""

from gateway.config.model.box import (
    BluetoothSection,
    BufferSection,
    ClockSection,
    GatewaySection,
    HttpSection,
    LogSection,
    Position,
    RetentionSection,
)
from gateway.config.model.broker import DEFAULT_FORMAT, BrokerSection, SelectSection, TlsSection
from gateway.config.model.catalogue import CatalogueSection
from gateway.config.model.recording import RecordingSection
from gateway.config.model.sensor import SensorSection
from gateway.config.model.terms import Shared, Terms, rounded, terms
from gateway.config.model.whole import Configuration
from gateway.config.model.words import PATTERN_HELP

__all__ = [
    "DEFAULT_FORMAT",
    "PATTERN_HELP",
    "BluetoothSection",
    "BrokerSection",
    "BufferSection",
    "CatalogueSection",
    "ClockSection",
    "Configuration",
    "GatewaySection",
    "HttpSection",
    "LogSection",
    "Position",
    "RecordingSection",
    "RetentionSection",
    "SelectSection",
    "SensorSection",
    "Shared",
    "Terms",
    "TlsSection",
    "rounded",
    "terms",
]
