"""Searching the audit log by time, and finding data keys by whose they are, reads what is asked for and no more."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from golive.core.clock import SystemClock
from golive.store import erasures
from golive.store.audit import AuditFilter
from golive.store.postgres import audit as postgres_audit
from golive.store.postgres import data_keys as postgres_keys
from golive.store.sqlite import SqliteStore
from golive.store.sqlite import audit as sqlite_audit
from golive.store.sqlite import data_keys as sqlite_keys
from golive.store.sqlite.erasures import _BY_SUBJECT
from tests.postgres_kit import Database

MANY = 20_000
ENTRIES = """
INSERT INTO audit (tenant, seq, at_us, actor, home, verb, kind, name, outcome, source, route, detail, hash)
SELECT 't', n, n * {second}, 'cli', 't', 'keys.manage', 'key', 'k', 'done', '', '', '{{}}', {blob} FROM {numbers}
"""
"""An entry each second."""
KEYS = """
INSERT INTO data_keys (tenant, id, scope, subject, wrapped, master, reserved, created_at)
SELECT 't', 'dk_' || n, CASE WHEN n = 1 THEN 'tenant' ELSE 'user' END, CASE WHEN n = 1 THEN '' ELSE 'u' || n END,
    {blob}, 'm', 0, n FROM {numbers}
"""
"""One of the tenant and one of each of its users."""
SEARCHES = {
    "since": AuditFilter(since=19_990.0, verb="no.such"),
    "until": AuditFilter(until=10.0),
    "both": AuditFilter(since=9_000.0, until=9_010.0, actor="nobody"),
}
IN_WINDOW = {"since": 11, "until": 9, "both": 10}
"""How many entries stand between the two times."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "golive.db"
    store = SqliteStore.open(path, clock=SystemClock(), inline=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        numbers = f"WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {MANY}) "
        for rows in (ENTRIES, KEYS):
            connection.execute(numbers + rows.format(blob="x'00'", numbers="s", second=1_000_000))
    del store
    return path


@pytest.fixture
def connection(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file)) as opened:
        yield opened


def plan(connection: sqlite3.Connection, sql: str, values: tuple[object, ...] | list[object]) -> list[str]:
    found = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    return [line for line in found if line.startswith(("SEARCH", "SCAN", "USE"))]


@pytest.mark.parametrize("asked", SEARCHES)
def test_sqlite_searches_the_audit_log_within_the_times(connection: sqlite3.Connection, asked: str) -> None:
    """Without statistics, as a server has none: along the index, in its order, nothing sorted and nothing scanned."""
    sql, values = sqlite_audit.searching(SEARCHES[asked])
    [line] = plan(connection, sql, ["t", *values])
    assert line.startswith("SEARCH audit USING INDEX audit_by_time (tenant=? AND at_us")


@pytest.mark.parametrize("asked", SEARCHES)
def test_sqlite_reads_no_entry_outside_the_times(connection: sqlite3.Connection, asked: str) -> None:
    """Counted by what the database does: as much work as in a log of the window's entries, be there 20,000 more."""
    sql, values = sqlite_audit.searching(SEARCHES[asked])
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(step, 10)
    connection.execute(sql, ["t", *values]).fetchall()
    assert steps * 10 < 100 + 60 * IN_WINDOW[asked]


def test_sqlite_goes_on_behind_an_entry_without_reading_the_pages_before(connection: sqlite3.Connection) -> None:
    """Page after page of a wide window costs no more than the first."""
    sql, values = sqlite_audit.searching(AuditFilter(since=1.0, before=9_000), 9_000_000_000)
    assert plan(connection, sql, ["t", *values])[0].startswith("SEARCH audit USING INDEX audit_by_time (tenant=? AND ")
    assert [row[1] for row in connection.execute(sql, ["t", *values])] == list(range(8_999, 8_949, -1))


@pytest.mark.parametrize(
    ("sql", "values", "index"),
    [
        (sqlite_keys._PRESENT_ROW, ("t", "u7"), "INDEX data_keys_"),
        (sqlite_keys._PRESENT, ("t", "user", "u7"), "INDEX data_keys_"),
        (sqlite_keys._ERASE_ONE, (1.0, "t", "user", "u7"), "INDEX data_keys_by_subject (tenant=? AND scope=? AND"),
        (sqlite_keys._ALL, (), "INDEX data_keys_of_tenants"),
        (sqlite_keys._ERASE_ALL, (1.0, "t"), "(tenant=?)"),
    ],
)
def test_sqlite_finds_a_users_key_among_many(
    connection: sqlite3.Connection, sql: str, values: tuple[object, ...], index: str
) -> None:
    """The one that counts, those to destroy, those of tenants among those of millions of users."""
    [line] = plan(connection, sql, values)
    assert index in line
    assert line.startswith("SEARCH") or sql == sqlite_keys._ALL


def test_sqlite_counts_a_users_keys_by_the_index(connection: sqlite3.Connection) -> None:
    """For the proof of an erasure."""
    lines = plan(connection, erasures.counting("u7", "t", ("?1", "?2"), _BY_SUBJECT), ("t", "u7"))
    [keys] = [line for line in lines if "data_keys" in line]
    assert keys.startswith("SEARCH data_keys USING INDEX data_keys_by_subject (tenant=? AND scope=?")


@pytest.fixture
def database() -> Iterator[Database]:
    made = Database()
    yield made
    made.drop()


def inlined(sql: str, values: list[object]) -> str:
    """EXPLAIN takes no parameters."""
    for place, value in reversed(list(enumerate(values, 1))):
        sql = sql.replace(f"${place}", f"'{value}'" if isinstance(value, str) else str(value))
    return sql


async def test_postgresql_reads_no_more_than_is_asked_for(database: Database) -> None:
    """With statistics, which autovacuum keeps; the rows that a plan's scan saw are counted by the database itself."""
    store = await database.open()
    connection = await asyncpg.connect(database.url)
    numbers = f"generate_series(1, {MANY}) AS s (n)"
    for rows in (ENTRIES, KEYS):
        await connection.execute(rows.format(blob="'x'::bytea", numbers=numbers, second="1000000::bigint"))
    await connection.execute("ANALYZE")

    async def explained(sql: str, *values: object) -> str:
        return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN (ANALYZE) {inlined(sql, list(values))}"))

    for asked, where in SEARCHES.items():
        sql, values = postgres_audit.searching(where)
        said = await explained(sql, "t", *values)
        assert "audit_by_time" in said, said
        removed = [int(line.split(":")[1]) for line in said.splitlines() if "Rows Removed by Filter" in line]
        assert sum(removed) <= IN_WINDOW[asked], said
    for sql, values, index in (
        (postgres_keys._PRESENT, ["t", "u7"], "data_keys_"),
        (postgres_keys._ERASE_ONE, [1.0, "t", "user", "u7"], "data_keys_by_subject"),
        (postgres_keys._ALL, [], "data_keys_of_tenants"),
        (erasures.counting("u7", "t", ("$1", "$2")), ["t", "u7"], "data_keys_by_subject"),
    ):
        said = await explained(sql, *values)
        assert index in said, said
        assert "Seq Scan on data_keys" not in said
    await connection.close()
    await store.close()
