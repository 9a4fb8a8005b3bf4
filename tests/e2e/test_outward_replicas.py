"""Three servers on one PostgreSQL database: each time of a schedule one run, each message sent by one of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from golive.core.clock import SystemClock
from golive.core.ids import derived
from golive.runtime.schedules import LOOK_S
from tests.e2e.process_kit import RUNS, Project, project
from tests.e2e.receiver_kit import SECRET, Receiver, receiving
from tests.e2e.test_schedules import YEARLY, until_runs
from tests.postgres_kit import Database


@asynccontextmanager
async def replicas(root: Path, number: int) -> AsyncIterator[tuple[Project, list[str], Receiver, Database]]:
    """So many servers' addresses; `Project.url` is that of the first."""
    database = await asyncio.to_thread(Database)
    more: list[asyncio.subprocess.Process] = []
    try:
        async with receiving() as receiver, project(root, YEARLY + receiver.hook("crm")) as served:
            served.environ |= {"GOLIVE_STORE__URL": database.url, "HOOK_SECRET": SECRET}
            served.script("sim-talk", turns=({"text": "A good year."},))
            await served.serve()
            urls = [served.url]
            try:
                for _ in range(number - 1):
                    more.append(await served.spawn())
                for process in more:
                    assert process.stdout is not None
                    async with asyncio.timeout(20):
                        urls.append(msgspec.json.decode(await process.stdout.readline())["url"])
                yield served, urls, receiver, database
            finally:
                for process in more:
                    process.kill()
                    await process.wait()
    finally:
        await asyncio.to_thread(database.drop)


async def test_one_run_for_each_time_and_one_message_for_each_run(tmp_path: Path) -> None:
    """All three awake at the time; and then thirty runs over all three, while each of them sends."""
    async with replicas(tmp_path, 3) as (served, urls, receiver, database):
        at = float(int(SystemClock().now() + LOOK_S + 2))
        server = database.server
        await asyncio.to_thread(server.psql, database.name, f"UPDATE schedules SET next_at = {at}")
        headers = {"Authorization": f"Bearer {served.key}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            for number in range(30):
                async with http.post(urls[number % 3] + RUNS, json={"input": "Hi"}) as answer:
                    assert answer.status == 200
        await receiver.until("crm", 31, LOOK_S + 20)
        rows = await until_runs(served, 31)
        (mine,) = [row for row in rows if row["principal"] == "schedule:yearly"]
        assert mine["run"] == derived("run", at, "default", "yearly")
        (begun,) = [line for line in served.log() if line["event"] == "schedule.run_begun"]
        assert (begun["run"], begun["late_s"] < 5) == (mine["run"], True)
        assert [line for line in served.log() if line["event"] in ("run.fault", "schedule.missed")] == []
        ids = [id_ for id_, _ in receiver.to("crm")]
        assert len(ids) == len(set(ids)) == 31
        assert {body["data"]["run"] for _, body in receiver.to("crm")} == {row["run"] for row in rows}
