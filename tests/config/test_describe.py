from gateway.config.describe import plan_lines
from gateway.config.model import Configuration
from tests.config.fakes import driver


def plan(document: dict[str, object]) -> list[str]:
    return plan_lines(Configuration.model_validate(document), drivers=driver)


def test_the_plan_says_who_gets_what_and_what_is_withheld() -> None:
    document: dict[str, object] = {
        "gateway": {"id": "dokk1", "tenant": "aarhus"},
        "buffer": {"size": "64 MiB", "flush_interval": "2 s"},
        "http": {"listen": "127.0.0.1:9469"},
        "sensor": [
            {
                "name": "air-roof",
                "driver": "sds011",
                "port": "/dev/ttyUSB0",
                "filter": {"*": {"range": {"min": 0}}, "air.pm25": {"deadband": 0.5}},
            },
            {"name": "street", "driver": "ops243", "port": "/dev/serial/by-id/radar"},
            {"name": "tag", "driver": "ruuvi", "address": "C4:7F:51:00:00:01"},
        ],
        "broker": [
            {
                "name": "aarhus",
                "url": "mqtts://a.example",
                "username": "dokk1",
                "select": {"sensors": ["air-*", "street"], "privacy": "P0"},
            },
            {
                "name": "lab",
                "url": "mqtt://b.example",
                "insecure": True,
                "format": "json",
                "select": {"quantities": ["air.*", "traffic.count"]},
            },
        ],
    }
    assert plan(document) == [
        "gateway dokk1 of aarhus",
        "ring of 64 MiB in /var/lib/citylab-gateway; a power cut costs at most 2 s, idle 30 s",
        "http on 127.0.0.1:9469",
        "sensor air-roof: sds011 at /dev/ttyUSB0, privacy P0",
        "  measures air.pm25, filtered by range, deadband",
        "  measures air.pm10, filtered by range",
        "  note: /dev/ttyUSB0 may be another device tomorrow; the names in /dev/serial/by-id stay",
        "sensor street: ops243 at /dev/serial/by-id/radar, privacy P1",
        "  measures traffic.count",
        "  measures traffic.speed_avg",
        "sensor tag: ruuvi at C4:7F:51:00:00:01, privacy P0",
        "  measures air.temperature",
        "  measures air.humidity",
        "broker aarhus: mqtts://a.example, format ngsi-ld, as dokk1",
        "  gets air-roof: air.pm25, air.pm10",
        (
            "  withheld street: traffic.count, traffic.speed_avg "
            "(privacy P1, and select.privacy is P0)"
        ),
        "  withheld tag: air.temperature, air.humidity (not in select.sensors)",
        (
            "broker lab: mqtt://b.example, format json, "
            "PLAIN TEXT: everybody on the way can read and forge"
        ),
        "  gets air-roof: air.pm25, air.pm10",
        "  gets street: traffic.count",
        "  withheld street: traffic.speed_avg (not in select.quantities)",
        "  gets tag: air.temperature, air.humidity",
    ]


def test_the_least_says_what_is_missing() -> None:
    assert plan({"gateway": {"id": "dokk1"}}) == [
        "gateway dokk1 of citylab",
        "ring of 256 MiB in /var/lib/citylab-gateway; a power cut costs at most 5 s, idle 30 s",
        "nothing listens",
        "no sensor: nothing will be measured",
        "no broker: readings stay in the ring",
    ]
