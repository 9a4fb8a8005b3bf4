"""What leaves a SQLite file for good. Each function runs inside the writer's transaction.

What is erased is overwritten where it lay (`secure_delete`), and `wipe` empties the write-ahead log, in which pages of
before may stand. What was pruned is merely forgotten.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import msgspec

from golive.store.sqlite.connection import connect, failure
from golive.store.sqlite.tenancy import CONTROL_CHANGED

_WIPE_WAITS_MS = 1_000
"""How long emptying the write-ahead log waits for readers of an older state; writers wait behind it meanwhile."""
_BELONGING = ("events", "outbox", "decisions", "leases", "runs")

# ruff: noqa: S608 - what is put into these statements are names of our own tables, never a value
_OLD = """
SELECT tenant, run FROM runs WHERE {whose} AND state = 'finished' AND {finished_at} < ?1
    AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.tenant = runs.tenant AND outbox.run = runs.run AND state = 'due')
    AND NOT EXISTS (SELECT 1 FROM events WHERE rowid = (SELECT max(rowid) FROM events)
        AND events.tenant = runs.tenant AND events.run = runs.run)
LIMIT ?2
"""
"""The newest event stays, with its run: SQLite would give its place in the tail to another one."""
_OLD_OF_ALL = _OLD.format(whose="tenant NOT IN (SELECT value FROM json_each(?3))", finished_at="finished_at")
_OLD_OF_ONE = _OLD.format(whose="tenant = ?3", finished_at="+finished_at")
"""The plus keeps SQLite from the index on `finished_at`, in which the runs of all tenants stand."""

_OF_TENANT = """
SELECT run FROM leases WHERE tenant = ?1 UNION SELECT run FROM runs WHERE tenant = ?1 ORDER BY run LIMIT ?2
"""
_OF_USER = """
SELECT run FROM leases WHERE tenant = ?1 AND "user" = ?3 UNION SELECT run FROM runs WHERE tenant = ?1 AND "user" = ?3
ORDER BY run LIMIT ?2
"""
_NEWEST = "SELECT rowid FROM events ORDER BY rowid DESC LIMIT 1"
_KEEP_PLACE = """
INSERT INTO events (rowid, tenant, run, seq, epoch, branch, version, at, kind, body)
VALUES (?1, '', '', ?1, 1, '', '', 0, 'erased', x'')
"""
"""A row without content in the place of the newest event, lest the next one take it: who follows the journal has passed
that place already. It belongs to no tenant, and goes when there is a newer one."""
_PLACES_KEPT = "DELETE FROM events WHERE tenant = '' AND run = '' AND seq < ?"
_TENANT_TABLES = ("keys", "schedules", "tenant_credentials", "tenant_users", "tokens_revoked", "versions")


def prune(
    connection: sqlite3.Connection, finished_before: float, limit: int, tenant: str | None, but: Sequence[str]
) -> int:
    """See `Removes.prune`."""
    sql, whose = (_OLD_OF_ONE, tenant) if tenant is not None else (_OLD_OF_ALL, msgspec.json.encode(list(but)).decode())
    rows = connection.execute(sql, (finished_before, max(0, limit), whose)).fetchall()
    _remove(connection, rows)
    return len(rows)


def erase_runs(connection: sqlite3.Connection, tenant: str, user: str | None, limit: int) -> int:
    """See `Removes.erase_runs`."""
    values = (tenant, max(0, limit)) if user is None else (tenant, max(0, limit), user)
    rows = [(tenant, run) for (run,) in connection.execute(_OF_TENANT if user is None else _OF_USER, values)]
    with _overwriting(connection):
        newest = connection.execute(_NEWEST).fetchone()
        _remove(connection, rows)
        if user is None and len(rows) < limit:  # what is left has no lease, which nothing of golive's leaves behind
            for table in _BELONGING:
                connection.execute(f"DELETE FROM {table} WHERE tenant = ?", (tenant,))
        if newest is not None:
            connection.execute(_PLACES_KEPT, newest)
            if connection.execute(_NEWEST).fetchone() != newest:
                connection.execute(_KEEP_PLACE, newest)
    return len(rows)


def erase_tenant_rows(connection: sqlite3.Connection, tenant: str) -> dict[str, int]:
    """See `Removes.erase_tenant_rows`."""
    with _overwriting(connection):
        removed = {
            table: connection.execute(f"DELETE FROM {table} WHERE tenant = ?", (tenant,)).rowcount
            for table in _TENANT_TABLES
            if (table, tenant) != ("versions", "default")
        }
    connection.execute(CONTROL_CHANGED)
    return removed


def wipe(path: str) -> bool:
    """See `Removes.wipe`; on a connection of its own, outside of any transaction.

    Raises:
        StoreUnavailable: the file cannot be written.
    """
    try:
        with closing(connect(path)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {_WIPE_WAITS_MS}")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise failure(error, path) from error
    return not busy


def _remove(connection: sqlite3.Connection, runs: Sequence[tuple[str, str]]) -> None:
    for table in _BELONGING:
        connection.executemany(f"DELETE FROM {table} WHERE tenant = ? AND run = ?", runs)


@contextmanager
def _overwriting(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        connection.execute("PRAGMA secure_delete = OFF")
