"""Finds the meters of an M-Bus: all primary addresses, then secondary ones digit by digit."""

from collections.abc import Generator

from drivers.mbus.link import (
    ACKNOWLEDGED,
    SELECTED,
    answer_length,
    find_telegram,
    request_data,
    reset_link,
    select,
)
from drivers.search import BusSearch
from gateway.driver import Request

__all__ = ["Search"]

ANYBODY = 254
ADDRESSES = range(1, 251)
TIMEOUT_S = 0.4
DATA_TIMEOUT_S = 2.0
DIGITS = 8
UNADDRESSED = 0
MAX_SELECTIONS = 2000
"""A search by number ends here: more than 200 meters on one bus, or echoes."""


class Search(BusSearch):
    """First everybody is asked at once: a silent bus takes half a second."""

    def _search(self) -> Generator[Request, bytes, None]:
        if not (yield _short(reset_link(ANYBODY))):
            return
        for address in ADDRESSES:
            if (yield _short(reset_link(address))):
                self.found.append({"address": address})
        if (yield _short(reset_link(UNADDRESSED))):
            yield from self._numbers()

    def _numbers(self) -> Generator[Request, bytes, None]:
        """Find meters without a primary address by their numbers."""
        prefixes = [""]
        selections = 0
        while prefixes and selections < MAX_SELECTIONS:
            selections += 1
            prefix = prefixes.pop()
            mask = bytes.fromhex(prefix.ljust(DIGITS, "F"))[::-1] + b"\xff" * 4
            yield _short(reset_link(SELECTED))
            if ACKNOWLEDGED not in (yield _short(select(mask))):
                continue
            data = yield Request(
                request_data(SELECTED, count_bit=True), answer_length, timeout_s=DATA_TIMEOUT_S
            )
            telegram, _ = find_telegram(data)
            if telegram is not None:
                if telegram.address == UNADDRESSED:
                    self.found.append({"secondary": telegram.data[3::-1].hex()})
            elif len(prefix) < DIGITS:  # several answered at once
                prefixes += [prefix + digit for digit in "9876543210"]


def _short(data: bytes) -> Request:
    return Request(data, 1, timeout_s=TIMEOUT_S)
