"""A real process that is killed: everything that flush returned for is there afterwards."""

import asyncio
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.buffer.support import abandon, drain, open_buffer, sequences

ROOT = Path(__file__).resolve().parent.parent.parent
CHILD = """
import asyncio, sys
from pathlib import Path
from tests.buffer.support import append, open_buffer

async def main():
    buffer = await open_buffer(Path(sys.argv[1]), blocks=4000)
    buffer.reader("aarhus")
    running = asyncio.create_task(buffer.run())
    print("ready", buffer.next_sequence, flush=True)
    while True:
        for count in (1, 90, 400, 3):
            append(buffer, count)
            await asyncio.sleep(0.001)
        await buffer.flush()
        print(buffer.next_sequence, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(4))
async def test_what_flush_returned_for_survives_kill_minus_nine(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    promised = 0
    for _ in range(2):
        promised = max(promised, await killed_after(tmp_path, rng.uniform(0.0, 0.4)))
        buffer = await open_buffer(tmp_path, blocks=4000)
        assert buffer.next_sequence >= promised
        assert not buffer.stats.damaged_blocks
        found = sequences(await drain(buffer.readers["aarhus"], 5000))
        assert found == list(range(buffer.next_sequence))
        await abandon(buffer)
    assert promised > 0


async def killed_after(folder: Path, seconds: float) -> int:
    """Run the child, kill it so long after its first flush, and return what it was promised."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(folder), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    ready = await child.stdout.readline()
    assert ready.startswith(b"ready")
    first = await child.stdout.readline()
    await asyncio.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    rest = await child.stdout.read()
    await child.wait()
    lines = [line for line in (first + rest).split(b"\n")[:-1] if line]
    return int(lines[-1])
