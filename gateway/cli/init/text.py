"""The configuration as text: every key with one line that says what it is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway import __version__
from gateway.cli.init.plan import BrokerPlan, Plan, SensorPlan

__all__ = ["configuration_text"]

HEAD = f"""\
# Written by `citylab-gateway init`, version {__version__}.
# After a change: `citylab-gateway check` says what is wrong, `citylab-gateway reload` applies it.
"""
HELP: Mapping[str, str] = {
    "schema": "Version of this file's shape.",
    "gateway.id": "Part of every topic and id: never change it.",
    "gateway.tenant": "The city or lab that owns the data; part of topics and ids, too.",
    "gateway.location": "Where the box stands, in degrees (WGS84); a sensor may have its own.",
    "buffer.directory": "Where the ring of readings lives.",
    "buffer.runtime_directory": "In memory: what the newest block holds between two flushes.",
    "clock.trusted": "The clock is right from the start; else readings wait a minute for it.",
    "http.listen": "Status page, metrics, `top`; beyond this machine only with token_file.",
    "sensor.name": "Its name for ever: a new name is a new sensor.",
    "sensor.driver": "What decodes it; `citylab-gateway drivers` lists them.",
    "sensor.port": "Where it is plugged in; names in /dev/serial/by-id stay the same.",
    "sensor.address": "Its Bluetooth address.",
    "sensor.replay": "A recording that is played once, in the place of a device.",
    "sensor.options": "Options of the driver.",
    "sensor.privacy": "P0: physics, nobody's home; P3: data of a household or a person.",
    "sensor.purpose": "What the data is for, for the people it is about.",
    "sensor.controller": "Who answers for the data, and how to reach them.",
    "sensor.legal_basis": "Why it may be processed (GDPR article 6).",
    "sensor.retention": "How long it may stay in the ring; at most 72 h.",
    "broker.name": "Its name for ever: its place in the ring goes by it.",
    "broker.url": "mqtts:// and wss:// are encrypted and checked.",
    "broker.insecure": "Plain text: everybody on the way can read and forge.",
    "broker.format": "What messages look like; docs/payloads.md has them all.",
    "broker.username": "Who we are there.",
    "broker.password_file": "The file with the password, which never stands here.",
    "broker.tls.ca_file": "The broker's own authority, in the place of the public ones.",
}
KEY_LATER = "Where it encrypts: put its key into this file, then take the # away."


def configuration_text(plan: Plan, *, password_file: str = "", key_folder: str = "") -> str:
    """Return the file; the arguments say where password and keys will be read from."""
    writer = _Writer()
    writer.keys("", {"schema": 1})
    location = None
    if plan.place is not None:
        location = {"lat": plan.place.lat, "lon": plan.place.lon}
    gateway = {"id": plan.id, "tenant": plan.tenant, "location": location}
    writer.table("[gateway]", "gateway", gateway)
    buffer = {"directory": plan.directory, "runtime_directory": plan.runtime_directory}
    writer.table("[buffer]", "buffer", buffer)
    writer.table("[clock]", "clock", {"trusted": plan.clock_trusted or None})
    writer.table("[http]", "http", {"listen": plan.http})
    for sensor in plan.sensors:
        writer.table("[[sensor]]", "sensor", _sensor(sensor, key_folder))
        writer.lines += _keys_later(sensor, key_folder)
    if plan.broker is not None:
        _broker(writer, plan.broker, password_file)
    return HEAD + "\n".join(writer.lines) + "\n"


def _options(sensor: SensorPlan, key_folder: str, *, later: bool) -> dict[str, object]:
    keys = {
        f"{key}_file": f"{key_folder}/{sensor.key_file(key)}"
        for key, content in sensor.keys.items()
        if content or later
    }
    return {**sensor.options, **keys}


def _keys_later(sensor: SensorPlan, key_folder: str) -> list[str]:
    """Return the lines that wait for keys which nobody has said yet."""
    if not sensor.keys or any(sensor.keys.values()) or sensor.options:
        return []
    options = _options(sensor, key_folder, later=True)
    return [f"# {KEY_LATER}", f"#options = {_toml(options)}"]


def _sensor(sensor: SensorPlan, key_folder: str) -> dict[str, Any]:
    return {
        "name": sensor.name,
        "driver": sensor.driver,
        sensor.source: sensor.where,
        "options": _options(sensor, key_folder, later=False) or None,
        "privacy": sensor.privacy,
        **sensor.terms,
    }


def _broker(writer: "_Writer", broker: BrokerPlan, password_file: str) -> None:
    content = {
        "name": broker.name,
        "url": broker.url,
        "insecure": broker.insecure or None,
        "format": broker.format,
        "username": broker.username,
        "password_file": password_file,
    }
    writer.table("[[broker]]", "broker", content)
    writer.table("[broker.tls]", "broker.tls", {"ca_file": broker.ca_file})


class _Writer:
    """Collects lines; a key is explained where it stands for the first time."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._explained: set[str] = set()

    def table(self, header: str, name: str, content: Mapping[str, Any]) -> None:
        """Add a table unless everything in it is empty."""
        if any(value not in ("", None) for value in content.values()):
            self.lines += ["", header]
            self.keys(name, content)

    def keys(self, table: str, content: Mapping[str, Any]) -> None:
        """Add the keys that have a value."""
        for key, value in content.items():
            if value in ("", None):
                continue
            path = f"{table}.{key}" if table else key
            if path not in self._explained:
                self._explained.add(path)
                self.lines.append(f"# {HELP[path]}")
            self.lines.append(f"{key} = {_toml(value)}")


def _toml(value: Any) -> str:
    """Return a value in TOML, on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_pairs(value)) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return f"{value:.7f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.1f}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        bare = key.replace("_", "").replace("-", "").isalnum() and key.isascii()
        yield f"{key if bare else json.dumps(key)} = {_toml(value)}"
