"""From registers to questions, and from answers to values."""

import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import isfinite
from operator import call, itemgetter, lt, sub
from typing import Any, Literal

from drivers.float32 import shortest
from drivers.modbus.maps import Kind, Register, RegisterMap, Status
from gateway.driver import Outcome, Restarted
from gateway.reading import Dims, Fault, Measured

__all__ = ["Block", "Value", "plan", "split"]

HIGHEST = sys.float_info.max
_CODES: Mapping[Kind, str] = {
    "u16": "H",
    "s16": "h",
    "u32": "I",
    "s32": "i",
    "float32": "f",
    "bit": "H",
}
"""Characters of the struct module."""


_measured: Callable[[tuple[str, float, Dims, float, int]], Measured] = partial(
    tuple.__new__, Measured
)
"""``Measured`` of all its parts in half the time."""
_Read = Callable[[Any], Outcome | None]
"""From the number in a register to what it says; None for no value."""


class Value:
    """One register of a map, ready to be decoded; keeps the last count of what counts up."""

    def __init__(self, register: Register, register_map: RegisterMap) -> None:
        self.function: Literal[3, 4] = register.function or register_map.function
        self.address = register.address
        self.size = register.size
        self.code = _CODES[register.type]
        words = register.words or register_map.words
        self.low_first = words == "low_first" and register.size == 2
        invalid = frozenset((*register.invalid, *register_map.invalid.get(register.type, ())))
        self.read: _Read = _reader(register, invalid)


def _reader(register: Register, invalid: frozenset[int]) -> _Read:
    """Return what decodes one register: made once, because it is called for each reading."""
    if register.bit is not None:
        return _bit(register, register.bit, invalid)
    if register.counts_up:
        return _Increase(register, _number(register, frozenset()), invalid).read
    return _number(register, invalid)


def _number(register: Register, invalid: frozenset[int]) -> _Read:
    """Return the reading that a number is, or the fault."""
    quantity, dims = register.quantity, _dims(register)
    scale, per = register.scale, register.per
    lowest = -HIGHEST if register.lowest is None else register.lowest
    highest = HIGHEST if register.highest is None else register.highest
    beyond = Fault("range", f"{quantity} beyond the device's range")

    def whole(raw: int) -> Outcome | None:
        if raw in invalid:
            return None
        value = raw * scale / per
        return _measured((quantity, value, dims, 0.0, 0)) if lowest <= value <= highest else beyond

    def real(raw: float) -> Outcome | None:
        value = shortest(raw) * scale / per
        if lowest <= value <= highest and not (invalid and raw in invalid):
            return _measured((quantity, value, dims, 0.0, 0))
        return beyond if isfinite(raw) and raw not in invalid else None

    return real if register.type == "float32" else whole


def _bit(register: Register, bit: int, invalid: frozenset[int]) -> _Read:
    readings = [Measured(register.quantity, value, _dims(register)) for value in (0.0, 1.0)]
    return lambda raw: None if raw in invalid else readings[raw >> bit & 1]


def _dims(register: Register) -> Dims:
    return tuple(sorted(register.dims.items()))


class _Increase:
    """What was counted since the last answer; the first one only sets the mark."""

    def __init__(self, register: Register, number: _Read, invalid: frozenset[int]) -> None:
        self._quantity, self._number, self._invalid = register.quantity, number, invalid
        self._span = 1 << 16 * register.size
        self._last: int | None = None

    def read(self, raw: int) -> Outcome | None:
        """Return the increase; once the counter went down nobody knows what was counted."""
        if raw in self._invalid:
            return None
        last, self._last = self._last, raw
        if last is None:
            return None
        increase = (raw - last) % self._span
        if increase > self._span // 2:
            return Restarted(f"the counter of {self._quantity} went back")
        return self._number(increase)


@dataclass(frozen=True, slots=True)
class _Check:
    """One status register."""

    status: Status
    function: Literal[3, 4]

    @property
    def address(self) -> int:
        return self.status.address

    @property
    def size(self) -> int:
        return 1


