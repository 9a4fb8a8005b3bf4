"""Data keys in a SQLite file."""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from msgspec import json
from msgspec.structs import astuple

from golive.store.data_keys import PLAIN_TENANT, DataKeyCount, DataKeyRow, DataKeyStore, Living, Scope, no_key_for

T = TypeVar("T")

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_NAMES = ", ".join(DataKeyRow.__struct_fields__)
_INSTALLATION = "SELECT id FROM installation"
_ALL = f"SELECT {_NAMES} FROM data_keys WHERE scope = 'tenant' ORDER BY tenant, id"
_GET = f"SELECT {_NAMES} FROM data_keys WHERE tenant = ? AND id = ?"
_PRESENT_ROW = f"""
SELECT {_NAMES} FROM data_keys
WHERE tenant = ? AND scope = 'user' AND subject = ? AND retired_at IS NULL AND erased_at IS NULL
"""
_USABLE = """
SELECT data_keys.tenant, data_keys.id FROM json_each(?1) AS asked JOIN data_keys
    ON data_keys.tenant = asked.value ->> 0 AND data_keys.id = asked.value ->> 1 AND erased_at IS NULL
"""
_COUNTS = """
SELECT tenant, scope, iif(erased_at IS NOT NULL, 'erased', iif(retired_at IS NULL, 'present', 'retired')) AS state,
    iif(erased_at IS NULL, master, '') AS under, count(*)
FROM data_keys GROUP BY tenant, scope, state, under ORDER BY tenant, scope, state, under
"""
_TO_REWRAP = f"""
SELECT {_NAMES} FROM data_keys WHERE erased_at IS NULL AND master <> ? ORDER BY tenant, id LIMIT ?
"""
_GONE = """
SELECT 1 FROM tenants WHERE tenant = ?1 AND state = 'erased'
UNION ALL SELECT 1 FROM tenant_users WHERE ?2 = 'user' AND tenant = ?1 AND id = ?3 AND state = 'erased' LIMIT 1
"""
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
_ERASE_ALL = "UPDATE data_keys SET wrapped = x'', erased_at = ?1 WHERE tenant = ?2 AND erased_at IS NULL"
_ERASE_ONE = """
UPDATE data_keys INDEXED BY data_keys_by_subject SET wrapped = x'', erased_at = ?1
WHERE tenant = ?2 AND erased_at IS NULL AND scope = ?3 AND subject = ?4
"""
"""Without statistics SQLite would read all keys of the tenant."""
_TELL_MASTERS = "UPDATE holders SET masters = ?1 WHERE holder = ?2 AND masters <> ?1"
_LIVING = "SELECT holder, masters FROM holders WHERE until > ? ORDER BY holder"
_CHANGED = "UPDATE installation SET control_version = control_version + 1"


class ReadWrite(Protocol):
    """What it needs of the store."""

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T: ...

    def call(self, work: Callable[[sqlite3.Connection], T]) -> Awaitable[T]: ...


class SqliteDataKeys(DataKeyStore):
    """Keeps `store.data_keys.DataKeyStore`."""

    def __init__(self, store: ReadWrite, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    async def installation(self) -> str:
        """See `DataKeyStore.installation`."""
        return str(await self._store.read(lambda found: found.execute(_INSTALLATION).fetchone()[0]))

    async def all(self) -> list[DataKeyRow]:
        """See `DataKeyStore.all`."""
        return [DataKeyRow(*row) for row in await self._store.read(lambda found: found.execute(_ALL).fetchall())]

    async def get(self, tenant: str, id_: str) -> DataKeyRow | None:
        """See `DataKeyStore.get`."""
        return await self._one(_GET, tenant, id_)

    async def present(self, tenant: str, user: str) -> DataKeyRow | None:
        """See `DataKeyStore.present`."""
        return await self._one(_PRESENT_ROW, tenant, user)

    async def _one(self, sql: str, *values: str) -> DataKeyRow | None:
        row = await self._store.read(lambda found: found.execute(sql, values).fetchone())
        return None if row is None else DataKeyRow(*row)

    async def erased(self, places: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """See `DataKeyStore.erased`."""
        asked = json.encode(places).decode()
        usable = set(await self._store.read(lambda found: found.execute(_USABLE, (asked,)).fetchall()))
        return [place for place in places if place not in usable]

    async def counts(self) -> list[DataKeyCount]:
        """See `DataKeyStore.counts`."""
        return [DataKeyCount(*row) for row in await self._store.read(lambda found: found.execute(_COUNTS).fetchall())]

    async def to_rewrap(self, master: str, limit: int) -> list[DataKeyRow]:
        """See `DataKeyStore.to_rewrap`."""
        values = (master, limit)
        rows = await self._store.read(lambda found: found.execute(_TO_REWRAP, values).fetchall())
        return [DataKeyRow(*row) for row in rows]

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

    async def plain_tenant(self) -> str | None:
        """See `DataKeyStore.plain_tenant`."""
        row = await self._store.read(lambda connection: connection.execute(PLAIN_TENANT).fetchone())
        return None if row is None else str(row[0])

    async def tell_masters(self, holder: str, masters: Sequence[str]) -> None:
        """See `DataKeyStore.tell_masters`."""
        values = (" ".join(masters), holder)
        await self._store.call(lambda connection: connection.execute(_TELL_MASTERS, values).rowcount)

    async def living(self) -> list[Living]:
        """See `DataKeyStore.living`."""
        now = self._now()
        rows = await self._store.read(lambda connection: connection.execute(_LIVING, (now,)).fetchall())
        return [Living(holder, tuple(masters.split())) for holder, masters in rows]

    async def erase(self, tenant: str, scope: Scope | None, subject: str, at: float) -> int:
        """See `DataKeyStore.erase`."""
        if scope is None:
            return await self._store.call(lambda connection: _wiped(connection, _ERASE_ALL, (at, tenant)))
        values = (at, tenant, scope, subject)
        return await self._store.call(lambda connection: _wiped(connection, _ERASE_ONE, values))


def _add(connection: sqlite3.Connection, row: DataKeyRow, replaces: str | None) -> bool:
    if connection.execute(_GONE, (row.tenant, row.scope, row.subject)).fetchone():
        raise no_key_for(row)
    present = connection.execute(_PRESENT, (row.tenant, row.scope, row.subject)).fetchone()
    if (present[0] if present else None) != replaces:
        return False
    if connection.execute("SELECT 1 FROM data_keys WHERE tenant = ? AND id = ?", (row.tenant, row.id)).fetchone():
        return False
    if replaces is not None:
        connection.execute(_RETIRE, (row.created_at, row.tenant, replaces))
    connection.execute(_ADD, astuple(row))
    if row.scope == "tenant":
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
