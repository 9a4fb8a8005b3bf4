"""Erasing beside a server that is at work: what it carries of the erased ends, and nothing of it comes back."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from golive.checklist.twin import Twin
from golive.checklist.twin_config import STORE_FILE
from golive.sim.script import FOREVER, Script
from tests.e2e.check_kit import project, twin_of

WAIT_S = 20.0
STALLED = Script(
    text="The ferry leaves at seven and crosses the sound. " * 8, pace_ms=2.0, stall_after=10, stall_ms=FOREVER
)


@pytest.fixture
async def twin(tmp_path: Path) -> AsyncIterator[Twin]:
    async with twin_of(project(tmp_path / "project")) as found:
        yield found


async def begun(twin: Twin, user: str) -> str:
    """A run in the user's name that stands in the middle of its answer."""
    await twin.simulator.play(STALLED)
    body = {"input": f"This is {user}.", "background": True, "user": user}
    run = str((await twin.send("POST", f"/v1/agents/{twin.agent}/runs", body)).json()["run"])
    await until(lambda: rows(twin, "SELECT 1 FROM events WHERE run = ? AND kind = 'text.block'", run))
    return run


def rows(twin: Twin, sql: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(twin.folder / STORE_FILE, timeout=10.0)) as connection:
        return connection.execute(sql, values).fetchall()


async def until(holds: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.05)


async def command(twin: Twin, *words: str) -> tuple[int, Any]:
    config = ["--json", "--config", str(twin.folder / "golive.toml")]
    code, out, err = await twin.process.also([*words, *config], 60.0)
    return code, json.loads(out) if out.strip() else err


async def test_a_run_in_mid_answer_ends_when_its_user_is_erased_by_a_command(twin: Twin) -> None:
    """The server loses the rows under its hands: it lets go, serves the others on, and writes nothing more of it."""
    anns, bens = await begun(twin, "ann"), await begun(twin, "ben")
    code, report = await command(twin, "users", "erase", "ann", "--confirm", "ann")
    assert (code, report["proved"], set(report["standing"].values())) == (0, True, {0}), report
    await twin.simulator.calm()
    assert (await twin.send("GET", f"/v1/runs/{anns}")).status == 404
    assert (await twin.send("GET", f"/v1/runs/{bens}")).json()["state"] == "running"
    refused = await twin.send("POST", f"/v1/agents/{twin.agent}/runs", {"input": "Again.", "user": "ann"})
    assert refused.status == 403
    await twin.send("POST", f"/v1/runs/{bens}/cancel", {})
    async with asyncio.timeout(WAIT_S):  # then it carries nothing, so nothing is on its way to the store
        while "golive_open_runs 0.0" not in (await twin.send("GET", "/metrics")).body.decode():
            await asyncio.sleep(0.05)
    for table in ("events", "leases", "runs", "outbox", "decisions"):
        assert rows(twin, f"SELECT count(*) FROM {table} WHERE run = ?", anns) == [(0,)]
    assert (await twin.send("GET", f"/v1/runs/{bens}")).json()["outcome"] == "cancelled"
    assert (await twin.send("GET", "/health/ready")).status == 200


def log(twin: Twin, word: str) -> list[str]:
    return [line for line in twin.process.log_file.read_text().splitlines() if word in line]


async def test_over_the_api_the_run_is_cancelled_first_and_its_readers_are_told(twin: Twin) -> None:
    """Who follows it sees it end, before its rows go; the report counts it; metrics and log tell of it."""
    run = await begun(twin, "ann")
    seen: list[bytes] = []

    async def read() -> None:
        async with twin.stream("GET", f"/v1/runs/{run}/events") as stream:
            async for _ in stream.events():
                seen[:] = [bytes(stream.body)]

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0.2)
    report = (await twin.send("POST", "/v1/users/ann/erase", {"confirm": "ann"}, timeout_s=60.0)).json()
    assert (report["proved"], report["removed"]["runs"]) == (True, 1), report
    await asyncio.wait_for(reading, WAIT_S)
    assert b"cancelled" in seen[0]
    metrics = (await twin.send("GET", "/metrics")).body.decode()
    assert 'golive_erasures_total{kind="user",outcome="proved"} 1.0' in metrics
    assert "golive_erasures_unfinished 0.0" in metrics
    assert [json.loads(line)["event"] for line in log(twin, '"erasure.')] == ["erasure.begun", "erasure.finished"]
    code, found = await command(twin, "audit", "search", "--verb", "users.erase")
    assert code == 0
    assert {entry["outcome"] for entry in found["data"]} >= {"allowed", "done"}


async def test_the_list_of_erasures_and_exports_are_lines_of_json(twin: Twin) -> None:
    """As `golive store restore --erasures` takes the one; the other says how much it held."""
    await twin.simulator.calm()
    await twin.run("This is ann.", user="ann")
    config = ["--config", str(twin.folder / "golive.toml")]
    code, out, err = await twin.process.also(["users", "export", "ann", *config], 60.0)
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert "This is ann." in out
    assert lines[-1]["end"]["run"] == 1
    reply = await twin.send("GET", "/v1/users/ann/export")
    assert json.loads(reply.body.splitlines()[-1]) == lines[-1]
    await command(twin, "users", "erase", "ann", "--confirm", "ann")
    code, out, _ = await twin.process.also(["tenants", "erasures", *config], 60.0)
    [one] = [json.loads(line) for line in out.splitlines()]
    assert (code, one["tenant"], one["user"]) == (0, "default", "ann")
    assert one["erased_at"] > 0
    code, out, _ = await twin.process.also(["tenants", "erasures", "--unfinished", *config], 60.0)
    assert (code, out) == (0, "")
