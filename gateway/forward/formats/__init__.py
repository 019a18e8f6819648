"""Payload formats: pure functions from readings to messages, one module each."""

from gateway.forward.formats.base import (
    Format,
    FormatContext,
    Message,
    SeriesLookup,
    load_format,
    render_topic,
)

__all__ = ["Format", "FormatContext", "Message", "SeriesLookup", "load_format", "render_topic"]
