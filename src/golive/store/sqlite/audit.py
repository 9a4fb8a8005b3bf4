"""The audit log in a SQLite file: one writer, so that a chain is read, continued and written in one transaction.

Text is read as bytes: a column that somebody tampered with may be no UTF-8, and must be told of, not choked on.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from msgspec.structs import astuple

from golive.store.audit import (
    FIELDS,
    GENESIS,
    AuditCheckpoint,
    AuditEntry,
    AuditFilter,
    AuditHead,
    AuditRow,
    AuditStore,
    TenantAudit,
    by_tenant,
    by_time,
    chained,
    conditions,
    order,
)

T = TypeVar("T")

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_TEXT = frozenset(FIELDS) - {"seq", "at_us", "hash"}
_READ = ", ".join(f"CAST({name} AS BLOB)" if name in _TEXT else name for name in FIELDS)
_ADD = f"INSERT INTO audit ({', '.join(FIELDS)}) VALUES ({', '.join('?' * len(FIELDS))})"
_MINE = "tenant = CAST(? AS TEXT)"
_ROWS = f"SELECT {_READ} FROM audit WHERE {_MINE} AND seq > ? ORDER BY seq LIMIT ?"
_AT = f"SELECT at_us FROM audit WHERE {_MINE} AND seq = ?"
_HEAD = f"SELECT seq, hash FROM audit_heads WHERE {_MINE}"
_HEADS = "SELECT CAST(tenant AS BLOB), seq, hash FROM audit_heads ORDER BY tenant"
_TENANTS = """
SELECT CAST(tenant AS BLOB) FROM audit_heads UNION SELECT CAST(tenant AS BLOB) FROM audit_checkpoints
UNION SELECT DISTINCT CAST(tenant AS BLOB) FROM audit ORDER BY 1
"""
_MOVE = """
INSERT INTO audit_heads (tenant, seq, hash) VALUES (?, ?, ?)
ON CONFLICT (tenant) DO UPDATE SET seq = excluded.seq, hash = excluded.hash
"""
_MARKS = AuditCheckpoint.__struct_fields__
_MARK_TEXT = frozenset({"tenant", "kind", "key_id"})
_READ_MARK = ", ".join(f"CAST({name} AS BLOB)" if name in _MARK_TEXT else name for name in _MARKS)
_CHECKPOINTS = f"""
SELECT {_READ_MARK} FROM audit_checkpoints WHERE {_MINE} AND (seq > ? OR kind = 'pruned') ORDER BY seq, kind
"""
_PUT = f"INSERT OR IGNORE INTO audit_checkpoints ({', '.join(_MARKS)}) VALUES ({', '.join('?' * len(_MARKS))})"
_OLD = """
DELETE FROM audit WHERE tenant = ?1 AND seq IN (SELECT seq FROM audit WHERE tenant = ?1 AND seq <= ?2
ORDER BY seq LIMIT ?3)
"""
_OLD_MARKS = """
DELETE FROM audit_checkpoints WHERE tenant = ?1 AND (seq < ?2 OR (seq = ?2 AND kind <> 'pruned'))
"""


class ReadWrite(Protocol):
    """What the log needs of the store."""

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T: ...

    def call(self, work: Callable[[sqlite3.Connection], T]) -> Awaitable[T]: ...


class SqliteAudit(AuditStore):
    """Keeps `store.audit.AuditStore`."""

    def __init__(self, store: ReadWrite) -> None:
        self._store = store

    def tenant(self, tenant: str) -> "SqliteTenantAudit":
        """What can be read of one tenant's chain."""
        return SqliteTenantAudit(self._store, tenant)

    async def append(self, entries: Sequence[AuditEntry]) -> list[AuditHead]:
        """See `AuditStore.append`."""
        return await self._store.call(lambda connection: _append(connection, entries))

    async def heads(self) -> list[AuditHead]:
        """See `AuditStore.heads`."""
        rows = await self._store.read(lambda connection: connection.execute(_HEADS).fetchall())
        return [AuditHead(_text(row[0]), *row[1:]) for row in rows]

    async def tenants(self) -> list[str]:
        """See `AuditStore.tenants`."""
        rows = await self._store.read(lambda connection: connection.execute(_TENANTS).fetchall())
        return [_text(row[0]) for row in rows]

    async def put_checkpoint(self, row: AuditCheckpoint) -> None:
        """See `AuditStore.put_checkpoint`."""
        await self._store.call(lambda connection: connection.execute(_PUT, astuple(row)).rowcount)

    async def prune(self, mark: AuditCheckpoint, limit: int) -> int:
        """See `AuditStore.prune`."""

        def go(connection: sqlite3.Connection) -> int:
            connection.execute(_PUT, astuple(mark))
            removed = connection.execute(_OLD, (mark.tenant, mark.seq, limit)).rowcount
            connection.execute(_OLD_MARKS, (mark.tenant, mark.seq))
            return removed

        return await self._store.call(go)


