"""How a callback tells the task that started it that it is over, and why."""

import asyncio
from types import TracebackType

__all__ = ["Ending"]


class Ending:
    """Settled once: by a cause, or by the exception that a callback raised.

    Callbacks of an event loop and of a library have nobody who would see their exceptions. Run
    inside ``with ending:`` an exception is carried to the task that awaits ``wait``, and from
    there to the supervisor.
    """

    def __init__(self) -> None:
        self._future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def settle(self, cause: str) -> None:
        """End with this cause; only the first one counts."""
        if not self._future.done():
            self._future.set_result(cause)

    async def wait(self, timeout_s: float) -> str | None:
        """Return the cause, or None after ``timeout_s``; raise what a callback raised."""
        if not self._future.done():
            await asyncio.wait((self._future,), timeout=timeout_s)
        return self._future.result() if self._future.done() else None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if not self._future.done():
            self._future.set_exception(error)
        return True
