"""Eight ports and a bus, each sending as much as its line carries, into the real daemon.

Prints the CPU share of the daemon, its bytes, readings and faults a second, and its memory; once
with clean lines and once with 5 % of the bytes damaged. The devices run in this process: leave one
core to them.

    python tests/benchmarks/bench_ports.py [--seconds 20] [--format json]
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.end_to_end.gateway_process import GatewayProcess
from tests.serial_world import DAMAGED, SerialWorld

SEED = 20_26
SETTLE_S = 3.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_mib(pid: int) -> float:
    """Return its resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def measure(seconds: float, damaged: float) -> dict[str, Any]:
    """Run the street for so long; return the figures a second."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory(prefix="ports-") as name:
        folder = Path(name)
        world = SerialWorld(folder, SEED, damaged=damaged)
        async with world, GatewayProcess(folder, world.sections(), size="64 MiB") as gateway:
            await asyncio.sleep(SETTLE_S)
            begin, page, used = loop.time(), await gateway.metrics(), cpu_s(gateway.pid)
            await asyncio.sleep(seconds)
            used = cpu_s(gateway.pid) - used
            after = await gateway.metrics()
            took_s = loop.time() - begin

            def rate(metric: str) -> float:
                return (after.total(metric) - page.total(metric)) / took_s

            return {
                "damaged_percent": 100 * damaged,
                "cpu_percent": 100 * used / took_s,
                "bytes_per_s": rate("port_received_bytes_total"),
                "readings_per_s": rate("sensor_readings_total"),
                "faults_per_s": rate("sensor_faults_total"),
                "memory_mib": memory_mib(gateway.pid),
            }


def main() -> None:
    """Measure clean and damaged, and print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--format", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    figures = [asyncio.run(measure(arguments.seconds, share)) for share in (0.0, DAMAGED)]
    if arguments.format == "json":
        print(json.dumps(figures, indent=2))
        return
    for each in figures:
        print(
            f"{each['damaged_percent']:.0f} % damaged: {each['cpu_percent']:.1f} % of one core, "
            f"{each['bytes_per_s']:.0f} bytes/s, {each['readings_per_s']:.0f} readings/s, "
            f"{each['faults_per_s']:.0f} faults/s, {each['memory_mib']:.0f} MiB"
        )


if __name__ == "__main__":
    main()
