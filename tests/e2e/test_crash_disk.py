"""A disk that is full, read-only or taken: refused in words, nothing acknowledged lost, and work goes on by itself."""

import asyncio
import os
import resource
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from golive.core.clock import SystemClock
from golive.store.sqlite.store import SqliteStore
from tests.e2e.gateway_kit import sse
from tests.e2e.process_kit import RUNS, Project, project, whole

CHAT = "/v1/chat/completions"
FULL = 4_096
"""Bytes that a file may have at a full disk: less than any of ours has already."""
TALK = {"model": "talk", "messages": [{"role": "user", "content": "Hi"}]}
RELAY = {**TALK, "model": "sim/sim-plain"}
IMPATIENT = {"GOLIVE_SERVER__STORE_PATIENCE_S": "5"}
"""Runs that cannot write are given up after so long, instead of a minute."""


async def listed(http: aiohttp.ClientSession) -> list[dict[str, Any]]:
    """The newest runs."""
    async with http.get("/v1/runs") as response:
        assert response.status == 200
        rows: list[dict[str, Any]] = (await response.json())["data"]
        return rows


async def journals(served: Project) -> dict[str, Any]:
    """Every run of the store as its journal tells it, read without the server."""
    store = SqliteStore.open(served.root / ".golive" / "golive.db", clock=SystemClock())
    found: dict[str, Any] = {}
    rows = await store.read(lambda c: c.execute("SELECT run, seq, kind FROM events ORDER BY run, seq").fetchall())
    for run, seq, kind in rows:
        found.setdefault(run, []).append(kind)
        assert seq == len(found[run]), f"a gap in {run}"
    await store.close()
    return found


async def test_a_disk_that_fills_up_under_running_runs(tmp_path: Path) -> None:
    """New runs and calls are 503 with words; streams end with an error; waiting requests are told to ask later; once
    there is space all of them are there, whole, without a restart."""
    async with project(tmp_path) as served:
        served.environ |= IMPATIENT
        served.script("sim-talk", tokens=160, pace_ms=25)
        served.script("sim-plain", tokens=160, pace_ms=25)
        await served.serve()
        async with served.client() as http:
            stream = await http.post(RUNS, json={"input": "Hi", "stream": True})
            run = stream.headers["x-request-id"]
            shown = await sse(stream, "text.delta")
            posts = [
                asyncio.ensure_future(http.post(path, json=body))
                for path, body in ((RUNS, {"input": "Hi"}), (CHAT, TALK), (CHAT, RELAY))
            ]
            relayed = await http.post(CHAT, json={**RELAY, "stream": True})
            await relayed.content.readline()
            async with asyncio.timeout(30):
                while len(await listed(http)) < 5:
                    await asyncio.sleep(0.02)
            served.limit_files(FULL)
            for path, body in ((RUNS, {"input": "Hi"}), (RUNS, {"input": "Hi", "background": True}), (CHAT, TALK),
                               (CHAT, RELAY), (RUNS, {"input": "Hi", "stream": True})):  # fmt: skip
                async with http.post(path, json=body) as refused:
                    told = await refused.text()
                    assert (refused.status, refused.headers["retry-after"]) == (503, "1"), told
                    assert "store.unavailable" in told
                    assert "by itself" in told
            async with http.get("/health/ready") as ready:
                assert ready.status == 503
            assert len(await listed(http)) == 5, "what is there can still be read"
            shown += await sse(stream)
            assert shown[-1][1] == "error"
            assert shown[-1][2]["code"] == "store.unavailable"
            run_post, agent_post, relay_post = await asyncio.gather(*posts)
            assert [post.status for post in (run_post, agent_post, relay_post)] == [503, 503, 503]
            waited = await run_post.json()
            assert waited["run"] == run_post.headers["x-request-id"]
            assert f"GET /v1/runs/{waited['run']}" in waited["remedy"]
            assert agent_post.headers["x-should-retry"] == "false", "a second run would do everything twice"
            rest = await relayed.text()
            assert '"error"' in rest
            assert "[DONE]" not in rest
            async with http.get(f"/v1/runs/{run}") as response:
                assert (await response.json())["outcome"] is None, "nobody is told of an end that a crash would undo"

            served.limit_files(resource.RLIM_INFINITY)
            async with asyncio.timeout(15):
                runs = await listed(http)
                while not all(row["state"] == "finished" for row in runs):
                    await asyncio.sleep(0.1)
                    runs = await listed(http)
            assert len(runs) == 5
            assert {row["outcome"] for row in runs} <= {"completed", "failed"}
            assert all(row["cost_microusd"] for row in runs if row["outcome"] == "completed")
            async with http.get(f"/v1/runs/{run}") as response:
                result = await response.json()
            text = "".join(data["text"] for _, name, data in shown if name == "text.delta")
            assert (result["outcome"], result["text"]) == ("completed", text)
            headers = {"Last-Event-ID": shown[-1][0]}
            async with http.get(f"/v1/runs/{run}/events", headers=headers) as resumed:
                assert (await sse(resumed))[-1][1] == "run.finished"
            async with http.post(RUNS, json={"input": "Hi"}) as again:
                assert (await again.json())["outcome"] == "completed"
        assert await served.stop() == 0
        assert all(kinds[-1] == "run.finished" for kinds in (await journals(served)).values())


