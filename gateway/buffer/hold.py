"""How long readings wait for the clock to become right, before they go out with a doubtful time."""

from gateway.buffer.boots import Boots
from gateway.clock import Clock

__all__ = ["Hold"]

NS_PER_S = 1_000_000_000


class Hold:
    """Keeps back readings of the running boot while its clock is not right, for a while."""

    def __init__(self, boots: Boots, clock: Clock, hold_s: float) -> None:
        """Begin; it lasts for ``hold_s`` of boot time, 0: not at all."""
        self._boots = boots
        self._clock = clock
        self._until_ns = clock.now_ns() + int(hold_s * NS_PER_S)
        self._is_over = False

    @property
    def is_on(self) -> bool:
        """Readings of the running boot stay where they are; once this is over it stays over."""
        if not self._is_over:
            self._is_over = (
                self._boots.current.state == "synced" or self._clock.now_ns() >= self._until_ns
            )
        return not self._is_over

    @property
    def left_s(self) -> float:
        """How long it lasts at most, in s; 0 when it is over."""
        return (self._until_ns - self._clock.now_ns()) / NS_PER_S if self.is_on else 0.0

    def keeps(self, boot: int) -> bool:
        """Tell whether readings of that boot stay where they are for now."""
        return self.is_on and boot == self._boots.current.number
