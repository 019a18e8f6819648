"""The durable ring buffer: what was accepted, kept until every link has had it.

The format on disk is docs/ring-format.md. Inside, ``ring`` holds the newest blocks in memory,
``flusher`` brings them to the disk through ``store``, ``recovery`` opens what is there, and
``cursors`` lends readings to the links.
"""

from gateway.buffer.batch import DROP_REASONS, Batch, DropReason, Gap
from gateway.buffer.buffer import Buffer, BufferSettings, BufferStats
from gateway.buffer.cursors import Reader

__all__ = [
    "DROP_REASONS",
    "Batch",
    "Buffer",
    "BufferSettings",
    "BufferStats",
    "DropReason",
    "Gap",
    "Reader",
]
