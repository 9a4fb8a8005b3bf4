"""Old runs are found by an index on when they finished: pruning a large store reads no more than it removes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from golive.core.clock import SystemClock
from golive.store.postgres import work as postgres_work
from golive.store.sqlite import SqliteStore
from golive.store.sqlite import work as sqlite_work
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
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sqlite_work._OLD}", (50.0, 500))]
    del store
    assert f"SEARCH runs USING INDEX {INDEX} (finished_at<?)" in plan
    assert not [line for line in plan if line.startswith("SCAN runs")]


async def test_postgresql_finds_old_runs_by_the_index(database: Database) -> None:
    """With the statement that prunes, whole."""
    store = await database.open()
    connection = await asyncpg.connect(database.url)
    await connection.execute(ROW.format(true="true") + f" FROM generate_series(1, {MANY}) AS s (n)")
    await connection.execute("ANALYZE runs")
    sql = postgres_work.PRUNE.replace("$1", "50.0").replace("$2", "500")
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}"))
    await connection.close()
    await store.close()
    assert f"using {INDEX} on runs" in plan or f"on {INDEX}" in plan
    assert "Seq Scan on runs" not in plan
