"""Old runs are found by an index on when they finished: pruning a large store reads no more than it removes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from golive.core.clock import SystemClock
from golive.store.postgres import removal as postgres_removal
from golive.store.sqlite import SqliteStore
from golive.store.sqlite import removal as sqlite_removal
from tests.postgres_kit import Database

INDEX = "runs_finished"
MANY = 20_000
ROW = """
INSERT INTO runs (tenant, run, branch, version, epoch, agent, version_name, source, principal, state, created_at,
    finished_at, steps, tool_calls, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost_microusd,
    priced) SELECT 't', 'run_' || n, '', 'v', 1, 'a', '1', 'agent', 'p', 'finished', n, n, 1, 0, 1, 0, 1, 0, 9, {true}
"""
"""From `n`, one run after another, each a second later than the last."""


@pytest.fixture
def database() -> Iterator[Database]:
    made = Database()
    yield made
    made.drop()


def test_sqlite_finds_old_runs_by_the_index(tmp_path: Path) -> None:
    """Without statistics, as a server has none."""
    store = SqliteStore.open(tmp_path / "golive.db", clock=SystemClock(), inline=True)
    with closing(sqlite3.connect(tmp_path / "golive.db")) as connection:
        numbers = f"WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {MANY}) "
        connection.execute(numbers + ROW.format(true="1") + " FROM s")
        of_all = plan(connection, sqlite_removal._OLD_OF_ALL, (50.0, 500, "[]"))
        of_one = plan(connection, sqlite_removal._OLD_OF_ONE, (50.0, 500, "t"))
        users = plan(connection, sqlite_removal._OF_USER, ("t", 500, "ann"))
    del store
    assert f"SEARCH runs USING INDEX {INDEX} (finished_at<?)" in of_all
    assert "SEARCH runs USING PRIMARY KEY (tenant=?)" in of_one
    assert [line.split(" (")[0] for line in users if line.startswith(("SEARCH", "SCAN"))] == [
        "SEARCH leases USING COVERING INDEX leases_by_user", "SEARCH runs USING COVERING INDEX runs_by_user",
    ]  # fmt: skip


def plan(connection: sqlite3.Connection, sql: str, values: tuple[object, ...]) -> list[str]:
    found = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert not [line for line in found if line.startswith("SCAN runs")]
    return found


async def test_postgresql_finds_old_runs_by_the_index(database: Database) -> None:
    """With the statement that prunes, whole."""
    store = await database.open()
    connection = await asyncpg.connect(database.url)
    await connection.execute(ROW.format(true="true") + f" FROM generate_series(1, {MANY}) AS s (n)")
    await connection.execute("ANALYZE runs")
    sql = postgres_removal._PRUNE.replace("$1", "50.0").replace("$2", "500")
    sql = sql.replace("$3", "NULL").replace("$4", "'{}'")
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}"))
    await connection.close()
    await store.close()
    assert f"using {INDEX} on runs" in plan or f"on {INDEX}" in plan
    assert "Seq Scan on runs" not in plan
