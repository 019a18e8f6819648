"""Captures of Ruuvi, with the values of their documents and of two libraries."""

from collections.abc import Mapping

from tests.drivers.captures.adverts import heard_once, payload
from tests.drivers.captures.parts import Difference, Family, Frame, Key, Wanted, one_each, refused

__all__ = ["FAMILIES"]

NAMES: Mapping[str, str] = {
    "temperature": "air.temperature",
    "humidity": "air.humidity",
    "pressure": "air.pressure",
    "voltage": "device.voltage",
    "pm1": "air.pm1",
    "pm25": "air.pm25",
    "pm4": "air.pm4",
    "pm10": "air.pm10",
    "carbon_dioxide": "air.co2",
    "illuminance": "light.illuminance",
    "nox_index": "air.nox_index",
    "voc_index": "air.voc_index",
}
"""ruuvitag-ble's and ble_monitor's names, which are alike where both have one."""
DOCUMENT_NAMES: Mapping[str, tuple[str, float]] = {
    "Temperature": ("air.temperature", 1.0),
    "Humidity": ("air.humidity", 1.0),
    "Pressure": ("air.pressure", 0.01),
    "Voltage": ("device.voltage", 1.0),
}
MILLIVOLTS = 0.001
OTHERS = frozenset(
    {
        "acceleration_total", "acceleration_x", "acceleration_y", "acceleration_z", "iaqs",
        "movement_counter", "acceleration", "acceleration x", "acceleration y", "acceleration z",
        "battery", "firmware", "local_name", "mac", "motion", "motion timer", "packet", "rssi",
        "tx power", "type",
    }
)  # fmt: skip
"""No quantities, or about the packet; the battery's percentage ble_monitor computes."""
ROUNDED = 0.005
ROUNDED_LIGHT = 0.5
"""ruuvitag-ble rounds to hundredths, format 6's light to whole lux."""


def wanted(frame: Frame) -> Wanted:
    """Translate the three sources: units differ, and so do the types."""
    found: dict[Key, float] = {}
    for name, value in frame.expected.items():
        if name in NAMES:
            number, unit = value if isinstance(value, list) else (value, "")
            found[NAMES[name], ""] = number * (MILLIVOLTS if unit == "mV" else 1.0)
        elif name in DOCUMENT_NAMES:
            quantity, factor = DOCUMENT_NAMES[name]
            text = str(value).split()[0].rstrip("`")
            if text.upper() != "NAN":
                found[quantity, ""] = float(text) * factor
        else:
            assert name[0].isupper() or name in OTHERS, name
    return Wanted(one_each(found))


def off_by(key: Key, value: float) -> tuple[float, float]:
    """Return what their rounding may be."""
    rounded = ROUNDED_LIGHT if key[0] == "light.illuminance" else ROUNDED
    return rounded, rounded


DOCUMENT = "docs.ruuvi.com data-format"
OUT_OF_REACH = "can be written in the format but not measured"
CUT_OFF = Difference(
    "the capture ends where the document prints XX for a reserved byte", refused("short")
)
WEB_ADDRESS = Difference("formats 2 and 4 are a web address, in Eddystone: not claimed")


def _in_part(values: Mapping[str, float]) -> Difference:
    found = {(quantity, ""): value for quantity, value in values.items()}
    return Difference(OUT_OF_REACH, Wanted(one_each(found), frozenset({"range"})))


FAMILIES = tuple(
    Family(
        driver="ruuvi",
        file=file,
        run=heard_once,
        wanted=wanted,
        in_pieces=False,
        data=payload,
        tolerance=1e-9,
        off_by=off_by,
        checked=lambda frame: False,
        differences=differences,
    )
    for file, differences in (
        (
            "ruuvi.json",
            {
                f"{DOCUMENT}-3-rawv1 Case: maximum values": _in_part({}),
                f"{DOCUMENT}-3-rawv1 Case: minimum values": _in_part(
                    {"air.humidity": 0.0, "air.pressure": 500.0}
                ),
                f"{DOCUMENT}-5-rawv2 Case: maximum values": _in_part(
                    {"air.pressure": 1155.34, "device.voltage": 3.646}
                ),
                f"{DOCUMENT}-5-rawv2 Case: minimum values": _in_part(
                    {"air.humidity": 0.0, "air.pressure": 500.0, "device.voltage": 1.6}
                ),
                **{
                    f"{DOCUMENT}-{number} Case: {case}": CUT_OFF
                    for number in ("6", "e1")
                    for case in ("valid data", "maximum values", "Invalid values")
                },
            },
        ),
        ("hci_ruuvi.json", {"test_ruuvitag_v2": WEB_ADDRESS, "test_ruuvitag_v4": WEB_ADDRESS}),
    )
)
