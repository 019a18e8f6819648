"""/metrics says what the table says, the identity holds, and nothing private is a label."""

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

import gateway.buffer as ring
from gateway.observe import FlushWatch, MetricsPage
from gateway.observe.flush_watch import BUCKETS_S
from gateway.observe.metric_page import reference_page
from gateway.observe.metric_table import FLUSH_SECONDS, METRICS
from gateway.observe.view import DROP_REASONS
from gateway.observe.words import MAX_WORDS
from gateway.reading import FAULT_KINDS
from gateway.transports import BusStats
from tests.observe.figures import HOUR, BusPort, Recording, Room

ROOT = Path(__file__).parents[2]
MAY_BE_ABSENT = {
    "process_open_fds",
    "process_resident_memory_bytes",
    "citylab_gateway_power_trouble",
    "citylab_gateway_power_under_voltage_seen",
}
"""Depend on the kernel and the machine."""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def page(room: Room, accept: str = "") -> str:
    return MetricsPage(room.look).render(accept)[0].decode()


def samples(room: Room) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(page(room))
        for sample in family.samples
    }


def full(room: Room) -> Room:
    """Make every metric of the table have at least one sample."""
    room.links["aarhus"].disconnects = {"unreachable": 2}
    room.links["aarhus"].certificate_expires_s = 1_800_000_000.5
    room.sensors["air-roof"].filtered = {"range": 3}
    room.clock.last_step_ns = 1
    room.ports["meter"] = BusPort()
    room.recorder = Recording()
    room.tell_time("air-roof", our_clock_ahead_s=0.4)
    return room


def test_the_page_shows_the_table_and_nothing_else(room: Room) -> None:
    shown = {}
    for line in page(full(room)).splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            shown[name] = kind
    assert shown == {metric.name: metric.kind for metric in (*METRICS, FLUSH_SECONDS)}


def test_every_metric_has_samples_with_exactly_its_labels(room: Room) -> None:
    labels: dict[str, set[tuple[str, ...]]] = {}
    for name, pairs in samples(full(room)):
        labels.setdefault(name, set()).add(tuple(sorted(key for key, _ in pairs)))
    for metric in METRICS:
        if metric.name in MAY_BE_ABSENT and metric.name not in labels:
            continue
        assert labels[metric.name] == {tuple(sorted(metric.labels))}, metric.name


def test_the_reference_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == reference_page()


def test_what_is_asked_is_counted_of_sensors_at_a_bus_alone(room: Room) -> None:
    room.ports["meter"] = BusPort()
    shown = {
        name.removeprefix("citylab_gateway_"): (dict(labels)["sensor"], value)
        for (name, labels), value in samples(room).items()
        if name.startswith("citylab_gateway_bus_")
    }
    assert shown == {
        "bus_requests_total": ("meter", 40),
        "bus_timeouts_total": ("meter", 3),
        "bus_echoes_total": ("meter", 2),
        "bus_late_bytes_total": ("meter", 17),
    }


def test_the_figures_of_a_real_bus_are_recognised(room: Room) -> None:
    room.ports["meter"] = BusStats(port="nowhere", requests=5)  # type: ignore[assignment]
    assert samples(room)["citylab_gateway_bus_requests_total", (("sensor", "meter"),)] == 5


@pytest.mark.parametrize("cause", ["vanished", "silence", "error", "line"])
def test_each_cause_is_there_before_it_happens(room: Room, cause: str) -> None:
    key = (("cause", cause), ("sensor", "meter"))
    assert samples(room)["citylab_gateway_port_reopens_total", key] == 0


def test_a_recording_shows_only_while_there_is_one(room: Room) -> None:
    names = {"citylab_gateway_recorded_chunks_total", "citylab_gateway_recording_lost_lines_total"}
    assert not names & {name for name, _ in samples(room)}
    room.recorder = Recording()
    shown = samples(room)
    assert shown["citylab_gateway_recorded_chunks_total", (("sensor", "air-roof"),)] == 12
    assert shown["citylab_gateway_recording_lost_lines_total", ()] == 1


