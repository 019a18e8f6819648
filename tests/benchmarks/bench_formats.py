"""What a payload format costs per reading, beside ``json.dumps`` of the same content.

Run by hand: ``python -m tests.benchmarks.bench_formats``.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from gateway.buffer import Batch
from gateway.config.model import Position
from gateway.forward import Format, FormatContext
from gateway.forward.formats.json_lines import JsonLines
from gateway.forward.formats.ngsi_ld import NgsiLd
from gateway.reading import Dims, Series, SeriesKey

READINGS = 200
ROUNDS = 40
CALLS_PER_ROUND = 10
OFFSET_NS = 1_795_338_000_000_000_000


def make_series(count: int) -> dict[int, Series]:
    """Return ``count`` series of one sensor each, two quantities in turn."""
    names = ("air.pm25", "air.pm10")
    dims: Dims = ()
    return {
        i: Series(i, SeriesKey(f"air-{i // 2}", names[i % 2], dims), "ug/m3") for i in range(count)
    }


def make_batch(sensors: int) -> Batch:
    """Return readings as they come in: each sensor gives two at the same time, once a second."""
    ids = [i % (2 * sensors) for i in range(READINGS)]
    return Batch(
        epoch=3,
        boot=2,
        first=1_000_000,
        series=ids,
        times_ns=[i // 2 * 1_000_000_000 // sensors + 123_456_789 for i in range(READINGS)],
        values=[round(3.1 + i * 0.7, 1) for i in range(READINGS)],
        flags=[0] * READINGS,
        offset_ns=OFFSET_NS,
        synced=True,
    )


def best_ns(call: Callable[[], object]) -> float:
    """Return ns per reading, the best of many rounds: the others were disturbed."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        for _ in range(CALLS_PER_ROUND):
            call()
        best = min(best, (time.perf_counter_ns() - began) / CALLS_PER_ROUND / READINGS)
    return best


def content_of(encoder: Format, payload: bytes) -> list[Any]:
    """Return the objects that a payload consists of."""
    if isinstance(encoder, JsonLines):
        return [json.loads(line) for line in payload.splitlines()]
    entities: list[Any] = json.loads(payload)
    return entities


def main() -> None:
    """Print one line per format and number of sensors."""
    print(f"{READINGS} readings a batch, two per entity; ns per reading, best of {ROUNDS}")
    for encoder in (NgsiLd(), JsonLines()):
        for sensors in (1, 10):
            context = FormatContext(
                "aarhus", "dokk1-03", Position(lon=10.2134, lat=56.1535), {}, encoder.topic
            )
            batch, series = make_batch(sensors), make_series(2 * sensors)
            positions = range(READINGS)

            def encode(
                encoder: Format = encoder,
                batch: Batch = batch,
                series: dict[int, Series] = series,
                context: FormatContext = context,
            ) -> Any:
                return encoder.encode(batch, positions, series.__getitem__, context)  # noqa: B023

            messages = encode()
            contents = [part for m in messages for part in content_of(encoder, m.payload)]

            def dump(contents: list[Any] = contents) -> None:
                for content in contents:
                    json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()

            ours, theirs = best_ns(encode), best_ns(dump)
            size = sum(len(m.payload) for m in messages) / READINGS
            print(
                f"{type(encoder).__name__:10} {sensors:3} sensors: {ours:6.0f} ns; json.dumps of "
                f"the same dicts {theirs:6.0f} ns, x{theirs / ours:.1f}; {size:.0f} bytes"
            )


if __name__ == "__main__":
    main()
