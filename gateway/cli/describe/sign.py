"""The text for the sign on the pole, in Danish and English, made from the data sheet (PRIV-13)."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from gateway.config.units import duration_text

__all__ = ["sign"]

Language = Literal["da", "en"]

THINGS: Mapping[str, Mapping[Language, str]] = {
    "air": {"da": "luftkvalitet og vejr", "en": "air quality and weather"},
    "noise": {"da": "støjniveau (ingen lydoptagelse)", "en": "noise level (no sound recording)"},
    "traffic": {
        "da": "antal og hastighed af køretøjer (ingen nummerplader)",
        "en": "number and speed of vehicles (no number plates)",
    },
    "bicycle": {"da": "antal cykler", "en": "number of bicycles"},
    "people": {
        "da": "antal personer (ingen bliver genkendt)",
        "en": "number of people (nobody is recognised)",
    },
    "devices": {
        "da": "antal telefoner og andet udstyr med Bluetooth i nærheden (ingen bliver genkendt; "
        "adresserne glemmes efter højst et kvarter)",
        "en": "number of phones and other Bluetooth devices near by (nobody is recognised; the "
        "addresses are forgotten after a quarter of an hour at most)",
    },
    "parking": {"da": "optagne parkeringspladser", "en": "occupied parking spaces"},
    "power": {"da": "elforbrug", "en": "use of electricity"},
    "heat": {"da": "varmeforbrug", "en": "use of heat"},
    "water": {"da": "vandforbrug", "en": "use of water"},
    "gas": {"da": "gasforbrug", "en": "use of gas"},
}
"""First part of a quantity -> what it is for a passer-by."""
SAME_THING: Mapping[str, str] = {
    "electric": "power",
    "energy": "power",
    "light": "air",
    "meter": "power",
    "rain": "air",
    "snow": "air",
    "solar": "air",
    "uv": "air",
    "wind": "air",
}
NOBODYS = ("P0", "P1")
OF_THE_DEVICE = "device"
"""Its battery and radio: nothing that a passer-by asks about."""

WORDS: Mapping[Language, Mapping[str, str]] = {
    "da": {
        "head": "HER MÅLES",
        "who": "Ansvarlig",
        "what": "Vi måler",
        "numbers": "Der gemmes kun tal: ingen billeder, ingen lyd, ingen navne, ingen adresser "
        "på telefoner eller andet udstyr.",
        "nobody": "Tallene handler ikke om enkeltpersoner.",
        "personal": "Personoplysninger",
        "purpose": "Formål",
        "controller": "Dataansvarlig",
        "basis": "Retsgrundlag",
        "kept": "Boksen læser og videregiver dem ikke længere efter højst",
        "seldom": "Videregives højst én gang på",
        "open": "Åbne data for alle, men aldrig personoplysninger.",
        "closed": "Modtagere",
        "none": "Ingen modtager tallene.",
        "ask": "Spørgsmål",
        "more": "Læs mere",
    },
    "en": {
        "head": "MEASURING HERE",
        "who": "Responsible",
        "what": "We measure",
        "numbers": "Only numbers are stored: no pictures, no sound, no names, no addresses of "
        "phones or other devices.",
        "nobody": "The numbers are not about single persons.",
        "personal": "Personal data",
        "purpose": "Purpose",
        "controller": "Controller",
        "basis": "Legal basis",
        "kept": "The box neither reads nor passes them on after at most",
        "seldom": "Passed on at most once in",
        "open": "Open data for everybody, but never personal data.",
        "closed": "Recipients",
        "none": "Nobody gets the numbers.",
        "ask": "Questions",
        "more": "Read more",
    },
}
UNITS: Mapping[Language, Mapping[str, tuple[str, str]]] = {
    "da": {
        "s": ("sekund", "sekunder"),
        "min": ("minut", "minutter"),
        "h": ("time", "timer"),
        "d": ("døgn", "døgn"),
    },
    "en": {
        "s": ("second", "seconds"),
        "min": ("minute", "minutes"),
        "h": ("hour", "hours"),
        "d": ("day", "days"),
    },
}
"""Unit -> one of it, several."""


def sign(sheet: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines, Danish first, for a data sheet."""
    yield from _sign(sheet, "da")
    yield ""
    yield from _sign(sheet, "en")


def _sign(sheet: Mapping[str, Any], language: Language) -> Iterator[str]:
    words, sensors = WORDS[language], sheet["sensors"]
    yield words["head"]
    yield f"{words['who']}: {sheet['publisher']}"
    yield f"{words['what']}: {', '.join(_things(sensors, language))}."
    yield words["numbers"]
    personal = [sensor for sensor in sensors if _has_reasons(sensor)]
    if all(sensor["privacy"] in NOBODYS for sensor in sensors):
        yield words["nobody"]
    for sensor in personal:
        yield from _personal(sensor, language)
    yield from _readers(sensors, language)
    yield f"{words['ask']}: {sheet['contact']}"
    if sheet["page"]:
        yield f"{words['more']}: {sheet['page']}"


def _has_reasons(sensor: Mapping[str, Any]) -> bool:
    """Tell whether those concerned are to be told why, by whom and by what right."""
    return sensor["privacy"] == "P3" or (sensor["privacy"] == "P2" and bool(sensor["sign"]))


def _things(sensors: list[Mapping[str, Any]], language: Language) -> list[str]:
    """Return what is measured, each thing once, in the order of the table."""
    first = {each["quantity"].partition(".")[0] for one in sensors for each in one["measures"]}
    kinds = {SAME_THING.get(each, each) for each in first - {OF_THE_DEVICE}}
    return [texts[language] for kind, texts in THINGS.items() if kind in kinds]


def _personal(sensor: Mapping[str, Any], language: Language) -> Iterator[str]:
    words = WORDS[language]
    yield f"{words['personal']}: {', '.join(_things([sensor], language))} ({sensor['name']})"
    yield f"  {words['purpose']}: {sensor['purpose']}"
    yield f"  {words['controller']}: {sensor['controller']}"
    yield f"  {words['basis']}: {sensor['legal_basis']}"
    if sensor["retention_s"] is not None:
        yield f"  {words['kept']} {_duration(sensor['retention_s'], language)}."
    seldom_s = [each["at_most_one_in_s"] for each in sensor["recipients"]]
    if seldom_s and min(seldom_s):
        yield f"  {words['seldom']} {_duration(min(seldom_s), language)}."


def _duration(seconds: float, language: Language) -> str:
    number, _, unit = duration_text(seconds).partition(" ")
    one, several = UNITS[language].get(unit, (unit, unit))
    return f"{number} {one if number == '1' else several}"


def _readers(sensors: list[Mapping[str, Any]], language: Language) -> Iterator[str]:
    words = WORDS[language]
    recipients = [each for sensor in sensors for each in sensor["recipients"]]
    closed = dict.fromkeys(each["broker"] for each in recipients if not each["open"])
    if not recipients:
        yield words["none"]
    if any(each["open"] for each in recipients):
        yield words["open"]
    if closed:
        yield f"{words['closed']}: {', '.join(closed)}"
