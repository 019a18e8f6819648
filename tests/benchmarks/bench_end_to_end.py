"""The whole path: bytes on a pty to acknowledged NGSI-LD messages, with the real daemon.

Prints readings/s and CPU per reading while one sensor floods its port, the memory with ten
sensors and three links, and the time from start to the first acknowledged reading. The mosquitto
beside it is on the same machine, so its share of the two cores is in the wall time.

    python tests/benchmarks/bench_end_to_end.py [--seconds 20] [--minutes 1] [--format json]
"""

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tty
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLOOD_FRAMES = 400
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def frame(number: int) -> bytes:
    """Return one SDS011 frame; the values change with the number."""
    body = (number % 9999).to_bytes(2, "little") + (number * 7 % 9999).to_bytes(2, "little")
    body += b"\x58\xd9"
    return b"\xaa\xc0" + body + bytes([sum(body) & 0xFF]) + b"\xab"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Daemon:
    def __init__(self, folder: Path, sensors: int, links: int, format_name: str, port: int) -> None:
        self.http = free_port()
        self.masters: list[int] = []
        text = f"""
            schema = 1
            [gateway]
            id = "bench"
            [buffer]
            directory = "{folder}/state"
            runtime_directory = "{folder}/run"
            size = "64 MiB"
            [clock]
            trusted = true
            [http]
            listen = "127.0.0.1:{self.http}"
            """
        for number in range(sensors):
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self.masters.append(master)
            text += f"""
            [[sensor]]
            name = "air-{number}"
            driver = "sds011"
            port = "{os.ttyname(slave)}"
            """
        for number in range(links):
            text += f"""
            [[broker]]
            name = "city-{number}"
            url = "mqtt://127.0.0.1:{port}"
            insecure = true
            format = "{format_name}"
            """
        config = folder / "gateway.toml"
        config.write_text(text, encoding="utf-8")
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "run", "--config", str(config)],
            stderr=(folder / "log").open("w"),
        )

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/status.json") as answer:
            document: dict[str, Any] = json.load(answer)
            return document

    def cpu_s(self) -> float:
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_mib(self, key: str) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
    broker = subprocess.Popen(
        ["mosquitto", "-c", str(config)], env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield port
    finally:
        broker.terminate()
        broker.wait(10)


def wait_for(daemon: Daemon, links: int, wanted: int) -> dict[str, Any]:
    while True:
        with contextlib.suppress(OSError):
            document = daemon.status()
            acked = [link["acknowledged"] for link in document["links"].values()]
            if len(acked) == links and min(acked, default=wanted) >= wanted:
                return document
        time.sleep(0.01)


def first_acknowledged_s(daemon: Daemon) -> float:
    """Talk as a sensor does from the start, and return when the first reading was acknowledged."""
    while True:
        os.write(daemon.masters[0], frame(1))
        with contextlib.suppress(OSError):
            if any(link["acknowledged"] for link in daemon.status()["links"].values()):
                return time.monotonic() - daemon.started
        time.sleep(0.02)


def settled(daemon: Daemon) -> int:
    """Return the number of acknowledged readings once nothing is on its way any more."""
    while True:
        time.sleep(1.2)
        link = daemon.status()["links"]["city-0"]
        if not link["pending"]:
            return int(link["acknowledged"])


def flood(port: int, folder: Path, seconds: float, format_name: str) -> None:
    daemon = Daemon(folder, sensors=1, links=1, format_name=format_name, port=port)
    master = daemon.masters[0]
    first_acked_s = first_acknowledged_s(daemon)
    base = settled(daemon)
    chunk = b"".join(frame(number) for number in range(1, FLOOD_FRAMES + 1))
    cpu_s, began = daemon.cpu_s(), time.monotonic()
    sent, offset = 0, 0
    while time.monotonic() - began < seconds or offset:
        select.select([], [master], [], 1)
        with contextlib.suppress(BlockingIOError):
            offset += os.write(master, chunk[offset:])
        if offset == len(chunk):
            sent, offset = sent + FLOOD_FRAMES, 0
    document = wait_for(daemon, 1, base + 2 * sent)
    took_s = time.monotonic() - began
    used_s = daemon.cpu_s() - cpu_s
    link = document["links"]["city-0"]
    readings = link["acknowledged"] - base
    lost = link["accepted"] - link["acknowledged"] - link["pending"]
    print(f"flood, one sensor, one link, {format_name}: {readings} readings, lost {lost}")
    print(f"  {readings / took_s:10.0f} readings/s end to end")
    print(f"  {used_s / readings * 1e6:10.2f} us of CPU per reading, all of the daemon")
    print(f"  {daemon.memory_mib('VmHWM'):10.1f} MiB at most (VmHWM)")
    print(f"  {first_acked_s:10.2f} s from start to the first acknowledged reading")
    daemon.stop()


def memory(port: int, folder: Path, minutes: float) -> None:
    daemon = Daemon(folder, sensors=10, links=3, format_name="ngsi-ld", port=port)
    halt = threading.Event()

    def feed() -> None:
        number = 0
        while not halt.wait(1.0):
            number += 1
            for master in daemon.masters:
                os.write(master, frame(number))

    feeder = threading.Thread(target=feed)
    feeder.start()
    wait_for(daemon, 3, 20)
    first_mib, cpu_s, began = daemon.memory_mib("VmRSS"), daemon.cpu_s(), time.monotonic()
    time.sleep(minutes * 60)
    busy = (daemon.cpu_s() - cpu_s) / (time.monotonic() - began)
    print(f"ten sensors at 1 Hz, three links, after {minutes:g} min:")
    print(f"  {daemon.memory_mib('VmRSS'):10.1f} MiB RSS (after the first second {first_mib:.1f})")
    print(f"  {busy:10.1%} of one core")
    halt.set()
    feeder.join()
    daemon.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of flood")
    parser.add_argument("--minutes", type=float, default=0.2, help="until memory is read")
    parser.add_argument("--format", action="append", help="default: ngsi-ld and json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, mosquitto(Path(folder)) as port:
        for number, format_name in enumerate(arguments.format or ["ngsi-ld", "json"]):
            room = Path(folder, f"flood-{number}")
            room.mkdir()
            flood(port, room, arguments.seconds, format_name)
        room = Path(folder, "memory")
        room.mkdir()
        memory(port, room, arguments.minutes)


if __name__ == "__main__":
    main()
