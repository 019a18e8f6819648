"""Pins what forward/mqtt.py takes from the library, against the real library and a real broker."""

import asyncio
import inspect
from importlib.metadata import version
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.causes import connack_error, disconnect_error, network_error
from gateway.forward.mqtt import (
    Connection,
    ConnectionSettings,
    Will,
    open_connection,
)
from gateway.forward.properties import pack_properties
from tests.brokers import LOOPBACK, Mosquitto, free_port
from tests.forward.fake_broker import FakeBroker
from tests.forward.fakes import eventually


def settings(port: int, **changes: object) -> ConnectionSettings:
    keys: dict[str, object] = {
        "broker": "city",
        "host": LOOPBACK,
        "port": port,
        "client_id": "one",
        "will": Will("city/will", b"gone"),
        "connect_timeout_s": 5.0,
    }
    return ConnectionSettings(**(keys | changes))  # type: ignore[arg-type]


def test_the_private_parts_that_are_used_are_there() -> None:
    """A new release of the library that moves them fails here, and not in a street cabinet."""
    assert version("aiomqtt").startswith("2.")
    assert version("paho-mqtt").startswith("2.")
    for name in ("_on_connect", "_on_disconnect", "_on_publish", "_on_socket_register_write"):
        ours = inspect.signature(getattr(Connection, name)).parameters
        theirs = inspect.signature(getattr(aiomqtt.Client, name)).parameters
        assert list(ours) == list(theirs)
    for name in ("_create_socket", "_handle_pubackcomp", "_do_on_publish", "_sock_close"):
        assert callable(getattr(paho.Client, name))


def test_properties_are_packed_as_the_library_packs_them() -> None:
    theirs = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    theirs.ContentType = "application/x-ndjson"
    user = [("gateway", "dokk1-03"), ("from", "1"), ("to", "200"), ("schema", "ø" * 60)]
    theirs.UserProperty = user
    ours = pack_properties("application/x-ndjson", user)
    assert ours == theirs.pack()  # type: ignore[no-untyped-call]
    assert pack_properties("", ()) == b"\0"


@pytest.mark.mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_reason_code_of_each_puback_comes_through(tmp_path: Path, protocol: str) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write allowed/#\n", encoding="ascii")
    async with Mosquitto(tmp_path, lines=[f"acl_file {acl}"]) as broker:
        connection = await open_connection(settings(broker.port, protocol_5=protocol == "5"))
        good = connection.send("allowed/a", b"1")
        bad = connection.send("forbidden/a", b"2")
        codes = [await good, await bad]
        await connection.close()
    # 0x10: accepted, nobody subscribes. MQTT 3.1.1 has no way to say no: Mosquitto says yes.
    assert codes == ([0x10, 0x87] if protocol == "5" else [0, 0])


@pytest.mark.parametrize("code", [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x95, 0x97, 0x99, 0xFF])
async def test_any_reason_code_comes_through_even_one_that_no_standard_knows(code: int) -> None:
    async with FakeBroker(answer=lambda _: code) as broker:
        connection = await open_connection(settings(broker.port))
        assert await connection.send("a", b"1") == code
        assert await connection.send("a", b"2") == code
        await connection.close()


async def test_what_the_broker_allows_is_read_from_its_connack() -> None:
    properties = bytes([0x21, 0, 9, 0x27, 0, 0, 8, 0, 0x25, 0])
    packet = bytes([0x20, 3 + len(properties), 0, 0, len(properties)]) + properties
    async with FakeBroker(connack=packet) as broker:
        connection = await open_connection(settings(broker.port))
        limits = connection.limits
        await connection.close()
    assert (limits.receive_maximum, limits.maximum_packet_bytes) == (9, 2048)
    assert limits.qos_1
    assert not limits.retain


async def test_what_is_in_flight_is_cancelled_with_the_connection() -> None:
    async with FakeBroker(answer=lambda _: None) as broker:
        connection = await open_connection(settings(broker.port))
        waiting = [connection.send("a", b"1") for _ in range(3)]
        connection.abort()
        assert all(future.cancelled() for future in waiting)
        assert connection.send("a", b"late").cancelled()
        assert await connection.ended is None
        await connection.close()


async def test_the_reason_of_a_disconnect_comes_through() -> None:
    async with FakeBroker(answer=lambda _: -0x8E) as broker:
        connection = await open_connection(settings(broker.port))
        connection.send("a", b"1")
        assert await connection.ended == 0x8E
        await connection.close()


async def test_an_attempt_can_be_given_up_at_any_time() -> None:
    """Nothing is left behind: neither a thread, nor a socket, nor a task."""
    async with FakeBroker(connack=b"") as broker:
        task = asyncio.create_task(open_connection(settings(broker.port)))
        await eventually(lambda: broker.connections)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_refusals_carry_their_cause() -> None:
    with pytest.raises(BrokerUnreachable) as unreachable:
        await open_connection(settings(free_port()))
    assert unreachable.value.cause == "refused"
    with pytest.raises(BrokerUnreachable) as nameless:
        await open_connection(settings(1883, host="no-such-host.invalid"))
    assert nameless.value.cause == "dns"
    with pytest.raises(BrokerUnreachable) as senseless:
        await open_connection(settings(1883, host="a" * 70 + ".example"))
    assert senseless.value.cause == "dns"
    async with FakeBroker(connack=bytes([0x20, 3, 0, 0x86, 0])) as broker:
        with pytest.raises(BrokerRefused) as refused:
            await open_connection(settings(broker.port))
    assert refused.value.cause == "login"
    async with FakeBroker(connack=b"") as broker:
        with pytest.raises(BrokerUnreachable) as silent:
            await open_connection(settings(broker.port, connect_timeout_s=0.3))
    assert silent.value.cause == "timeout"


def test_causes_are_a_closed_set_whatever_a_broker_sends() -> None:
    causes = {connack_error("x", code).cause for code in range(256)}
    causes |= {disconnect_error("x", code).cause for code in [None, *range(256)]}
    causes |= {network_error("x", OSError(number, "")).cause for number in range(140)}
    assert causes == {
        *("administrative", "banned", "busy", "client_id", "connack", "keepalive", "login", "lost"),
        *("moved", "no_qos1", "no_retain", "not_authorised", "payload_refused", "protocol"),
        *("quota", "rate", "receive_maximum", "refused", "shutdown", "taken_over", "timeout"),
        *("too_large", "topic_refused", "unavailable", "unreachable", "will_payload"),
        *("will_too_large", "will_topic"),
    }
