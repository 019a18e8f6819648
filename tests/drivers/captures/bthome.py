"""Captures of BTHome, with the values that bthome-ble and ble_monitor got from them."""

import re
from collections.abc import Mapping
from typing import Any

from tests.drivers.captures.adverts import differs, heard, payload
from tests.drivers.captures.parts import Difference, Family, Frame, Key, Wanted, one_each, refused

__all__ = ["FAMILIES"]

OPTIONS: Mapping[str, Any] = {
    "cumulative": False,  # each advertisement is looked at for itself
    "meanings": {
        "count": "people.present",
        "balance": "people.present",
        "speed": "wind.speed",
        "direction": "wind.direction",
        "precipitation": "rain.amount",
        "volume": "water.volume",
        "volume flow rate": "water.flow",
        "occupancy": "parking.occupied",
    },
}
NAMES: Mapping[str, tuple[str, float]] = {
    "battery": ("device.battery", 1),
    "carbon_dioxide": ("air.co2", 1),
    "co2": ("air.co2", 1),
    "count": ("people.present", 1),
    "current": ("electric.current", 1),
    "dew_point": ("air.dew_point", 1),
    "dewpoint": ("air.dew_point", 1),
    "direction": ("wind.direction", 1),
    "energy": ("energy.active_import", 1),
    "gas": ("gas.volume", 1),
    "humidity": ("air.humidity", 1),
    "illuminance": ("light.illuminance", 1),
    "occupancy": ("parking.occupied", 1),
    "pm10": ("air.pm10", 1),
    "pm2.5": ("air.pm25", 1),
    "pm25": ("air.pm25", 1),
    "power": ("power.active", 1),
    "precipitation": ("rain.amount", 1),
    "pressure": ("air.pressure", 1),
    "speed": ("wind.speed", 1),
    "temperature": ("air.temperature", 1),
    "tvoc": ("air.tvoc", 1),
    "uv index": ("uv.index", 1),
    "uv_index": ("uv.index", 1),
    "volatile_organic_compounds": ("air.tvoc", 1),
    "voltage": ("device.voltage", 1),
    "volume": ("water.volume", 1e-3),
    "volume flow rate": ("water.flow", 1),
    "volume mL": ("water.volume", 1e-6),
    "volume_flow_rate": ("water.flow", 1),
    "water": ("water.volume", 1e-3),
}
NO_QUANTITIES = frozenset(
    {
        "acceleration", "binary", "button", "battery charging", "battery low", "carbon monoxide",
        "channel", "cold", "conductivity", "connectivity", "dimmer", "distance", "distance mm",
        "door", "duration", "events", "garage door", "gas detected", "gyroscope", "heat", "light",
        "light_level", "lock", "mass", "moisture", "moisture detected", "motion", "moving",
        "opening", "plug", "presence", "problem", "raw", "rotation", "rotational_speed", "running",
        "safety", "smoke", "sound", "steps", "switch", "tamper", "text", "timestamp", "vibration",
        "volume_storage", "weight", "window",
    }
)  # fmt: skip
"""What the registry has no word for."""
ABOUT_THE_PACKET = frozenset(
    {"firmware", "local_name", "mac", "packet", "packet_id", "rssi", "type"}
)

SILENT = frozenset({"test_bthome_invalid_button_event", "test_bthome_text_invalid"})
"""Kinds that are an error to them: events and texts are passed over unread."""
ERRORS: Mapping[str, str] = {
    "test_bindkey_wrong": "key_wrong",
    "test_downgrade_detected_flag_v2": "key_wrong",
    "test_downgrade_detected_flag_v2 +2": "key_wrong",
}
"""What we call what they have no readings for, as differences are; else it is ``unknown``."""


def version_and_kind(entry: Mapping[str, Any]) -> str:
    """Return what is a sequence: two versions of their tests share some names."""
    version = 2 if "fcd2" in "".join(entry["service_data"]) else 1
    return f"{entry['kind']} v{version}"


