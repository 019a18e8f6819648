"""The readings of a ring, one block after the other, and what is known to be missing."""

from collections.abc import Iterator, Mapping

from gateway.buffer.batch import Batch
from gateway.buffer.boots import Boot, Boots
from gateway.buffer.inspect import BootTimes, Names, RingView
from gateway.buffer.retention import Cutoffs, Retention
from gateway.cli.buffer.figures import columns
from gateway.cli.buffer.progress import Progress
from gateway.clock import Clock
from gateway.reading import PrivacyClass

__all__ = ["Source"]

NO_BOOT_OF_THE_RING = 1 << 32
"""For a machine that the ring was copied to: no block can have this number."""


class Source:
    """All readable readings of a ring, block by block, and what could not be read."""

    def __init__(
        self,
        view: RingView,
        names: Names,
        retention_s: Mapping[PrivacyClass, float | None],
        sensor_retention_s: Mapping[str, float],
        *,
        shown: bool,
    ) -> None:
        self._view = view
        self._times = BootTimes(view.directory)
        self._boots = _boots_of_this_machine(self._times)
        self._retention = Retention(retention_s, names.series, self._boots, sensor_retention_s)
        self._shown = shown
        self._overwritten = 0
        self._damaged = 0

    def batches(self) -> Iterator[tuple[Batch, Cutoffs]]:
        """Yield what is there when it begins; what a daemon writes meanwhile is not waited for.

        With each batch comes what in it has expired.
        """
        view = self._view
        head = view.head()
        if head is None:
            self._damaged += 1
            return
        low = view.low(head)
        with Progress("exporting", head.number + 1 - low, shown=self._shown) as progress:
            for number, place in view.walk(low, head.number + 1):
                progress(number - low)
                block = place.block
                if block is None:
                    self._damaged += not place.blank
                elif block.number > number:
                    self._overwritten += 1
                elif block.number == number and block.count:
                    yield columns(block, self._times), self._retention.cutoffs(block)

    def notices(self) -> Iterator[str]:
        """Say what is missing from the export."""
        if self._damaged:
            yield f"{self._damaged} blocks cannot be read; `buffer check` says which"
        if self._overwritten:
            yield f"{self._overwritten} of the oldest blocks were overwritten meanwhile"


def _boots_of_this_machine(times: BootTimes) -> Boots:
    """Return the known boots and the one that runs now, whose clock is taken to be right."""
    clock = Clock(trusted=True)
    running = next((boot for boot in times.boots if boot.boot_id == clock.boot_id), None)
    if running is None:
        running = Boot(NO_BOOT_OF_THE_RING, clock.boot_id, clock.offset_ns)
    boots = Boots(times.boots, running, clock)
    boots.note_clock()
    return boots
