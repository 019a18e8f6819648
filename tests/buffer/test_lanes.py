"""Two lanes over one account, against a set of sequences: nothing twice, nothing missing."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.buffer import Batch, Buffer, BufferSettings, Gap, Lane, Reader
from gateway.buffer import cursors as cursors_module
from gateway.buffer.cursors import MAX_RANGES
from gateway.buffer.lane import Settled
from gateway.reading import SeriesKey
from tests.buffer.support import HandClock

KEY = SeriesKey("air-roof", "air.pm25")

Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "flush", "read", "read", "settle", "settle", "begin"]),
        st.integers(0, 3000),
        st.integers(0, 3000),
    ),
    max_size=40,
)


class Model:
    """A reader, and what it is to have done, as sets of sequences."""

    def __init__(self, buffer: Buffer, reader: Reader) -> None:
        self.buffer, self.reader = buffer, reader
        self.lanes: tuple[Lane, ...] = reader.begin(beside=True)
        self.settled: set[int] = set()
        self.given: set[int] = set()
        self.in_flight: list[Batch | Gap] = []

    def append(self, count: int) -> None:
        series = self.buffer.series_id(KEY, unit="ug/m3", privacy="P0")
        for _ in range(count):
            self.buffer.append(series, 1, float(self.buffer.next_sequence), 0)
        self.buffer.notify()

    def begin(self, *, beside: bool) -> None:
        self.lanes = self.reader.begin(beside=beside)
        assert len(self.lanes) == (2 if beside else 1)
        assert self.reader.boundary == self.buffer.next_sequence
        self.given.clear()
        self.in_flight.clear()

    async def read(self, number: int, limit: int) -> bool:
        lane = self.lanes[number % len(self.lanes)]
        run = await lane.read(limit)
        if run is None:
            return False
        boundary, fresh = self.reader.boundary, set(range(run.first, run.last + 1))
        assert not fresh & self.given, "twice within a connection"
        assert not fresh & self.settled
        if len(self.lanes) == 2:
            assert (run.first >= boundary) == (lane is self.lanes[1])
        if isinstance(run, Batch):
            assert len(run) <= limit
            assert not run.first < boundary <= run.last
            assert run.values == [float(n) for n in range(run.first, run.last + 1)]
        self.given |= fresh
        self.in_flight.append(run)
        return True

    def settle(self, number: int) -> None:
        if self.in_flight:
            run = self.in_flight.pop(number % len(self.in_flight))
            count = run.last - run.first + 1
            self.reader.settle(run.first, run.last, acknowledged=count)
            self.settled |= set(range(run.first, run.last + 1))

    def check(self) -> None:
        reader, end = self.reader, self.buffer.next_sequence
        assert reader.accepted == reader.acknowledged + reader.pending
        assert reader.pending == end - len(self.settled)
        lowest = next((n for n in range(end) if n not in self.settled), end)
        assert reader.cursor == lowest
        assert reader.idle == (not self.in_flight)


async def run_steps(folder: Path, steps: list[Step]) -> None:
    buffer = await Buffer.open(
        BufferSettings(
            directory=folder / "ring", runtime_directory=folder / "run", size_bytes=4 << 20
        ),
        HandClock(),
    )
    model = Model(buffer, buffer.reader("aarhus"))
    for what, one, two in steps:
        if what == "append":
            model.append(one)
        elif what == "flush":
            await buffer.flush()
        elif what == "read":
            await model.read(one, max(1, two // 4))
        elif what == "settle":
            model.settle(one)
        else:
            model.begin(beside=bool(one % 4))
        model.check()
    model.begin(beside=True)
    for number in range(2):
        while await model.read(number, 500):
            pass
    while model.in_flight:
        model.settle(0)
    model.check()
    assert model.reader.pending == 0
    await buffer.close()


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(STEPS)
@pytest.mark.timeout(120)
def test_every_reading_is_given_once_in_a_connection_and_settled_once(steps: list[Step]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        asyncio.run(run_steps(folder, steps))
    finally:
        shutil.rmtree(folder)


@given(st.lists(st.integers(0, 60), unique=True), st.integers(0, 100), st.booleans())
def test_an_account_that_is_raised_says_the_same_of_the_same_readings(
    done: list[int],
    by: int,
    disk_knows: bool,  # noqa: FBT001 - a drawn choice
) -> None:
    account = Settled(0)
    for sequence in done:
        account.add(sequence, sequence)
    raised = account.raised(by, 0, 0 if disk_knows else None)
    settled = {n + by for n in done}
    owed = set(range(0 if disk_knows else by, 100 + by))
    assert raised.cursor == min(owed - settled)
    assert raised.count_above == len({n for n in settled if n > raised.cursor})
    for sequence in owed:
        assert raised.skip(sequence)[0] == min(n for n in owed - settled if n >= sequence) or (
            sequence >= 100 + by
        )


async def make_reader(folder: Path, count: int) -> tuple[Buffer, Reader]:
    settings = BufferSettings(
        directory=folder / "ring", runtime_directory=folder / "run", size_bytes=1 << 20
    )
    buffer = await Buffer.open(settings, HandClock())
    reader = buffer.reader("aarhus")
    Model(buffer, reader).append(count)
    return buffer, reader


async def test_what_is_dropped_below_a_boundary_leaves_what_was_settled_alone(
    tmp_path: Path,
) -> None:
    buffer, reader = await make_reader(tmp_path, 100)
    reader.settle(10, 19, acknowledged=10)
    reader.settle(90, 99, acknowledged=10)
    assert reader.drop_below(50, "policy") == 40
    assert (reader.cursor, reader.pending, reader.dropped["policy"]) == (50, 40, 40)
    assert reader.drop_below(50, "policy") == 0
    await buffer.close()


async def test_an_account_in_too_many_pieces_is_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a link that breaks all the time cannot use up the memory with holes."""
    monkeypatch.setattr(cursors_module, "MAX_RANGES", 3)
    assert MAX_RANGES >= 100
    buffer, reader = await make_reader(tmp_path, 100)
    for sequence in (10, 20, 30, 40):
        assert len(reader.begin(beside=True)) == 2
        reader.settle(sequence, sequence, acknowledged=1)
    assert len(reader.begin(beside=True)) == 1
    (lane,) = reader.begin(beside=True)
    run = await lane.read(50)
    assert run is not None
    assert (run.first, run.last) == (0, 9)
    await buffer.close()