class Block:
    """Registers that are read with one question, and the one unpacking of its answer."""

    def __init__(self, items: Sequence["Value | _Check"]) -> None:
        self.function = items[0].function
        self.address = min(item.address for item in items)
        self.count = max(item.address + item.size for item in items) - self.address
        self.values = tuple(item for item in items if isinstance(item, Value))
        self.checks = tuple(item for item in items if isinstance(item, _Check))
        self._reads = [value.read for value in self.values]
        self._unpack = _unpacking(self.values, self.address)

    def trouble(self, data: bytes) -> tuple[list[Fault], bool]:
        """Return what the status registers report, and whether values are to be withheld."""
        faults = []
        withhold = False
        for check in self.checks:
            start = 2 * (check.address - self.address)
            bits = int.from_bytes(data[start : start + 2], "big") & check.status.mask
            if bits:
                faults.append(Fault("device_error", f"{check.status.about} 0x{bits:04x}"))
                withhold = withhold or check.status.withhold
        return faults, withhold

    def decode(self, data: bytes) -> list[Outcome]:
        """Return what the values say; ``data`` has two bytes for each register of the block."""
        return list(filter(None, map(call, self._reads, self._unpack(data))))


def _unpacking(values: Sequence[Value], address: int) -> Callable[[bytes], tuple[Any, ...]]:
    """Return what takes all values out of the registers from ``address`` on, at once."""
    starts = [2 * (value.address - address) for value in values]
    ends = [start + 2 * value.size for start, value in zip(starts, values, strict=True)]
    if any(value.low_first for value in values) or any(map(lt, starts[1:], ends)):
        return _picking(values, starts)
    gaps = map(sub, starts, (0, *ends))
    form = "".join(f"{gap}x{value.code}" for gap, value in zip(gaps, values, strict=True))
    return struct.Struct(">" + form).unpack_from


def _picking(values: Sequence[Value], starts: Sequence[int]) -> Callable[[bytes], tuple[Any, ...]]:
    """Return the same for words in the other order, and several values in one register."""
    order: list[int] = []
    for value, start in zip(values, starts, strict=True):
        places = list(range(start, start + 2 * value.size))
        order += places[2:] + places[:2] if value.low_first else places
    pick = itemgetter(*order)
    unpack = struct.Struct(">" + "".join(value.code for value in values)).unpack
    return lambda data: unpack(bytes(pick(data)))


def plan(register_map: RegisterMap, values: Sequence[Value]) -> list[Block]:
    """Merge registers into as few questions as the map's gap and longest read allow.

    Blocks with status registers come first, because they decide over the others.
    """
    checks = [_Check(each, each.function or register_map.function) for each in register_map.status]
    items: list[Value | _Check] = [*values, *checks]
    items.sort(key=lambda item: (item.function, item.address, item.size))
    groups: list[list[Value | _Check]] = []
    end = 0
    for item in items:
        group = groups[-1] if groups else None
        joins = (
            group is not None
            and group[0].function == item.function
            and item.address <= end + register_map.gap
            and max(end, item.address + item.size) - group[0].address <= register_map.longest_read
        )
        if group is not None and joins:
            group.append(item)
            end = max(end, item.address + item.size)
        else:
            groups.append([item])
            end = item.address + item.size
    return sorted(map(Block, groups), key=lambda block: not block.checks)


def split(block: Block) -> list[Block]:
    """Return two blocks for one that the device refused, or the same one if it has one item."""
    items: list[Value | _Check] = [*block.values, *block.checks]
    items.sort(key=lambda item: (item.address, item.size))
    if len({item.address for item in items}) < 2:
        return [block]
    # At the widest gap, for there the refused register is likeliest; else in the middle.
    gaps = [
        (after.address - before.address - before.size, -abs(2 * at - len(items)), at)
        for at, (before, after) in enumerate(pairwise(items), start=1)
    ]
    at = max(gaps)[2]
    return [Block(items[:at]), Block(items[at:])]
