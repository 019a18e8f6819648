"""What each payload format costs per reading, beside ``json.dumps`` of the same facts.

Run by hand: ``python -m tests.benchmarks.bench_formats``. Encoding alone: no ring, no broker. The
yardstick is a dictionary of the facts of each reading (those of the format json), made beforehand,
through ``json.dumps``. It is measured in turn with each format, because the speed of a machine
changes while one looks.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.buffer import Batch
from gateway.config.model import Position
from gateway.forward import Format, FormatContext, load_format
from gateway.forward.formats import format_names
from gateway.forward.formats.base import Message, TimeText
from gateway.reading import Series, SeriesKey, flag_names, quality_of

READINGS = 200
SENSORS = (1, 10)
ROUNDS = 40
CALLS_PER_ROUND = 10
OFFSET_NS = 1_795_338_000_000_000_000
NS_PER_US = 1000
CONTEXT = FormatContext("aarhus", "dokk1-03", Position(lon=10.2134, lat=56.1535))


class Load(NamedTuple):
    """Readings to encode, and the series that they are of."""

    batch: Batch
    series: dict[int, Series]


def make_load(sensors: int) -> Load:
    """Return readings as they come in: each sensor gives two at the same time, once a second."""
    names = ("air.pm25", "air.pm10")
    series = {
        i: Series(i, SeriesKey(f"air-{i // 2}", names[i % 2]), "ug/m3") for i in range(2 * sensors)
    }
    batch = Batch(
        epoch=3,
        boot=2,
        first=1_000_000,
        series=[i % (2 * sensors) for i in range(READINGS)],
        times_ns=[i // 2 * 1_000_000_000 // sensors + 123_456_789 for i in range(READINGS)],
        values=[round(3.1 + i * 0.7, 1) for i in range(READINGS)],
        flags=[0] * READINGS,
        offset_ns=OFFSET_NS,
        synced=True,
    )
    return Load(batch, series)


def facts_of(load: Load) -> list[dict[str, object]]:
    """Return what is known of each reading."""
    batch, series = load
    time_text = TimeText(6)
    found: list[dict[str, object]] = []
    for i, series_id in enumerate(batch.series):
        key, unit = series[series_id].key, series[series_id].unit
        facts: dict[str, object] = {
            "gateway": CONTEXT.gateway,
            "epoch": batch.epoch,
            "sequence": batch.first + i,
            "time": time_text(batch.times_ns[i] + batch.offset_ns),
            "boot": batch.boot,
            "boottime_ns": batch.times_ns[i],
            "sensor": key.sensor,
            "quantity": key.quantity,
            "dims": dict(key.dims),
            "aggregation": key.aggregation,
            "unit": unit,
            "value": batch.values[i],
            "quality": quality_of(batch.flags[i]),
            "flags": flag_names(batch.flags[i]),
        }
        found.append(facts)
    return found


def plainly(facts: Sequence[dict[str, object]]) -> list[bytes]:
    """Return each reading as anybody would write it."""
    return [json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode() for one in facts]


def best_ns(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Return ns per reading of each call, the best of many rounds in turn."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for number, call in enumerate(calls):
            began = time.perf_counter_ns()
            for _ in range(CALLS_PER_ROUND):
                call()
            took = (time.perf_counter_ns() - began) / CALLS_PER_ROUND / READINGS
            best[number] = min(best[number], took)
    return best


def encoder_of(encoder: Format, load: Load) -> Callable[[], list[Message]]:
    """Return a call that encodes the load once."""
    context = dataclasses.replace(CONTEXT, topic=encoder.topic_template())
    lookup, selected = load.series.__getitem__, range(READINGS)
    return lambda: encoder.encode(load.batch, selected, lookup, context)


def report(name: str, load: Load) -> str:
    """Return one line of the table."""
    encode = encoder_of(load_format(name), load)
    messages = encode()
    facts = facts_of(load)
    ours_ns, plain_ns = best_ns([encode, lambda: plainly(facts)])
    size = sum(len(message.payload) for message in messages) / READINGS
    plain_size = sum(map(len, plainly(facts))) / READINGS
    return (
        f"{name:14} {1e9 / ours_ns:12,.0f} {ours_ns / NS_PER_US:8.2f} {size:8.1f} "
        f"{len(messages):9} {plain_ns / ours_ns:8.2f} {size / plain_size:8.2f}"
    )


def main() -> None:
    """Print one line per format, for one sensor and for several."""
    print(f"{READINGS} readings a batch, two at the same time; best of {ROUNDS} rounds")
    print("time x and size x: json.dumps of the same facts = 1 (time x above 1 is faster)")
    for sensors in SENSORS:
        load = make_load(sensors)
        print(f"\n{sensors} sensor{'s' if sensors > 1 else ''}")
        print("format           readings/s   us each  B each  messages   time x   size x")
        for name in format_names():
            print(report(name, load))


if __name__ == "__main__":
    main()
