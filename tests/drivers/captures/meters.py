"""Captures of meters and sensors that answer when they are asked."""

from collections.abc import Mapping
from fractions import Fraction

from gateway.driver import Outcome
from gateway.reading import Fault, Measured
from tests.drivers.captures.parts import (
    Cut,
    Difference,
    Family,
    Frame,
    Key,
    Wanted,
    ask,
    one_each,
    polled,
    refused,
)
from tests.drivers.driver_cases import make

__all__ = ["FAMILIES"]

# -- Kamstrup ------------------------------------------------------------------------------------


def kamstrup(frame: Frame) -> Wanted:
    """Return what an answer to our question for registers says; a question is our own echo."""
    expected = frame.expected
    if "error" in expected:
        return refused({"crc": "checksum"}.get(expected["error"], "short"))
    if "request" in expected or "data_link" in expected:
        return refused("echo")
    if "register" in expected:
        return Wanted({("register", str(expected["register"])): [expected["value"][0]]})
    return Wanted({("serial", ""): [19088743.0]})


OTHERS = Difference(
    "the answer to another question than ours, and a number that names the meter: never a "
    "reading; that it is unstuffed and checked rightly is tested with the driver",
    refused("unknown"),
)

# -- M-Bus ---------------------------------------------------------------------------------------

SHOWN = 12
"""libmbus was asked about the first twelve records only: there may be more of ours."""
OUR_WORDS: Mapping[str, str] = {
    "heat.energy": "Energy",
    "energy.active_import": "Energy",
    "meter.total": "Energy",
    "heat.volume": "Volume",
    "water.volume": "Volume",
    "gas.volume": "Volume",
    "heat.power": "Power",
    "power.active": "Power",
    "water.flow": "Volume flow",
    "heat.flow_temperature": "Flow temperature",
    "heat.return_temperature": "Return temperature",
    "air.temperature": "External temperature",
    "air.humidity": "%RH",
    "electric.voltage": "V",
    "electric.current": "A",
}
FACTORS: Mapping[str, Fraction] = {
    "m": Fraction(1, 1000),
    "my": Fraction(1, 10**6),
    "kW": Fraction(1000),
    "Wh": Fraction(1, 1000),
}
"""What is not a number in front of their units, or is another unit than ours."""
TROUBLE = 0x1B
"""Bits of the status that report an error: application, permanent, temporary."""


