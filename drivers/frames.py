"""Decodes binary frames from tables: most serial air sensors and some radars are only data.

A frame has start bytes, a fixed length or a length field, a checksum over a range, perhaps end
bytes, and fields at fixed places. A device is a ``FrameTable`` (or several, where it speaks with
several kinds of start bytes); its driver hands bytes to a ``FrameReader``, or takes whole frames
from a ``FrameScanner`` and decodes them itself. After a failed check ONE byte is dropped and the
search goes on, so that a real frame behind a false start is never lost.
"""

import itertools
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from drivers.checks import CHECK_BYTES, ChecksumKind, checker
from drivers.frame_tables import Checksum, Field, FrameTable, LengthField, Payload
from drivers.frame_values import decoder
from drivers.noise import NoiseCounter
from gateway.reading import Fault, Measured

__all__ = [
    "Checksum",
    "ChecksumKind",
    "Field",
    "Frame",
    "FrameReader",
    "FrameScanner",
    "FrameTable",
    "LengthField",
    "Payload",
]

SAMPLE_BYTES = 16
"""How much of a bad frame is kept to look at."""
REMEMBERED_FRAMES = 64
"""How many kinds and lengths of frames are remembered at most."""


class Frame(NamedTuple):
    """One whole frame whose checks were good."""

    head: bytes
    """Its start bytes and those that name its kind."""
    data: bytes


_Found = TypeVar("_Found")
_Take = Callable[[bytes], list[Any]]
"""Returns what a whole frame says."""


_Known = tuple[int, _Take, bool]
"""Of frames that begin like one that came before: length, what takes them, if they are readable."""
NOT_KNOWN: _Known = (-1, list, False)


class _Form:
    """One table, compiled: how its frames are found and checked."""

    def __init__(self, table: FrameTable, takes: Mapping[bytes, _Take]) -> None:
        length, check = table.length, table.checksum
        if not table.start:
            raise ValueError("a frame needs at least one start byte")
        if len({len(kind) for kind in table.payloads}) != 1:
            raise ValueError("the kinds of a table must have the same number of bytes")
        if check and check.behind < CHECK_BYTES[check.kind] + len(table.end):
            raise ValueError("the checksum and the end bytes overlap")
        self.start, self.end = table.start, table.end
        self.takes = takes
        self.head_bytes = len(next(iter(takes)))
        self.readable = frozenset(
            table.start + kind
            for kind, payload in table.payloads.items()
            if payload.fields or payload.device_error
        )
        self.fixed = length if isinstance(length, int) else None
        if isinstance(length, LengthField):
            self._range = range(length.shortest, length.longest + 1)
            self._extra = length.extra
            form = struct.Struct(table.byte_order + length.code)
            self._length_behind = length.offset + form.size
            self._length_at, self._unpack = length.offset, form.unpack_from
        shortest = length if isinstance(length, int) else length.shortest
        if check and shortest < check.first + check.behind:
            raise ValueError("a frame is too short for its checksum")
        self.is_right = (
            checker(check.kind, check.first, check.behind, check.byte_order) if check else None
        )
        self.known_bytes = max(
            self.head_bytes, 0 if isinstance(length, int) else self._length_behind
        )
        """So many bytes say which kind of frame begins, and how long it is."""

    def length(self, buffer: bytes, position: int) -> int | None:
        """Return the length of the frame that begins here, 0 if impossible, None if too early."""
        if self.fixed is not None:
            return self.fixed
        if position + self._length_behind > len(buffer):
            return None
        length: int = self._unpack(buffer, position + self._length_at)[0] + self._extra
        return length if length in self._range else 0


