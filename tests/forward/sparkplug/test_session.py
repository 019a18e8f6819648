"""Of all that can be heard, a rebirth request and the state of the primary host do something."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.forward.formats.base import Session
from gateway.forward.formats.sparkplug import SparkplugB, SparkplugOptions, wire
from gateway.forward.formats.sparkplug import payload as schema
from gateway.forward.formats.sparkplug.payload import DataType, decode_payload
from gateway.reading import Series, SeriesKey
from tests.forward.sparkplug.conversation import (
    CONTEXT,
    HOST,
    START_MS,
    EdgeNode,
    Reading,
    rebirth_request,
    state,
)

COMMAND = "spBv1.0/aarhus/NCMD/dokk1-03"
STATE = f"spBv1.0/STATE/{HOST}"
PM25 = Series(1, SeriesKey("air-roof", "air.pm25"), "ug/m3")
NOW_NS = START_MS * 1_000_000


def born(options: SparkplugOptions | None = None) -> Session:
    """Return a session whose birth went out."""
    session = SparkplugB(options).session(CONTEXT, 7, NOW_NS)
    for message in session.greet(NOW_NS):
        session.complete(message.payload)
    return session


def with_host() -> Session:
    return SparkplugB(SparkplugOptions(primary_host=HOST)).session(CONTEXT, 7, NOW_NS)


def written(name: bytes, kind: DataType, value: schema.Scalar) -> bytes:
    metric = wire.blob(schema.NAME, name) + wire.unsigned(schema.DATATYPE, kind)
    return wire.blob(schema.METRICS, metric + schema.value_field(kind, value))


def test_subscriptions_are_the_command_topic_and_the_host() -> None:
    assert born().subscriptions == (COMMAND,)
    assert with_host().subscriptions == (COMMAND, STATE)


@pytest.mark.parametrize(
    ("payload", "heard"),
    [
        (rebirth_request(), "begin-again"),
        (
            written(b"Node Control/Reboot", DataType.BOOLEAN, True) + rebirth_request(),
            "begin-again",
        ),
        (rebirth_request(value=False), "nothing"),
        (written(b"Node Control/Rebirth", DataType.INT64, 1), "nothing"),
        (written(b"Node Control/Rebirth", DataType.STRING, "true"), "nothing"),
        (written(b"Node Control/Reboot", DataType.BOOLEAN, True), "nothing"),
        (written(b"Node Control/Next Server", DataType.BOOLEAN, True), "nothing"),
        (written(b"Node Control/Scan Rate", DataType.INT64, 1), "nothing"),
        (written(b"Properties/Software", DataType.STRING, "mine"), "nothing"),
        (b"", "nothing"),
        (b"\xff" * 20, "nothing"),
        (rebirth_request() + b"\x12\x00" * 300, "nothing"),
        (rebirth_request() + b"\x22" + wire.varint(20_000) + b"x" * 20_000, "nothing"),
    ],
)
def test_commands(payload: bytes, heard: str) -> None:
    assert born().hear(COMMAND, payload) == heard


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0/aarhus/DCMD/dokk1-03/air-roof",
        "spBv1.0/aarhus/NCMD/dokk1-04",
        "spBv1.0/vejle/NCMD/dokk1-03",
        "spBv1.0/aarhus/NCMD/dokk1-03/air-roof",
        STATE,
        "",
    ],
)
def test_a_command_elsewhere_is_none(topic: str) -> None:
    assert born().hear(topic, rebirth_request()) == "nothing"


def test_a_retained_request_before_the_birth_is_answered_by_the_birth() -> None:
    session = SparkplugB().session(CONTEXT, 7, NOW_NS)
    assert session.hear(COMMAND, rebirth_request()) == "nothing"
    (birth,) = session.greet(NOW_NS)
    assert session.hear(COMMAND, rebirth_request()) == "nothing"
    session.complete(birth.payload)
    assert session.hear(COMMAND, rebirth_request()) == "begin-again"


def test_a_flood_of_requests_is_one_rebirth() -> None:
    session = born()
    heard = [session.hear(COMMAND, rebirth_request()) for _ in range(1000)]
    assert heard.count("begin-again") == 1
    (birth,) = session.greet(NOW_NS)
    session.complete(birth.payload)
    assert session.hear(COMMAND, rebirth_request()) == "begin-again"


@pytest.mark.parametrize(
    ("words", "heard"),
    [
        ([(True, 5)], ["begin"]),
        ([(False, 5), (True, 6)], ["nothing", "begin"]),
        ([(True, 5), (True, 6)], ["begin", "nothing"]),
        ([(True, 5), (False, 5)], ["begin", "leave"]),
        ([(True, 5), (False, 4), (False, 6)], ["begin", "nothing", "leave"]),
        ([(False, 9), (True, 8), (True, 9)], ["nothing", "nothing", "begin"]),
        ([(True, 5), (False, 6), (True, 7)], ["begin", "leave", "nothing"]),
    ],
)
def test_states_of_the_primary_host(words: list[tuple[bool, int]], heard: list[str]) -> None:
    session = with_host()
    assert not session.begins_at_once
    told = [
        session.hear(STATE, state(online=online, timestamp_ms=timestamp_ms))
        for online, timestamp_ms in words
    ]
    assert told == heard


def test_the_timestamp_of_the_host_is_remembered_over_connections() -> None:
    encoder = SparkplugB(SparkplugOptions(primary_host=HOST))
    first = encoder.session(CONTEXT, 1, NOW_NS)
    assert first.hear(STATE, state(online=True, timestamp_ms=50)) == "begin"
    second = encoder.session(CONTEXT, 2, NOW_NS)
    assert second.hear(STATE, state(online=True, timestamp_ms=49)) == "nothing"
    assert second.hear(STATE, state(online=True, timestamp_ms=50)) == "begin"


@pytest.mark.parametrize(
    "text",
    [
        b"ONLINE",
        b"",
        b"null",
        b"[]",
        b'"online"',
        b'{"online":"true","timestamp":1}',
        b'{"online":1,"timestamp":1}',
        b'{"online":true}',
        b'{"online":true,"timestamp":true}',
        b'{"online":true,"timestamp":"1"}',
        b'{"online":true,"timestamp":-1}',
        b'{"online":true,"timestamp":NaN}',
        b'{"online":true,"timestamp":Infinity}',
        b'{"online":true,"timestamp":1e400}',
        b"\xff\xfe",
        b"[" * 512,
        b'{"online":true,"timestamp":1}' + b" " * 512,
    ],
)
def test_what_is_no_state_changes_nothing(text: bytes) -> None:
    assert with_host().hear(STATE, text) == "nothing"


def test_a_state_may_say_more_and_write_its_time_as_a_float() -> None:
    text = b'{"online": true, "timestamp": 1.7e12, "bdSeq": 3}'
    assert with_host().hear(STATE, text) == "begin"


topics = st.sampled_from([COMMAND, STATE, "spBv1.0/aarhus/DCMD/dokk1-03/air-roof"]) | st.text()


@given(topics, st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
@example(STATE, b'{"online":true,"timestamp":' + b"9" * 400 + b"}")
def test_hearing_never_fails_and_never_writes(topic: str, payload: bytes) -> None:
    encoder = SparkplugB(SparkplugOptions(primary_host=HOST))
    session = encoder.session(CONTEXT, 7, NOW_NS)
    for message in session.greet(NOW_NS):
        session.complete(message.payload)
    heard = session.hear(topic, payload)
    assert heard in ("nothing", "begin", "begin-again", "leave")
    if topic not in session.subscriptions:
        assert heard == "nothing"
    assert encoder.options == SparkplugOptions(primary_host=HOST)


def numbers(node: EdgeNode) -> Iterator[tuple[str, int | None]]:
    for event in node.events:
        if event.kind == "publish":
            yield event.topic.split("/")[2], decode_payload(event.payload, max_bytes=10**6).seq


def test_numbers_follow_the_order_of_sending_not_of_encoding() -> None:
    node = EdgeNode(SparkplugB(), [PM25])
    node.connect()
    node.data(Reading(PM25, 3, 1.0))
    node.encode(Reading(PM25, 2, 2.0))
    node.encode(Reading(PM25, 1, 3.0))
    node.hear(COMMAND, rebirth_request())
    node.flush()
    node.end()
    assert list(numbers(node)) == [
        ("NBIRTH", 0),
        ("DBIRTH", 1),
        ("DDATA", 2),
        ("NBIRTH", 0),
        ("DBIRTH", 1),
        ("DDATA", 2),
        ("DDATA", 3),
        ("NDEATH", None),
    ]


def test_numbers_wrap_after_255() -> None:
    node = EdgeNode(SparkplugB(), [PM25])
    node.connect()
    for _ in range(600):
        node.data(Reading(PM25, 1, 1.0))
    assert [seq for _, seq in numbers(node)] == [at % 256 for at in range(602)]


@pytest.mark.parametrize(("connection", "bd_seq"), [(0, 0), (255, 255), (256, 0), (1000, 232)])
def test_the_will_carries_the_number_of_the_connection(connection: int, bd_seq: int) -> None:
    session = SparkplugB().session(CONTEXT, connection, NOW_NS)
    assert session.will is not None
    (metric,) = decode_payload(session.will.payload).metrics
    assert (metric.name, metric.datatype, metric.value) == ("bdSeq", DataType.INT64, bd_seq)
    assert not session.will.retain
    assert session.will.topic == "spBv1.0/aarhus/NDEATH/dokk1-03"


def test_who_was_not_born_does_not_die() -> None:
    assert with_host().leave(NOW_NS) == []


def test_the_node_says_what_it_is() -> None:
    node = EdgeNode(SparkplugB(), [])
    node.connect()
    birth = next(event for event in node.events if event.kind == "publish")
    told = {one.name: one.value for one in decode_payload(birth.payload).metrics}
    assert told == {
        "bdSeq": 0,
        "Node Control/Rebirth": False,
        "Properties/Software": "citylab-gateway",
        "Properties/Software Version": "0.1.0",
        "Properties/Latitude": 56.153,
        "Properties/Longitude": 10.213,
    }
