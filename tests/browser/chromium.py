"""A real Chromium without a window, spoken to by its DevTools protocol over one WebSocket."""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.brokers import find_program

__all__ = ["NARROW", "PHONE", "SCREEN", "Tab", "chromium", "open_tab"]

START_TIMEOUT_S = 30.0
HANG_S = 25.0
STOP_TIMEOUT_S = 10.0
"""Hangs, not promises."""
LOOK_EVERY_S = 0.05
MAX_MESSAGE_BYTES = 64 << 20
"""A screenshot is one message."""
PHONE = (390, 844)
NARROW = (320, 640)
"""WCAG 2.2, success criterion 1.4.10: nothing may need scrolling sideways at 320 pixels."""
WIDEST_PHONE = 500
SCREEN = (1280, 900)
SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, and see our own pages only
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-features=MediaRouter,OptimizationHints,Translate",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--metrics-recording-only",
    "--password-store=basic",
    "--remote-debugging-port=0",
)


@contextmanager
def chromium(profile: Path) -> Iterator[str]:
    """Run a browser with a new profile; yields the address of its DevTools socket."""
    profile.mkdir(parents=True)
    environment = {**os.environ, "HOME": str(profile), "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
    process = subprocess.Popen(
        [find_program("chromium"), *SWITCHES, f"--user-data-dir={profile}", "about:blank"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port, path = _debug_address(process, profile / "DevToolsActivePort")
        yield f"ws://127.0.0.1:{port}{path}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(profile, ignore_errors=True)  # tens of megabytes that nobody looks at


def _debug_address(process: "subprocess.Popen[bytes]", file: Path) -> list[str]:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "chromium did not start"
        with contextlib.suppress(FileNotFoundError):
            lines = file.read_text(encoding="ascii").splitlines()
            if len(lines) == 2:
                return lines
        time.sleep(LOOK_EVERY_S)
    raise AssertionError("chromium did not say where it listens")


class Tab:
    """One page of a browser context of its own, without cache or storage of another test."""

    def __init__(self, connection: ClientConnection) -> None:
        self.requests: list[str] = []
        """The address of everything that was asked for."""
        self.complaints: list[str] = []
        """What the console says: errors of scripts, and what the policy has stopped."""
        self._connection = connection
        self._session = ""
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Take what the browser says, for ever."""
        async for text in self._connection:
            message = json.loads(text)
            if "id" in message:
                waiting = self._answers.pop(message["id"])
                if not waiting.done():  # nobody waits any more
                    waiting.set_result(message)
            elif message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            elif message.get("method") == "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            elif message.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"]))

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call one method of the protocol."""
        self._number += 1
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        await self._connection.send(json.dumps(message))
        told = await asyncio.wait_for(answer, HANG_S)
        assert "error" not in told, (method, told["error"])
        result: dict[str, Any] = told["result"]
        return result

    async def begin(self, size: tuple[int, int], language: str) -> None:
        """Make the page, with everything watched."""
        context = (await self.ask("Target.createBrowserContext"))["browserContextId"]
        target = await self.ask("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.ask(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.ask(f"{domain}.enable")
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=size[0] <= WIDEST_PHONE,
        )
        await self.ask("Network.setUserAgentOverride", userAgent="test", acceptLanguage=language)

    async def prefer(self, **wishes: str) -> None:
        """Say what a person has set their device to: ``color_scheme="dark"`` and the like."""
        features = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value}
            for name, value in wishes.items()
        ]
        await self.ask("Emulation.setEmulatedMedia", features=features)

    async def go(self, address: str) -> None:
        """Open an address, and wait until its page is there."""
        await self.ask("Page.navigate", url=address)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def value(self, script: str) -> Any:
        """Return what an expression gives in the page."""
        told = await self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, script: str) -> None:
        """Return once an expression holds; one that fails may hold when the page is there."""
        attempt = f"(() => {{ try {{ return {script} }} catch {{ return false }} }})()"
        try:
            async with asyncio.timeout(HANG_S):
                while not await self.value(attempt):  # noqa: ASYNC110 - it happens in a browser
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            text = await self.value("document.body.innerText")
            raise AssertionError(f"never: {script}\n{self.complaints}\n{text}") from None

    async def text(self, at: str) -> str:
        """Return the text of the element with that id."""
        return str(await self.value(f"document.getElementById({json.dumps(at)}).textContent"))

    async def until_text(self, at: str, text: str) -> None:
        """Return once the element with that id is there and holds the text."""
        await self.until(
            f"document.getElementById({json.dumps(at)})?.textContent.includes({json.dumps(text)})"
        )

    async def press(self, key: str, code: int) -> None:
        """Press a key and let it go."""
        typed = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            more = {"text": typed} if typed and kind == "keyDown" else {}
            await self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more
            )

    async def picture(self, *, whole: bool = True) -> bytes:
        """Return what is seen, or the whole length of the page, as a PNG."""
        shot = await self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        if whole:
            size = (await self.ask("Page.getLayoutMetrics"))["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            shot = await self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def open_tab(
    browser: str, *, size: tuple[int, int] = SCREEN, language: str = "en"
) -> AsyncIterator[Tab]:
    """Open a tab in the browser at that address; everything of it is gone afterwards."""
    async with connect(browser, max_size=MAX_MESSAGE_BYTES, proxy=None) as connection:
        tab = Tab(connection)
        listening = asyncio.create_task(tab.listen())
        try:
            await tab.begin(size, language)
            yield tab
            await tab.ask("Page.close")
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