class _FrameFinder(Generic[_Found]):
    """Finds whole, checked frames in a stream of bytes, and takes them as ``_taker`` says."""

    def __init__(self, *tables: FrameTable) -> None:
        starts = sorted(table.start for table in tables)
        if any(b.startswith(a) for a, b in itertools.pairwise(starts)):
            raise ValueError("one table's start bytes begin with another's")
        self._forms = {
            table.start: _Form(
                table,
                {
                    table.start + kind: self._taker(table, table.start + kind, payload)
                    for kind, payload in table.payloads.items()
                },
            )
            for table in tables
        }
        self._first = self._forms[tables[0].start]
        self._known: dict[bytes, _Known] = {}
        """Frames of the first table by their first bytes: nearly all that comes are of these."""
        self._partial_bytes = max(map(len, starts)) - 1
        self._find = re.compile(b"|".join(map(re.escape, starts))).search
        self._rest = b""
        self._noise = NoiseCounter()
        self._noisy = False
        """Bytes were dropped since the last frame."""

    def _taker(self, table: FrameTable, head: bytes, payload: Payload) -> _Take:
        raise NotImplementedError

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return len(self._rest)

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing is left over or was dropped since the last frame."""
        return not (self._rest or self._noisy)

    def finish(self) -> list[Fault]:
        """Forget what is left, because nothing more will come; return what that says."""
        rest, self._rest = self._rest, b""
        self._noisy = False
        faults = self._noise.end()
        if rest:
            faults.append(Fault("short", "a frame that ended too early", rest[:SAMPLE_BYTES]))
        return faults

    def end_of_reading(self, data: bytes) -> int | None:
        """Return where the first frame with fields ends, None while that cannot be told."""
        size, _, readable = self._known.get(data[: self._first.known_bytes], NOT_KNOWN)
        if readable:
            return size
        position = 0
        while match := self._find(data, position):
            position = match.start()
            form = self._forms[match[0]]
            length = form.length(data, position)
            if length is None or position + form.head_bytes > len(data):
                return None
            head = data[position : position + form.head_bytes]
            if not length or head not in form.takes:
                position += 1
            elif head in form.readable:
                return position + length
            else:
                position += length
        return None

    def feed(self, data: bytes) -> list[_Found | Fault]:
        """Take bytes in any chunking; return what they complete, and what is wrong."""
        first = self._first
        if not self._rest and not self._noisy:
            size, take, _ = self._known.get(data[: first.known_bytes], NOT_KNOWN)
            if (  # one whole frame, as a device with pauses between them sends it
                size == len(data)
                and (not first.end or data.endswith(first.end))
                and (first.is_right is None or first.is_right(data))
            ):
                return take(data)
        buffer = self._rest + data if self._rest else data
        found: list[Any] = []
        position, size = 0, len(buffer)
        while position < size:
            if buffer.startswith(first.start, position):
                form = first
            elif match := self._find(buffer, position):
                self._drop(buffer[position : match.start()], found)
                position = match.start()
                form = self._forms[match[0]]
            else:
                keep = self._partial_start(buffer, position)
                self._drop(buffer[position:keep], found)
                position = keep
                break
            length = form.fixed or form.length(buffer, position)
            if length is None or position + length > size:
                break
            if length and self._accept(form, buffer, position, position + length, found):
                position += length
            else:
                self._drop(buffer[position : position + 1], found)
                position += 1
        self._rest = buffer[position:]
        return found

    def _drop(self, data: bytes, found: list[Any]) -> None:
        if data:
            self._noisy = True
            found += self._noise.drop(data)

    def _partial_start(self, buffer: bytes, position: int) -> int:
        """Return where start bytes may begin whose rest has not come; the end if nowhere."""
        for place in range(max(position, len(buffer) - self._partial_bytes), len(buffer)):
            if any(start.startswith(buffer[place:]) for start in self._forms):
                return place
        return len(buffer)

    def _accept(
        self, form: _Form, buffer: bytes, position: int, stop: int, found: list[Any]
    ) -> bool:
        """Check one candidate and take it; tell whether it is a frame."""
        if form.end and not buffer.endswith(form.end, position, stop):
            return False
        frame = buffer[position:stop]
        head = frame[: form.head_bytes]
        take = form.takes.get(head)
        right = form.is_right is None or form.is_right(frame)
        if not right and take is None:
            return False
        if self._noisy:
            found += self._noise.end()
            self._noisy = False
        if not right:
            found.append(Fault("checksum", "frame with a wrong checksum", frame[:SAMPLE_BYTES]))
            self._noise.excuse(stop - position)
        elif take is None:
            found.append(Fault("unknown", "good frame of another kind", frame[:SAMPLE_BYTES]))
        else:
            if form is self._first:
                self._remember(frame, take, readable=head in form.readable)
            found += take(frame)
        return right

    def _remember(self, frame: bytes, take: _Take, *, readable: bool) -> None:
        if len(self._known) >= REMEMBERED_FRAMES:
            self._known.clear()
        self._known[frame[: self._first.known_bytes]] = (len(frame), take, readable)


class FrameScanner(_FrameFinder[Frame]):
    """Finds whole, checked frames in a stream of bytes.

    Keeps less than one frame between two calls; reports dropped bytes as faults of kind
    ``noise``, a failed check as ``checksum``, a good frame of another kind as ``unknown``.
    """

    def _taker(self, table: FrameTable, head: bytes, payload: Payload) -> _Take:  # noqa: ARG002
        return lambda data: [Frame(head, data)]

    scan = _FrameFinder.feed


class FrameReader(_FrameFinder[Measured]):
    """Finds and decodes the frames of one device in a stream of bytes, in the same way."""

    def _taker(self, table: FrameTable, head: bytes, payload: Payload) -> _Take:  # noqa: ARG002
        return decoder(payload, table)
