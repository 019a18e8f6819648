"""Recent events: few, of the right loggers, and without the address of a device."""

import logging
from collections.abc import Iterator

import pytest

from gateway.observe.event_log import MAX_EVENTS, EventLog


class Now:
    ns = 5


@pytest.fixture
def log() -> Iterator[EventLog]:
    logger = logging.getLogger("citylab_gateway")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    with EventLog(lambda: Now.ns) as kept:
        yield kept
    logger.setLevel(level)
    assert kept not in logger.handlers


def tell(name: str, text: str, level: int = logging.INFO) -> None:
    logging.getLogger(f"citylab_gateway.{name}").log(level, "%s", text)


def test_what_happened_comes_newest_first(log: EventLog) -> None:
    tell("daemon", "is ready")
    Now.ns = 9
    tell("forward", "link down", logging.WARNING)
    tell("audit", "purged", logging.CRITICAL)
    assert [(event.time_ns, event.level, event.text) for event in log.events] == [
        (9, "error", "purged"),
        (9, "warning", "link down"),
        (5, "info", "is ready"),
    ]
    Now.ns = 5


def test_ports_and_details_are_not_among_them(log: EventLog) -> None:
    tell("transports", "/dev/serial/by-id/usb-FTDI_AB12 is open")
    tell("daemon", "a detail", logging.DEBUG)
    logging.getLogger("citylab_gateway").warning("nobody in particular")
    assert log.events == []


def test_priv_01_no_address_and_no_second_line_is_kept(log: EventLog) -> None:
    tell("forward", "heard C4:7F:51:00:00:01\n" + "x" * 1000)
    (event,) = log.events
    assert "7F" not in event.text
    assert event.text.startswith("heard (address) x")
    assert len(event.text) == 200


def test_only_the_newest_are_kept(log: EventLog) -> None:
    for number in range(MAX_EVENTS + 5):
        tell("daemon", f"event {number}")
    assert len(log.events) == MAX_EVENTS
    assert log.events[0].text == f"event {MAX_EVENTS + 4}"


def test_the_same_said_again_takes_one_place(log: EventLog) -> None:
    tell("forward", "link up")
    for _ in range(MAX_EVENTS + 5):
        tell("audit", "the status page refused a request", logging.WARNING)
    assert [(event.text, event.audit) for event in log.events] == [
        (f"the status page refused a request ({MAX_EVENTS + 5} times)", True),
        ("link up", False),
    ]
