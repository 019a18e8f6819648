import importlib
import json
import math
import random
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from drivers.nmea import SATELLITES_EVERY_S, Nmea
from drivers.nmea.fields import NOT_BEFORE, READERS, Heard
from drivers.nmea.place import MAX_FIXES
from drivers.nmea.sentences import MAX_SENTENCE_BYTES, SentenceReader, checksum
from drivers.nmea.simulated import SimulatedNmea
from gateway.cli import main
from gateway.clock import RELEASED_NS
from gateway.driver import Outcome, Recognising, TimeTold
from gateway.reading import Fault
from tests.drivers.driver_cases import chunks, faults, feed_all, make, readings

NS_PER_S = 1_000_000_000
SENTENCES = 300
"""That the peer reads, too."""


def sentence(body: str) -> bytes:
    return f"${body}*{checksum(body.encode('latin-1')):02X}\r\n".encode("latin-1")


def driver(**options: Any) -> Nmea:
    device: Nmea = make("nmea", options)
    return device


def clock_of(second: float) -> str:
    """Return hhmmss.ss of a second of the day."""
    whole = int(second) % 86_400
    return f"{whole // 3600:02}{whole // 60 % 60:02}{whole % 60:02}.{round(second % 1 * 100):02}"


def gga(second: float, latitude: str = "5609.2100,N", longitude: str = "01012.8000,E") -> bytes:
    return sentence(f"GPGGA,{clock_of(second)},{latitude},{longitude},1,08,0.9,24.0,M,41.2,M,,")


def placed(outcomes: list[Outcome]) -> list[float]:
    """Return latitudes and longitudes, in turn."""
    told = ("site.latitude", "site.longitude")
    return [value for name, value, _ in readings(outcomes) if name in told]


def heard(data: bytes) -> Heard:
    """Return what our fields say of one whole sentence."""
    (body,) = SentenceReader().feed(data)
    assert isinstance(body, bytes)
    return READERS[body[2:5]][1](body.split(b","))


# -- place ---------------------------------------------------------------------------------------


def test_a_place_is_told_once_a_window_and_no_more_precisely_than_wanted() -> None:
    device = driver(window_s=600, decimals=3)
    outcomes = feed_all(device, [gga(second) for second in range(1801)])
    assert placed(outcomes) == [56.154, 10.213] * 3


@pytest.mark.parametrize(("decimals", "told"), [(0, 56.0), (1, 56.2), (4, 56.1537), (6, 56.153685)])
def test_decimals(decimals: int, told: float) -> None:
    device = driver(window_s=10, decimals=decimals)
    outcomes = feed_all(device, [gga(second, "5609.2210999,N") for second in range(11)])
    assert placed(outcomes)[0] == told


def test_a_place_at_the_equator_has_no_minus() -> None:
    outcomes = feed_all(driver(window_s=10), [gga(n, "0000.0001,S") for n in range(11)])
    assert math.copysign(1, placed(outcomes)[0]) == 1


def test_echoes_between_houses_do_not_move_a_site() -> None:
    source = random.Random(4)
    places = ["5609.2100,N"] * 60 + ["5609.9000,N"] * 40
    source.shuffle(places)
    outcomes = feed_all(driver(window_s=100), [gga(n, p) for n, p in enumerate([*places, *places])])
    assert placed(outcomes)[0] == 56.1535


def test_the_date_line_runs_through_the_site() -> None:
    east, west = "17959.9999,E", "17959.9999,W"
    data = [gga(n, longitude=west if n % 3 else east) for n in range(11)]
    assert placed(feed_all(driver(window_s=10, decimals=6), data))[1] == -179.999998
    data = [gga(n, longitude=east if n % 3 else west) for n in range(11)]
    assert placed(feed_all(driver(window_s=10, decimals=6), data))[1] == 179.999998


