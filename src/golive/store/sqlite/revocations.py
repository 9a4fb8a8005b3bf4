"""The revocations of tokens in a SQLite file."""

import sqlite3

from msgspec.structs import astuple

from golive.store.revocation import COLUMNS, RevocationStore, TokenRevocation
from golive.store.sqlite.asking import ReadWrite

# ruff: noqa: S608 - what is put into these statements are names of columns from our own struct, never a value
_ALL = f"SELECT {COLUMNS} FROM tokens_revoked"
_ORDER = "ORDER BY created_at, tenant, id"
_ADD = f"INSERT OR IGNORE INTO tokens_revoked ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PRUNE = "DELETE FROM tokens_revoked WHERE until < ?"
_CHANGED = "UPDATE installation SET control_version = control_version + 1"


class SqliteRevocations(RevocationStore):
    """Keeps `store.revocation.RevocationStore`."""

    def __init__(self, store: ReadWrite) -> None:
        self._store = store

    async def all(self) -> list[TokenRevocation]:
        """See `RevocationStore.all`."""
        found = await self._store.read(lambda connection: connection.execute(f"{_ALL} {_ORDER}").fetchall())
        return [TokenRevocation(*row) for row in found]

    async def of(self, tenant: str) -> list[TokenRevocation]:
        """See `RevocationStore.of`."""
        sql = f"{_ALL} WHERE tenant = ? {_ORDER}"
        found = await self._store.read(lambda connection: connection.execute(sql, (tenant,)).fetchall())
        return [TokenRevocation(*row) for row in found]

    async def add(self, row: TokenRevocation) -> None:
        """See `RevocationStore.add`."""

        def add(connection: sqlite3.Connection) -> None:
            connection.execute(_ADD, astuple(row))
            connection.execute(_PRUNE, (row.created_at,))
            connection.execute(_CHANGED)

        await self._store.call(add)

    async def prune(self, before: float) -> int:
        """See `RevocationStore.prune`."""
        return await self._store.call(lambda connection: connection.execute(_PRUNE, (before,)).rowcount)
