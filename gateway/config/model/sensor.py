"""One sensor: what it is, where it is, what becomes of its readings."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, StrictBool, model_validator

from gateway.config.model.box import RETENTION_MAX_S, RETENTION_MIN_S, Position
from gateway.config.model.words import Address, Prose, Section, Slug
from gateway.config.refusal import Refusal
from gateway.config.units import Duration
from gateway.driver import SerialLine
from gateway.reading import PrivacyClass

__all__ = ["Framing", "SensorSection", "chosen_lines"]

Framing = Literal[
    "8N1", "8E1", "8O1", "8N2", "8E2", "8O2", "7N1", "7E1", "7O1", "7N2", "7E2", "7O2"
]
FilterTable = Mapping[str, Mapping[str, Any]]


class SensorSection(Section):
    """One physical device."""

    name: Slug = Field(
        description="Its name for ever: part of topics, ids and metrics.", examples=["air-roof"]
    )
    driver: str = Field(
        min_length=1,
        description="What decodes it; see `citylab-gateway drivers`.",
        examples=["sds011"],
    )
    port: str = Field(
        default="",
        description="Serial port; use a name that stays the same. "
        "A sensor has exactly one of port, address, replay. "
        "Several sensors that are asked (a bus) may share a port.",
        examples=["/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0"],
    )
    address: Address = Field(
        default="",
        description="Bluetooth address; * for footfall, which counts whoever passes.",
        examples=["C4:7F:51:00:00:01"],
    )
    replay: str = Field(
        default="",
        description="Read recorded bytes from this file or pipe instead of a port.",
        examples=["/srv/records/air-roof.jsonl"],
    )
    replay_speed: float = Field(
        default=1.0, ge=0, le=10000, description="1 is the recorded pace, 0 as fast as it goes."
    )
    baud: int | None = Field(
        default=None,
        ge=50,
        le=4_000_000,
        description="Speed of the line, instead of the driver's own.",
        examples=[9600],
    )
    framing: Framing | None = Field(
        default=None,
        description="Data bits, parity and stop bits of the line, instead of the driver's own.",
        examples=["8E1"],
    )
    interval: Duration | None = Field(
        default=None,
        ge=0.1,
        le=86400.0,
        examples=["10 s"],
        description="How often a sensor that only answers is asked; the default is the driver's.",
    )
    silence_timeout: Duration | None = Field(
        default=None,
        ge=1.0,
        le=86400.0,
        examples=["30 s"],
        description="Without any byte for so long the port is opened again; "
        "the default is ten times the driver's interval, at least 10 s. Of a bus: without any "
        "answer, and after three tries at each sensor; 10 s.",
    )
    stale_after: Duration | None = Field(
        default=None,
        ge=1.0,
        le=2592000.0,
        examples=["6 h"],
        description="Without a reading for so long it is stale; the default follows its rhythm: "
        "three intervals (the driver's, or the longer one that was learnt), at least 10 s. Set it "
        "for what may rightly be quiet for hours, such as a radar on a small street.",
    )
    privacy: PrivacyClass | None = Field(
        default=None,
        description="Privacy class; the default is the driver's. P3 (a household's or a person's) "
        "needs purpose, controller, legal_basis and retention.",
        examples=["P0"],
    )
    purpose: Prose = Field(
        default="",
        description="What the data is for, in one sentence for the people it is about.",
        examples=["Research on heat loss of dwellings, with the tenants' consent."],
    )
    controller: Prose = Field(
        default="",
        description="Who answers for the data: name, and how to reach them.",
        examples=["Aarhus University, dpo@example.org"],
    )
    legal_basis: Prose = Field(
        default="",
        description="Why it may be processed (GDPR article 6).",
        examples=["GDPR art. 6(1)(a), consent of the tenants"],
    )
    sign: Prose = Field(
        default="",
        description="Where people who pass are told that their devices are counted, and since "
        "when; `describe --sign` has the text. Needed for footfall.",
        examples=["On the pole and at both ends of the square, Danish and English, 2026-11-02"],
    )
    retention: Duration | None = Field(
        default=None,
        ge=RETENTION_MIN_S,
        le=RETENTION_MAX_S,
        description="How old its readings may become in the ring and still be read or sent; "
        "the limit of its privacy class counts as well.",
        examples=["24 h"],
    )
    min_publish_interval: Duration | None = Field(
        default=None,
        ge=0.0,
        le=86400.0,
        description="At most one reading of each series leaves in each interval so long, "
        "whatever the broker; "
        "the default is 1 h for P3 and 0 s otherwise. Less than 1 h for P3 is for a purpose that "
        "needs it. What is summed up (counts in a window) is never thinned.",
        examples=["15 min"],
    )
    location: Position | None = Field(
        default=None,
        description="Where the sensor is.",
        examples=[{"lon": 10.2134, "lat": 56.1535}],
    )
    location_decimals: int | None = Field(
        default=None,
        ge=0,
        le=7,
        description="Decimals of its coordinates that leave: 3 is about 100 m, 5 about 1 m. The "
        "default is 3 for P3, else what the broker's select allows; the smaller of both counts.",
        examples=[4],
    )
    record: StrictBool = Field(
        default=False,
        description="Record its raw bytes as [recording] says, to look at or to replay. Not of P2 "
        "and P3: what is in a file is kept longer than their retention.",
    )
    options: Mapping[str, Any] = Field(
        default_factory=dict, description="Options of the driver; see its page."
    )
    filter: FilterTable = Field(
        default_factory=dict,
        description="Filters per quantity, or '*' for all, run in the order written.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "SensorSection":
        sources = [key for key in ("port", "address", "replay") if getattr(self, key)]
        if len(sources) != 1:
            found = " and ".join(sources) or "none of them"
            raise Refusal(f"needs exactly one of port, address, replay; it has {found}")
        return self

    def lines(self, own: Sequence[SerialLine]) -> tuple[SerialLine, ...]:
        """Return the line settings to try, from those of the driver and what is set here."""
        return chosen_lines(own, self.baud, self.framing)


def chosen_lines(
    own: Sequence[SerialLine], baud: int | None, framing: Framing | None
) -> tuple[SerialLine, ...]:
    """Return a driver's line settings with speed and framing replaced where they are set."""
    chosen = [
        line._replace(
            baud=baud or line.baud,
            bytesize=line.bytesize if framing is None else 7 if framing[0] == "7" else 8,
            parity=line.parity if framing is None else _parity(framing[1]),
            stopbits=line.stopbits if framing is None else 2 if framing[2] == "2" else 1,
        )
        for line in own
    ]
    return tuple(dict.fromkeys(chosen))


def _parity(letter: str) -> Literal["N", "E", "O"]:
    return "E" if letter == "E" else "O" if letter == "O" else "N"
