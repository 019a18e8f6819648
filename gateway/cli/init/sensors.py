"""From what was found, or what the flags name, to sensors of the configuration."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.cli.init.find import find_all, proposed_name
from gateway.cli.init.given import Given, Named
from gateway.cli.init.looking import Candidate, Search
from gateway.cli.init.people import Person
from gateway.cli.init.plan import (
    TERMS,
    SensorPlan,
    checked_retention,
    checked_slug,
    names_from,
)
from gateway.driver import driver_class
from gateway.errors import ConfigError

__all__ = ["ask_for_sensors", "sensors_by_flags"]

ENOUGH = 0.5
"""What is less sure than this is not taken without somebody's word."""
LEAVE_OUT = "-"
MAX_SHOWN = 6
"""Values of one sensor; a small screen has to show its name, too."""
HOUSEHOLD = "P3"
QUESTIONS = {
    "purpose": "What is its data for? One sentence for the people it is about.",
    "controller": "Who answers for the data, and how are they reached?",
    "legal_basis": "By what right? Such as: GDPR art. 6(1)(a), consent of the tenants",
    "retention": "How long may it stay in this box?",
}


def sensors_by_flags(given: Given) -> tuple[SensorPlan, ...]:
    """Return the sensors without asking anybody.

    ConfigError if a port has nothing that is recognised, or nothing is found at all, or a meter
    may be a household's and nobody said whether it is.
    """
    found = [*_named_by_driver(given), *_looked_for(given, _tell)]
    if given.scan and not found:
        raise ConfigError(
            "no sensor was found; --no-scan writes a configuration without", key="init"
        )
    taken: set[str] = set()
    plans = []
    for candidate in found:
        name = names_from(_wanted(candidate, given.sensors), taken)
        taken.add(name)
        _tell(f"{name}: {candidate.driver} at {candidate.where}")
        keys = _keys_by_flags(name, candidate, given)
        plans.append(_plan(name, candidate, _terms_by_flags(name, candidate, given), keys))
    return tuple(plans)


def ask_for_sensors(given: Given, person: Person) -> tuple[SensorPlan, ...]:
    """Show what was found, and let the person name it."""
    while True:
        found = [*_named_by_driver(given), *_looked_for(given, person.say, person)]
        plans: list[SensorPlan] = []
        for number, candidate in enumerate(found, start=1):
            plan = _asked(candidate, given, person, plans, f"{number} of {len(found)}")
            if plan is not None:
                plans.append(plan)
        if not given.scan:
            return tuple(plans)
        person.say()
        what = f"{len(plans)} sensors." if len(plans) != 1 else "1 sensor."
        if not person.yes(f"{what} Look again? (Plug in first what is missing.)", default=False):
            return tuple(plans)


def _asked(
    candidate: Candidate, given: Given, person: Person, plans: Sequence[SensorPlan], which: str
) -> SensorPlan | None:
    """Return one sensor as the person names it; None if it is left out."""
    person.say()
    sure = f", {candidate.confidence:.0%} sure" if candidate.confidence < 1 else ""
    person.say(f"{which}: {candidate.driver}{sure}")
    person.say(candidate.where, indent=2)
    if candidate.options:
        person.say(", ".join(f"{k} {v}" for k, v in candidate.options.items()), indent=2)
    if candidate.note:
        person.say(candidate.note, indent=2)
    for value in candidate.values[:MAX_SHOWN] or ("no values yet",):
        person.say(value, indent=2)
    if len(candidate.values) > MAX_SHOWN:
        person.say(f"and {len(candidate.values) - MAX_SHOWN} more", indent=2)
    named = any(_real(each.where) == _real(candidate.where) for each in given.sensors)
    if (
        candidate.anybodys
        and not named
        and not person.yes("Is it yours? (A neighbour's is heard as well.)", default=False)
    ):
        return None
    taken = {plan.name for plan in plans}

    def free(text: str) -> str:
        if text == LEAVE_OUT:
            return text
        if text in taken:
            raise ValueError("is taken already")
        return checked_slug(text)

    proposal = names_from(_wanted(candidate, given.sensors), taken)
    name = person.ask("Its name, for ever (- leaves it out):", free, default=proposal)
    if name == LEAVE_OUT:
        return None
    keys = _keys_asked(name, candidate, given, person)
    return _plan(name, candidate, _terms_asked(candidate, given, person), keys)