def options(frame: Frame) -> dict[str, Any]:
    """Return the options of a frame: its key, or in the other file the only one."""
    first = (*frame.before, frame.entry)[0]
    (key,) = first.get("aeskeys", {"": first.get("bindkey")}).values()
    return {**OPTIONS, "bindkey": key}


def wanted(frame: Frame) -> Wanted:
    """Return what the registry has a word for; of several of a kind the number is the channel."""
    if "error" in frame.expected:
        kind = f"{frame.kind} +{len(frame.before)}" if frame.before else frame.kind
        return Wanted() if kind in SILENT else refused(ERRORS.get(kind, "unknown"))
    found: dict[Key, float] = {}
    for name, said in frame.expected.items():
        value, unit = said if isinstance(said, list) else (said, "")
        base, number = re.fullmatch(r"(.+?)(?:_(\d))?", name).groups("")  # type: ignore[union-attr]
        if base in ABOUT_THE_PACKET | NO_QUANTITIES or unit == "bool":
            continue
        quantity, factor = NAMES[f"{base} mL" if unit == "mL" else base]
        found[quantity, number] = value * factor
    return Wanted(one_each(found))


NO_WIND = "is no speed of the wind"
FEWER = differs("fewer than no people", None, "range")
MAINS = differs("in steps of 0.1 V it is the mains", {("electric.voltage", ""): 307.4})
DIFFERENCES: Mapping[str, Difference] = {
    "test_downgrade_detected_flag_v1 +1": differs(
        "not encrypted although there is a key: refused by both, and their parser keeps the values "
        "of earlier advertisements",
        None,
        "unknown",
    ),
    "test_downgrade_detected_flag_v1 +2": differs("a copy of the first, with its counter"),
    "test_bthome_speed": differs(f"133.9 m/s {NO_WIND}", None, "range"),
    "test_bthome_speed_signed": differs(f"-2.1 m/s {NO_WIND}", None, "range"),
    "test_bthome_v2_speed": differs(f"133.9 m/s {NO_WIND}", None, "range"),
    "test_bthome_count_signed": FEWER,
    "test_bthome_count_signed_2_bytes": FEWER,
    "test_bthome_count_signed_4_bytes": FEWER,
    "test_bthome_v2_count_4_bytes": differs("556,969,523 people in one place", None, "range"),
    "test_bthome_voltage_2": MAINS,
    "test_bthome_v2_voltage_1_digit": MAINS,
    "test_bthome_double_voltage_different_object_id": differs(
        "the two voltages are different quantities, and so they are not numbered",
        {
            ("power.active", ""): 0.0,
            ("electric.voltage", ""): 231.7,
            ("device.battery", ""): 51.0,
            ("device.voltage", ""): 3.305,
        },
    ),
    "test_bthome_v2_double_temperature": differs(
        "ble_monitor keeps the last of a kind",
        {("air.temperature", "1"): 25.7, ("air.temperature", "2"): 25.9},
    ),
    "test_bthome_battery_wrong_object_id_humidity": differs(
        "the same value; the rest is a fault", {("device.battery", ""): 93.0}, "unknown"
    ),
    "test_bthome_invalid_object_payload_data_length": differs(
        "the same value; the rest is a fault", {("air.temperature", ""): 25.06}, "short"
    ),
}


def is_encrypted(frame: Frame) -> bool:
    """Tell whether any change of a frame is seen."""
    return options(frame)["bindkey"] is not None and len(frame.before) == 0


FAMILIES = tuple(
    Family(
        driver="bthome",
        file=file,
        run=heard,
        wanted=wanted,
        options=options,
        differences=DIFFERENCES,
        in_pieces=False,
        sequence=version_and_kind if file == "bthome.json" else lambda entry: "",
        checked=is_encrypted,
        data=payload,
    )
    for file in ("bthome.json", "hci_bthome.json")
)
