"""A changed configuration in a running daemon: only what changed is touched."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.brokers import Mosquitto, free_port
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor, run_command
from tests.end_to_end.held_line import HeldLine, Traffic, dust_frame
from tests.end_to_end.subscriber import Subscriber, first_arrivals
from tests.proxy import GateProxy

pytestmark = pytest.mark.mosquitto

MAX_BROKERS = 16


async def reload(gateway: GatewayProcess, sections: str) -> str:
    """Write the sections, run the command, and return what it says."""
    gateway.write_config(sections)
    answer = await run_command("reload", "--config", str(gateway.config))
    assert (answer.code, answer.errors) == (0, ""), answer
    return answer.output


async def untouched(gateway: GatewayProcess) -> None:
    """The sensor ``stays`` and the link ``aarhus`` never noticed anything."""
    page = await gateway.metrics()
    assert page.value("port_opens_total", sensor="stays") == 1
    assert page.value("port_open", sensor="stays") == 1
    assert page.value("link_connects_total", link="aarhus") == 1
    assert page.value("link_state", link="aarhus", state="online") == 1


async def sent_and_arrived(
    gateway: GatewayProcess, line: HeldLine, city: Subscriber, values: tuple[int, int]
) -> None:
    """One report goes all the way from this line."""
    before = len(city.readings())
    await line.write(dust_frame(*values))
    await city.until(lambda city: len(city.readings()) >= before + 2)
    arrived = city.readings()[before:]
    assert [reading["value"] for reading in arrived] == [value / 10 for value in values]


@pytest.mark.timeout(120)
async def test_sensors_filters_and_brokers_come_and_go(tmp_path: Path) -> None:
    with (
        HeldLine(tmp_path / "tty-stays") as stays,
        HeldLine(tmp_path / "tty-comes") as comes,
        HeldLine(tmp_path / "tty-goes") as goes,
    ):
        async with (
            Mosquitto(tmp_path / "one") as one,
            Mosquitto(tmp_path / "two") as two,
            Subscriber(tmp_path, one.port) as city,
            Subscriber(tmp_path, two.port) as new_city,
        ):
            aarhus = broker("aarhus", one.port, 'format = "json"')
            vejle = broker("vejle", two.port, 'format = "json"')
            begun = dust_sensor("stays", tmp_path) + dust_sensor("goes", tmp_path) + aarhus
            async with GatewayProcess(tmp_path, begun) as gateway:
                await gateway.until("aarhus", state="online")
                await gateway.until_metric("port_open", 2)
                await sent_and_arrived(gateway, stays, city, (11, 12))
                await sent_and_arrived(gateway, goes, city, (21, 22))

                said = await reload(gateway, begun)
                assert said == "nothing has changed\n"
                said = await reload(gateway, begun + dust_sensor("comes", tmp_path) + vejle)
                assert said == "sensors added: comes\nbrokers added: vejle\n"
                await gateway.until("vejle", state="online")
                await gateway.until_metric("port_open", 1, sensor="comes")
                await untouched(gateway)
                await sent_and_arrived(gateway, comes, city, (31, 32))
                await sent_and_arrived(gateway, stays, city, (13, 14))
                await new_city.until(lambda city: len(city.readings()) >= 4)
                assert [reading["value"] for reading in new_city.readings()] == (
                    [3.1, 3.2, 1.3, 1.4]
                ), "a new broker is owed what comes from now on"

                strict = '[sensor.filter."air.pm25"]\nrange = { max = 50.0, action = "drop" }'
                filtered = begun + dust_sensor("comes", tmp_path, strict) + vejle
                gateway.write_config(filtered)
                gateway.hang_up()
                await gateway.logged("reload: sensors changed: comes")
                await gateway.until_metric("port_open", 1, sensor="comes")
                await comes.write(dust_frame(501, 33))
                await gateway.until_metric(
                    "sensor_filtered_readings_total", 1, sensor="comes", filter="range"
                )
                await untouched(gateway)
                await gateway.until_metric("sensor_readings_total", 1, sensor="comes")

                left = (
                    dust_sensor("stays", tmp_path) + dust_sensor("comes", tmp_path, strict) + aarhus
                )
                said = await reload(gateway, left)
                assert said == "sensors removed: goes\nbrokers removed: vejle\n"
                await untouched(gateway)
                page = await gateway.metrics()
                assert page.samples("sensor_info", sensor="goes") == []
                assert page.samples("link_accepted_readings_total", link="vejle") == []
                assert page.value("config_reloads_total", result="succeeded") == 4
                assert page.value("config_reloads_total", result="failed") == 0
                await goes.write(dust_frame(23, 24))
                await sent_and_arrived(gateway, stays, city, (15, 16))
                assert new_city.status()["state"] == "offline"
                assert city.status()["state"] == "online"
                end = await gateway.until("aarhus", pending=0)
                assert end.accepted == 2 * 6 - 1
                await city.subscribed()
    arrived = first_arrivals(city.readings())
    assert len(arrived) == len(city.readings()) == end.accepted


@pytest.mark.timeout(120)
async def test_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    with HeldLine(tmp_path / "tty-stays") as stays:
        async with (
            Mosquitto(tmp_path / "one") as one,
            Subscriber(tmp_path, one.port) as city,
        ):
            good = dust_sensor("stays", tmp_path) + broker("aarhus", one.port, 'format = "json"')
            bad = good + dust_sensor("comes", tmp_path, 'colour = "red"')
            async with GatewayProcess(tmp_path, good) as gateway:
                await gateway.until("aarhus", state="online")
                await gateway.until_metric("port_open", 1)

                gateway.write_config(bad)
                answer = await run_command("reload", "--config", str(gateway.config))
                assert (answer.code, answer.output) == (2, "")
                assert "colour" in answer.errors
                assert (await gateway.metrics()).total("config_reloads_total") == 0

                gateway.hang_up()
                await gateway.logged("refused, the old configuration stays")
                assert "colour" in gateway.log.partition("refused, the old")[2]
                page = await gateway.metrics()
                assert page.value("config_reloads_total", result="failed") == 1
                assert page.value("config_last_reload_succeeded") == 0
                assert page.samples("sensor_info", sensor="comes") == []
                await untouched(gateway)
                await sent_and_arrived(gateway, stays, city, (11, 12))

                gateway.config.unlink()
                gateway.hang_up()
                await gateway.logged("refused, the old configuration stays", times=2)
                await untouched(gateway)

                said = await reload(gateway, good)
                assert said == "nothing has changed\n"
                gateway.flush_interval = "300 ms"
                said = await reload(gateway, good)
                assert said == "waits for a restart: buffer\n"
                page = await gateway.metrics()
                assert page.value("config_reloads_total", result="failed") == 2
                assert page.value("config_reloads_total", result="succeeded") == 2
                assert page.value("config_last_reload_succeeded") == 1
                await untouched(gateway)


@pytest.mark.timeout(120)
async def test_a_changed_broker_goes_on_where_it_was(tmp_path: Path) -> None:
    with HeldLine(tmp_path / "tty-stays") as line:
        async with (
            Mosquitto(tmp_path / "old") as old,
            Mosquitto(tmp_path / "new") as new,
            Subscriber(tmp_path, old.port) as before,
            Subscriber(tmp_path, new.port) as after,
            GateProxy(old.port) as gate,
        ):
            sections = dust_sensor("stays", tmp_path) + broker(
                "aarhus", gate.port, 'format = "json"'
            )
            async with GatewayProcess(tmp_path, sections) as gateway:
                await gateway.until("aarhus", state="online")
                await gateway.until_metric("port_open", 1)
                traffic = Traffic(line)
                async with traffic.flowing():
                    await gateway.until_metric("sensor_readings_total", 500)
                    await traffic.pause()
                first = 2 * traffic.next_number
                await gateway.until("aarhus", acknowledged=first, pending=0)
                gate.shut()
                async with traffic.flowing():
                    await gateway.until_metric("sensor_readings_total", first + 500)
                    await traffic.pause()
                total = 2 * traffic.next_number
                await gateway.until("aarhus", pending=total - first)

                moved = broker("aarhus", new.port, 'format = "json"\nbatch_readings = 50')
                said = await reload(gateway, dust_sensor("stays", tmp_path) + moved)
                assert said == "brokers changed: aarhus\n"
                end = await gateway.until("aarhus", pending=0)
                assert (end.accepted, end.acknowledged) == (total, total)
                assert (await gateway.metrics()).value("port_opens_total", sensor="stays") == 1
                await before.subscribed()
                await after.subscribed()
    assert [reading["sequence"] for reading in before.readings()] == list(range(first))
    assert [reading["sequence"] for reading in after.readings()] == list(range(first, total))


def places(city: Subscriber) -> list[list[float]]:
    """Return where the entities say that they are, each place once, in order of arrival."""
    found: list[list[float]] = []
    for message in city.messages("/stays/ngsi"):
        for entity in json.loads(message.payload):
            place = entity.get("location", {}).get("value", {}).get("coordinates")
            if place is not None and place not in found:
                found.append(place)
    return found


@pytest.mark.timeout(120)
async def test_a_moved_sensor_reaches_running_links(tmp_path: Path) -> None:
    with HeldLine(tmp_path / "tty-stays") as line:
        async with Mosquitto(tmp_path / "one") as one, Subscriber(tmp_path, one.port) as city:
            aarhus = broker("aarhus", one.port, "select = { location_decimals = 3 }")

            def at(lon: float) -> str:
                more = f"location = {{ lon = {lon}, lat = 56.1 }}"
                return dust_sensor("stays", tmp_path, more) + aarhus

            async with GatewayProcess(tmp_path, at(10.20004)) as gateway:
                await gateway.until("aarhus", state="online")
                await gateway.until_metric("port_open", 1)
                await line.write(dust_frame(1, 2))
                await gateway.until("aarhus", acknowledged=2)
                await city.until(lambda city: places(city) == [[10.2, 56.1]])
                assert await reload(gateway, at(10.30006)) == "sensors changed: stays\n"
                await gateway.until_metric("port_open", 1, sensor="stays")
                await line.write(dust_frame(3, 4))
                await gateway.until("aarhus", acknowledged=4)
                await city.until(lambda city: places(city) == [[10.2, 56.1], [10.3, 56.1]])
                page = await gateway.metrics()
                assert page.value("link_connects_total", link="aarhus") == 1


def all_dead(port: int, names: list[str]) -> str:
    return "".join(broker(name, port) for name in names)


async def pending(gateway: GatewayProcess) -> Mapping[str, float]:
    page = await gateway.metrics()
    return {sample.labels["link"]: sample.value for sample in page.samples("link_pending_readings")}


@pytest.mark.timeout(120)
async def test_a_removed_broker_frees_its_place(tmp_path: Path) -> None:
    port = free_port()
    names = [f"city-{number}" for number in range(MAX_BROKERS)]
    with HeldLine(tmp_path / "tty-stays") as line:
        stays = dust_sensor("stays", tmp_path)
        gateway = GatewayProcess(tmp_path, stays + all_dead(port, names))
        async with gateway:
            await gateway.until_metric("port_open", 1)
            await line.write(dust_frame(1, 2))
            await gateway.until_metric("link_pending_readings", 2 * MAX_BROKERS)
            for number in range(3):  # all sixteen places are taken each time
                names = [*names[1:], f"later-{number}"]
                said = await reload(gateway, stays + all_dead(port, names))
                assert said == (f"brokers added: later-{number}\nbrokers removed: city-{number}\n")
                assert f"broker city-{number} was removed with 2 readings pending" in gateway.log
            owed = dict.fromkeys(names[:-3], 2) | dict.fromkeys(names[-3:], 0)
            assert await pending(gateway) == owed
        async with gateway:  # the places are right on the disk, too
            assert await pending(gateway) == owed
            assert (await gateway.metrics()).total("task_restarts_total") == 0


@pytest.mark.timeout(120)
async def test_what_changed_while_the_daemon_was_down_is_taken_over(tmp_path: Path) -> None:
    port = free_port()
    with HeldLine(tmp_path / "tty-stays") as line:
        stays = dust_sensor("stays", tmp_path)
        gateway = GatewayProcess(tmp_path, stays + all_dead(port, ["aarhus", "vejle"]))
        async with gateway:
            await gateway.until_metric("port_open", 1)
            await line.write(dust_frame(1, 2))
            await gateway.until_metric("link_pending_readings", 4)
        gateway.write_config(stays + all_dead(port, ["vejle", "odense"]))
        async with gateway:
            assert await pending(gateway) == {"vejle": 2, "odense": 0}
            assert "broker aarhus was removed with 2 readings pending" in gateway.log
