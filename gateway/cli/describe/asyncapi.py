"""An AsyncAPI 3.1 document of all topics, seen from the gateway: it sends what cities receive."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.cli.describe.channels import Channels, Sample, channels
from gateway.cli.describe.leaving import Leaving
from gateway.cli.describe.payload_schema import example_and_schema
from gateway.config.model import BrokerSection, Configuration

__all__ = ["asyncapi"]

ASYNCAPI_VERSION = "3.1.0"
MQTT_BINDING = "0.2.0"
SUMMARIES: Mapping[str, str] = {
    "data": "Readings",
    "announcement": "What a consumer has to know before the data",
    "withdrawal": "A sensor has fallen silent",
    "session": "Begin and end of a connection",
    "will": "The gateway is gone (last will)",
    "status": "State of the gateway, retained; as the last will it says offline",
    "gap": "Readings that will never come, and why",
    "time-fix": "What to add to times that were sent before the clock was right",
}
USER_PROPERTIES: Mapping[str, str] = {
    "gateway": "Id of the gateway",
    "epoch": "Generation of its ring",
    "from": "Sequence number of the first reading",
    "to": "Sequence number of the last reading",
    "schema": "What the payload follows",
}
"""MQTT 5 user properties of data messages."""


def asyncapi(configuration: Configuration, leavings: list[Leaving]) -> dict[str, Any]:
    """Return the document; the same configuration always gives the same one."""
    document: dict[str, Any] = {
        "asyncapi": ASYNCAPI_VERSION,
        "info": _info(configuration, leavings),
        "defaultContentType": "application/json",
        "servers": {},
        "channels": {},
        "operations": {},
    }
    for leaving in leavings:
        found = channels(leaving)
        document["servers"][leaving.broker.name] = _server(leaving, found)
        _add_channels(document, leaving, found)
    return document


def _info(configuration: Configuration, leavings: list[Leaving]) -> dict[str, Any]:
    gateway, catalogue = configuration.gateway, configuration.catalogue
    info: dict[str, Any] = {
        "title": catalogue.title or f"Gateway {gateway.id} of {gateway.tenant}",
        "version": leavings[0].context.version if leavings else "0",
        "description": catalogue.description or "What the gateway sends to each broker.",
    }
    if catalogue.publisher:
        info["contact"] = {"name": catalogue.publisher}
        if catalogue.publisher_url:
            info["contact"]["url"] = catalogue.publisher_url
        if "@" in catalogue.contact:
            info["contact"]["email"] = catalogue.contact
    if catalogue.licence:
        info["license"] = {"name": catalogue.licence.rpartition("/")[2], "url": catalogue.licence}
    return info


def _server(leaving: Leaving, found: Channels) -> dict[str, Any]:
    broker = leaving.broker
    host = f"[{broker.host}]" if ":" in broker.host else broker.host
    server: dict[str, Any] = {
        "host": f"{host}:{broker.port}",
        "protocol": urlsplit(broker.url).scheme,
        "protocolVersion": broker.protocol,
        "description": f"Payload format {broker.format}",
        "bindings": {"mqtt": _connection(leaving, found)},
    }
    if broker.websocket_path is not None:
        server["pathname"] = broker.websocket_path
    security = _security(broker)
    if security:
        server["security"] = security
    return server


def _connection(leaving: Leaving, found: Channels) -> dict[str, Any]:
    binding: dict[str, Any] = {
        "clientId": leaving.broker.client_id_of(leaving.context.gateway),
        "cleanSession": True,
        "keepAlive": round(leaving.broker.keepalive),
        "bindingVersion": MQTT_BINDING,
    }
    if found.will is not None:
        value, _ = example_and_schema(found.will)
        binding["lastWill"] = {
            "topic": found.will.topic,
            "qos": 1,
            "retain": found.will.retain,
            "message": value if isinstance(value, str) else found.will.payload.decode(),
        }
    return binding


def _security(broker: BrokerSection) -> list[dict[str, str]]:
    found = []
    if broker.username:
        found.append({"type": "userPassword", "description": "User name and password"})
    if broker.tls.cert_file:
        found.append({"type": "X509", "description": "Client certificate"})
    return found


def _add_channels(document: dict[str, Any], leaving: Leaving, found: Channels) -> None:
    broker = leaving.broker
    servers = [{"$ref": f"#/servers/{broker.name}"}]
    for topic, samples in found.by_topic.items():
        key = _unused(document["channels"], f"{broker.name}.{topic}")
        document["channels"][key] = {
            "address": topic,
            "servers": servers,
            "messages": {sample.kind: _message(leaving, sample) for sample in samples},
        }
        for sample in samples:
            if sample.kind == "will":
                continue  # it is the broker that sends a will: it stands in the server's binding
            document["operations"][f"{key}.{sample.kind}"] = _operation(key, sample)
    for topic in found.subscriptions:
        key = _unused(document["channels"], f"{broker.name}.{topic}")
        document["channels"][key] = {
            "address": topic,
            "servers": servers,
            "messages": {
                "heard": {
                    "summary": "What the consumer tells; it changes nothing but the conversation",
                    "payload": {"type": "string"},
                }
            },
        }
        document["operations"][f"{key}.heard"] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{key}"},
            "bindings": {"mqtt": {"qos": 1, "bindingVersion": MQTT_BINDING}},
        }


def _operation(key: str, sample: Sample) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{key}"},
        "summary": SUMMARIES[sample.kind],
        "messages": [{"$ref": f"#/channels/{key}/messages/{sample.kind}"}],
        "bindings": {
            "mqtt": {
                "qos": sample.qos,
                "retain": sample.message.retain,
                "bindingVersion": MQTT_BINDING,
            }
        },
    }


def _message(leaving: Leaving, sample: Sample) -> dict[str, Any]:
    example, schema = example_and_schema(sample.message)
    message: dict[str, Any] = {
        "summary": SUMMARIES[sample.kind],
        "payload": schema,
        "examples": [{"payload": example}],
    }
    if sample.message.content_type:
        message["contentType"] = sample.message.content_type
    if sample.sensors:
        message["description"] = f"Sensors: {', '.join(sample.sensors)}"
    if sample.kind == "data":
        message["description"] = f"{message['description']}. Follows {leaving.format.schema}."
        if leaving.broker.protocol == "5":
            message["headers"] = {
                "type": "object",
                "properties": {
                    name: {"type": "string", "description": text}
                    for name, text in USER_PROPERTIES.items()
                },
            }
    return message


def _unused(taken: Mapping[str, Any], text: str) -> str:
    """Return a key made of letters that a reference may have, different from those in use."""
    base = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-")
    key, number = base, 2
    while key in taken:
        key, number = f"{base}-{number}", number + 1
    return key
