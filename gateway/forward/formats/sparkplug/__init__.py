"""Sparkplug B 3.0: the gateway is an edge node, its sensors are devices.

``wire`` is the protobuf wire format, ``payload`` the schema, ``topics`` the name space, ``metrics``
what a series becomes, ``births`` what introduces node and devices, ``session`` the conversation of
one connection, ``edge_node`` the format. For users: docs/payloads/sparkplug-b.md.
"""

from gateway.forward.formats.sparkplug.edge_node import SparkplugB, SparkplugOptions

__all__ = ["SparkplugB", "SparkplugOptions"]
