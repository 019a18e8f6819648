"""The judge of the emulated Pi finds each thing that can go wrong. No machine is emulated here."""

import asyncio
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.pi.arrived import Arrivals, Report
from tests.pi.boot import Boot
from tests.pi.box import Unit
from tests.pi.disk import Disk
from tests.pi.judge import account_problems, disk_problems, verdict
from tests.pi.ntp import SINCE_1900_S, TimeServer
from tests.pi.plan import Cut, plan
from tests.pi.sensor import Sent
from tests.pi.watch import Account, Seen

CUT = Cut("running", 0.0, 0.0, "none", 0.0, time_server=True)
UNIT = Unit(is_active=True, ready_s=20.0, restarts=0, rss_bytes=1, cgroup_bytes=1, failed_units="")
SEEN = Seen(
    100.0,
    appended=40,
    unflushed=4,
    flushes=3,
    port_open=True,
    synced=True,
    degraded=False,
    damaged_blocks=0,
    account=Account(40, 40, 0, 0),
)
SENT = {number: Sent(80.0 + number, 1e9 + number) for number in range(20)}
ALL = {number: Report(number + 30.0, 1e9 + number + 0.1, True, None) for number in range(20)}


def row(sequence: int) -> dict[str, Any]:
    return {
        "boot": 1,
        "boottime_ns": 30 * sequence,
        "sensor": "air",
        "quantity": "air.pm25",
        "value": float(sequence),
    }


def disk(readings: int) -> Disk:
    return Disk(2, {(2, number): row(number) for number in range(readings)}, "good")


def arrived(reports: Mapping[int, Report] = ALL, readings: int = 40) -> Arrivals:
    return Arrivals(disk(readings).readings, reports, 0, 0, [], 0)


def boot(**changes: Any) -> Boot:
    good = {"powered_s": 50.0, "ended_s": 101.0, "unit": UNIT, "seen": [SEEN], "disk": disk(36)}
    return Boot(1, CUT, **{**good, **changes})


def test_a_good_uptime_is_good() -> None:
    found = verdict(boot(), SENT, arrived())
    assert found.problems == []
    assert (found.claimed, found.on_disk, found.lost_flushed) == (36, 36, 0)
    assert (found.sent, found.holes, found.lost) == (20, 0, 0)
    assert found.worst_time_s == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"disk": disk(35)}, "1 readings that were flushed are gone"),
        ({"unit": replace(UNIT, is_active=False)}, "not active"),
        ({"unit": replace(UNIT, restarts=2)}, "restarted 2 times"),
        ({"unit": replace(UNIT, failed_units="citylab-gateway.service")}, "failed"),
        ({"seen": [replace(SEEN, account=Account(40, 39, 0, 0))]}, "account is wrong"),
        ({"seen": [replace(SEEN, degraded=True)]}, "degraded"),
        ({"problem": "the unit did not come up"}, "did not come up"),
        ({"ended_s": 130.0, "disk": disk(36)}, ""),
    ],
)
def test_what_is_wrong_is_found(changes: dict[str, Any], words: str) -> None:
    problems = verdict(boot(**changes), SENT, arrived()).problems
    assert [words in problem for problem in problems] == ([True] if words else [])


def test_a_hole_is_found() -> None:
    found = verdict(boot(), SENT, arrived({n: each for n, each in ALL.items() if n != 7}))
    assert found.holes == 1
    assert "reports [7] did not arrive" in found.problems[0]


def test_what_nobody_could_read_is_no_hole() -> None:
    there = {n: each for n, each in ALL.items() if not 6 <= n <= 9}
    found = verdict(boot(unplugged_s=86.5, replugged_s=88.5), SENT, arrived(there))
    assert (found.holes, found.problems) == (0, [])


def test_what_a_cut_may_cost_is_bounded() -> None:
    for kept, wrong in ((15, False), (3, True)):
        found = verdict(boot(), SENT, arrived({n: ALL[n] for n in range(kept)}))
        assert found.lost == 20 - kept
        assert found.lost_s == pytest.approx(101.0 - 80.0 - kept)
        assert any("old was lost" in problem for problem in found.problems) == wrong


def test_a_wrong_time_is_found_unless_it_is_marked() -> None:
    wrong = replace(ALL[3], wall_s=ALL[3].wall_s + 3600)
    found = verdict(boot(), SENT, arrived({**ALL, 3: wrong}))
    assert "nothing says so" in found.problems[0]
    doubtful = replace(wrong, sure=False)
    found = verdict(boot(), SENT, arrived({**ALL, 3: doubtful}))
    assert (found.problems, found.doubtful) == ([], 1)
    told = replace(doubtful, bound_s=60.0)
    found = verdict(boot(), SENT, arrived({**ALL, 3: told}))
    assert "60.0 s was told" in found.problems[0]


def test_the_disk_and_the_city_have_to_agree() -> None:
    assert list(disk_problems([disk(40)], arrived())) == []
    assert "never arrived" in next(disk_problems([disk(41)], arrived()))
    other = Disk(2, {(2, 3): {**row(3), "value": 9.0}}, "good")
    assert "something else" in next(disk_problems([other], arrived()))
    torn = Disk(2, {(2, number): row(number) for number in (0, 1, 3)}, "good")
    assert "not one run" in next(disk_problems([torn], arrived()))


def test_nothing_may_be_owed_at_the_end() -> None:
    assert list(account_problems(boot(), SENT, arrived())) == []
    owed = boot(seen=[replace(SEEN, account=Account(40, 38, 2, 0))])
    assert "2 are pending" in next(account_problems(owed, SENT, arrived()))
    invented = {**ALL, 99: ALL[3]}
    assert "never sent" in next(account_problems(boot(), SENT, arrived(invented)))


def test_the_same_seed_plans_the_same_cuts() -> None:
    assert list(plan(7, 50)) == list(plan(7, 50))
    assert list(plan(7, 50)) != list(plan(8, 50))
    assert {cut.moment for cut in plan(1, 20)} == {"booting", "running", "flushed", "broker away"}


async def test_the_time_server_tells_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.pi.ntp.PORT", 0)
    async with TimeServer() as server:
        address = server.address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            before = time.time()
            question = b"\x23" + bytes(39) + b"our time"
            await loop.sock_sendto(client, question, address)
            answer = await asyncio.wait_for(loop.sock_recv(client, 100), 10)
            after = time.time()
    flags, stratum = answer[:2]
    assert (flags & 7, stratum) == (4, 1)
    assert answer[24:32] == b"our time"
    seconds, fraction = struct.unpack("!II", answer[40:48])
    assert before - 1e-3 <= seconds - SINCE_1900_S + fraction / 2**32 <= after + 1e-3
