"""Makes inputs of good ones: random, changed, spliced, and changed with the right check value."""

import random
from collections.abc import Sequence

from tests.drivers.repair import Repair

__all__ = ["Mutator"]

MAX_RANDOM_BYTES = 60
MAX_EDITS = 6
MAX_RUN_BYTES = 8
MAX_INPUT_BYTES = 3000
TOKENS = (
    b"{}",
    b"[]",
    b"null",
    b"true",
    b'""',
    b"()",
    b"*",
    b"-",
    b".",
    b",",
    b"0",
    b"-0.0",
    b"1e99",
    b"99999999999999999999",
    b"\r\n",
    b"\x1b\x1b\x1b\x1b",
)
"""What means something in one protocol or another."""
IN_ORDER_SHARE = 0.3
UNTOUCHED_SHARE = 0.8
EDGES = b"\x00\x01\x7f\x80\xfe\xff"
"""Where numbers overflow, end or mean nothing."""


class Mutator:
    """Yields inputs from a source of randomness and what a device really sends."""

    def __init__(
        self,
        source: random.Random,
        inputs: Sequence[bytes],
        everything: Sequence[bytes],
        repair: Repair,
    ) -> None:
        self._random = source
        self._inputs = inputs
        self._everything = everything
        self._repair = repair
        self._in_order = source.random() < IN_ORDER_SHARE
        """The inputs come as in the test case, and most of them as they are."""
        self._next = 0

    def input(self) -> bytes:
        """Return one input; it may be empty."""
        source = self._random
        how = source.random()
        if how < 0.08:
            return source.randbytes(source.randrange(MAX_RANDOM_BYTES))
        data = source.choice(self._inputs)
        if self._in_order:
            data = self._inputs[self._next % len(self._inputs)]
            self._next += 1
            if source.random() < UNTOUCHED_SHARE:
                return data
        if how < 0.18:
            return data
        if how < 0.60:
            changed = self._overwritten(data)
            return self._repair(self._edited(changed) if how < 0.25 else changed)
        if how < 0.85:
            return self._edited(self._overwritten(data))
        other = source.choice(self._everything)
        spliced = data[: source.randrange(len(data) + 1)] + other[source.randrange(len(other)) :]
        return (self._repair(spliced) if how < 0.90 else spliced)[:MAX_INPUT_BYTES]

    def _overwritten(self, data: bytes) -> bytes:
        """Return data of the same length with a few bytes that are others."""
        source = self._random
        changed = bytearray(data)
        for _ in range(source.randrange(1, MAX_EDITS)):
            place = source.randrange(len(changed))
            how = source.randrange(4)
            if how == 0:
                changed[place] = source.randrange(256)
            elif how == 1:
                changed[place] ^= 1 << source.randrange(8)
            elif how == 2:
                run = source.randrange(1, 5)
                changed[place : place + run] = bytes((source.choice(EDGES),)) * len(
                    changed[place : place + run]
                )
            else:  # text stays text, digits become other digits
                changed[place] = changed[source.randrange(len(changed))]
        return bytes(changed)

    def _edited(self, data: bytes) -> bytes:
        """Return data with a run that is lost, doubled or put in, or that ends too early."""
        source = self._random
        place = source.randrange(len(data) + 1)
        run = source.randrange(1, MAX_RUN_BYTES)
        how = source.randrange(5)
        if how == 0:
            return data[:place] + data[place + run :]
        if how == 1:
            return data[:place] + data[place : place + run] + data[place:]
        if how == 2:
            return data[:place] + source.randbytes(run) + data[place:]
        if how == 3:
            behind = place + source.choice((0, run))
            return data[:place] + source.choice(TOKENS) + data[behind:]
        return data[:place]
