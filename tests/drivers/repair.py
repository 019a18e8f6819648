"""Puts the right check value into a frame that was changed, so that fuzz gets past the check."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from drivers.checks import CHECK_BYTES, check_bytes, crc16_x25
from drivers.frame.options import frame_table
from drivers.frame_tables import FrameTable
from drivers.kmp.link import FROM_METER, build
from drivers.mhz19 import table as mhz19_table
from drivers.modbus.rtu import with_crc
from drivers.plantower import table as plantower_table
from drivers.sps30.shdlc import ESCAPED, INVERT, frame
from tests.drivers.driver_cases import options_of

__all__ = ["Repair", "repair_of"]

Repair = Callable[[bytes], bytes]

FLAG = b"\x7e"


def repair_of(name: str, options: Mapping[str, Any]) -> Repair:
    """Return what repairs one changed frame; it returns the frame as it is if it cannot."""
    if name in BY_HAND:
        return BY_HAND[name]
    tables = tuple(_tables(name, options))
    return lambda data: _by_table(tables, data)


def _tables(name: str, options: Mapping[str, Any]) -> Iterator[FrameTable]:
    """Yield the frame tables of a driver, wherever in its modules they are."""
    if name in ("frame", "frame_polled"):
        yield frame_table(options_of(name, options))
    elif name == "mhz19":
        yield mhz19_table(10_000)
    elif name == "plantower":
        yield plantower_table("atmospheric", "by_length")
    package = importlib.import_module(f"drivers.{name}")
    modules = [package]
    modules += [
        importlib.import_module(f"drivers.{name}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    for module in modules:
        for value in vars(module).values():
            for each in value.values() if isinstance(value, Mapping) else (value,):
                if isinstance(each, FrameTable):
                    yield each


def _by_table(tables: tuple[FrameTable, ...], data: bytes) -> bytes:
    for table in tables:
        check = table.checksum
        if check is not None and data.startswith(table.start) and len(data) > check.behind:
            end = len(data) - check.behind
            value = check_bytes(check.kind, check.byte_order)(data[check.first : end])
            return data[:end] + value + data[end + CHECK_BYTES[check.kind] :]
    return data


def _han(data: bytes) -> bytes:
    """Both checks of HDLC; the header ends behind two addresses and the control byte."""
    if len(data) < 12 or not (data.startswith(FLAG) and data.endswith(FLAG)):
        return data
    position = 3
    for _ in range(2):
        while position < len(data) - 6 and not data[position] & 1:
            position += 1
        position += 1
    position += 1
    head, body = data[1:position], data[position + 2 : -3]
    head += crc16_x25(head).to_bytes(2, "little")
    return FLAG + head + body + crc16_x25(head + body).to_bytes(2, "little") + FLAG


def _sml(data: bytes) -> bytes:
    return data[:-2] + crc16_x25(data[:-2]).to_bytes(2, "little")


def _p1(data: bytes) -> bytes:
    end = data.rfind(b"!") + 1
    if not end or not data.startswith(b"/"):
        return data
    return data[:end] + b"%04X" % int.from_bytes(_arc(data[:end]), "little") + b"\r\n"


_arc = check_bytes("crc16-arc")


def _vedirect(data: bytes) -> bytes:
    return data[:-1] + bytes((-sum(data[:-1]) & 0xFF,)) if data else data


def _modbus(data: bytes) -> bytes:
    return with_crc(data[:-2])


def _mbus(data: bytes) -> bytes:
    """Length and checksum of a long frame."""
    if len(data) < 9 or data[0] != 0x68 or len(data) > 261:
        return data
    length = bytes((len(data) - 6,))
    field = data[4:-2]
    return b"\x68" + length * 2 + b"\x68" + field + bytes((sum(field) & 0xFF, 0x16))


def _kmp(data: bytes) -> bytes:
    plain = bytearray()
    escaped = False
    for byte in data[1:-1]:
        if byte == 0x1B and not escaped:
            escaped = True
        else:
            plain.append(byte ^ 0xFF if escaped else byte)
            escaped = False
    return build(FROM_METER, bytes(plain[:-2]))


def _sps30(data: bytes) -> bytes:
    content = ESCAPED.sub(lambda match: bytes((match[1][0] ^ INVERT,)), data.strip(FLAG))[:-1]
    if len(content) < 4:
        return data
    return frame(content[:3] + bytes((len(content) - 4 & 0xFF,)) + content[4:])


def _iec62056(data: bytes) -> bytes:
    start, end = data.find(b"\x02"), data.rfind(b"\x03")
    if start < 0 or end < start:
        return data
    check = 0
    for byte in data[start + 1 : end + 1]:
        check ^= byte
    return data[: end + 1] + bytes((check,))


def _nmea(data: bytes) -> bytes:
    start, end = data.find(b"$"), data.rfind(b"*")
    if start < 0 or end < start:
        return data
    check = 0
    for byte in data[start + 1 : end]:
        check ^= byte
    return data[:end] + b"*%02X\r\n" % check


BY_HAND: Mapping[str, Repair] = {
    "han": _han,
    "iec62056": _iec62056,
    "kmp": _kmp,
    "mbus": _mbus,
    "modbus": _modbus,
    "nmea": _nmea,
    "p1": _p1,
    "sml": _sml,
    "sps30": _sps30,
    "vedirect": _vedirect,
}
