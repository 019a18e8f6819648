"""Payload formats: pure functions from readings to messages, one module each."""

from gateway.forward.formats.base import (
    Format,
    FormatContext,
    Message,
    SensorFacts,
    SeriesLookup,
    Session,
    format_class,
    format_names,
    load_format,
    render_topic,
)

__all__ = [
    "Format",
    "FormatContext",
    "Message",
    "SensorFacts",
    "SeriesLookup",
    "Session",
    "format_class",
    "format_names",
    "load_format",
    "render_topic",
]
