"""Simulated devices at real pseudo-terminals, for commands that run in another thread."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.cli import main
from gateway.transports import PtySimulator

__all__ = ["plugged", "run_main"]


@asynccontextmanager
async def plugged(devices: dict[Path, Any]) -> AsyncIterator[dict[Path, PtySimulator]]:
    """Plug devices in at their paths, and out at the end."""
    simulators = {path: PtySimulator(device, path) for path, device in devices.items()}
    tasks = [asyncio.create_task(simulator.run()) for simulator in simulators.values()]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_stop, tasks)
        for simulator in simulators.values():
            await simulator.ready.wait()
        yield simulators


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run_main(*arguments: str, call: Callable[[list[str]], int] = main) -> int:
    """Run a command beside the loop that plays the devices."""
    return await asyncio.get_running_loop().run_in_executor(None, call, list(arguments))
