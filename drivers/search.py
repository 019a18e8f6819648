"""Looks through a whole bus, question by question, for the devices that are there."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping

from gateway.driver import Request

__all__ = ["BusSearch"]


class BusSearch(ABC):
    """Asks one question after the other; ``found`` holds the options of each device.

    Hand ``next_request`` the answer to the request before (empty after a time-out); it returns
    None when all is asked. Nothing is written but questions.
    """

    def __init__(self) -> None:
        self.found: list[Mapping[str, object]] = []
        self._steps = self._search()
        self._begun = False

    def next_request(self, answer: bytes = b"") -> Request | None:
        """Return the next question, None at the end."""
        try:
            if self._begun:
                return self._steps.send(answer)
            self._begun = True
            return next(self._steps)
        except StopIteration:
            return None

    @abstractmethod
    def _search(self) -> Generator[Request, bytes, None]:
        """Yield the questions, take the answers, and add to ``found``."""