async def test_a_finished_lane_waits_without_being_woken(tmp_path: Path) -> None:
    buffer, reader = await make_reader(tmp_path, 10)
    history, live = reader.begin(beside=True)
    run = await history.read(100)
    assert run is not None
    assert history.finished
    waiting = asyncio.create_task(history.wait())
    buffer.notify()
    await asyncio.sleep(0)
    assert not waiting.done()
    assert live.unread == 0
    waiting.cancel()
    await buffer.close()


@pytest.mark.parametrize("disk_knows", [True, False])
async def test_other_numbers_leave_both_lanes_where_they_were(
    tmp_path: Path,
    disk_knows: bool,  # noqa: FBT001 - both
) -> None:
    """Storage came back under a connection: what it owed comes before, what is new goes on."""
    buffer, reader = await make_reader(tmp_path, 100)
    history, live = reader.begin(beside=True)
    run = await history.read(30)
    assert run is not None
    reader.settle(run.first, run.last, acknowledged=30)
    Model(buffer, reader).append(0)
    history, live = reader.begin(beside=True)
    for _ in range(20):
        buffer.append(1, 1, float(buffer.next_sequence), 0)
    run = await live.read(10)
    assert run is not None
    reader.settle(run.first, run.last, acknowledged=10)
    assert reader.idle
    buffer._ring.renumber(1000, epoch=2, boot=1, recent=())
    reader.renumber(1000, 900 if disk_knows else None)
    assert reader.boundary == 1100
    assert reader.cursor == (900 if disk_knows else 1030)
    assert reader.acknowledged == 40
    assert reader.accepted == 40 + reader.pending == (220 if disk_knows else 120)
    run = await live.read(100)
    assert run is not None
    assert (run.first, run.last) == (1110, 1119)
    assert (history.begin, history.end) == (reader.cursor, 1100)
    assert not history.finished
    await buffer.close()