def test_names_follow_the_rule() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in (*METRICS, FLUSH_SECONDS):
        assert re.fullmatch(r"(citylab_gateway|process)_[a-z][a-z_]*[a-z]", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith(".")


def test_accepted_is_acknowledged_and_pending_and_dropped(room: Room) -> None:
    room.readers["vejle"].dropped = {"overwritten": 7, "policy": 1, "rejected": 2, "corrupt": 5}
    room.readers["vejle"].accepted = 4880 + 20 + 15
    found = samples(room)
    for link in ("aarhus", "vejle"):
        here = (("link", link),)
        prefix = "citylab_gateway_link_"
        dropped = [
            value
            for (name, labels), value in found.items()
            if name == prefix + "dropped_readings_total" and dict(labels)["link"] == link
        ]
        assert len(dropped) == len(DROP_REASONS), (
            "all reasons are there from the start, so that rates see the first"
        )
        assert found[prefix + "accepted_readings_total", here] == (
            found[prefix + "acknowledged_readings_total", here]
            + found[prefix + "pending_readings", here]
            + sum(dropped)
        )


def test_states_are_one_hot(room: Room) -> None:
    room.links["vejle"].state = "refused"
    room.sensors["meter"].last_reading_ns = None
    found = samples(room)
    for metric, owner in (
        ("link_state", "link"),
        ("sensor_state", "sensor"),
        ("health_state", None),
    ):
        sums: dict[str, float] = {}
        for (name, labels), value in found.items():
            if name == f"citylab_gateway_{metric}":
                key = dict(labels)[owner] if owner else ""
                sums[key] = sums.get(key, 0) + value
        assert set(sums.values()) == {1.0}
    assert found["citylab_gateway_link_state", (("link", "vejle"), ("state", "refused"))] == 1
    assert found["citylab_gateway_sensor_state", (("sensor", "meter"), ("state", "silent"))] == 1


def test_numbers_are_read_at_the_scrape(room: Room) -> None:
    shown = MetricsPage(room.look)
    before = shown.render()[0].decode()
    room.sensors["air-roof"].readings += 1
    room.now_ns += 5_000_000_000
    after = shown.render()[0].decode()
    assert 'sensor_readings_total{sensor="air-roof"} 3600.0' in before
    assert 'sensor_readings_total{sensor="air-roof"} 3601.0' in after
    assert 'sensor_since_reading_seconds{sensor="air-roof"} 6.0' in after


def test_all_fault_kinds_are_counted_from_the_start(room: Room) -> None:
    room.sensors["air-roof"].faults = {"checksum": 4}
    found = samples(room)
    for kind in FAULT_KINDS:
        labels = (("kind", kind), ("sensor", "air-roof"))
        expected = 4 if kind == "checksum" else 0
        assert found["citylab_gateway_sensor_faults_total", labels] == expected


def test_flushes_fill_the_histogram() -> None:
    watch = FlushWatch(lambda: 0)
    for seconds in (0.001, 0.002, 0.3, 60.0):
        watch.observe_flush(seconds)
    pairs = dict(watch.cumulative())
    assert pairs["0.001"] == 1
    assert pairs["0.0025"] == 2
    assert pairs["0.5"] == 3
    assert pairs["10.0"] == 3
    assert pairs["+Inf"] == 4
    assert len(pairs) == len(BUCKETS_S) + 1


def test_openmetrics_is_given_to_who_asks_and_can_be_parsed(room: Room) -> None:
    shown = MetricsPage(full(room).look)
    body, kind = shown.render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    families = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call] # of the library
    names = {family.name for family in families}
    assert "citylab_gateway_link_accepted_readings" in names
    assert shown.render("text/plain")[1].startswith("text/plain")


