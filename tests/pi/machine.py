"""One uptime of the emulated Pi: QEMU from power on to power cut, with what hangs on it."""

import asyncio
import base64
import contextlib
import json
import os
import re
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.pi.rootfs import System
from tests.pi.tools import SEARCH_PATH, Failed

__all__ = ["ADAPTER_SERIAL", "GUEST_HTTP_PORT", "Machine", "Wiring"]

MEMORY_MIB = 1024
CPU = "cortex-a72"
"""That of a Pi 4."""
ADAPTER = "adapter"
ADAPTER_SERIAL = "dust-1"
GUEST_HTTP_PORT = 9469
LOOK_EVERY_S = 0.05
ASK_EVERY_S = 0.5
TAKEN_S = 1.0
"""An order without an answer has left the socket by then."""
KERNEL_TIMEOUT_S = 120.0
AGENT_TIMEOUT_S = 300.0
END_TIMEOUT_S = 120.0
"""Hangs, not promises."""
KERNEL_LINE = re.compile(rb"\[ *(\d+\.\d+)\] ")
MAX_ANSWER_BYTES = 1 << 22


@dataclass(frozen=True)
class Wiring:
    """What is connected to the machine whenever it runs."""

    system: System
    disk: Path
    terminal: str
    """Pseudo-terminal that stands for the line of the USB adapter."""
    http_port: int
    """Of this machine's loopback; leads to the status page of the Pi."""
    share: Path
    """Folder that the Pi may mount as ``host``."""


