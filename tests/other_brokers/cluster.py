"""Three NATS servers on three addresses of this machine, configured as docs/cluster.md says."""

import asyncio
import contextlib
import json
import re
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.brokers import free_port
from tests.other_brokers.nats_server import NatsServer
from tests.subscribing import publish

__all__ = ["Cluster", "make_certificates"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
PORTS = (4222, 6222, 8222, 8883)
NODES = (1, 2, 3)
READY_TIMEOUT_S = 30.0
LOOK_EVERY_S = 0.1
MESSAGES = "$MQTT_msgs"


def page_configuration() -> str:
    """Return the configuration of a node from the page."""
    found = re.search(
        r"```conf\n(# /etc/nats-server.conf\n.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
    assert found is not None
    return found[1]


def make_certificates(folder: Path) -> None:
    """Write ca.pem, node.pem and node.key, good for every node and for localhost."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    folder.mkdir(parents=True, exist_ok=True)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        *("req", "-x509", *key, "-days", "2", "-subj", "/CN=city"),
        *("-keyout", "ca.key", "-out", "ca.pem"),
    )
    names = "DNS:localhost," + ",".join(f"IP:127.0.0.{number}" for number in NODES)
    (folder / "node.ext").write_text(f"subjectAltName={names}\n", encoding="ascii")
    openssl("req", *key, "-subj", "/CN=node", "-keyout", "node.key", "-out", "node.csr")
    openssl(
        *("x509", "-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-days", "2", "-extfile", "node.ext", "-out", "node.pem"),
    )


class Cluster:
    """The nodes, each with the same ports on an address of its own."""

    def __init__(self, folder: Path, replaced: Mapping[str, str]) -> None:
        self.certificates = folder / "pki"
        make_certificates(self.certificates)
        self._ports = {port: free_port("0.0.0.0") for port in PORTS}  # on all of them
        text = page_configuration().replace("10.20.0.", "127.0.0.")
        text = text.replace("/etc/nats/", f"{self.certificates}/")
        for old, new in {**{str(k): str(v) for k, v in self._ports.items()}, **replaced}.items():
            assert old in text
            text = text.replace(old, new)
        self.nodes = [self._node(number, text, folder) for number in NODES]

    def _node(self, number: int, text: str, folder: Path) -> NatsServer:
        directory, address = folder / f"node{number}", f"127.0.0.{number}"
        own = text.replace("server_name: node1", f"server_name: node{number}")
        own = own.replace('ADDRESS: "127.0.0.1"', f'ADDRESS: "{address}"')
        for port in (4222, 8222):
            own = own.replace(
                f'"127.0.0.1:{self._ports[port]}"', f'"{address}:{self._ports[port]}"'
            )
        own = own.replace("/var/lib/nats", str(directory))
        return NatsServer(directory, configuration=own, host=address, port=self._ports[8883])

    @contextlib.asynccontextmanager
    async def running(self, login: Sequence[str]) -> AsyncIterator["Cluster"]:
        """Start all nodes; end those that are left. ``login`` is of somebody who may connect."""
        try:
            await asyncio.gather(*(node.start() for node in self.nodes))
            async with asyncio.timeout(READY_TIMEOUT_S):
                for node in self.nodes:
                    await self._answers(node, login)
            yield self
        finally:
            await asyncio.gather(*(node.kill() for node in self.nodes))

    @staticmethod
    async def _answers(node: NatsServer, login: Sequence[str]) -> None:
        """Return when a client may connect there: the nodes have to find each other first."""
        way = ("-V", "311", "-h", node.host, "-p", str(node.port), *login)
        while not await publish(*way, "-t", "probe", "-m", "x", "-q", "1"):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)

    def index_of(self, name: str) -> int:
        """Return the index of the node of that name."""
        return int(name.removeprefix("node")) - 1

    async def leader(self) -> int:
        """Return the index of the node that leads the stream of all QoS 1 messages."""
        for node in self.nodes:
            for stream in await self._streams(node):
                if stream["name"] == MESSAGES and stream["cluster"].get("leader"):
                    return self.index_of(stream["cluster"]["leader"])
        raise AssertionError("no leader")

    async def whole(self) -> None:
        """Return when every stream is on three nodes that are all up to date."""
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not await self._is_whole():  # noqa: ASYNC110 - it happens in processes
                await asyncio.sleep(LOOK_EVERY_S)

    async def _is_whole(self) -> bool:
        streams = [stream for node in self.nodes for stream in await self._streams(node)]
        led = {
            stream["name"]
            for stream in streams
            if len(replicas := stream["cluster"].get("replicas", [])) == len(NODES) - 1
            and all(replica["current"] for replica in replicas)
        }
        return MESSAGES in led and led == {stream["name"] for stream in streams}

    async def _streams(self, node: NatsServer) -> list[dict[str, Any]]:
        if node.process_id() is None:
            return []
        reader, writer = await asyncio.open_connection(node.host, self._ports[8222])
        try:
            writer.write(b"GET /jsz?streams=1 HTTP/1.0\r\n\r\n")
            _, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
        accounts = json.loads(body).get("account_details", [])
        return [stream for account in accounts for stream in account.get("stream_detail", [])]