@pytest.mark.parametrize(
    "address",
    [
        "C4:7F:51:00:00:01",
        "c4-7f-51-00-00-01",
        "C47F51000001",
        "dev_C4_7F_51_00_00_01",
    ],
)
def test_priv_01_no_address_becomes_a_label(room: Room, address: str) -> None:
    room.links["aarhus"].disconnects = {address: 1, f"lost {address}": 2, "unreachable": 3}
    room.sensors["air-roof"].filtered = {address: 4}
    room.ports["air-roof"].reopens = {address: 5, "silence": 1}
    assert room.scanner is not None
    room.scanner.adapters["hci0"].restarts = {address: 6}
    room.task_restarts = {f"scan {address}": 7}
    text = page(room).lower()
    assert address.lower() not in text
    assert "7f" not in text
    found = samples(room)
    labels = (("cause", "other"), ("link", "aarhus"))
    assert found["citylab_gateway_link_disconnects_total", labels] == 3


def test_foreign_words_are_bounded_and_nothing_is_lost(room: Room) -> None:
    room.links["aarhus"].disconnects = {f"cause {index}": 1 for index in range(1000)}
    counts = [
        value
        for (name, labels), value in samples(room).items()
        if name == "citylab_gateway_link_disconnects_total" and dict(labels)["link"] == "aarhus"
    ]
    assert len(counts) == MAX_WORDS
    assert sum(counts) == 1000


def test_all_drop_reasons_of_the_ring_are_shown() -> None:
    assert ring.DROP_REASONS == DROP_REASONS


def test_wear_is_shown_once_it_is_known(room: Room) -> None:
    found = samples(room)
    assert found["citylab_gateway_buffer_written_bytes_per_reading", ()] == 600
    assert found["citylab_gateway_buffer_written_bytes_per_day", ()] == 72_000_000
    room.buffer.bytes_per_reading = room.buffer.bytes_per_day = None
    assert not [name for name, _ in samples(room) if "written_bytes_per" in name]


def test_the_end_of_certificates_and_the_backlog_are_shown(room: Room) -> None:
    expiry = "citylab_gateway_link_certificate_expiry_timestamp_seconds"
    room.links["aarhus"].certificate_expires_s = 1_800_000_000.5
    room.links["vejle"].history_readings = 7
    found = samples(room)
    assert found[expiry, (("link", "aarhus"),)] == 1_800_000_000.5
    assert (expiry, (("link", "vejle"),)) not in found, "it has no certificates of its own"
    assert found["citylab_gateway_link_history_readings_total", (("link", "vejle"),)] == 7
    assert found["citylab_gateway_link_history_readings_total", (("link", "aarhus"),)] == 0


def test_the_clock_is_compared_with_the_time_that_sensors_tell(room: Room) -> None:
    name = "citylab_gateway_clock_check_ahead_seconds"
    assert not [found for found, _ in samples(room) if found == name]
    room.tell_time("air-roof", our_clock_ahead_s=-7200.5)
    assert samples(room)[name, (("sensor", "air-roof"),)] == -7200.5
    room.wall_at_boot_ns += 2 * HOUR  # somebody sets the clock
    room.clock.sample()
    assert samples(room)[name, (("sensor", "air-roof"),)] == -0.5


def test_without_bluetooth_there_is_no_scanner_metric(room: Room) -> None:
    room.scanner = None
    assert not [name for name, _ in samples(room) if "scanner" in name]


def test_a_clock_that_jumped_back_gives_no_negative_age(room: Room) -> None:
    room.wall_at_boot_ns -= 10**18
    room.clock.sample()
    found = samples(room)
    assert found["citylab_gateway_buffer_oldest_reading_seconds", ()] == 0
    assert found["citylab_gateway_link_oldest_pending_seconds", (("link", "aarhus"),)] == 0
    assert found["citylab_gateway_clock_steps_total", ()] == 1


@pytest.mark.prometheus
def test_promtool_finds_nothing_to_complain_about(room: Room) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=page(full(room)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
