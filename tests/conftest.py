"""What every test is held to: no warning, no blocked loop, nothing left behind."""

import asyncio
import gc
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from tests.compiling import CannotCompile, compile_into

TOOLS = {
    "browser": "chromium",
    "mosquitto": "mosquitto",
    "dbus": "dbus-daemon",
    "debootstrap": "debootstrap",
    "nats": "nats-server",
    "nspawn": "systemd-nspawn",
    "node": "node",
    "prometheus": "promtool",
    "rabbitmq": "rabbitmq-server",
    "systemd": "systemd-analyze",
}
"""Marker -> the program that a test with that marker needs."""
NODE_MODULES = Path(__file__).parent / "consumers" / "node_modules" / ".package-lock.json"
"""npm writes it when everything is there."""
THREAD_END_S = 5.0
"""asyncio's thread that waited for a child process reports first and ends then. A hang, no pace."""
WATCHED_MODULES = ["gateway", "drivers"]
"""A blocking call from one of these inside the event loop fails the test."""
SBIN = "/usr/sbin:/sbin"


def find_tool(program: str) -> str | None:
    """Return the path of a program; daemons live in sbin, which a user's PATH may lack."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SBIN}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what the machine cannot run; in CI nothing may be skipped, so there it fails."""
    missing = {marker for marker, program in TOOLS.items() if find_tool(program) is None}
    if not NODE_MODULES.exists():
        missing.add("node")
    wanting = [
        (item, marker) for item in items for marker in missing if item.get_closest_marker(marker)
    ]
    if wanting and os.environ.get("CI") == "true":
        wanted = sorted({TOOLS[marker] for _, marker in wanting})
        raise pytest.UsageError(f"not installed, and CI may skip nothing: {wanted}")
    for item, marker in wanting:
        item.add_marker(pytest.mark.skip(reason=f"{TOOLS[marker]} is not installed"))


@pytest.fixture(autouse=True)
def loop_is_never_blocked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail on a blocking call that our own code makes inside the event loop."""
    if not asyncio.iscoroutinefunction(getattr(request.node, "obj", None)):
        yield
        return
    with blockbuster_ctx(scanned_modules=WATCHED_MODULES):
        yield


@pytest.fixture(scope="session")
def compiled_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with our compiled modules, which are compiled once in a session.

    Skips without a compiler, but not in CI.
    """
    try:
        return compile_into(tmp_path_factory.mktemp("compiled"))
    except CannotCompile as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"cannot be compiled, and CI may skip nothing:\n{error}")
        pytest.skip("cannot be compiled here: needs cython, a C compiler and Python.h")


def _descriptors() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail on a thread or a file descriptor that outlives its test."""
    if request.node.get_closest_marker("leaks"):
        yield
        return
    threads = set(threading.enumerate())
    before = _descriptors()
    yield
    mine = set(threading.enumerate()) - threads
    for thread in mine:  # one that has done its work may not have come to its end yet
        thread.join(THREAD_END_S)
    left = [thread.name for thread in mine if thread.is_alive()]
    assert not left, f"threads left behind: {left}"
    if _descriptors() - before:
        gc.collect()  # a descriptor that only waits for its cycle to be collected is no leak
    opened = {entry for entry in _descriptors() - before if "anon_inode" not in entry}
    assert not opened, f"descriptors left behind: {sorted(opened)}"
