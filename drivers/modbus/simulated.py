"""A make-believe Modbus device with the registers of a map: the same answers for the same seed."""

import random
import struct
from collections.abc import Mapping

from drivers.modbus.maps import Kind, Register, Status, packaged_map
from drivers.modbus.rtu import MAX_REGISTERS, READ_HOLDING, READ_INPUT, with_crc
from gateway.quantities import registry

__all__ = ["SimulatedModbus"]

REQUEST_BYTES = 8
MAX_RECEIVED_BYTES = 256
FORMS: Mapping[Kind, str] = {"u16": ">H", "s16": ">h", "u32": ">I", "s32": ">i", "float32": ">f"}
TYPICAL: Mapping[str, tuple[float, float]] = {
    "power.active": (1150.0, 400.0),
    "power.reactive": (120.0, 60.0),
    "power.apparent": (1180.0, 400.0),
    "power.factor": (0.95, 0.04),
    "electric.voltage": (231.0, 3.0),
    "electric.voltage_line": (400.0, 5.0),
    "electric.current": (5.0, 2.0),
    "electric.frequency": (50.0, 0.04),
    "electric.thd_voltage": (2.0, 0.5),
    "electric.thd_current": (9.0, 3.0),
    "air.co2": (520.0, 90.0),
    "traffic.occupancy": (12.0, 8.0),
}
"""Quantity -> middle and half of the width that its values wander in."""
OTHER = (20.0, 5.0)


class SimulatedModbus:
    """Answers for every unit; it says nothing by itself. ``map_name`` is one of the packaged."""

    def __init__(self, seed: int, map_name: str = "sdm630") -> None:
        self.interval_s = 1.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._map = packaged_map(map_name)
        self._values = {
            index: 1000.0 * self._random.random() if self._counts(each) else self._draw(each)
            for index, each in enumerate(self._map.registers)
        }
        self._received = b""

    def emit(self) -> bytes:
        """Return nothing: it answers only. A second passes."""
        for index, register in enumerate(self._map.registers):
            if self._counts(register):
                step = self._random.randrange(3) if register.counts_up else 0.01
                self._values[index] += step
            else:
                self._values[index] += 0.2 * (self._draw(register) - self._values[index])
        return b""

    def receive(self, data: bytes) -> bytes:
        """Take questions, whole or in pieces; return the answers to them."""
        self._received = (self._received + data)[-MAX_RECEIVED_BYTES:]
        answers = b""
        while len(self._received) >= REQUEST_BYTES:
            question = self._received[:REQUEST_BYTES]
            good = with_crc(question[:6]) == question
            self._received = self._received[REQUEST_BYTES if good else 1 :]
            if good:
                answers += self._answer(question)
        return answers

    def _answer(self, question: bytes) -> bytes:
        unit, function = question[0], question[1]
        address, count = struct.unpack(">HH", question[2:6])
        exception = 0
        if function not in (READ_HOLDING, READ_INPUT):
            exception = 1
        elif not 0 < count <= MAX_REGISTERS:
            exception = 3
        elif address + count > self._end(function):
            exception = 2
        if exception:
            return with_crc(bytes((unit, function | 0x80, exception)))
        memory = self._memory(function)
        data = bytes(memory[2 * address : 2 * (address + count)])
        return with_crc(bytes((unit, function, len(data))) + data)

    def _end(self, function: int) -> int:
        """Return the first address behind the registers that there are."""
        entries: tuple[Register | Status, ...] = (*self._map.registers, *self._map.status)
        return max(
            (e.address + e.size for e in entries if (e.function or self._map.function) == function),
            default=0,
        )

    def _memory(self, function: int) -> bytearray:
        memory = bytearray(2 * self._end(function))
        for index, register in enumerate(self._map.registers):
            if (register.function or self._map.function) != function:
                continue
            start = 2 * register.address
            value = self._values[index]
            if register.type == "bit":
                word = int.from_bytes(memory[start : start + 2], "big")
                word |= int(value > OTHER[0]) << (register.bit or 0)
                memory[start : start + 2] = word.to_bytes(2, "big")
            else:
                memory[start : start + 2 * register.size] = self._encoded(register, value)
        return memory

    def _encoded(self, register: Register, value: float) -> bytes:
        raw = value * register.per / register.scale
        form = FORMS[register.type]
        data = struct.pack(form, raw if register.type == "float32" else round(raw))
        words = register.words or self._map.words
        return data[2:] + data[:2] if words == "low_first" and register.size > 1 else data

    def _draw(self, register: Register) -> float:
        middle, half = TYPICAL.get(register.quantity, OTHER)
        return middle + half * (2.0 * self._random.random() - 1.0)

    @staticmethod
    def _counts(register: Register) -> bool:
        return registry()[register.quantity].kind == "counter" or register.counts_up
