"""Meters and sensors on Modbus RTU, by register maps that are data.

Written from "MODBUS over Serial Line V1.02" and "MODBUS Application Protocol V1.1b3"; the document
of each device is named in its map.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from drivers.modbus.blocks import Block, Value, plan, split
from drivers.modbus.maps import (
    MAX_ENTRIES,
    QUANTITIES,
    Register,
    RegisterMap,
    Status,
    Words,
    map_names,
    packaged_map,
)
from drivers.modbus.rtu import (
    EXCEPTIONS,
    ILLEGAL_ADDRESS,
    MAX_REGISTERS,
    Answer,
    damage,
    find_answer,
    read_request,
)
from drivers.modbus.search import Search
from gateway.driver import DriverInfo, Outcome, Request, SerialLine
from gateway.reading import Fault

__all__ = ["Modbus", "ModbusOptions"]

SAMPLE_BYTES = 16
WORDS = {
    "timeout": "no answer",
    "echo": "nothing but our own request came back",
    "short": "an answer that ended too early",
    "checksum": "an answer with a wrong CRC",
    "noise": "bytes that are no answer to what was asked",
}


def _known(name: str) -> str:
    if name not in map_names():
        raise ValueError(f"there is no such map; there are {', '.join(map_names())}")
    return name


class ModbusOptions(BaseModel):
    """Which device, and how it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: int | None = Field(
        default=None,
        ge=1,
        le=254,
        description="Address of the device on the bus; without it the map's, which is 1 as a rule.",
    )
    map: Annotated[str, AfterValidator(_known)] | None = Field(
        default=None, description="Register map that comes with the driver; see README.md."
    )
    registers: tuple[Register, ...] = Field(
        default=(),
        max_length=MAX_ENTRIES,
        description="Registers of your own, instead of a map.",
    )
    status: tuple[Status, ...] = Field(
        default=(), max_length=8, description="Status registers of your own, with registers."
    )
    function: Literal[3, 4] | None = Field(
        default=None, description="3: holding registers, 4: input registers; else the map's."
    )
    words: Words | None = Field(
        default=None,
        description="Which of the two registers of 32 bits comes first; else the map's.",
    )
    gap: int | None = Field(
        default=None,
        ge=0,
        le=MAX_REGISTERS,
        description="Registers that nobody asked for and that may be read along; else the map's.",
    )
    longest_read: int | None = Field(
        default=None,
        ge=2,
        le=MAX_REGISTERS,
        description="Registers of one question at most; else the map's.",
    )
    timeout_s: float = Field(
        default=1.0, ge=0.05, le=10.0, description="Silence after which there is no answer."
    )

    @model_validator(mode="after")
    def _one_map(self) -> "ModbusOptions":
        if self.status and not self.registers:
            raise ValueError("status is for registers of your own")
        if (self.map is None) == (not self.registers):
            raise ValueError("needs either map or registers")
        return self

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the quantities of the map, each once."""
        return tuple(dict.fromkeys(each.quantity for each in self.register_map().registers))

    def register_map(self) -> RegisterMap:
        """Return the map with everything that is set here."""
        own = {
            key: getattr(self, key)
            for key in ("unit", "function", "words", "gap", "longest_read")
            if getattr(self, key) is not None
        }
        if self.map is None:
            return RegisterMap(registers=self.registers, status=self.status, **own)
        return packaged_map(self.map).model_copy(update=own)


class Modbus:
    """Reads the registers of one device and yields what its map says that they are."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="modbus",
        title="meters and sensors on Modbus RTU: Eastron, Carlo Gavazzi, PZEM, Senseair, own maps",
        domain="energy",
        quantities=QUANTITIES,
        interval_s=10.0,
        lines=(
            SerialLine(9600),
            SerialLine(9600, parity="E"),
            SerialLine(2400),
            SerialLine(19200, parity="E"),
            SerialLine(19200),
        ),
        document="MODBUS over Serial Line V1.02",
    )
    Options: ClassVar[type[BaseModel]] = ModbusOptions

    def __init__(self, options: ModbusOptions) -> None:
        register_map = options.register_map()
        self._unit = register_map.unit
        self._timeout_s = options.timeout_s
        values = [Value(each, register_map) for each in register_map.registers]
        self._questions: dict[bytes, tuple[Request, Block]] = {}
        """What is asked in a round, in order, and the block that the answer holds."""
        self._ask(plan(register_map, values))
        self._seen: tuple[Block, bytes, Answer] | None = None
        """The answer that was found when its length was asked for."""
        self._silent = False
        """The device did not answer in this round."""
        self._withhold = False
        """It said in this round that its values are not to be believed."""

    @classmethod
    def search(cls) -> Search:
        """Return what looks through a whole bus, for ``scan --probe``."""
        return Search(lambda options: cls(ModbusOptions.model_validate(options)))

    def requests(self) -> Iterator[Request]:
        """Ask for block after block; a device that gives no answer is asked no more this time."""
        self._silent = self._withhold = False
        for request, _ in tuple(self._questions.values()):
            if self._silent:
                return
            yield request

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
        """Return the readings of one block, or the fault that stands for it."""
        known = self._questions.get(request.data)
        if known is None:
            return [Fault("unknown", "an answer to nothing", data[:SAMPLE_BYTES])]
        block = known[1]
        answer = self._find(block, data)
        if answer is None:
            # A late answer must not be taken for that of the next block: so no more questions.
            self._silent = True
            kind = damage(data, self._unit, block.function, block.count)
            return [Fault(kind, WORDS[kind], data[:SAMPLE_BYTES])]
        if answer.exception:
            return [self._refused(block, answer.exception)]
        if not block.checks:
            return [] if self._withhold else block.decode(answer.data)
        faults, withhold = block.trouble(answer.data)
        self._withhold = self._withhold or withhold
        return faults if self._withhold else [*faults, *block.decode(answer.data)]

    def _ask(self, blocks: Iterable[Block]) -> None:
        self._questions = {}
        for block in blocks:
            data = read_request(self._unit, block.function, block.address, block.count)
            request = Request(
                data=data,
                length=partial(self._size, block),
                timeout_s=self._timeout_s,
                tag=f"{block.function}/{block.address}",
            )
            self._questions[data] = (request, block)

    def _size(self, block: Block, data: bytes) -> int | None:
        answer = find_answer(data, self._unit, block.function, block.count)
        self._seen = None if answer is None else (block, data[: answer.end], answer)
        return None if answer is None else answer.end

    def _find(self, block: Block, data: bytes) -> Answer | None:
        if self._seen is not None and self._seen[0] is block and self._seen[1] == data:
            return self._seen[2]
        return find_answer(data, self._unit, block.function, block.count)

    def _refused(self, block: Block, exception: int) -> Fault:
        """Ask differently from the next round on, if the device lacks a register of the block."""
        if exception == ILLEGAL_ADDRESS:
            blocks = [each for _, each in self._questions.values()]
            parts = [split(each) if each is block else [each] for each in blocks]
            self._ask([each for part in parts for each in part])
        what = EXCEPTIONS.get(exception, "unknown")
        where = f"registers {block.address} to {block.address + block.count - 1}"
        return Fault("device_error", f"exception {exception} ({what}) for {where}")
