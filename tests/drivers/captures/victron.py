"""Captures of Victron's instant readout, with the values that victron-ble got from it.

What is given in clear is sealed here with a key of ours.
"""

import struct
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from drivers.victron.records import RECORDS
from gateway.driver import Advert, Outcome
from tests.drivers.captures.adverts import ADDRESS
from tests.drivers.captures.parts import (
    Cut,
    Difference,
    Family,
    Frame,
    Key,
    Wanted,
    one_each,
    refused,
)
from tests.drivers.driver_cases import faults, make

__all__ = ["FAMILIES"]

VICTRON = 0x02E1
OWN_KEY = "3b1d5c0f8a6e472914d7b0c3e5f69a82"
TYPES: Mapping[str, int] = {
    "test_ac_charger": 0x08,
    "test_battery_monitor": 0x02,
    "test_battery_sense": 0x02,
    "test_dc_energy_meter": 0x0D,
    "test_dcdc_converter": 0x04,
    "test_solar_charger": 0x01,
    "test_vebus": 0x0C,
}
VOLTAGE, CURRENT, POWER = "electric.voltage", "electric.current", "power.active"
STARTER = {
    "starter_voltage": (VOLTAGE, "starter"),
    "temperature": ("device.temperature", "battery"),
}
NAMES: Mapping[int, Mapping[str, Key]] = {
    0x01: {
        "battery_voltage": (VOLTAGE, "battery"),
        "battery_charging_current": (CURRENT, "battery"),
        "solar_power": (POWER, "pv"),
        "external_device_load": (CURRENT, "load"),
    },
    0x02: {
        "voltage": (VOLTAGE, "battery"),
        "current": (CURRENT, "battery"),
        "soc": ("device.battery", "battery"),
        "midpoint_voltage": (VOLTAGE, "midpoint"),
        **STARTER,
    },
    0x04: {"input_voltage": (VOLTAGE, "input"), "output_voltage": (VOLTAGE, "output")},
    0x08: {
        "output_voltage1": (VOLTAGE, "battery"),
        "output_current1": (CURRENT, "battery"),
        "output_voltage2": (VOLTAGE, "battery2"),
        "output_current2": (CURRENT, "battery2"),
        "temperature": ("device.temperature", "battery"),
        "ac_current": (CURRENT, "ac_in"),
    },
    0x0C: {
        "battery_voltage": (VOLTAGE, "battery"),
        "battery_current": (CURRENT, "battery"),
        "ac_in_power": (POWER, "ac_in"),
        "ac_out_power": (POWER, "ac"),
        "battery_temperature": ("device.temperature", "battery"),
        "soc": ("device.battery", "battery"),
    },
    0x0D: {"voltage": (VOLTAGE, "dc"), "current": (CURRENT, "dc"), **STARTER},
}
NO_QUANTITIES = frozenset(
    {
        "ac_in_state", "alarm", "aux_mode", "charge_state", "charger_error", "consumed_ah",
        "device_state", "error", "meter_type", "model_name", "off_reason", "remaining_mins",
        "yield_today",
    }
)  # fmt: skip
"""States and counters that the registry has no word for; an error other than 0 is a fault."""
PARTLY = frozenset(
    {
        "test_battery_monitor/test_aux_midpoint",
        "test_battery_monitor/test_aux_starter",
        "test_battery_monitor/test_aux_temperature",
        "test_dc_energy_meter/test_aux_starter",
        "test_dc_energy_meter/test_aux_temperature",
        "test_dc_energy_meter/test_aux_temperature_none",
        "test_solar_charger/test_bulk_charge",
    }
)
"""Kinds of which their test names some of the values only."""
AUX = "test_battery_monitor/test_aux_temperature (payload after AES-CTR)"
WITHOUT_TEMPERATURE: Mapping[Key, float] = {
    (VOLTAGE, "battery"): 12.54,
    (CURRENT, "battery"): 0.0,
    ("device.battery", "battery"): 100.0,
}


def kind_of(frame: Frame) -> str:
    """Return the kind of a frame without the note behind it."""
    return frame.kind.partition(" ")[0]


def payload(entry: Mapping[str, Any]) -> bytes:
    """Return Victron's data of an entry; what is given in clear is sealed."""
    if "manufacturer_data" in entry:
        (data,) = entry["manufacturer_data"].values()
        return bytes.fromhex(data)
    kind = TYPES[entry["kind"].partition("/")[0]]
    # Behind the record stands what the library made of its own padding.
    plain = bytes.fromhex(entry["decrypted"])[: -(-RECORDS[kind].bits // 8)]
    secret, counter = bytes.fromhex(OWN_KEY), 0x17B5
    cipher = Cipher(AES(secret), CTR(counter.to_bytes(16, "little"))).encryptor()
    head = struct.pack("<BBHBHB", 0x10, 2, 0xA389, kind, counter, secret[0])
    return head + cipher.update(plain)


def options(frame: Frame) -> dict[str, Any]:
    """Return the key of a frame."""
    return {"key": frame.entry["key"] if "manufacturer_data" in frame.entry else OWN_KEY}


def advert(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Show it to the driver: with its key once, again, and to one without a key."""
    heard = Advert(ADDRESS, -60, manufacturer_data={VICTRON: data})
    driver = make(family.driver, family.options(frame))
    outcomes = list(driver.decode(heard))
    if data == frame.data:
        assert driver.claims(heard)
        assert faults(make(family.driver).decode(heard)) == ["key_missing"]
        assert "key_wrong" in faults(outcomes) or list(driver.decode(heard)) == []
    return outcomes


def wanted(frame: Frame) -> Wanted:
    """Translate victron-ble's names; "None" is no reading."""
    if frame.expected.get("error") == "key mismatch":
        return refused("key_wrong")
    names = NAMES[TYPES[frame.kind.partition("/")[0]]]
    assert not frame.expected.keys() - names.keys() - NO_QUANTITIES
    values = {
        names[name]: [float(value)]
        for name, value in frame.expected.items()
        if name in names and value != "None"
    }
    return Wanted(values, all_values=kind_of(frame) not in PARTLY)


FAMILIES = (
    Family(
        driver="victron",
        file="victron_ble.json",
        run=advert,
        wanted=wanted,
        options=options,
        in_pieces=False,
        data=payload,
        checked=lambda frame: False,
        differences={
            AUX: Difference(
                "0xffff is no temperature: the same library says so for the DC energy meter",
                Wanted(one_each(WITHOUT_TEMPERATURE)),
            ),
        },
    ),
)
