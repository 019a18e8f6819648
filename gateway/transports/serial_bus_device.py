"""One device of a bus: when it is asked next, and what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from gateway.driver import Polled, Request, SerialLine
from gateway.transports.recorder import Recorder
from gateway.transports.stats import PortStats

__all__ = ["BusDevice", "BusStats"]

FIRST_RETRY_S = 1.0
MAX_RETRY_S = 60.0
"""A device that does not answer is asked again after 1, 2, 4 ... 60 s, or at its interval."""
QUICK_RETRIES = 3
"""So often a slow device, read once an hour, is asked again before its interval is over."""
DEAD_SHARE = 0.1
"""Share of the bus that all devices without an answer may take together with their time-outs."""
FIRST_BENCH_S = 60.0
MAX_BENCH_S = 3600.0
"""A driver that raised stops the bus; its device is left alone for so long."""


@dataclass(slots=True)
class BusStats(PortStats):
    """The share that one device has in a port."""

    requests: int = 0
    timeouts: int = 0
    echoes: int = 0
    """Own requests that came back and were removed."""
    late_bytes: int = 0
    """Bytes that came when nobody waited for them, after this device was asked."""


class BusDevice:
    """A polled sensor at a bus; the transport asks it, the daemon reads its ``stats``."""

    def __init__(  # noqa: PLR0913 - each is one part of what a device at a port is
        self,
        *,
        sensor: str,
        port: str,
        driver: Polled,
        lines: Sequence[SerialLine],
        interval_s: float,
        silence_timeout_s: float,
        recorder: Recorder | None = None,
    ) -> None:
        """``lines`` are the settings that it may be spoken to with.

        Its answers go to the ``recorder``, which somebody else runs.
        """
        if not lines:
            raise ValueError(f"{sensor}: a serial port needs at least one line setting")
        self.stats = BusStats(port=port)
        self.sensor = sensor
        self.driver = driver
        self.lines = tuple(lines)
        self.interval_s = interval_s
        self.silence_timeout_s = silence_timeout_s
        self.due_at = 0.0
        """Loop time of its next round."""
        self.failures = 0
        """Rounds without an answer, one after the other."""
        self.heard = False
        """It has answered since the port was opened."""
        self.removed = False
        self._recorder = recorder
        self._crashes = 0
        self._benched_until = 0.0

    def opened(self, now: float) -> None:
        """Begin anew, because the port was opened anew."""
        if self.failures or not self.due_at:
            self.due_at = now
        self.failures = 0
        self.heard = False
        self.due_at = max(self.due_at, self._benched_until)

    def answered(self, now: float, wasted_s: float) -> None:
        """Plan the next round after one that brought an answer: in step, but never in arrears.

        ``wasted_s`` is what its time-outs cost the others, if there are any.
        """
        self.failures = 0
        self.heard = True
        self.due_at = max(self.due_at + self.interval_s, now + wasted_s / DEAD_SHARE)
        if self._crashes and now > self._benched_until + MAX_BENCH_S:
            self._crashes = 0

    def failed(self, now: float, wasted_s: float, dead: int) -> None:
        """Plan the next round after one without an answer.

        ``wasted_s`` is what it cost the others, ``dead`` the number of devices that cost them that.
        """
        self.failures += 1
        wait_s = min(MAX_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self.failures - 1, 16))
        if self.failures > QUICK_RETRIES:
            wait_s = max(wait_s, self.interval_s)
        self.due_at = now + max(wait_s, wasted_s * dead / DEAD_SHARE)

    def record(self, request: Request, data: bytes, received_ns: int) -> None:
        """Record what came in answer to a question, if its answers are recorded."""
        if self._recorder is not None:
            self._recorder.add_answer(self.sensor, request.data, data, received_ns)

    def blame(self, now: float) -> "_Blame":
        """Return a context that benches the device if its driver raises."""
        return _Blame(self, now)

    def bench(self, now: float) -> None:
        """Leave the device alone: its driver has a bug, and the others must not pay for it."""
        bench_s = min(MAX_BENCH_S, FIRST_BENCH_S * 2.0 ** min(self._crashes, 16))
        self._crashes += 1
        self._benched_until = self.due_at = now + bench_s


class _Blame:
    """Lets every exception through, after the device was benched for it."""

    def __init__(self, device: BusDevice, now: float) -> None:
        self._device = device
        self._now = now

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            self._device.bench(self._now)
