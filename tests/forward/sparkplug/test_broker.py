"""The conversation over a real broker: what a recorder on the other side gets keeps the rules."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import aiomqtt
import pytest

from gateway.forward.formats.sparkplug import SparkplugB, SparkplugOptions
from gateway.reading import Series, SeriesKey
from tests.brokers import LOOPBACK, Mosquitto
from tests.forward.sparkplug.conversation import (
    HOST,
    START_MS,
    EdgeNode,
    Event,
    Reading,
    rebirth_request,
    state,
)
from tests.forward.sparkplug.rules import RULES, Trace

PATIENCE_S = 30.0
PM25 = Series(1, SeriesKey("air-roof", "air.pm25"), "ug/m3")
CARS = Series(2, SeriesKey("radar", "traffic.count", (("lane", "1"),)), "{vehicle}")
STATE = f"spBv1.0/STATE/{HOST}"
COMMAND = "spBv1.0/aarhus/NCMD/dokk1-03"


def client(
    port: int, protocol: aiomqtt.ProtocolVersion, will: Event | None = None
) -> aiomqtt.Client:
    return aiomqtt.Client(
        LOOPBACK,
        port,
        protocol=protocol,
        clean_session=None if protocol is aiomqtt.ProtocolVersion.V5 else True,
        will=None
        if will is None
        else aiomqtt.Will(will.topic, will.payload, qos=will.qos, retain=will.retain),
    )


class Recorder:
    """Somebody else's host application: everything of the group, as it arrived."""

    def __init__(self) -> None:
        self.heard: list[aiomqtt.Message] = []
        self.host: aiomqtt.Client

    @contextlib.asynccontextmanager
    async def on(self, port: int, protocol: aiomqtt.ProtocolVersion) -> AsyncIterator["Recorder"]:
        async with client(port, protocol) as self.host:
            await self.host.subscribe("spBv1.0/aarhus/#", qos=1)

            async def collect() -> None:
                async for message in self.host.messages:
                    if message.topic.value != COMMAND:
                        self.heard.append(message)

            task = asyncio.create_task(collect())
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.wait({task})

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not what():  # noqa: ASYNC110 - what is waited for is a message in a list
                await asyncio.sleep(0.01)

    def types(self) -> list[str]:
        return [message.topic.value.split("/")[2] for message in self.heard]


class Line:
    """Carries what the node says to the broker, and what the broker says to the node."""

    def __init__(self, node: EdgeNode, port: int, protocol: aiomqtt.ProtocolVersion) -> None:
        self.node, self.port, self.protocol = node, port, protocol
        self.said = 0

    async def speak(self, connected: aiomqtt.Client) -> bool:
        """Send what is new; return whether the node wants to end the connection."""
        while self.said < len(self.node.events):
            event = self.node.events[self.said]
            self.said += 1
            if event.kind == "subscribe":
                await connected.subscribe(event.topic, qos=event.qos)
            elif event.kind == "publish":
                await connected.publish(
                    event.topic, event.payload, qos=event.qos, retain=event.retain
                )
            elif event.kind == "disconnect":
                return True
        return False

    async def listen(self, connected: aiomqtt.Client) -> None:
        """Let the node hear the next message."""
        async with asyncio.timeout(PATIENCE_S):
            message = await anext(aiter(connected.messages))
        assert isinstance(message.payload, bytes)
        self.node.hear(message.topic.value, message.payload)


@pytest.fixture
def encoder() -> SparkplugB:
    """Made outside the event loop, as the daemon does: it reads a file."""
    return SparkplugB(SparkplugOptions(primary_host=HOST))


@pytest.mark.mosquitto
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "protocol", [aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5], ids=["3.1.1", "5"]
)
async def test_a_recorder_gets_what_the_standard_promises(
    protocol: aiomqtt.ProtocolVersion, encoder: SparkplugB, tmp_path: Path
) -> None:
    node = EdgeNode(encoder, [PM25, CARS], connection_number=255)
    async with (
        Mosquitto(tmp_path / "broker") as broker,
        Recorder().on(broker.port, protocol) as recorder,
    ):
        line = Line(node, broker.port, protocol)
        await recorder.host.publish(
            STATE, state(online=True, timestamp_ms=START_MS), qos=1, retain=True
        )
        await _with_a_host(line, recorder)
        await _until_it_breaks(line, recorder)
    assert recorder.types() == [
        *("NBIRTH", "DBIRTH", "DBIRTH", "DDATA", "DDATA"),
        *("NBIRTH", "DBIRTH", "DBIRTH", "DDEATH", "DBIRTH", "DDATA", "NDEATH"),
        *("NBIRTH", "DBIRTH", "DBIRTH", "DDATA", "NDEATH"),
    ]
    _judge(node.events, recorder)


async def _with_a_host(line: Line, recorder: Recorder) -> None:
    """Birth, data, rebirth, a silent sensor; then the host says that it goes."""
    node = line.node
    node.connect()
    async with client(line.port, line.protocol, node.events[0]) as connected:
        await line.speak(connected)
        assert recorder.heard == []
        await line.listen(connected)  # the retained state
        node.data(Reading(PM25, 5, 8.4), Reading(CARS, 4, 12))
        await line.speak(connected)
        await recorder.host.publish(COMMAND, rebirth_request(), qos=0)
        await line.listen(connected)
        node.withdraw("radar")
        node.announce("radar")
        node.data(Reading(CARS, 1, 13))
        await line.speak(connected)
        await recorder.until(lambda: recorder.types().count("DDATA") == 3)
        gone = state(online=False, timestamp_ms=START_MS + 1)
        await recorder.host.publish(STATE, gone, qos=1, retain=True)
        await line.listen(connected)
        assert await line.speak(connected)
    await recorder.until(lambda: recorder.types().count("NDEATH") == 1)


async def _until_it_breaks(line: Line, recorder: Recorder) -> None:
    """The host comes back, and the line is cut: the broker publishes the will."""
    node = line.node
    node.now_ms += 1000
    node.connect()
    will = next(event for event in reversed(node.events) if event.kind == "connect")
    with contextlib.suppress(aiomqtt.MqttError):
        async with client(line.port, line.protocol, will) as connected:
            await line.speak(connected)
            await line.listen(connected)  # it is still away
            back = state(online=True, timestamp_ms=START_MS + 2)
            await recorder.host.publish(STATE, back, qos=1, retain=True)
            await line.listen(connected)
            node.data(Reading(PM25, 5, 8.4))
            await line.speak(connected)
            await recorder.until(lambda: recorder.types().count("DDATA") == 4)
            node.lose()
            cut = connected._client.socket()
            assert isinstance(cut, socket.socket)
            cut.shutdown(socket.SHUT_RDWR)
            await recorder.until(lambda: recorder.types().count("NDEATH") == 2)


def _judge(events: list[Event], recorder: Recorder) -> None:
    """Let the rules see what arrived instead of what was sent."""
    arrived = iter(recorder.heard)
    told = []
    for event in events:
        seen = event
        if event.kind in ("publish", "lost"):
            message = next(arrived)
            assert message.payload == event.payload
            seen = replace(
                event,
                topic=message.topic.value,
                qos=message.qos,
                retain=bool(message.retain),
            )
        told.append(seen)
    assert next(arrived, None) is None
    trace = Trace(told, primary_host=True)
    rules = {tck_id: rule for tck_id, rule in RULES.items() if not rule.needs_aliases}
    broken = {
        tck_id: what
        for tck_id, rule in rules.items()
        for right, what in rule.check(trace)
        if not right
    }
    assert broken == {}
