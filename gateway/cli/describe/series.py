"""Which series a sensor can have: what its driver measures, and what its filters make of that.

A driver declares its quantities but not their dimensions (phase, direction), and those decide
about types and topics in some formats. The driver's simulated device shows them; where there is
none, or for a quantity that it does not measure, the series has no dimensions.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from pydantic import ValidationError

from gateway.config.literals import REFERENCE_SUFFIXES
from gateway.config.model import SensorSection
from gateway.driver import Beacon, Crowd, Polled, Stream, driver_class, simulator_class
from gateway.filters import Chain, chain_builder
from gateway.forward import SensorFacts
from gateway.quantities import registry
from gateway.reading import Dims, Measured, Series, SeriesKey

__all__ = ["Possible", "possible_series"]

EMISSIONS = 60
"""Enough for a device that alternates or warms up."""
SEED = 1
ROUNDS = 5
"""What a device that is asked does not tell by then, it does not tell."""
MAX_ROUND_REQUESTS = 256
ADDRESS = "C4:7F:51:00:00:01"


class Possible(NamedTuple):
    """One series of a sensor, and the measured quantity that its filters make it of."""

    series: Series
    source: str


def possible_series(section: SensorSection, facts: SensorFacts) -> list[Possible]:
    """Return the series of a sensor in the order of its driver's quantities; their ids are 0."""
    shown = _shown_dims(section)
    build = chain_builder(section.filter)
    found: dict[SeriesKey, Possible] = {}
    for quantity in facts.quantities:
        if quantity not in registry():
            continue
        for dims in shown.get(quantity, [()]):
            chain = build(quantity, dims)
            for series in _outputs(section.name, quantity, dims, chain):
                one = replace(series, privacy=facts.privacy)
                found.setdefault(one.key, Possible(one, quantity))
    return list(found.values())


def _outputs(sensor: str, quantity: str, dims: Dims, chain: Chain | None) -> Iterator[Series]:
    """Yield what comes out of the chain of one measured series."""
    if chain is None:
        yield Series(0, SeriesKey(sensor, quantity, dims), registry()[quantity].ucum)
        return
    for one in (*((chain.output,) if chain.output is not None else ()), *chain.outputs):
        key = SeriesKey(sensor, one.quantity, one.dims, one.aggregation)
        yield Series(0, key, one.unit, calibration=one.calibration)


def _shown_dims(section: SensorSection) -> dict[str, list[Dims]]:
    """Return the dimensions that the simulated device gives to each quantity."""
    driver_type, simulator = driver_class(section.driver), simulator_class(section.driver)
    if driver_type is None or simulator is None:
        return {}
    secrets = {name + suffix for name in driver_type.info.secrets for suffix in REFERENCE_SUFFIXES}
    options = {**getattr(simulator, "OPTIONS", {}), **section.options}
    known = {name: value for name, value in options.items() if name not in secrets}
    try:
        driver = driver_type(driver_type.Options.model_validate(known))
    except ValidationError:  # it needs a secret, and no secret is read here
        return {}
    found: dict[str, list[Dims]] = {}
    for measured in _measured(driver, simulator):
        dims = found.setdefault(measured.quantity, [])
        if measured.dims not in dims:
            dims.append(measured.dims)
    return found


def _measured(driver: object, simulator: Any) -> Iterator[Measured]:
    outcomes: Iterable[object] = ()
    if isinstance(driver, Stream):
        device = simulator(SEED)
        for data in driver.on_open():
            driver.feed(device.receive(data))
        outcomes = (each for _ in range(EMISSIONS) for each in driver.feed(device.emit()))
    elif isinstance(driver, Polled):
        outcomes = _answers(driver, simulator(SEED))
    elif isinstance(driver, Beacon):
        device = simulator(SEED, ADDRESS)
        outcomes = (each for _ in range(EMISSIONS) for each in driver.decode(device.emit()))
    elif isinstance(driver, Crowd):
        device = simulator(SEED, ADDRESS)
        for address, rssi, is_random in device.emit():
            driver.hear(address, rssi, random=is_random)
        outcomes = driver.close(1.0)
    for each in outcomes:
        if isinstance(each, Measured):
            yield each


def _answers(driver: Polled, device: Any) -> Iterator[object]:
    """Yield what comes of a few rounds of questions."""
    for _ in range(ROUNDS):
        device.emit()
        for request in islice(driver.requests(), MAX_ROUND_REQUESTS):
            answer = device.receive(request.data)
            if request.length != 0:
                yield from driver.on_reply(request, answer)
