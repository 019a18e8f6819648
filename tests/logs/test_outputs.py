"""What the journal gets, over a real socket of a test, and what a terminal or a file gets."""

import io
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import logs
from gateway.about import ABOUT
from gateway.logs.journal import entry, is_journal
from gateway.logs.outputs import JournalOutput, PlainOutput, event_of, fields_of
from gateway.logs.repeats import BURST, Line
from gateway.logs.setting_up import EventHandler
from tests.logs.stand_in import StandIn, stand_in, taken_apart

LOGGER = logging.getLogger("citylab_gateway.forward")
JOURNALD = Path("/usr/lib/systemd/systemd-journald")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in(tmp_path) as listening:
        yield listening


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, which is as before afterwards."""
    names = ("", "citylab_gateway", "citylab_gateway.audit")
    levels = {name: logging.getLogger(name).level for name in names}
    logger = logging.getLogger()
    handlers = list(logger.handlers)
    logger.handlers.clear()
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.handlers.extend(handlers)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def set_up(stderr: Path, journal: Path, level: str = "info") -> io.TextIOWrapper:
    """Set the log up for a process whose stderr is the journal's."""
    stream = stderr.open("a", encoding="utf-8")
    status = os.fstat(stream.fileno())
    environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    logs.set_up(level, stream=stream, environ=environ, journal=journal)
    return stream


def line(text: str, *values: object, level: int = logging.INFO, **more: object) -> Line:
    record = logging.LogRecord(LOGGER.name, level, "link.py", 180, text, values, None, "run")
    vars(record).update(more)
    return Line(record, record.getMessage(), ABOUT.get())


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.text()))
def test_any_fields_can_be_read_again(fields: dict[str, str]) -> None:
    read = taken_apart(entry(fields))
    assert read == {
        name: value.encode("utf-8", "backslashreplace").decode() for name, value in fields.items()
    }


def test_a_line_has_its_fields(journal: StandIn, root: logging.Logger, tmp_path: Path) -> None:
    with set_up(tmp_path / "stderr", journal.path) as stream:
        token = ABOUT.set("link:aarhus")
        LOGGER.warning("%s: link down, nothing is lost: %s", "aarhus", "two\nlines")
        ABOUT.reset(token)
        ABOUT.set("")
        (told,) = journal.entries
        assert stream.name
    assert (tmp_path / "stderr").read_text() == ""
    assert Path(told.pop("CODE_FILE")).name == "test_outputs.py"
    assert int(told.pop("CODE_LINE")) > 0
    assert told == {
        "MESSAGE": "aarhus: link down, nothing is lost: two\\nlines",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "citylab-gateway",
        "LOGGER": "citylab_gateway.forward",
        "EVENT": "link-down-nothing-is-lost",
        "CODE_FUNC": "test_a_line_has_its_fields",
        "TASK": "link:aarhus",
        "LINK": "aarhus",
    }
    assert root.handlers


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, "7"),
        (logging.INFO, "6"),
        (logging.WARNING, "4"),
        (logging.ERROR, "3"),
        (50, "2"),
    ],
)
def test_priorities(level: int, priority: str) -> None:
    assert fields_of(line("x", level=level))["PRIORITY"] == priority


def test_what_a_call_says_itself_goes_before_what_is_derived() -> None:
    fields = fields_of(line("%s: link up (%s:%d)", "a", "b", 1, event="up", audit=True))
    assert (fields["EVENT"], fields["AUDIT"]) == ("up", "1")
    assert "AUDIT" not in fields_of(line("link up"))


@pytest.mark.parametrize(
    ("template", "event"),
    [
        ("%s: link up (%s:%d)", "link-up"),
        ("%s: %s is open at %s", "is-open-at"),
        ("%s: %s", ""),
        ("clock step: the wall clock was set %s by %.3f s", "clock-step-the-wall-clock-was"),
    ],
)
def test_the_event_is_the_wording_without_what_differs(template: str, event: str) -> None:
    assert event_of(template) == event


def test_summaries_come_when_the_window_is_over_and_at_the_end(journal: StandIn) -> None:
    now = [0.0]
    handler = EventHandler(JournalOutput(PlainOutput(io.StringIO()), journal.path), lambda: now[0])
    record = line("trouble with %s", "it", level=logging.ERROR).record
    for _ in range(100):
        handler.emit(record)
    handler.summarise()
    assert len(journal.entries) == BURST
    now[0] = 60.0
    handler.summarise()
    assert journal.entries[-1]["MESSAGE"] == "trouble with it … 100 times in 60 s"
    assert journal.entries[-1]["REPEATED"] == "100"
    assert journal.entries[-1]["PRIORITY"] == "3"
    for _ in range(BURST + 2):
        handler.emit(record)
    handler.close()
    assert journal.entries[-1]["MESSAGE"] == f"trouble with it … {BURST + 2} times in 1 s"


def test_a_journal_that_is_behind_delays_nobody_and_is_told_what_it_missed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "slow"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as slow:
        slow.bind(str(path))
        output = JournalOutput(PlainOutput(io.StringIO()), path)
        sent = 2000
        for number in range(sent):
            level = logging.ERROR if number % 2 else logging.INFO
            output.write(line(f"number {number}", level=level))
        slow.setblocking(False)
        taken = _drain(slow)
        assert 0 < len(taken) < sent, "the queue was full and nobody waited"
        output.write(line("again"))
        again, told = _drain(slow)
        output.close()
    assert again["MESSAGE"] == "again"
    lost = sent - len(taken)
    assert told["EVENT"] == "log-lines-lost"
    assert told["MESSAGE"].startswith(f"the journal was behind: {lost} lines were not taken, ")
    errors = sum(each["PRIORITY"] == "3" for each in taken)
    assert told["MESSAGE"].endswith(f" {sent // 2 - errors} of them errors")


