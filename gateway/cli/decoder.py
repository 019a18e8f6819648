"""A driver of any shape, fed with what was recorded."""

from collections.abc import Iterator

from gateway.driver import Advert, Beacon, Driver, Outcome, Polled, Request, Stream
from gateway.errors import ConfigError
from gateway.transports.recording import RecordedBytes, RecordingError

__all__ = ["Decoder"]

MAX_ROUND_REQUESTS = 256


class Decoder:
    """Takes the lines of a recording, parsed, in their order."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._round: Iterator[Request] = iter(())

    def hear(self, advert: Advert) -> list[Outcome]:
        """Return what an advertisement says; ConfigError if the driver is not that of a beacon."""
        if not isinstance(self._driver, Beacon):
            raise ConfigError("advertisements need the driver of a beacon", key="--driver")
        return list(self._driver.decode(advert)) if self._driver.claims(advert) else []

    def take(self, recorded: RecordedBytes) -> list[Outcome]:
        """Return what a chunk says, or the answer to a question.

        ConfigError if the driver is not that of a serial device, RecordingError for the answer to
        a question that it does not ask.
        """
        if isinstance(self._driver, Stream):
            return list(self._driver.feed(recorded.data))
        if isinstance(self._driver, Polled):
            request = self._question(self._driver, recorded.request)
            return list(self._driver.on_reply(request, recorded.data))
        raise ConfigError("bytes need the driver of a serial device", key="--driver")

    def _question(self, driver: Polled, data: bytes) -> Request:
        """Return the driver's own question that was recorded; ask again until it comes."""
        for _ in range(MAX_ROUND_REQUESTS):
            request = next(self._round, None)
            if request is None:
                self._round = iter(driver.requests())
            elif request.data == data:
                return request
        raise RecordingError("answers a question that the driver does not ask")