def test_a_fast_receiver_and_a_long_window_cost_no_memory() -> None:
    device = driver(window_s=86_400, decimals=6)
    minutes = [f"56{9 + n / 40_000:010.7f},N" for n in range(20_000)]
    feed_all(device, [gga(n / 10, latitude) for n, latitude in enumerate(minutes)])
    kept = device._window._fixes
    assert MAX_FIXES / 2 <= len(kept) <= MAX_FIXES
    gaps = {round(b - a, 7) for ((a, _), _), ((b, _), _) in pairwise(kept)}
    assert len(gaps) <= 2, "they are spread evenly"
    assert kept[-1][0][0] == pytest.approx(56 + 9.5 / 60, abs=1e-4)


def test_a_clock_that_is_set_back_ends_no_window() -> None:
    data = [gga(second) for second in (100, 101, 99, 100, 101, 102)]
    assert placed(feed_all(driver(window_s=10), data)) == []


def test_a_port_that_opens_again_may_be_at_another_place() -> None:
    device = driver(window_s=10)
    feed_all(device, [gga(second, "5000.0000,N") for second in range(9)])
    assert list(device.on_open()) == []
    outcomes = feed_all(device, [gga(second) for second in range(9, 20)])
    assert placed(outcomes)[0] == 56.1535
    assert [name for name, *_ in readings(outcomes)].count("site.satellites") == 1


def test_the_exact_place_is_in_no_fault() -> None:
    bad = gga(1).replace(b"*", b"0*")
    noise = bad[1:]
    rest = [
        bad[:40],
        b"\r\n",
        noise,
        sentence("GPGGA,000001,5609.2100,N,01012.8000,E,1,120,,,,,,,"),
    ]
    outcomes = feed_all(driver(), [bad, *rest])
    assert set(faults(outcomes)) == {"checksum", "short", "noise", "range"}
    for fault in outcomes:
        assert isinstance(fault, Fault)
        assert fault.sample == b""
        assert "5609" not in fault.detail


# -- satellites ----------------------------------------------------------------------------------


def test_satellites_are_the_sign_of_life_without_a_fix() -> None:
    nothing = sentence("GPGGA,,,,,,0,00,99.99,,,,,,")
    told = readings(feed_all(driver(), [nothing] * (3 * int(SATELLITES_EVERY_S) + 1)))
    assert told == [("site.satellites", 0.0, ())] * 4


def test_the_most_satellites_count() -> None:
    """GGA says 12 at most by the standard; GNS of the same receiver says them all."""
    data = []
    for second in range(31):
        place = f"{clock_of(second)},5609.2100,N,01012.8000,E"
        data.append(sentence(f"GNGGA,{place},1,12,0.9,24.0,M,41.2,M,,"))
        data.append(sentence(f"GNGNS,{place},AAAN,{20 + second % 3:02},0.9,24.0,41.2,,"))
    assert [value for _, value, _ in readings(feed_all(driver(), data))] == [12.0, 22.0]


def test_a_receiver_without_a_fix_is_recognised() -> None:
    device = driver()
    assert isinstance(device, Recognising)
    assert readings(feed_all(device, [sentence("GPGSV,1,1,00"), b"$GPGSV,1,1,00*00\r\n"])) == []
    assert device.recognised == 1


# -- time ----------------------------------------------------------------------------------------


def rmc(day: str = "011226", status: str = "A", mode: str = ",A") -> bytes:
    return sentence(f"GPRMC,101501.25,{status},5609.2100,N,01012.8000,E,0.0,,{day},,{mode}")


TOLD_NS = round(datetime(2026, 12, 1, 10, 15, 1, 250_000, UTC).timestamp() * 1000) * 1_000_000
ZDA = sentence("GPZDA,101501.25,01,12,2026,00,00")


def test_the_time_is_told_by_rmc_and_zda_of_a_receiver_with_a_fix() -> None:
    assert feed_all(driver(), [rmc()]) == [TimeTold(TOLD_NS)]
    assert feed_all(driver(), [rmc(mode=",A,V")]) == [TimeTold(TOLD_NS)]
    assert feed_all(driver(), [rmc(mode="")]) == [TimeTold(TOLD_NS)]
    assert feed_all(driver(), [rmc(), ZDA]) == [TimeTold(TOLD_NS)] * 2


