"""Several processes on one file, and what is left when one of them is killed."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from golive.core.clock import SystemClock
from golive.core.tasks import Tasks
from golive.store.sqlite import SqliteStore
from tests.contract.store_kit import events, key, lease, view

APPENDS_FOR_EVER = """
import asyncio, os, sys
from golive.core.clock import SystemClock
from golive.core.tasks import Tasks
from golive.store.sqlite import SqliteStore
from tests.contract.store_kit import entry, events, lease, view

async def work(store, run):
    of, seq = lease(run), 0
    while True:
        await store.append(of, seq, events(range(seq + 1, seq + 4), of, b"x" * 500),
                           ledger=[entry(of, seq + 1, 1)], views=[view(of, steps=seq + 3)])
        seq += 3
        os.write(1, b"%s %d\\n" % (run.encode(), seq))

async def main(path):
    store = SqliteStore.open(path, clock=SystemClock())
    async with Tasks("work") as tasks:
        for number in range(30):
            tasks.start(work(store, f"run_{number}"), "work")

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("lines", [1, 700, 5000])
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, lines: int) -> None:
    """After SIGKILL at some point every acknowledged append is there, each run gapless, each append whole."""
    path = tmp_path / "golive.db"
    process = subprocess.Popen([sys.executable, "-c", APPENDS_FOR_EVER, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = b"".join(process.stdout.readline() for _ in range(lines))
    process.send_signal(signal.SIGKILL)
    output += process.stdout.read()
    assert process.wait(timeout=30) == -signal.SIGKILL
    process.stdout.close()
    acknowledged: dict[str, int] = {}
    for line in output[: output.rindex(b"\n")].decode().splitlines():
        run, seq = line.split()
        acknowledged[run] = int(seq)

    async def check() -> None:
        store = SqliteStore.open(path, clock=SystemClock())
        tenant = store.tenant("acme")
        for number in range(30):
            run = f"run_{number}"
            found = [event.seq for event in await tenant.events(run, limit=1_000_000)]
            assert found == list(range(1, len(found) + 1))
            assert len(found) >= acknowledged.get(run, 0)
            assert len(found) % 3 == 0
            assert await tenant.spent(run) == len(found) // 3
            shown = await tenant.run(run)
            assert (shown.steps if shown else 0) == len(found)
        taken = await store.acquire("acme", next(iter(acknowledged)), "after")
        assert taken is not None
        assert taken.epoch == 2
        await store.close()

    asyncio.run(check())


PUTS_KEYS = """
import asyncio, sys
from golive.core.clock import SystemClock
from golive.store.sqlite import SqliteStore
from tests.contract.store_kit import key

async def main(path):
    store = SqliteStore.open(path, clock=SystemClock())
    for number in range(20):
        await store.tenant("acme").put_key(key(f"key_{number}"))
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


async def test_the_cli_writes_keys_beside_a_busy_server(tmp_path: Path) -> None:
    """Another process gets its turn among a flood of appends, loses none of them, and its changes are seen."""
    store = SqliteStore.open(tmp_path / "golive.db", clock=SystemClock())
    before = await store.control_version()
    done = asyncio.Event()

    async def flood(run: str) -> int:
        of, seq = lease(run), 0
        while not done.is_set():
            await store.append(of, seq, events(range(seq + 1, seq + 3), of), views=[view(of)])
            seq += 2
        return seq

    async with Tasks("flood") as tasks:
        floods = [tasks.start(flood(f"run_{number}"), "flood") for number in range(20)]
        cli = await asyncio.create_subprocess_exec(sys.executable, "-c", PUTS_KEYS, str(tmp_path / "golive.db"))
        code = await cli.wait()
        done.set()
    assert code == 0
    assert await store.control_version() == before + 20
    assert sorted(k.id for k in await store.all_keys()) == sorted(key(f"key_{n}").id for n in range(20))
    for number, task in enumerate(floods):
        assert task.result() > 0
        assert len(await store.tenant("acme").events(f"run_{number}", limit=1_000_000)) == task.result()
    await store.close()
