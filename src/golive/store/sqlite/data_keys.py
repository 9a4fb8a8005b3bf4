"""Data keys in a SQLite file."""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from msgspec.structs import astuple

from golive.store.data_keys import DataKeyRow, DataKeyStore, Scope

T = TypeVar("T")

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_NAMES = ", ".join(DataKeyRow.__struct_fields__)
_INSTALLATION = "SELECT id FROM installation"
_ALL = f"SELECT {_NAMES} FROM data_keys ORDER BY tenant, id"
_ADD = f"INSERT OR IGNORE INTO data_keys ({_NAMES}) VALUES ({', '.join('?' * len(DataKeyRow.__struct_fields__))})"
_PRESENT = """
SELECT id FROM data_keys WHERE tenant = ? AND scope = ? AND subject = ? AND retired_at IS NULL AND erased_at IS NULL
"""
_RETIRE = "UPDATE data_keys SET retired_at = ? WHERE tenant = ? AND id = ?"
_RESERVE = """
UPDATE data_keys SET reserved = reserved + ?3
WHERE tenant = ?1 AND id = ?2 AND reserved + ?3 <= ?4 AND retired_at IS NULL AND erased_at IS NULL
"""
_REWRAP = """
UPDATE data_keys SET wrapped = ?, master = ? WHERE tenant = ? AND id = ? AND master = ? AND erased_at IS NULL
"""
_ERASE = """
UPDATE data_keys SET wrapped = x'', erased_at = ?1
WHERE tenant = ?2 AND erased_at IS NULL AND (?3 IS NULL OR (scope = ?3 AND subject = ?4))
"""
_CHANGED = "UPDATE installation SET control_version = control_version + 1"


class ReadWrite(Protocol):
    """What it needs of the store."""

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T: ...

    def call(self, work: Callable[[sqlite3.Connection], T]) -> Awaitable[T]: ...


class SqliteDataKeys(DataKeyStore):
    """Keeps `store.data_keys.DataKeyStore`."""

    def __init__(self, store: ReadWrite) -> None:
        self._store = store

    async def installation(self) -> str:
        """See `DataKeyStore.installation`."""
        return str(await self._store.read(lambda found: found.execute(_INSTALLATION).fetchone()[0]))

    async def all(self) -> list[DataKeyRow]:
        """See `DataKeyStore.all`."""
        return [DataKeyRow(*row) for row in await self._store.read(lambda found: found.execute(_ALL).fetchall())]

    async def add(self, row: DataKeyRow, replaces: str | None) -> bool:
        """See `DataKeyStore.add`."""
        return await self._store.call(lambda connection: _add(connection, row, replaces))

    async def reserve(self, tenant: str, id_: str, count: int, most: int) -> bool:
        """See `DataKeyStore.reserve`."""
        values = (tenant, id_, count, most)
        return bool(await self._store.call(lambda connection: connection.execute(_RESERVE, values).rowcount))

    async def rewrap(self, row: DataKeyRow, wrapped: bytes, master: str) -> bool:
        """See `DataKeyStore.rewrap`."""
        values = (wrapped, master, row.tenant, row.id, row.master)
        return bool(await self._store.call(lambda connection: _wiped(connection, _REWRAP, values)))

    async def erase(self, tenant: str, scope: Scope | None, subject: str, at: float) -> int:
        """See `DataKeyStore.erase`."""
        values = (at, tenant, scope, subject)
        return await self._store.call(lambda connection: _wiped(connection, _ERASE, values))


def _add(connection: sqlite3.Connection, row: DataKeyRow, replaces: str | None) -> bool:
    present = connection.execute(_PRESENT, (row.tenant, row.scope, row.subject)).fetchone()
    if (present[0] if present else None) != replaces:
        return False
    if connection.execute("SELECT 1 FROM data_keys WHERE tenant = ? AND id = ?", (row.tenant, row.id)).fetchone():
        return False
    if replaces is not None:
        connection.execute(_RETIRE, (row.created_at, row.tenant, replaces))
    connection.execute(_ADD, astuple(row))
    connection.execute(_CHANGED)
    return True


def _wiped(connection: sqlite3.Connection, sql: str, values: tuple[object, ...]) -> int:
    """Runs a change whose old bytes are not to stay in the file's free space; returns how many rows it changed."""
    connection.execute("PRAGMA secure_delete = ON")
    try:
        changed = connection.execute(sql, values).rowcount
    finally:
        connection.execute("PRAGMA secure_delete = OFF")
    if changed:
        connection.execute(_CHANGED)
    return changed