def _append(connection: sqlite3.Connection, entries: Sequence[AuditEntry]) -> list[AuditHead]:
    heads: list[AuditHead] = []
    for tenant, mine in by_tenant(entries).items():
        found = connection.execute(_HEAD, (tenant.encode(),)).fetchone() or (0, GENESIS)
        rows = chained(AuditHead(tenant, *found), mine)
        connection.executemany(_ADD, map(astuple, rows))
        heads.append(AuditHead(tenant, rows[-1].seq, rows[-1].hash))
        connection.execute(_MOVE, astuple(heads[-1]))
    return heads


class SqliteTenantAudit(TenantAudit):
    """Keeps `store.audit.TenantAudit`."""

    def __init__(self, store: ReadWrite, tenant: str) -> None:
        self._store = store
        self._tenant = tenant

    async def rows(self, after_seq: int = 0, limit: int = 1_000) -> list[AuditRow]:
        """See `TenantAudit.rows`."""
        return [_row(row) for row in await self._fetch(_ROWS, after_seq, max(0, limit))]

    async def head(self) -> AuditHead:
        """See `TenantAudit.head`."""
        rows = await self._fetch(_HEAD)
        return AuditHead(self._tenant, *(rows[0] if rows else (0, GENESIS)))

    async def search(self, where: AuditFilter) -> list[AuditRow]:
        """See `TenantAudit.search`."""
        at: list[Any] = []
        if by_time(where) and where.before is not None:
            at = await self._fetch(_AT, where.before)
        sql, values = searching(where, at[0][0] if at else None)
        return [_row(row) for row in await self._fetch(sql, *values)]

    async def checkpoints(self, after_seq: int = 0) -> list[AuditCheckpoint]:
        """See `TenantAudit.checkpoints`."""
        return [AuditCheckpoint(*_told(_MARKS, _MARK_TEXT, row)) for row in await self._fetch(_CHECKPOINTS, after_seq)]

    async def _fetch(self, sql: str, *values: Any) -> list[Any]:
        tenant = self._tenant.encode("utf-8", "surrogateescape")
        return await self._store.read(lambda connection: connection.execute(sql, (tenant, *values)).fetchall())


def searching(where: AuditFilter, before_us: int | None = None) -> tuple[str, list[Any]]:
    """The statement of a search, and its values behind the tenant; `before_us` as in `store.audit.conditions`."""
    values: list[Any] = []
    sql = f"SELECT {_READ} FROM audit WHERE {_MINE}"
    for condition, of_it in conditions(where, before_us):
        sql += f" AND {condition.format(*'?' * len(of_it))}"
        values += of_it
    return f"{sql} ORDER BY {order(where)} LIMIT ?", [*values, max(0, where.limit)]


def _row(row: Sequence[Any]) -> AuditRow:
    return AuditRow(*_told(FIELDS, _TEXT, row))


def _told(names: Sequence[str], texts: frozenset[str], row: Sequence[Any]) -> Iterator[Any]:
    return (_text(value) if name in texts else value for name, value in zip(names, row, strict=True))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
