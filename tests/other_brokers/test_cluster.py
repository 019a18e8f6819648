"""A three-node cluster loses one node after the other: nothing acknowledged is missing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.end_to_end.gateway_process import GatewayProcess, dust_sensor
from tests.end_to_end.held_line import HeldLine, Traffic
from tests.end_to_end.subscriber import first_arrivals
from tests.other_brokers.cluster import Cluster
from tests.proxy import Balancer
from tests.subscribing import Archive

pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.nats,
    pytest.mark.slow,
    pytest.mark.timeout(180),
]

MANY = 1000
SETTLED_S = 2.0
"""For acknowledgements that were on their way when the nodes died."""
AGAIN_S = 60.0
"""For two nodes to agree that the third has gone; a hang, not a promise."""
REPLACED = {
    "city.aarhus.dokk1-03.>": "city.testlab.test-box.>",
    '["city", "city.>",': '["probe", "probe.>", "city", "city.>",',
}
"""What the tests' gateway and subscriber are called."""


def section(port: int, cluster: Cluster) -> str:
    return f"""
            [[broker]]
            name = "aarhus"
            url = "mqtts://localhost:{port}"
            protocol = "3.1.1"
            username = "dokk1-03"
            password_env = "AARHUS_PASSWORD"
            tls = {{ ca_file = "{cluster.certificates}/ca.pem" }}
            format = "json"
            linger = "50 ms"
            backoff_max = "1 s"
            ack_timeout = "5 s"
            connect_timeout = "10 s"
    """


@contextlib.asynccontextmanager
async def in_traffic(folder: Path) -> AsyncIterator[tuple[Cluster, GatewayProcess]]:
    """Run cluster, archive and gateway with traffic, and count at the end.

    The archive reads from another node than the gateway writes to. ``GatewayProcess`` checks the
    identity of the accounting at every look.
    """
    cluster = Cluster(folder, REPLACED)
    login = ["-u", "archive", "-P", "change-me-2", "--cafile", f"{cluster.certificates}/ca.pem"]
    addresses = [(node.host, node.port) for node in cluster.nodes]
    async with (
        cluster.running(login),
        Balancer(addresses) as balancer,
        Balancer(addresses[1:] + addresses[:1]) as others,
        Archive(folder, others.port, host="localhost", login=login, topics=["city/#"]) as city,
    ):
        gateway = GatewayProcess(
            folder, dust_sensor("air", folder) + section(balancer.port, cluster)
        )
        with HeldLine(folder / "tty-air") as line:
            async with gateway.by_hand():
                await gateway.start(AARHUS_PASSWORD="change-me-1")
                await gateway.until("aarhus", AGAIN_S, state="online")
                await gateway.until_metric("port_open", 1)
                traffic = Traffic(line)
                async with traffic.flowing():
                    yield cluster, gateway
                    await traffic.pause()
                await gateway.until_metric("sensor_readings_total", 2 * traffic.next_number)
                end = await gateway.until("aarhus", AGAIN_S, pending=0)
                assert end.accepted == end.acknowledged == 2 * traffic.next_number
                await city.until(lambda city: len(first_arrivals(city.readings())) >= end.accepted)
                assert await gateway.stop() == 0
    arrived = first_arrivals(city.readings())
    assert sorted(sequence for _, sequence in arrived) == list(range(end.accepted))
    assert city.messages("/gap") == []


@pytest.mark.parametrize("victims", [("in-use", "archive"), ("leader",)], ids="+".join)
async def test_a_node_dies_in_the_middle_of_traffic(
    tmp_path: Path, victims: tuple[str, ...]
) -> None:
    """The gateway's node, then the archive's once the first is back; or whoever leads."""
    async with in_traffic(tmp_path) as (cluster, gateway):
        for victim in victims:
            await more_is_acknowledged(gateway)
            await cluster.whole()
            if victim == "leader":
                target = cluster.nodes[await cluster.leader()]
            else:
                target = cluster.nodes[{"in-use": 0, "archive": 1}[victim]]
            await target.kill()
            await more_is_acknowledged(gateway)
            await target.start()


async def test_two_dead_nodes_stop_the_acknowledgements(tmp_path: Path) -> None:
    """One node alone acknowledges nothing that only it would have; the gateway keeps it all."""
    async with in_traffic(tmp_path) as (cluster, gateway):
        await more_is_acknowledged(gateway)
        await cluster.whole()
        first, second, _ = cluster.nodes
        await asyncio.gather(first.kill(), second.kill())
        await asyncio.sleep(SETTLED_S)
        before = await gateway.link("aarhus")
        await gateway.until_metric("link_accepted_readings_total", before.accepted + MANY)
        assert (await gateway.link("aarhus")).acknowledged == before.acknowledged
        await second.start()
        await more_is_acknowledged(gateway)


async def more_is_acknowledged(gateway: GatewayProcess) -> None:
    """Return when so many more readings than now are acknowledged."""
    wanted = (await gateway.link("aarhus")).acknowledged + MANY

    async def reached() -> bool:
        return (await gateway.link("aarhus")).acknowledged >= wanted

    await gateway.eventually(reached, lambda: f"never {wanted} acknowledged", AGAIN_S)
