"""One line, whatever was written; and exceptions without what they quote."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PortError
from gateway.logs.text import MAX_LINE, failure_text, message_of, one_line


def record(
    text: str, *values: object, name: str = "citylab_gateway.x", error: BaseException | None = None
) -> logging.LogRecord:
    exception = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord(name, logging.ERROR, "x.py", 1, text, values, exception)


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301 - so that it has a trace
    except BaseException as caught:  # noqa: BLE001 - so that it has a trace
        return caught


@given(st.text())
def test_any_text_is_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line.splitlines()) <= 1
    line.encode()


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=100))
def test_what_can_be_read_is_not_changed(text: str) -> None:
    assert one_line(text) == text


def test_control_characters_are_seen_and_do_nothing() -> None:
    text = "a\nb\r\x1b[2Jc\x00\u202ed\udc80"
    assert one_line(text) == "a\\nb\\r\\x1b[2Jc\\x00\\u202ed\\udc80"


def test_a_long_text_is_cut() -> None:
    assert one_line("x" * 10_000) == "x" * (MAX_LINE - 1) + "…"


def test_priv_14_an_exception_is_told_without_the_value_that_it_quotes() -> None:
    error = raised(ValueError("could not convert string to float: '4711.25'"))
    text = message_of(record("sensor:meter failed", error=error))
    assert text.startswith("sensor:meter failed: ValueError at logs/test_text.py:")
    assert "4711" not in text


def test_our_own_words_and_those_of_the_system_are_told() -> None:
    text = failure_text(raised(PortError("/dev/ttyUSB0", "gone")))
    assert text.startswith("PortError (/dev/ttyUSB0: gone) at ")
    text = failure_text(raised(OSError(28, "whatever", "/var/lib/x")))
    assert text.startswith("OSError (No space left on device) at ")


def test_causes_are_told_and_a_group_by_its_first() -> None:
    def inner() -> None:
        raise KeyError("secret")

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise RuntimeError("secret") from error

    with pytest.raises(RuntimeError) as caught:
        outer()
    text = failure_text(caught.value)
    assert text.count("logs/test_text.py:") == 4
    assert ", after KeyError at " in text
    assert "secret" not in text
    assert failure_text(ExceptionGroup("secret", [ValueError("secret")])) == (
        "ExceptionGroup (nowhere), after ValueError (nowhere)"
    )


def test_of_a_library_only_the_first_line_is_told_and_no_address() -> None:
    text = "heard C4:7F:51:00:00:01\nfuture: <Task exception=ValueError('4711')>"
    assert message_of(record(text, name="asyncio")) == "heard (address)"
    assert message_of(record("two\nlines")) == "two\\nlines"


async def test_priv_14_what_asyncio_tells_of_a_lost_task_quotes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails() -> None:
        raise ValueError("4711.25")

    task = asyncio.ensure_future(fails())
    await asyncio.wait([task])
    loop = asyncio.get_running_loop()
    text = "Task exception was never retrieved"
    loop.default_exception_handler({"message": text, "exception": task.exception(), "task": task})
    (told,) = caplog.records
    assert "4711.25" in told.getMessage(), "asyncio itself does"
    assert message_of(told).startswith(f"{text}: ValueError at ")
    assert "4711" not in message_of(told)
