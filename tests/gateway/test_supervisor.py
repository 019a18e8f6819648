import asyncio
import logging

import pytest

from gateway import supervisor as supervisor_module
from gateway.supervisor import Supervisor


async def test_a_task_that_raises_is_started_again_and_its_neighbour_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor_module, "MAX_WAIT_S", 0.01)
    runs = 0
    third_run = asyncio.Event()
    neighbour_runs = 0

    async def fails_twice() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ZeroDivisionError("a bug")
        third_run.set()
        await asyncio.Event().wait()

    async def neighbour() -> None:
        nonlocal neighbour_runs
        neighbour_runs += 1
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        async with Supervisor() as supervisor:
            supervisor.start("bad", fails_twice)
            supervisor.start("good", neighbour)
            await third_run.wait()
            assert supervisor.restarts == {"bad": 2, "good": 0}
            assert neighbour_runs == 1
            await supervisor.stop("bad")
            assert supervisor.names == ["good"]
    assert caplog.text.count("bad failed") == 2


async def test_a_name_is_used_once_at_a_time_and_can_be_used_again() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    async with Supervisor() as supervisor:
        supervisor.start("a", waits)
        with pytest.raises(ValueError, match="running already"):
            supervisor.start("a", waits)
        await supervisor.stop("a")
        supervisor.start("a", waits)


async def test_a_task_that_ends_by_itself_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor_module, "MAX_WAIT_S", 0.01)
    second_run = asyncio.Event()
    runs = 0

    async def ends() -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            second_run.set()
            await asyncio.Event().wait()

    async with Supervisor() as supervisor:
        supervisor.start("ends", ends)
        await second_run.wait()
        assert supervisor.restarts["ends"] == 1
