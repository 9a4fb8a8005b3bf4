"""The fingerprints of secrets in a SQLite file."""

import sqlite3

from msgspec.structs import astuple, replace

from golive.store.fingerprints import COLUMNS, CONTROL_CHANGED, ON_CONFLICT, SELECT, FingerprintRow
from golive.store.sqlite.asking import ReadWrite

_PUT = f"INSERT INTO secret_fingerprints ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) {ON_CONFLICT}"  # noqa: S608 - as above


class SqliteFingerprints:
    """Keeps `store.fingerprints.Fingerprints`."""

    def __init__(self, store: ReadWrite) -> None:
        self._store = store

    async def rows(self) -> list[FingerprintRow]:
        """See `Fingerprints.rows`."""
        rows = await self._store.read(lambda connection: connection.execute(SELECT).fetchall())
        return [replace(row, cut=bool(row.cut)) for row in (FingerprintRow(*each) for each in rows)]

    async def put(self, row: FingerprintRow) -> None:
        """See `Fingerprints.put`."""

        def put(connection: sqlite3.Connection) -> None:
            connection.execute(_PUT, astuple(row))
            connection.execute(CONTROL_CHANGED)

        await self._store.call(put)
