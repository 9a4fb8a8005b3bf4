"""After an erasure over the API the server still holds its database: other processes take nothing from under it."""

import asyncio
from pathlib import Path
from typing import Any

from tests.e2e.process_kit import RUNS, Project, golive, project
from tests.untouched import locks_of

LEARN_S = 10.0


async def asked(served: Project, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
    async with served.client(key) as client, client.request(method, path, json=body) as response:
        return response.status, await response.json()


async def command(served: Project, *words: str) -> str:
    code, out, err = await golive(served.root, *words, environ=served.environ)
    assert code == 0, err
    return out.strip()


def locks(served: Project) -> tuple[int, int]:
    """Of the server, on the database and on the shared memory of its log."""
    assert served.process is not None
    path = served.root / ".golive" / "golive.db"
    return locks_of(served.process.pid, path), locks_of(served.process.pid, path.with_name("golive.db-shm"))


async def until_refused(served: Project, key: str) -> None:
    async with asyncio.timeout(LEARN_S):
        while (await asked(served, "GET", "/v1/agents", key=key))[0] != 401:
            await asyncio.sleep(0.05)


async def test_nothing_is_lost_after_an_erasure(tmp_path: Path) -> None:
    """A key that a command revokes is refused, and what was acknowledged survives kill -9: runs, keys, erasures."""
    async with project(tmp_path) as served:
        await served.serve()
        leaked = (await asked(served, "POST", "/v1/keys", {"name": "leaked", "role": "admin"}))[1]["key"]
        for user in ("ann", "ben"):
            assert (await asked(served, "POST", RUNS, {"input": f"This is {user}.", "user": user}))[0] == 200
        before, log = locks(served), tmp_path / ".golive" / "golive.db-wal"
        assert min(before) == 1
        status, report = await asked(served, "POST", "/v1/users/ann/erase", {"confirm": "ann"})
        assert (status, report["proved"], report["in_files"]) == (200, True, 0)
        assert locks(served) == before
        inode = log.stat().st_ino
        await command(served, "keys", "list")
        assert log.stat().st_ino == inode, "the command took the database for unused, and its log away"
        await command(served, "keys", "revoke", leaked[3:11])
        await until_refused(served, leaked)
        made = (await asked(served, "POST", "/v1/keys", {"name": "made"}))[1]["key"]
        run = (await asked(served, "POST", RUNS, {"input": "Accepted."}))[1]["run"]
        assert (await asked(served, "POST", "/v1/users/ben/erase", {"confirm": "ben"}))[1]["proved"]
        await served.kill()
        await served.serve()
        assert (await asked(served, "GET", f"/v1/runs/{run}"))[1]["outcome"] == "completed"
        assert (await asked(served, "GET", "/v1/agents", key=made))[0] == 200
        assert (await asked(served, "GET", "/v1/agents", key=leaked))[0] == 401
        assert [(await asked(served, "GET", f"/v1/users/{user}"))[1]["state"] for user in ("ann", "ben")] == [
            "erased", "erased",
        ]  # fmt: skip
        await command(served, "store", "verify")
        await command(served, "audit", "verify")