def mbus(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Answer the question for data; keep the first value of each of libmbus' words.

    libmbus tells neither tariff nor subunit, so the others cannot be told apart.
    """
    seen: dict[str, Measured] = {}
    outcomes = polled(family, frame, data, cut)
    for each in outcomes:
        if isinstance(each, Measured):
            word = OUR_WORDS[each.quantity]
            seen.setdefault(word, Measured(word, each.value))
    return [*(each for each in outcomes if isinstance(each, Fault)), *seen.values()]


def records(frame: Frame) -> Wanted:
    """Return the first present value of each of libmbus' words, and what the status reports."""
    expected = frame.expected
    if "error" in expected:
        return refused(ERRORS.get(expected["error"].split(" ")[0].rstrip(":"), "short"))
    if "frames" in expected:
        return Wanted(counts={"Energy": 1})
    found: dict[Key, float] = {}
    for record in expected["records"]:
        what, _, unit = record.get("Unit", "").rstrip(")").rpartition("(")
        *scale, unit = unit.replace("deg C", "C").split() or [""]
        word = what.strip() or unit
        present = (record["Function"], record.get("StorageNumber")) == PRESENT
        if present and word in OUR_WORDS.values():
            number = Fraction(record["Value"]) * FACTORS.get(unit, 1)
            for factor in scale:
                number *= FACTORS.get(factor) or Fraction(factor)
            found.setdefault((word, ""), float(number))
    trouble = int(expected["slave"]["Status"], 16) & TROUBLE
    return Wanted(
        one_each(found),
        frozenset({"device_error"} if trouble else ()),
        all_values=len(expected["records"]) < SHOWN,
    )


PRESENT = ("Instantaneous value", "0")
ERRORS: Mapping[str, str] = {
    "application": "device_error",
    "buffer": "device_error",
    "error": "device_error",
    "checksum": "checksum",
    "unsupported": "noise",
}
"""By the first word of an expected error; any other is a telegram that ends too early."""

MAKERS_OWN = "voltage, current and power have a VIFE of the maker, which may tell a phase"

# -- IEC 62056-21 --------------------------------------------------------------------------------

SIGN_ON = "sign-on"
OBIS: Mapping[str, tuple[str, str]] = {
    "1.8.0": ("energy.active_import", ""),
    "2.8.0": ("energy.active_export", ""),
    "32.7": ("electric.voltage", "L1"),
    "31.7": ("electric.current", "L1"),
    "6.8": ("heat.energy", ""),
    "6.26": ("heat.volume", ""),
    "3.1.0": ("reactive", ""),
}


def mode_c(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Let the driver go through a readout of which the frame is one part.

    Our own words count as one ``said`` if the driver says exactly them, an identification as one
    if the driver then asks for the readout; data without its message gets one around it.
    """
    speed = 4800 if frame.kind == "option select" else 300
    device = make("iec62056", {"speed": speed})
    rounds = device.requests()
    question = next(rounds)
    if frame.kind == SIGN_ON:
        return [Measured("said", 1.0)] if question.data == data else []
    identification = data if data.startswith(b"/") else b"/TST5TEST\r\n"
    outcomes = ask(device, question, identification, cut)
    readout = next(rounds, None)
    if readout is None:
        return outcomes
    if data.startswith((b"/", b"\x06")):
        said = data.startswith(b"/") or readout.data == data
        return outcomes + [Measured("said", 1.0)] * said
    return outcomes + ask(device, readout, data if data[0] & 0x7F == STX else message(data), cut)


STX = 2


def message(body: bytes) -> bytes:
    """Return a message with its check around lines of data."""
    whole = body.rstrip(b"\r\n") + b"\r\n!\r\n\x03"
    check = 0
    for byte in whole:
        check ^= byte
    return b"\x02" + whole + bytes((check,))


def readout(frame: Frame) -> Wanted:
    """Return the registers of a message, or that the driver says just the same."""
    expected = frame.expected
    if "error" in expected:
        return refused("checksum")
    if "type" in expected or "baud" in expected:
        return Wanted({("said", ""): [1.0]})
    found = {
        OBIS[code]: expected[code][0] * (1000 if expected[code][1] == "MWh" else 1)
        for code in OBIS
        if code in expected
    }
    if "address" in expected:
        found[OBIS[expected["address"]]] = float(expected["value"])
    for n in range(expected.get("data_sets", 0)):
        found["data set", str(n)] = 12.0 + n
    return Wanted(one_each(found), all_values="note" not in expected or "data_sets" in expected)


NO_QUANTITY = "a code that stands for no quantity of the registry"

FAMILIES = (
    Family(
        driver="kmp",
        file="kamstrup_kmp.json",
        run=polled,
        wanted=kamstrup,
        differences={
            "PyKMP test_codec (vendor document example)": Difference(
                "register 128 is none of those that we ask for: no reading"
            ),
            "#3": OTHERS,
            "#8": OTHERS,
        },
    ),
    Family(
        driver="mbus",
        file="mbus_wired.json",
        run=mbus,
        wanted=records,
        tolerance=2e-6,  # libmbus writes six digits
        differences={
            "captured svm_f22_telegram1.hex": Difference(
                "flow and return at 243 degrees Celsius: no sensor is connected",
                Wanted(
                    one_each(
                        {
                            ("Energy", ""): 28014.0,
                            ("Volume", ""): 640.581,
                            ("Volume flow", ""): 0.0,
                            ("Power", ""): 0.0,
                        }
                    ),
                    frozenset({"device_error", "range"}),
                ),
            ),
            "captured SBC_Saia-Burgess-ALE3.hex": Difference(
                MAKERS_OWN, Wanted({("Energy", ""): [2.93]})
            ),
            "captured FIN-Finder-7E.23.8.230.0020.hex": Difference(
                MAKERS_OWN, Wanted({("Energy", ""): [1728.68]})
            ),
            "libmbus error-frames/premature_end_of_record.hex": Difference(
                "the telegram is whole: in it the meter reports an error of that name",
                refused("device_error"),
            ),
            "libmbus unsupported-frames/invalid_length2.hex": Difference(
                "the telegram is whole; its kind, fixed data of the old standard, is not read",
                refused("unknown"),
            ),
        },
    ),
    Family(
        driver="iec62056",
        file="iec62056_21_mode_c.json",
        run=mode_c,
        wanted=readout,
        checked=lambda frame: frame.data[0] & 0x7F == STX,
        differences={
            "#6": Difference(NO_QUANTITY),
            "#7": Difference(NO_QUANTITY),
        },
    ),
)