def _looked_for(
    given: Given, tell: Callable[[str], None], person: Person | None = None
) -> list[Candidate]:
    """Look where it is wanted; ConfigError if nothing is recognised at a named place."""
    wanted = [each for each in given.sensors if not each.driver]
    if not given.scan or (given.sensors and not wanted):
        return []
    ports = [each.where for each in wanted if each.source == "port"]
    addresses = [each.where for each in wanted if each.source == "address"]

    def may_probe(count: int) -> bool:
        if given.probe or person is None:
            return given.probe
        return person.yes(
            f"At {count} port{'s' * (count != 1)} nothing was recognised. Ask there? That writes "
            "to devices that nobody knows.",
            default=False,
        )

    # Whose a Bluetooth sensor is, only somebody can say, or a flag with its address.
    hear_s = given.hear_s if person is not None or addresses else 0.0
    found = find_all(Search(tell, may_probe, given.listen_s, hear_s, ports, addresses))
    if person is not None:
        return found
    there = {_real(each.where) for each in found if each.confidence >= ENOUGH}
    for each in wanted:
        if _real(each.where) not in there:
            raise ConfigError("nothing was recognised there", key="--sensor", value=each.where)
    return [each for each in found if each.confidence >= ENOUGH and (each.values or each.note)]


def _named_by_driver(given: Given) -> list[Candidate]:
    """Return the sensors whose driver a flag names; nobody looks where they are."""
    found = []
    for each in given.sensors:
        cls = driver_class(each.driver) if each.driver else None
        if cls is not None:
            keys = cls.info.secrets
            found.append(Candidate(each.driver, each.source, each.where, keys=keys))
    return found


def _wanted(candidate: Candidate, named: Sequence[Named]) -> str:
    """Return the name that a flag gives to what is there, else the kind of sensor."""
    for each in named:
        if _real(each.where) == _real(candidate.where) and each.driver in ("", candidate.driver):
            return each.name
    return proposed_name(candidate)


def _real(where: str) -> str:
    """Return the device of a port, whatever name it was given; an address as it is."""
    return str(Path(where).resolve()) if where.startswith("/") else where


def _keys_by_flags(name: str, candidate: Candidate, given: Given) -> dict[str, str]:
    """Return the key of a flag, which is the first that a driver has; the others come later."""
    keys = dict.fromkeys(candidate.keys, "")
    if name not in given.keys:
        return keys
    if not keys:
        keys = dict.fromkeys(_secrets(candidate), "")
    key = next(iter(keys), "")
    if not key or not _fits(candidate, key, given.keys[name]):
        raise ConfigError("has no such key", key=f"--key-file {name}")
    return {**keys, key: given.keys[name]}


def _keys_asked(name: str, candidate: Candidate, given: Given, person: Person) -> dict[str, str]:
    """Return the keys that somebody has at hand."""
    keys = _keys_by_flags(name, candidate, given)
    for key in keys:
        while not keys[key]:
            text = person.secret(f"It encrypts. Its {key} (is not shown; Enter: later):")
            if not text or _fits(candidate, key, text):
                keys[key] = text
                break
            person.say("That is no such key; most are 32 digits from 0 to f.")
    return keys


def _secrets(candidate: Candidate) -> tuple[str, ...]:
    cls = driver_class(candidate.driver)
    return () if cls is None else cls.info.secrets


def _fits(candidate: Candidate, key: str, content: str) -> bool:
    """Tell whether the driver would take a key; it says nothing, for it might repeat it."""
    cls = driver_class(candidate.driver)
    try:
        return cls is not None and bool(
            cls.Options.model_validate({**candidate.options, key: content})
        )
    except ValueError:
        return False


def _is_a_household(candidate: Candidate) -> bool:
    """Tell whether its readings are a household's until somebody says otherwise."""
    cls = driver_class(candidate.driver)
    return cls is not None and cls.info.privacy == HOUSEHOLD


def _terms_by_flags(name: str, candidate: Candidate, given: Given) -> dict[str, str]:
    if not _is_a_household(candidate) or given.not_a_home:
        return {}
    missing = [f"--{term.replace('_', '-')}" for term in TERMS if not given.terms.get(term)]
    if missing:
        raise ConfigError(
            f"may be the meter of a household: say --not-a-home, or {', '.join(missing)}",
            key=f"sensor {name}",
        )
    return given.terms


def _terms_asked(candidate: Candidate, given: Given, person: Person) -> dict[str, str]:
    if not _is_a_household(candidate) or given.not_a_home:
        return {}
    if not given.terms and not person.yes(
        "Is this the meter of a home, of a household or a person?", default=None
    ):
        return {}
    terms = dict(given.terms)
    for term, question in QUESTIONS.items():
        if term not in terms:
            check = checked_retention if term == "retention" else _said
            default = "24 h" if term == "retention" else ""
            terms[term] = person.ask(question, check, default=default)
    return terms


def _said(text: str) -> str:
    if not text:
        raise ValueError("is nothing")
    return text


def _plan(
    name: str, candidate: Candidate, terms: dict[str, str], keys: dict[str, str]
) -> SensorPlan:
    privacy = ""
    if _is_a_household(candidate):
        privacy = HOUSEHOLD if terms else "P0"
    return SensorPlan(
        name,
        candidate.driver,
        candidate.source,
        candidate.where,
        candidate.options,
        privacy,
        terms,
        keys,
    )


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
