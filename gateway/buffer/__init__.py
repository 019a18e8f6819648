"""The durable ring buffer: what was accepted, kept until every link has had it.

The format on disk is docs/ring-format.md. Inside, ``ring`` holds the newest blocks in memory,
``flusher`` brings them to the disk through ``store``, ``recovery`` opens what is there, and
``cursors`` lends readings to the links.
"""

from gateway.buffer.batch import DROP_REASONS, Batch, DropReason, Gap
from gateway.buffer.boots import BootTime
from gateway.buffer.buffer import Buffer, BufferStats
from gateway.buffer.cursors import Lane, Reader
from gateway.buffer.offline import purge_directory
from gateway.buffer.opening import BufferSettings
from gateway.buffer.wear import card_life_years

__all__ = [
    "DROP_REASONS",
    "Batch",
    "BootTime",
    "Buffer",
    "BufferSettings",
    "BufferStats",
    "DropReason",
    "Gap",
    "Lane",
    "Reader",
    "card_life_years",
    "purge_directory",
]
