"""Runs the scene around the daemon, watches it, and adds up at the end whether all arrived."""

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.cli import EXIT_FAILED, EXIT_OK
from gateway.cli.demo.brokers import CityBroker, free_port
from gateway.cli.demo.scene import Scene
from gateway.cli.demo.screen import LiveScreen, PlainScreen, Screen
from gateway.supervisor import Supervisor

__all__ = ["Demo", "show"]

START_TIMEOUT_S = 15.0
DRAIN_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
REFRESH_S = 0.5
OUTAGE_AT_S = 8.0
HTTP_TIMEOUT_S = 5.0


async def show(arguments: argparse.Namespace) -> int:
    """Run until ``--seconds`` are over or somebody presses Ctrl-C; print the sum as last line."""
    with tempfile.TemporaryDirectory(prefix="citylab-demo-") as folder:
        # amqtt reports on standard error what a demo brings about on purpose.
        logging.basicConfig(filename=Path(folder, "demo.log"), level=logging.WARNING)
        cities = (CityBroker("aarhus", "ngsi-ld"), CityBroker("vejle", "json"))
        scene = Scene(Path(folder), arguments.seed, free_port(), cities)
        scene.write()
        demo = Demo(scene, arguments)
        try:
            return await demo.run()
        finally:
            for city in cities:
                await city.stop()


class Demo:
    """One run of the scene."""

    def __init__(self, scene: Scene, arguments: argparse.Namespace) -> None:
        self._scene = scene
        self._seconds: float = arguments.seconds
        self._outage_s: float = arguments.outage
        self._log = scene.folder / "gateway.log"
        self._stop = asyncio.Event()
        live = sys.stdout.isatty() and not arguments.plain
        self._screen: Screen = (LiveScreen if live else PlainScreen)(
            scene.cities, f"http://127.0.0.1:{scene.http_port}/", self._seconds
        )

    async def run(self) -> int:
        """Return the exit code."""
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(ending, self._stop.set)
        for city in self._scene.cities:
            await city.start()
        with self._log.open("w", encoding="utf-8") as log:
            daemon = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway.cli", "run", "--config"),
                str(self._scene.config),
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: the daemon is stopped after the sum
            )
        try:
            async with Supervisor() as devices:
                for number, device in enumerate(self._scene.devices()):
                    devices.start(f"device-{number}", device.run)
                if await self._wait_until_up(daemon) is None:
                    print(self._log.read_text(encoding="utf-8"), file=sys.stderr)
                    print("error: the daemon did not start", file=sys.stderr)
                    return EXIT_FAILED
                await self._watch(daemon)
            document = await self._drain()
            return _add_up(document, self._scene.cities)
        finally:
            if daemon.returncode is None:
                daemon.terminate()
                await asyncio.wait_for(daemon.wait(), STOP_TIMEOUT_S)

    async def _wait_until_up(self, daemon: asyncio.subprocess.Process) -> dict[str, Any] | None:
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while asyncio.get_running_loop().time() < deadline and daemon.returncode is None:
            with contextlib.suppress(OSError):
                return await self._status()
            await asyncio.sleep(REFRESH_S / 5)
        return None

    async def _watch(self, daemon: asyncio.subprocess.Process) -> None:
        """Show the state until the time is over, with the outage in between."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        victim = self._scene.cities[-1]
        with self._screen:
            while daemon.returncode is None and not self._stop.is_set():
                elapsed_s = loop.time() - started
                if self._seconds and elapsed_s >= self._seconds:
                    break
                down = bool(self._outage_s) and 0 <= elapsed_s - OUTAGE_AT_S < self._outage_s
                if down and victim.is_up:
                    await victim.stop()
                elif not down and not victim.is_up:
                    await victim.start()
                self._screen.update(elapsed_s, await self._status())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), REFRESH_S)
        if not victim.is_up:
            await victim.start()

    async def _drain(self) -> dict[str, Any]:
        """Wait, now that the devices are silent, until every city has everything."""
        deadline = asyncio.get_running_loop().time() + DRAIN_TIMEOUT_S
        while True:
            document = await self._status()
            links = document["links"].values()
            if not any(link["pending"] for link in links):
                return document
            if asyncio.get_running_loop().time() > deadline:
                return document
            await asyncio.sleep(REFRESH_S / 5)

    async def _status(self) -> dict[str, Any]:
        """Ask the daemon's own status page, as anybody may."""
        async with asyncio.timeout(HTTP_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._scene.http_port)
            try:
                writer.write(
                    b"GET /status.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                answer = await reader.read()
            finally:
                writer.close()
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
        if not isinstance(document, dict):
            raise OSError("the status page did not answer")
        return document


def _add_up(document: dict[str, Any], cities: Sequence[CityBroker]) -> int:
    """Print the last line: what was accepted, and what became of it at each broker.

    Lost is what is in no column of the gateway's own account, and what a broker acknowledged but
    never had: counted from the payloads that it really received.
    """
    lost = 0
    columns = []
    accepted = 0
    for city in cities:
        link = document["links"][city.name]
        dropped = sum(link["dropped"].values())
        accepted = max(accepted, link["accepted"])
        lost += abs(link["accepted"] - link["acknowledged"] - link["pending"] - dropped)
        lost += max(0, link["acknowledged"] - city.tally.readings)
        columns.append(
            f"acked[{city.name}]={link['acknowledged']} pending[{city.name}]={link['pending']} "
            f"dropped[{city.name}]={dropped}"
        )
    print(f"accepted={accepted} {' '.join(columns)} lost={lost}")
    return EXIT_FAILED if lost else EXIT_OK
