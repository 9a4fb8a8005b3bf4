"""A database that another process keeps locked: refused in time, told by health at once, and nothing done later."""

import asyncio
import sqlite3
from pathlib import Path

from tests.e2e.process_kit import RUNS, project
from tests.e2e.test_crash_disk import CHAT, RELAY, TALK, journals

SOON_S = 6.0
"""Well below the 10 s for which a write waits."""


async def test_a_locked_database_refuses_what_is_new_and_does_none_of_it_later(tmp_path: Path) -> None:
    """Runs and calls are 503 with Retry-After, though the lock is let go of right after; health and readiness answer
    while all of them wait; afterwards there are those runs that were answered as accepted, and the server works on."""
    async with project(tmp_path) as served:
        await served.serve()
        other = sqlite3.connect(served.root / ".golive" / "golive.db", isolation_level=None)
        async with served.client() as http:
            other.execute("BEGIN IMMEDIATE")
            asked = ((RUNS, {"input": "Hi"}), (RUNS, {"input": "Hi", "background": True}), (CHAT, TALK),
                     (RUNS, {"input": "Hi", "stream": True}), (CHAT, RELAY))  # fmt: skip
            posts = [asyncio.ensure_future(http.post(path, json=body)) for path, body in asked]
            async with asyncio.timeout(SOON_S):
                async with http.get("/health/ready") as ready:
                    assert (ready.status, ready.headers["retry-after"]) == (503, "1")
                async with http.get("/health") as health:
                    assert health.status == 503
                    (store,) = [one for one in (await health.json())["dependencies"] if one["kind"] == "store"]
                assert store["state"] == "down"
                assert "did not answer within 1.5 s" in store["detail"]
                async with http.get("/health/live") as live:
                    assert live.status == 200
            assert not any(post.done() for post in posts)
            first, _ = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
            other.execute("ROLLBACK")  # what was refused once must not be written now
            assert {post.result().status for post in first} == {503}
            accepted = set()
            for answer in [await post for post in posts]:
                told = await answer.text()
                if answer.status == 503:
                    assert answer.headers["retry-after"] == "1"
                    assert "store.unavailable" in told
                    assert "locked" in told
                else:  # it was still waiting, and its turn came
                    accepted.add(answer.headers["x-request-id"])
            async with http.post(RUNS, json={"input": "Hi"}) as after:
                assert after.status == 200
                accepted.add(after.headers["x-request-id"])
            async with http.get("/health/ready") as ready:
                assert ready.status == 200
            async with http.get("/v1/runs") as runs:
                assert {row["run"] for row in (await runs.json())["data"]} == accepted
        other.close()
        assert await served.stop() == 0
        assert set(await journals(served)) == accepted