class Machine:
    """Power is on between ``power_on`` and ``cut``; ``folder`` gets what it says meanwhile."""

    def __init__(self, wiring: Wiring, folder: Path, *, hardware_clock: str) -> None:
        """``hardware_clock``: UTC as ``2026-11-22T10:00:00``, what the clock chip says at first."""
        self._wiring = wiring
        self._clock = hardware_clock
        self.console = folder / "console.log"
        self._qmp = folder / "qmp"
        self._agent = folder / "agent"
        self._output = folder / "qemu.log"
        self._process: asyncio.subprocess.Process | None = None
        self.powered_s = 0.0
        """time.monotonic() when the power came on."""
        self.kernel_s = 0.0
        """The same, when the kernel began by its own clock."""

    async def power_on(self) -> None:
        """Return when the kernel speaks."""
        with self._output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PATH": SEARCH_PATH},
            )
        self.powered_s = time.monotonic()
        async with asyncio.timeout(KERNEL_TIMEOUT_S):
            while not (said := self._kernel_times()):
                self._check_alive()
                await asyncio.sleep(LOOK_EVERY_S)
        self.kernel_s = time.monotonic() - float(said[-1])

    def _kernel_times(self) -> list[bytes]:
        """Return the seconds since its start that stand before the lines of the kernel."""
        return KERNEL_LINE.findall(self.console.read_bytes()) if self.console.exists() else []

    def _command(self) -> Sequence[str]:
        wiring = self._wiring
        system = wiring.system
        forward = f"hostfwd=tcp:127.0.0.1:{wiring.http_port}-:{GUEST_HTTP_PORT}"
        return (
            *("qemu-system-aarch64", "-M", "virt", "-cpu", CPU, "-accel", "tcg", "-smp", "1"),
            *("-m", str(MEMORY_MIB), "-nodefaults", "-display", "none", "-no-reboot"),
            *("-rtc", f"base={self._clock},clock=host"),
            *("-serial", f"file:{self.console}", "-qmp", f"unix:{self._qmp},server=on,wait=off"),
            *("-kernel", str(system.kernel), "-initrd", str(system.initrd)),
            *("-append", "root=/dev/vda ro fsck.repair=yes console=ttyAMA0 systemd.show_status=0"),
            *("-drive", f"file={wiring.disk},format=raw,if=none,id=disk,cache=writeback"),
            *("-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci"),
            *("-netdev", f"user,id=net,{forward}"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
            *(
                "-virtfs",
                f"local,path={wiring.share},mount_tag=host,security_model=none,readonly=on",
            ),
            *("-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=agent,path={self._agent},server=on,wait=off"),
            *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
            *("-chardev", f"serial,id=line,path={wiring.terminal}", "-device", "qemu-xhci"),
            *("-device", f"{self._adapter()},always-plugged=on"),
        )

    @staticmethod
    def _adapter() -> str:
        return f"usb-serial,chardev=line,id={ADAPTER},serial={ADAPTER_SERIAL}"

    def _check_alive(self) -> None:
        if self._process is None or self._process.returncode is not None:
            said = self._output.read_text(errors="replace")
            raise Failed(f"QEMU ended by itself:\n{said}")

    async def cut(self) -> None:
        """Cut the power: whatever the machine was doing, it does no more."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # Ctrl-C reaches QEMU as well
            process.kill()
        await process.wait()

    async def switch_off(self) -> None:
        """Let the system inside end in an orderly way; return when it has."""
        await self._tell("guest-shutdown", {"mode": "powerdown"})
        assert self._process is not None
        async with asyncio.timeout(END_TIMEOUT_S):
            await self._process.wait()

    # ---- the USB adapter

    async def unplug(self) -> None:
        """Pull the adapter out."""
        await self._monitor("device_del", {"id": ADAPTER})

    async def replug(self) -> None:
        """Put it back."""
        _, *options = self._adapter().split(",")
        settings = dict(option.split("=") for option in options)
        await self._monitor("device_add", {"driver": "usb-serial", **settings})

    async def _monitor(self, command: str, arguments: Mapping[str, str]) -> None:
        reader, writer = await asyncio.open_unix_connection(self._qmp)
        try:
            await reader.readline()  # its greeting
            for question in (
                {"execute": "qmp_capabilities"},
                {"execute": command, "arguments": arguments},
            ):
                writer.write(json.dumps(question).encode() + b"\n")
                answer: Mapping[str, Any] = {"event": ""}
                while "event" in answer:
                    answer = json.loads(await reader.readline())
                if "error" in answer:
                    raise Failed(f"QEMU does not {command}: {answer['error']}")
        finally:
            writer.close()

    # ---- commands inside

    async def shell(self, script: str, *, timeout_s: float = AGENT_TIMEOUT_S) -> str:
        """Run a script as root inside; return its output. Failed if it does not end with 0."""
        async with asyncio.timeout(timeout_s):
            answer = await self._ask(
                "guest-exec",
                {"path": "/bin/sh", "arg": ["-c", f"exec 2>&1; {script}"], "capture-output": True},
            )
            while True:
                status = await self._ask("guest-exec-status", {"pid": answer["pid"]})
                if status["exited"]:
                    break
                await asyncio.sleep(ASK_EVERY_S)
        text = base64.b64decode(status.get("out-data", "")).decode(errors="replace")
        if status.get("exitcode"):
            raise Failed(f"in the Pi `{script}` ended with {status['exitcode']}:\n{text}")
        return text

    async def _tell(self, command: str, arguments: Mapping[str, Any]) -> None:
        """Give an order to the agent inside that has no answer."""
        async with self._agent_lines() as (_, writer):
            _send(writer, command, arguments)
            await writer.drain()
            await asyncio.sleep(TAKEN_S)

    async def _ask(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """Ask the agent inside."""
        async with self._agent_lines() as (reader, writer):
            _send(writer, command, arguments)
            answer = json.loads(await reader.readline())
        if "return" not in answer:
            raise Failed(f"the agent in the Pi does not {command}: {answer}")
        return answer["return"]

    @contextlib.asynccontextmanager
    async def _agent_lines(self) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
        """Connect to the agent; waits until it is there, and forgets what it said before."""
        reader, writer = await asyncio.open_unix_connection(self._agent, limit=MAX_ANSWER_BYTES)
        try:
            mark = time.monotonic_ns() & 0x7FFFFFFF
            _send(writer, "guest-sync-delimited", {"id": mark})
            while (line := await reader.readline()).split(b"\xff")[-1].strip() != (
                b'{"return": %d}' % mark
            ):
                if not line:
                    raise Failed("the agent in the Pi is gone")
            yield reader, writer
        finally:
            writer.close()


def _send(writer: StreamWriter, command: str, arguments: Mapping[str, Any]) -> None:
    writer.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
