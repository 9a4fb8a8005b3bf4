"""`golive run` without a server has one of its own for its one run: what others left behind is none of its business."""

import asyncio
import sys
from pathlib import Path

from golive.core.clock import SystemClock
from golive.store.postgres import PostgresStore
from golive.store.sqlite import SqliteStore
from tests.e2e.process_kit import RUNS, Project, project
from tests.postgres_kit import Database

HELD = "SELECT holder FROM holders WHERE until > extract(epoch FROM now())"


async def left_behind(on: Project) -> str:
    """The id of a run whose server was killed in the middle of it."""
    await on.serve()
    on.script("sim-talk", tokens=400, pace_ms=25)
    async with on.client() as http, http.post(RUNS, json={"input": "Hello", "background": True}) as answer:
        assert answer.status == 202
        run = str((await answer.json())["run"])
    async with asyncio.timeout(20):
        while not on.sent():
            await asyncio.sleep(0.02)
    await on.kill()
    return run


async def run_one(on: Project) -> None:
    """`golive run talk`, to its end."""
    on.script("sim-talk", turns=({"text": "Hello."},))
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "golive.cli.main", "run", "--config", str(on.root), "talk", "Hi", env=on.environ,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await command.communicate()
    assert (command.returncode, b"Hello." in out) == (0, True), err.decode()


async def test_a_command_of_one_run_takes_no_other_over(tmp_path: Path) -> None:
    """The run that a killed server left stays as it was; the next server goes on with it."""
    async with project(tmp_path) as on:
        orphan = await left_behind(on)
        await run_one(on)
        store = SqliteStore.open(tmp_path / ".golive/golive.db", clock=SystemClock())
        kinds = [event.kind for event in await store.tenant("default").events(orphan)]
        await store.close()
        assert (kinds.count("run.started"), "run.finished" in kinds) == (1, False)
        await on.serve()
        async with on.client() as http, asyncio.timeout(30):
            while (await (await http.get(f"/v1/runs/{orphan}")).json())["state"] != "finished":
                await asyncio.sleep(0.05)


async def test_beside_a_living_replica_of_the_same_name_it_ends_nobodys_hold(tmp_path: Path) -> None:
    """The command reads the replica's configuration, and is not that replica."""
    database = Database()
    async with project(tmp_path) as on:
        on.environ |= {
            "GOLIVE_STORE__URL": database.url,
            "GOLIVE_SERVER__REPLICA": "one",
            "GOLIVE_SERVER__LEASE_S": "60",
        }
        await on.serve()
        store = await PostgresStore.open(database.url, clock=SystemClock())
        before = {row[0] for row in await store.fetch(HELD)}
        await run_one(on)
        after = {row[0] for row in await store.fetch(HELD)}
        await store.close()
    database.drop()
    assert len(before) == 1
    assert before <= after