def _drain(listening: socket.socket) -> list[dict[str, str]]:
    taken = []
    while True:
        try:
            taken.append(taken_apart(listening.recv(1 << 20)))
        except BlockingIOError:
            return taken


def test_without_the_journals_socket_the_stream_gets_lines_with_priorities(
    root: logging.Logger, tmp_path: Path
) -> None:
    with set_up(tmp_path / "stderr", tmp_path / "nowhere"):
        LOGGER.error("readings are lost")
        for handler in root.handlers:
            handler.flush()
    told = (tmp_path / "stderr").read_text()
    assert told == "<3>ERROR citylab_gateway.forward: readings are lost\n"


def test_elsewhere_plain_lines(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.set_up("info", stream=stream, environ={"JOURNAL_STREAM": "1:2"})
    LOGGER.warning("first\nsecond")
    when, hour, rest = stream.getvalue().split(" ", 2)
    assert time.strptime(f"{when} {hour.partition(',')[0]}", "%Y-%m-%d %H:%M:%S")
    assert rest == "WARNING citylab_gateway.forward: first\\nsecond\n"
    assert root.handlers


def test_a_terminal_that_knows_ascii_only_gets_its_line(root: logging.Logger) -> None:
    raw = io.BytesIO()
    logs.set_up("info", stream=io.TextIOWrapper(raw, encoding="ascii"), environ={})
    LOGGER.warning("Århus")
    assert raw.getvalue().endswith(b"WARNING citylab_gateway.forward: \\xc5rhus\n")
    assert root.handlers


def test_a_closed_stream_stops_nothing(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.set_up("info", stream=stream, environ={})
    stream.close()
    LOGGER.warning("nobody hears it")
    assert root.handlers


@pytest.mark.parametrize("value", ["", "8", "a:b", ":", "1:", "-1:2"])
def test_a_stream_is_the_journals_only_if_systemd_says_so(value: str, tmp_path: Path) -> None:
    with (tmp_path / "x").open("w", encoding="utf-8") as stream:
        assert not is_journal(stream, {"JOURNAL_STREAM": value})


def test_libraries_are_heard_from_warnings_on_and_audit_always(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.set_up("debug", stream=stream, environ={})
    logging.getLogger("bleak.backends").info("advertisement of C4:7F:51:00:00:01")
    logging.getLogger("bleak.backends").warning("trouble with C4:7F:51:00:00:01")
    LOGGER.debug("a detail")
    assert "C4:7F" not in stream.getvalue()
    assert "advertisement" not in stream.getvalue()
    assert "trouble with (address)" in stream.getvalue()
    assert "a detail" in stream.getvalue()
    logs.set_level("error")
    LOGGER.warning("not wanted")
    logging.getLogger("citylab_gateway.audit").info("always")
    assert "not wanted" not in stream.getvalue()
    assert "always" in stream.getvalue()
    assert root.handlers


WRITES = """
import logging, sys
from gateway import logs
logs.set_up("info")
log = logging.getLogger("citylab_gateway.audit")
for _ in range(9):
    log.warning("purge: %d readings of sensor %s", 7, "m\\n1", extra={"event": "purge"})
logging.shutdown()
"""
INSIDE = """
mount -t tmpfs none /run && mount -t tmpfs none /var/log && mkdir -p /run/systemd/journal
{journald} & child=$!
until [ -S /run/systemd/journal/socket ] && [ -S /run/systemd/journal/stdout ]; do
  kill -0 $child || exit 77
  sleep 0.05
done
exec 3>"{folder}/stderr"
export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/3)
{python} -c "$WRITES" 2>&3
tries=0
until journalctl -D /run/log/journal -o json AUDIT=1 REPEATED=9 2>/dev/null | grep -q MESSAGE; do
  tries=$((tries + 1)); [ $tries -lt 200 ] || break; sleep 0.1
done
journalctl -D /run/log/journal -o json EVENT=purge AUDIT=1 SYSLOG_IDENTIFIER=citylab-gateway
kill $child; wait $child
"""


@pytest.mark.systemd
@pytest.mark.skipif(
    os.geteuid() != 0 or not JOURNALD.exists() or shutil.which("unshare") is None,
    reason="needs root, journald and a mount name space",
)
def test_the_real_journal_takes_it_and_finds_it(tmp_path: Path) -> None:
    script = INSIDE.format(journald=JOURNALD, folder=tmp_path, python=sys.executable)
    with subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "WRITES": WRITES},
        text=True,
    ) as running:
        try:
            output, errors = running.communicate(timeout=50)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            raise
    if running.returncode == 77:
        pytest.skip("journald does not run here")
    entries = [json.loads(each) for each in output.splitlines()]
    assert len(entries) == BURST + 1, errors
    assert entries[0]["MESSAGE"] == "purge: 7 readings of sensor m\\n1"
    assert entries[-1]["MESSAGE"].startswith("purge: 7 readings of sensor m\\n1 … 9 times in ")
    assert {each["PRIORITY"] for each in entries} == {"4"}
    assert {each["_TRANSPORT"] for each in entries} == {"journal"}
    assert (tmp_path / "stderr").read_text() == ""
