"""The loop of ``top``: asks, draws, and listens to keys and to the terminal."""

import asyncio
import os
import signal
import sys
import time

from gateway.cli.top.fetch import Answer, Source, ask
from gateway.cli.top.frame import Looks, frame, paint
from gateway.cli.top.rates import Rates
from gateway.cli.top.screen import Screen, keys
from gateway.cli.top.snapshot import Snapshot, plain
from gateway.cli.top.table import width_of
from gateway.cli.top.words import time_text

__all__ = ["watch"]

READ_BYTES = 256
PAGE_SENSORS = 10
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def watch(source: Source, interval_s: float, looks: Looks) -> int:
    """Show the daemon's state until somebody ends it; the terminal is then as it was."""
    keyboard = sys.stdin.fileno()
    screen = Screen(sys.stdout.fileno(), keyboard)
    view = _Watch(source, screen, looks)
    try:
        screen.enter()
        await view.run(keyboard, interval_s)
    except OSError:
        if os.isatty(sys.stdout.fileno()):
            raise  # else the terminal is gone
    finally:
        screen.leave()
    return 0


class _Watch:
    def __init__(self, source: Source, screen: Screen, looks: Looks) -> None:
        self.stop = asyncio.Event()
        self._source = source
        self._screen = screen
        self._looks = looks
        self._changed = asyncio.Event()
        self._snapshot: Snapshot | None = None
        self._answered_s = time.monotonic()
        self._problem = f"asking {source.url}"
        self._rates = Rates()
        self._scroll = 0

    async def run(self, keyboard: int, interval_s: float) -> None:
        """Draw whenever something changed."""
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGWINCH, self._changed.set)
        if self._screen.has_keys:
            loop.add_reader(keyboard, self._pressed, keyboard)
            loop.add_signal_handler(signal.SIGTSTP, self._pause, keyboard)
        asking = asyncio.create_task(self._ask(interval_s))
        try:
            while not self.stop.is_set():
                self._draw()
                self._changed.clear()
                await self._changed.wait()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            loop.remove_reader(keyboard)
            for number in (*ENDING, signal.SIGWINCH, signal.SIGTSTP):
                loop.remove_signal_handler(number)

    async def _ask(self, interval_s: float) -> None:
        while True:
            self._take(await ask(self._source))
            self._changed.set()
            await asyncio.sleep(interval_s)

    def _take(self, answer: Answer) -> None:
        now_s = time.monotonic()
        if answer.snapshot is not None:
            self._snapshot, self._problem, self._answered_s = answer.snapshot, "", now_s
            self._rates.take(answer.snapshot)
            return
        problem = f"NO ANSWER from {self._source.url}: {answer.problem}."
        if self._snapshot is not None:
            problem += f" What stands below is {time_text(now_s - self._answered_s)} old."
        else:
            problem += " Does it run? systemctl status citylab-gateway"
        self._problem = plain(problem)

    def _draw(self) -> None:
        size = self._screen.size
        count = 0 if self._snapshot is None else len(self._snapshot.sensors)
        self._scroll = max(0, min(self._scroll, count - 1))
        lines = frame(
            self._snapshot,
            self._rates,
            size,
            self._looks,
            problem=self._problem,
            scroll=self._scroll,
        )
        width = size[0]
        padded = [paint(each, self._looks) + " " * (width - width_of(each)) for each in lines]
        self._screen.show(padded, size)

    def _pressed(self, keyboard: int) -> None:
        try:
            data = os.read(keyboard, READ_BYTES)
        except OSError:
            data = b""
        if not data:  # the terminal is gone
            self._end()
            return
        steps = {"up": -1, "down": 1, "page up": -PAGE_SENSORS, "page down": PAGE_SENSORS}
        for key in keys(data):
            if key == "quit":
                self._end()
            elif key == "top":
                self._scroll = 0
            else:
                self._scroll += steps[key]
        self._changed.set()

    def _end(self) -> None:
        self.stop.set()
        self._changed.set()

    def _pause(self, keyboard: int) -> None:
        """Ctrl-Z: give the terminal back, sleep, and take it again when called to the front."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(keyboard)
        self._screen.leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._screen.enter()
        loop.add_reader(keyboard, self._pressed, keyboard)
        self._changed.set()
