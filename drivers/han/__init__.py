"""Electricity meters that push DLMS lists over HDLC: Aidon, Kaifa and Kamstrup, HAN in the Nordics.

Written from ISO/IEC 13239 and IEC 62056-46 (frames), the DLMS UA books (data), and the makers'
descriptions of their lists (see ``lists``).
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from drivers.han.cipher import CIPHERED, open_ciphered
from drivers.han.dlms import DlmsError, notification
from drivers.han.hdlc import HdlcReader
from drivers.han.lists import amounts
from drivers.obis import readings
from gateway.driver import DriverInfo, Outcome, SerialLine
from gateway.reading import Fault

__all__ = ["Han", "HanOptions"]

LLC_HEADER = b"\xe6\xe7\x00"
KEY_PATTERN = "^[0-9A-Fa-f]{32}$"


class HanOptions(BaseModel):
    """What can be set for one meter; both keys are secrets, each in a file of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str | None = Field(
        default=None,
        pattern=KEY_PATTERN,
        repr=False,
        description="Encryption key of the meter, 32 hexadecimal digits; from the grid company.",
    )
    authentication_key: str | None = Field(
        default=None,
        pattern=KEY_PATTERN,
        repr=False,
        description="Authentication key of the meter, 32 hexadecimal digits.",
    )


class Han:
    """Yields power, voltage, current and registers of a meter that pushes.

    Power is import minus export. Nothing that names the meter is ever yielded, not in a fault
    either.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="han",
        title="Electricity meter with HAN port that pushes DLMS (Aidon, Kaifa, Kamstrup)",
        domain="energy",
        quantities=(
            "power.active",
            "power.reactive",
            "electric.voltage",
            "electric.current",
            "energy.active_import",
            "energy.active_export",
            "energy.reactive_import",
            "energy.reactive_export",
        ),
        interval_s=10.0,
        lines=(SerialLine(2400, 8, "E", 1), SerialLine(2400), SerialLine(115200)),
        secrets=("key", "authentication_key"),
        privacy="P3",
        document="DLMS UA Blue and Green Book; Aidon, Kaifa and Kamstrup HAN-NVE lists",
    )
    Options: ClassVar[type[BaseModel]] = HanOptions

    def __init__(self, options: HanOptions) -> None:
        self._reader = HdlcReader()
        self._key = bytes.fromhex(options.key or "")
        self._authentication_key = bytes.fromhex(options.authentication_key or "")
        self._counter = -1

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return self._reader.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return nothing: the port only sends."""
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        outcomes: list[Outcome] = []
        for found in self._reader.feed(data):
            outcomes += [found] if isinstance(found, Fault) else self._message(found)
        return outcomes

    def _message(self, information: bytes) -> Iterable[Outcome]:
        if not information.startswith(LLC_HEADER):
            return [Fault("unknown", "good frame without a DLMS message")]
        apdu = information[len(LLC_HEADER) :]
        if apdu[:1] == bytes((CIPHERED,)):
            opened = self._open(apdu)
            if isinstance(opened, Fault):
                return [opened]
            apdu = opened
        try:
            values = amounts(notification(apdu))
        except DlmsError as error:
            return [Fault("unknown", f"DLMS message: {error}")]
        if values is None:
            return [Fault("unknown", "list of another maker")]
        return readings(values, import_alone=False)

    def _open(self, apdu: bytes) -> bytes | Fault:
        """Decrypt; a message whose counter did not rise was recorded and is sent again."""
        opened = open_ciphered(apdu, self._key, self._authentication_key)
        if isinstance(opened, Fault):
            return opened
        if opened.counter <= self._counter:
            return Fault("unknown", "encrypted message that came before")
        self._counter = opened.counter
        return opened.message