async def test_a_crash_while_the_disk_is_full(tmp_path: Path) -> None:
    """What could not be written is gone with the process, and was never called finished: the next server goes on."""
    async with project(tmp_path) as served:
        served.environ |= IMPATIENT
        served.script("sim-talk", tokens=4, pace_ms=100)
        await served.serve()
        async with served.client() as http:
            stream = await http.post(RUNS, json={"input": "Hi", "stream": True})
            run = stream.headers["x-request-id"]
            seen = await sse(stream, "text.delta")
            served.limit_files(FULL)
            seen += await sse(stream)
            assert seen[-1][1] == "error"
            async with http.get(f"/v1/runs/{run}") as response:
                assert (await response.json())["state"] == "running"
        await served.kill()
        await served.serve()
        headers = {"Last-Event-ID": seen[-2][0]}
        async with served.client() as http, http.get(f"/v1/runs/{run}/events", headers=headers) as response:
            seen = seen[:-1] + await sse(response)
        result = seen[-1][2]
        assert (result["outcome"], result["reason"]) == ("completed", "done")
        assert result["text"] == whole(seen)


async def test_a_log_on_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    """When only the log cannot be written, runs and requests go on; the first line after says how many were lost: the
    ends of three runs, and before them that the tenant's first one had a data key made."""
    async with project(tmp_path) as served:
        served.log_path.write_text("x" * 3_000_000 + "\n")
        await served.serve()
        async with served.client() as http:
            served.limit_files(2_900_000)
            for _ in range(3):
                async with http.post(RUNS, json={"input": "Hi", "stream": True}) as stream:
                    assert (await sse(stream))[-1][2]["outcome"] == "completed"
            served.limit_files(resource.RLIM_INFINITY)
            async with http.post(RUNS, json={"input": "Hi"}) as response:
                assert response.status == 200
        assert await served.stop() == 0
        told = served.log()
        assert [line["lines"] for line in told if line["event"] == "log.lost"] == [4]
        events = [line["event"] for line in told]
        assert (events.count("data_key.created"), events.count("run.finished")) == (0, 1)


async def test_a_start_on_a_full_disk_says_so(tmp_path: Path) -> None:
    """No traceback: one message that names the file and what to do, and exit code 1."""
    async with project(tmp_path) as served:
        await served.serve()
        assert await served.stop() == 0
        read, write = os.pipe()
        process = await served.spawn(
            preexec=lambda: (
                os.dup2(write, 2),  # the log's file cannot grow either
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)),
            )[0]  # type: ignore[func-returns-value]
        )
        os.close(write)
        async with asyncio.timeout(20):
            code = await process.wait()
        told = os.read(read, 65_536).decode()
        os.close(read)
        assert code == 1, told
        assert told.startswith("error: ")
        assert "golive.db" in told
        assert "Traceback" not in told


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("folder", "folder"),
        ("/dev/full", "full"),
        ("/proc/golive.db", "/proc/golive.db"),
        ("golive.toml", "not a SQLite database"),
        ("golive.toml/golive.db", "golive.toml"),
        ("a\\u0000b", "store.url"),
    ],
)
async def test_a_store_that_cannot_be_is_told_at_the_start(tmp_path: Path, place: str, words: str) -> None:
    """A folder, a full device, a read-only file system, another program's file: one message with path and remedy."""
    (tmp_path / "folder").mkdir()
    async with project(tmp_path, f'\n[store]\nurl = "sqlite:{place}"\n') as served:
        process = await served.spawn()
        async with asyncio.timeout(20):
            assert await process.wait() == 1
        told = served.log_path.read_text()
        assert told.startswith("error: ")
        assert words in told
        assert "Traceback" not in told
        assert len(told.splitlines()) <= 2, "what is wrong, and what to do"


async def test_a_second_server_on_one_store_is_refused(tmp_path: Path) -> None:
    """It would end the first one's runs as left over: it is told whose the store is; the first goes on undisturbed."""
    async with project(tmp_path) as served:
        served.script("sim-talk", tokens=40, pace_ms=25)
        await served.serve()
        async with served.client() as http, http.post(RUNS, json={"input": "Hi", "stream": True}) as stream:
            await sse(stream, "text.delta")
            second = await served.spawn()
            async with asyncio.timeout(20):
                assert await second.wait() == 1
            assert (await sse(stream))[-1][2]["outcome"] == "completed"
        assert served.process is not None
        told = next(line for line in served.log_path.read_text().splitlines() if line.startswith("error: "))
        assert f"process {served.process.pid}" in told
        await served.kill()
        await served.serve()  # the lock went with the process