@pytest.mark.parametrize("before", [b"", rmc(status="V"), rmc(mode=",S"), rmc(mode=",N")])
def test_a_receiver_without_a_fix_tells_no_time(before: bytes) -> None:
    assert feed_all(driver(), [before, ZDA]) == []


@pytest.mark.parametrize("day", ["170407", "311026", "060180", "300226", "001226", "011326"])
def test_dates_that_have_been_or_cannot_be_tell_no_time_but_a_place(day: str) -> None:
    device = driver(window_s=10)
    outcomes = feed_all(device, [rmc(day), sentence("GPZDA,101601,,,,,")])
    assert faults(outcomes) == ["range"]
    assert placed(outcomes) == [56.1535, 10.2133]
    assert not [each for each in outcomes if isinstance(each, TimeTold)]


def test_a_rolled_over_count_of_weeks_is_a_date_before_the_release() -> None:
    released = datetime.fromtimestamp(RELEASED_NS / 1e9, UTC).date()
    assert released == NOT_BEFORE
    today = date(2046, 6, 1)  # as long as this holds
    assert today - timedelta(weeks=1024) < NOT_BEFORE


def test_a_leap_second_is_the_beginning_of_the_next_minute() -> None:
    leap = sentence("GPRMC,235960.00,A,,,,,0.0,,311226,,,A")
    assert feed_all(driver(), [leap]) == [TimeTold(1_798_761_600 * NS_PER_S)]


