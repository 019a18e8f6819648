"""What an IoT Agent has to be told before measures arrive: types, names and units of attributes.

The document for ``POST /iot/services`` and ``POST /iot/devices``; ``citylab-gateway describe
--provisioning`` prints it.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.forward.formats.base import FormatContext
from gateway.forward.formats.fiware_iota_plans import (
    DEFAULT_DEVICE,
    FiwareIotaOptions,
    Plan,
    plan_measures,
)
from gateway.reading import Series

__all__ = ["provisioning"]

RESOURCE = "/iot/json"
ENTITY_NAME = "'urn:ngsi-ld:'+id"
"""The default device id is the entity's id without its beginning."""
PLAIN_DEVICE = "{tenant}:{sensor}"
"""With this naming the agent's own rule, urn:ngsi-ld:<type>:<device>, gives the right id."""


@dataclass(slots=True)
class _Attributes:
    """The attributes of some measures, with all unit codes that they have."""

    types: dict[str, str] = field(default_factory=dict)
    units: dict[str, set[str]] = field(default_factory=dict)

    def add(self, plan: Plan) -> None:
        """Take in what the measures of a series contain."""
        self.types |= dict.fromkeys(plan.times, "Text")
        self.types |= {name: _type_of(name, value) for name, value in plan.shared.items()}
        self.types["quality"] = "Text"
        text = plan.write(1.0)
        number = "Boolean" if isinstance(json.loads(text), bool) else "Number"
        self.types[plan.attribute] = "StructuredValue" if plan.member else number
        self.units.setdefault(plan.attribute, set()).add(plan.unit_code)

    @property
    def is_clear(self) -> bool:
        """Each attribute has one unit."""
        return all(len(codes) == 1 for codes in self.units.values())

    def document(self) -> list[dict[str, Any]]:
        """Return the attributes as the agent wants them."""
        return [self._attribute(name) for name in sorted(self.types)]

    def _attribute(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {"object_id": name, "name": name, "type": self.types[name]}
        codes = self.units.get(name, set())
        code = next(iter(codes)) if len(codes) == 1 else ""
        if code:
            found["metadata"] = {"unitCode": {"type": "Text", "value": code}}
        return found


def provisioning(
    series: Sequence[Series], context: FormatContext, options: FiwareIotaOptions
) -> dict[str, list[dict[str, Any]]]:
    """Return ``{"services": […], "devices": […]}``: post them as ``{"services": …}`` and so on.

    ``series`` are those that may leave, of all sensors. A service group per entity type says it
    all, and new devices then come into being by themselves. Devices are listed only where a group
    cannot say it: a key shared by several types, an attribute with different units, or a naming of
    devices from which the agent cannot make the entity's id.
    """
    plans = [plan_measures(one, context, options) for one in series]
    services: list[dict[str, Any]] = []
    devices: list[dict[str, Any]] = []
    for apikey in sorted({plan.apikey for plan in plans}):
        group = [plan for plan in plans if plan.apikey == apikey]
        has_one_type = len({plan.type for plan in group}) == 1
        attributes = _of(group)
        if has_one_type:
            services.append(_service(group[0], attributes, options))
        if not has_one_type or not attributes.is_clear or not _names_itself(options):
            by_device: dict[str, list[Plan]] = {}
            for plan in group:
                by_device.setdefault(plan.device, []).append(plan)
            devices += [_device(by_device[name]) for name in sorted(by_device)]
    return {"services": services, "devices": devices}


def _service(plan: Plan, attributes: _Attributes, options: FiwareIotaOptions) -> dict[str, Any]:
    found: dict[str, Any] = {
        "apikey": plan.apikey,
        "resource": RESOURCE,
        "entity_type": plan.type,
        "transport": "MQTT",
    }
    if options.device == DEFAULT_DEVICE:
        found["entityNameExp"] = ENTITY_NAME
    return found | {"attributes": attributes.document()}


def _device(plans: Sequence[Plan]) -> dict[str, Any]:
    plan = plans[0]
    return {
        "device_id": plan.device,
        "apikey": plan.apikey,
        "entity_name": plan.entity,
        "entity_type": plan.type,
        "transport": "MQTT",
        "attributes": _of(plans).document(),
    }


def _of(plans: Iterable[Plan]) -> _Attributes:
    found = _Attributes()
    for plan in plans:
        found.add(plan)
    return found


def _names_itself(options: FiwareIotaOptions) -> bool:
    return options.device in (DEFAULT_DEVICE, PLAIN_DEVICE)


def _type_of(name: str, value: object) -> str:
    if name == "location":
        return "geo:json"
    if name.startswith("ref"):
        return "Relationship"
    if isinstance(value, int | float):
        return "Number"
    return "StructuredValue" if isinstance(value, list | dict) else "Text"
