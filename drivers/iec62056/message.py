"""Reads the text that a meter sends on request: identification, and a message with its check.

Document: IEC 62056-21:2002, section 6 (modes A to C, message formats); IEC 62056-6-1 for codes.
"""

import re
from decimal import Decimal

from drivers.obis import CODES, Amount, amount, checked, readings
from gateway.reading import Fault, Measured

__all__ = [
    "C_SPEEDS",
    "MODE_B",
    "decode",
    "goes_on",
    "identification_end",
    "message_end",
    "mode_letter",
    "plain",
    "proposed_speed",
]

STX, ETX = 0x02, 0x03
MAX_IDENTIFICATION_BYTES = 64
MAX_MESSAGE_BYTES = 8000
"""A readout with a year of stored values has about 4,000."""
MODE_C = frozenset("0123456789")
MODE_B = frozenset("ABCDEFGHI")
"""Characters that tell the mode of a meter; any other is mode A."""
C_SPEEDS = (300, 600, 1200, 2400, 4800, 9600, 19200)
"""By the digit that stands for them; 7 to 9 are reserved."""
B_SPEEDS = dict(zip("ABCDEF", C_SPEEDS[1:], strict=True))
"""G to I are reserved."""
IDENTIFICATION = re.compile(rb"/[A-Za-z]{3}([ -~])[ -~]*\r\n")
DATA_SET = re.compile(r"([0-9CFL][0-9:.*&-]{0,19}[0-9F]|F)\(([^()*]{0,32})(?:\*([^()]{1,16}))?\)")
CODE = re.compile(r"(?:1-[0-9]{1,2}:)?([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9]{1,3}))?(?:\*255)?")
NUMBER = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,8})?")
ERROR_CODES = frozenset({"F", "F.F"})
ERROR = re.compile(r"0*[1-9A-Fa-f][0-9A-Fa-f]*")
HEAT = {"6.8": ("heat.energy", "kW.h"), "6.26": ("heat.volume", "m3")}
"""Codes of heat meters: two groups, and told from those of electricity by their units."""


def plain(data: bytes) -> bytes:
    """Return the characters without the parity bits of a line that was opened with 8 data bits.

    Data with a wrong parity is returned as it is, and its check will fail.
    """
    if all(byte < 0x80 for byte in data) or any(byte.bit_count() & 1 for byte in data):
        return data
    return bytes(byte & 0x7F for byte in data)


def mode_letter(data: bytes) -> str:
    """Return the character of the identification that tells mode and speed, "" without one."""
    match = IDENTIFICATION.search(plain(data))
    return match[1].decode() if match else ""


def goes_on(letter: str) -> bool:
    """Tell whether a meter sends its message only after its identification was taken (B and C)."""
    return letter in MODE_B or letter in MODE_C


def proposed_speed(letter: str) -> int | None:
    """Return the speed that a meter goes on at (B), or would like to (C); None if it names none."""
    if letter in MODE_C and int(letter) < len(C_SPEEDS):
        return C_SPEEDS[int(letter)]
    return B_SPEEDS.get(letter)


def identification_end(data: bytes) -> int | None:
    """Return where the answer to the sign-on ends, None while that is not known.

    A meter of mode A sends its message at once, one of mode B waits until the reader has changed
    its speed, one of mode C until it is asked.
    """
    letter = mode_letter(data)
    if not letter:
        return len(data) if len(data) > MAX_IDENTIFICATION_BYTES else None
    if goes_on(letter):
        return len(data)
    return message_end(data)


def message_end(data: bytes) -> int | None:
    """Return where the message ends, None while that is not known: behind ETX comes the check."""
    seven = bytes(byte & 0x7F for byte in data)
    start = seven.find(STX)
    end = seven.find(ETX, start) if start >= 0 else -1
    if end >= 0 and end + 2 <= len(data):
        return end + 2
    return len(data) if len(data) > MAX_MESSAGE_BYTES else None


def decode(data: bytes) -> list[Measured | Fault]:
    """Return what a message says, if its check is right; faults carry no text of the meter."""
    text = plain(data)
    start = text.find(STX)
    end = text.find(ETX, start) if start >= 0 else -1
    if end < 0 or end + 2 > len(text):
        return [Fault("short", "message without its end")]
    check = 0
    for byte in text[start + 1 : end + 1]:
        check ^= byte
    if check != text[end + 1]:
        return [Fault("checksum", "message with a wrong check")]
    return _values(text[start + 1 : end].decode("latin-1"))


def _values(text: str) -> list[Measured | Fault]:
    electricity: dict[str, Amount | None] = {}
    outcomes: list[Measured | Fault] = []
    for code, value, unit in DATA_SET.findall(text):
        if code in ERROR_CODES and ERROR.fullmatch(value):
            outcomes.append(Fault("device_error", f"the meter reports error {value[:8]}"))
        number = amount(Decimal(value), unit) if NUMBER.fullmatch(value) else None
        if code in HEAT:
            quantity, expected = HEAT[code]
            if number is not None and number.unit == expected:
                outcomes.append(checked(Measured(quantity, float(number.number))))
            continue
        match = CODE.fullmatch(code)
        name = f"{match[1]}.{match[2]}.{match[3] or 0}" if match else ""
        if name in CODES and value.strip("- "):
            electricity.setdefault(name, number)
    return readings(electricity) + outcomes