def test_replay_prints_the_told_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = tmp_path / "site.jsonl"
    line = {"t": 0.0, "sensor": "site", "hex": rmc().hex()}
    recording.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert main(["replay", str(recording), "--driver", "nmea"]) == 0
    assert capsys.readouterr().out.endswith("site  time 2026-12-01T10:15:01.250+00:00\n")
    assert main(["replay", str(recording), "--driver", "nmea", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"t": 0.0, "sensor": "site", "told": "2026-12-01T10:15:01.250+00:00"}


# -- bytes ---------------------------------------------------------------------------------------


def test_a_makers_own_sentence_is_none_of_the_standard() -> None:
    assert feed_all(driver(), [sentence("PGRMC,A,218.8,100,6378137.000,298.257,,,,,,")]) == []


@pytest.mark.parametrize("noise", [b"$", b"$GPGGA,", b"*00", b"x" * 99, b"$" + b"A" * 300, b"\r\n"])
def test_noise_without_an_end_does_not_grow_memory(noise: bytes) -> None:
    device = driver()
    for _ in range(200):
        assert readings(list(device.feed(noise))) == []
        assert device.buffered_bytes <= MAX_SENTENCE_BYTES
    assert readings(feed_all(device, [b"\r\n", gga(1)])) == [("site.satellites", 8.0, ())]


def test_the_longest_sentence_is_read_in_any_pieces() -> None:
    room = MAX_SENTENCE_BYTES - len(sentence("GPGGA,1,"))
    for extra, good in ((0, True), (1, False)):
        data = sentence("GPGSV,1," + "9" * (room + extra))
        assert (len(data) <= MAX_SENTENCE_BYTES) == good
        for size in (1, 7, MAX_SENTENCE_BYTES - 5, 1000):
            device = driver()
            feed_all(device, chunks(data, size))
            assert device.recognised == good, size


def test_random_bytes_between_sentences_hide_none() -> None:
    source = random.Random(11)
    device = driver()
    for count in range(1, 200):
        noise = source.randbytes(source.randrange(40)) + b"\n"
        feed_all(device, chunks(noise + gga(count), source.randrange(1, 50)))
        assert device.recognised == count


# -- the peer ------------------------------------------------------------------------------------


def random_sentences(seed: int) -> Iterator[bytes]:
    """Yield sentences as receivers write them, empty fields among them."""
    source = random.Random(seed)
    for _ in range(SENTENCES):
        now = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(milliseconds=source.randrange(10**11))
        digits = source.randrange(1, 6)
        lat = f"{source.randrange(90):02}{source.uniform(0, 59.9):0{digits + 3}.{digits}f}"
        lon = f"{source.randrange(180):03}{source.uniform(0, 59.9):0{digits + 3}.{digits}f}"
        place = f"{lat},{source.choice('NS')},{lon},{source.choice('EW')}"
        place = source.choice([place, place, place, ",,,"])
        clock = now.strftime("%H%M%S") + source.choice(
            ["", ".00", f".{now.microsecond // 10000:02}"]
        )
        talker = source.choice(["GP", "GN", "GL", "GA", "BD"])
        kind = source.choice(["GGA", "RMC", "GNS", "ZDA"])
        altitude = f"{source.uniform(-50, 3000):.1f}"
        body = {
            "GGA": f"{clock},{place},{source.choice('12')},{source.randrange(13):02},1.1,"
            f"{altitude},M,40.1,M,,",
            "RMC": f"{clock},A,{place},0.1,,{now:%d%m%y},,,A",
            "GNS": f"{clock},{place},AA,{source.randrange(30):02},1.1,{altitude},40.1,,",
            "ZDA": f"{clock},{now:%d,%m,%Y},00,00",
        }[kind]
        yield sentence(f"{talker}{kind},{body}")


def theirs(parsed: Any) -> Heard:
    """Return what the peer says, in our words."""
    kind = parsed.sentence_type
    told: time = parsed.timestamp
    second = told.hour * 3600 + told.minute * 60 + told.second + told.microsecond / 1e6
    utc_ns = None
    if kind in ("RMC", "ZDA"):
        day = parsed.datestamp
        at = datetime.combine(day, told.replace(tzinfo=UTC))
        utc_ns = round(at.timestamp() * 1000) * 1_000_000
    if kind == "ZDA":
        return Heard(second=second, utc_ns=utc_ns)
    place = (parsed.latitude, parsed.longitude) if parsed.lat else None
    if kind == "RMC":
        return Heard(is_fixed=True, second=second, place=place, utc_ns=utc_ns)
    return Heard(True, second, place, float(parsed.altitude), int(parsed.num_sats))


@pytest.mark.parametrize("seed", range(2))
def test_pynmea2_reads_the_same(seed: int) -> None:
    parse = importlib.import_module("pynmea2").parse
    device = SimulatedNmea(seed)
    simulated = [line for _ in range(20) for line in device.emit().splitlines(keepends=True)]
    read = 0
    for data in (*random_sentences(seed), *simulated):
        if data[3:6] not in READERS:
            continue
        read += 1
        ours, peers = heard(data), theirs(parse(data.decode("ascii"), check=True))
        assert ours._replace(place=None, second=None) == peers._replace(place=None, second=None)
        assert ours.second == pytest.approx(peers.second, abs=1e-6)
        assert (ours.place is None) == (peers.place is None), data
        if ours.place is not None:
            assert ours.place == pytest.approx(peers.place, abs=1e-12)
    assert read == SENTENCES + 40


def test_pynmea2_refuses_the_same_damage() -> None:
    peer = importlib.import_module("pynmea2")
    source = random.Random(5)
    data = gga(36_901.25)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        place = source.randrange(1, len(data) - 5)
        damaged[place] ^= 1 << source.randrange(7)
        try:
            peer.parse(damaged.decode("ascii"), check=True)
        except peer.ParseError:
            refused += 1
        assert faults(feed_all(driver(), [bytes(damaged), data]))
    assert refused == 300


def test_a_ubx_frame_between_sentences_is_noise() -> None:
    ubx = b"\xb5\x62\x01\x07" + struct.pack("<H", 92) + bytes(range(92)) + b"\x12\x34"
    outcomes = feed_all(driver(), [gga(1), ubx, gga(2)])
    assert set(faults(outcomes)) == {"noise"}
    assert readings(outcomes) == [("site.satellites", 8.0, ())]
