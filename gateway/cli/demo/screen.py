"""What a person sees of the demo: a live screen on a terminal, or a line now and then."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.cli.demo.brokers import CityBroker

__all__ = ["LiveScreen", "PlainScreen", "Screen"]

PLAIN_INTERVAL_S = 2.0
MAX_VALUES_PER_SENSOR = 4
MAX_PAYLOAD_LINES = 26
STATE_STYLES = {"fresh": "green", "online": "green", "stale": "yellow", "connecting": "yellow"}
MARKS = {"fresh": "●", "online": "●"}


class Screen(ABC):
    """Shows one status document after the other."""

    def __init__(self, cities: Sequence[CityBroker], url: str, seconds: float) -> None:
        self.cities = cities
        self.url = url
        self.seconds = seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Give the terminal back."""

    @abstractmethod
    def update(self, elapsed_s: float, document: dict[str, Any]) -> None:
        """Show the present state."""

    @property
    def hint(self) -> str:
        """Say how to stop, where to look and what to try."""
        stop = f"ends after {self.seconds:g} s" if self.seconds else "Ctrl-C stops it"
        return f"{stop} · status page and /metrics on {self.url}"


class PlainScreen(Screen):
    """Lines of text, for logs and pipes."""

    def __init__(self, cities: Sequence[CityBroker], url: str, seconds: float) -> None:
        super().__init__(cities, url, seconds)
        self._next_s = 0.0
        self._document: dict[str, Any] = {"sensors": {}}
        print(self.hint, flush=True)

    def close(self) -> None:
        """Print each sensor's last values, and one payload in full."""
        for name, sensor in self._document["sensors"].items():
            print(f"{name}: {'  '.join(_values(sensor)) or 'no values yet'}")
        for city in self.cities:
            print(f"received by {city.name} on {city.tally.last_topic or '(nothing yet)'}:")
            print(city.tally.last_payload.decode().rstrip(), flush=True)

    def update(self, elapsed_s: float, document: dict[str, Any]) -> None:
        """Print one line, every two seconds."""
        if elapsed_s < self._next_s:
            return
        self._next_s = elapsed_s + PLAIN_INTERVAL_S
        self._document = document
        links = (
            f"{name} {link['state']} acknowledged {link['acknowledged']} pending {link['pending']}"
            for name, link in document["links"].items()
        )
        print(
            f"{elapsed_s:6.1f} s  {document['buffer']['readings']} readings in the ring · "
            + " · ".join(links),
            flush=True,
        )


class LiveScreen(Screen):
    """A screen that is drawn anew twice a second."""

    def __init__(self, cities: Sequence[CityBroker], url: str, seconds: float) -> None:
        super().__init__(cities, url, seconds)
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    def update(self, elapsed_s: float, document: dict[str, Any]) -> None:
        """Draw sensors, cities, the ring and the newest payload."""
        self._live.update(
            Group(
                Text(f"citylab-gateway demo · {elapsed_s:.0f} s · {self.hint}", style="bold"),
                _sensor_table(document),
                _city_table(document, self.cities),
                _buffer_line(document),
                self._payload(),
                Text(
                    'try next: make demo ARGS="--outage 20" · make test · docs/drivers.md',
                    style="dim",
                ),
            ),
            refresh=True,
        )

    def _payload(self) -> Panel:
        """Show one received message in full: the first city's, as its data team gets it."""
        tally = self.cities[0].tally
        room = max(6, min(MAX_PAYLOAD_LINES, self._console.height - 24))
        lines = _pretty(tally.last_payload)
        if len(lines) > room:
            lines = [json.dumps(json.loads(tally.last_payload), ensure_ascii=False)]
        return Panel(
            Text("\n".join(lines), overflow="fold"),
            title=f"received by {self.cities[0].name} on {tally.last_topic or '(nothing yet)'}",
            title_align="left",
        )


def _pretty(payload: bytes) -> list[str]:
    """Return the JSON array as lines, one attribute of an entity a line."""
    entities = []
    for entity in json.loads(payload or b"[]"):
        attributes = (
            f'    "{name}": {json.dumps(value, ensure_ascii=False)}'
            for name, value in entity.items()
        )
        entities.append("  {\n" + ",\n".join(attributes) + "\n  }")
    return ["[", *",\n".join(entities).splitlines(), "]"]


def _sensor_table(document: dict[str, Any]) -> Table:
    table = Table("sensor", "driver", "last values", "age", "readings", "faults", expand=True)
    for name, sensor in document["sensors"].items():
        style = STATE_STYLES.get(sensor["state"], "red")
        age_s = sensor["age_s"]
        table.add_row(
            Text(f"{MARKS.get(sensor['state'], '○')} {name}", style=style),
            sensor["driver"],
            "  ".join(_values(sensor)),
            "-" if age_s is None else f"{age_s:.1f} s",
            str(sensor["readings"]),
            str(sensor["faults"]),
        )
    return table


def _values(sensor: dict[str, Any]) -> Iterator[str]:
    values = sensor["values"]
    for value in values[:MAX_VALUES_PER_SENSOR]:
        dims = "".join(f" {part}" for part in value["dims"].values())
        shown = "-" if value["value"] is None else f"{value['value']:g}"
        yield f"{value['quantity'].partition('.')[2]}{dims} {shown} {value['unit']}"
    if len(values) > MAX_VALUES_PER_SENSOR:
        yield f"+{len(values) - MAX_VALUES_PER_SENSOR} more"


def _city_table(document: dict[str, Any], cities: Sequence[CityBroker]) -> Table:
    table = Table(
        "city", "format", "link", "accepted", "acknowledged", "pending", "dropped", "received",
        expand=True,
    )  # fmt: skip
    for city in cities:
        link = document["links"][city.name]
        style = STATE_STYLES.get(link["state"], "red")
        table.add_row(
            Text(f"{MARKS.get(link['state'], '○')} {city.name}", style=style),
            city.format,
            Text(link["state"] + (f" ({link['cause']})" if link["cause"] else ""), style=style),
            str(link["accepted"]),
            str(link["acknowledged"]),
            Text(str(link["pending"]), style="yellow" if link["state"] != "online" else ""),
            str(sum(link["dropped"].values())),
            str(city.tally.readings),
        )
    return table


def _buffer_line(document: dict[str, Any]) -> Text:
    buffer = document["buffer"]
    used = buffer["used"]
    bar = "█" * round(used * 30)
    return Text(
        f"ring {bar:░<30} {used:.1%} of {buffer['size_bytes'] >> 20} MiB · "
        f"{buffer['readings']} readings · {buffer['unflushed']} not yet flushed · "
        f"{'in memory only: ' + buffer['reason'] if buffer['degraded'] else 'durable'}"
    )
