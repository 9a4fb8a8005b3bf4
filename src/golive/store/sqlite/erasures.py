"""Erasures in a SQLite file, and what of its bytes still stands anywhere in it."""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from golive.store.erasures import ALL, UNFINISHED, Erasure, ErasureStore, counting
from golive.store.sqlite.asking import ReadWrite
from golive.store.sqlite.connection import MEMORY

_ENDINGS = ("", "-wal")
_CHUNK = 1 << 20
_MOST_BYTES = 16 << 30
"""Larger files are not looked through: it would take minutes of a core."""
_BY_SUBJECT = " INDEXED BY data_keys_by_subject"
"""Without statistics SQLite would read all keys of the tenant."""


class SqliteErasures(ErasureStore):
    """Keeps `store.erasures.ErasureStore`."""

    def __init__(self, store: ReadWrite, path: str) -> None:
        self._store = store
        self._path = path

    async def all(self) -> list[Erasure]:
        """See `ErasureStore.all`."""
        return [Erasure(*row) for row in await self._store.read(lambda found: found.execute(ALL).fetchall())]

    async def unfinished(self, limit: int) -> list[Erasure]:
        """See `ErasureStore.unfinished`."""
        sql = f"{UNFINISHED} LIMIT ?"
        rows = await self._store.read(lambda found: found.execute(sql, (limit,)).fetchall())
        return [Erasure(*row) for row in rows]

    async def standing(self, tenant: str, user: str | None) -> dict[str, int]:
        """See `ErasureStore.standing`."""
        sql = counting(user, tenant, ("?1", "?2"), _BY_SUBJECT)
        values = (tenant,) if user is None else (tenant, user)

        def count(connection: sqlite3.Connection) -> dict[str, int]:
            return dict(connection.execute(sql, values).fetchall())

        return await self._store.read(count)

    async def in_files(self, values: Sequence[bytes]) -> int | None:
        """See `ErasureStore.in_files`."""
        if self._path == MEMORY:
            return None
        try:
            return await asyncio.to_thread(_found, self._path, values)
        except OSError:
            return None


def _found(path: str, values: Sequence[bytes]) -> int | None:
    """In chunks that overlap: the interpreter is held up for a millisecond at most."""
    files = [file for file in (Path(path + ending) for ending in _ENDINGS) if file.exists()]
    if sum(os.stat(file).st_size for file in files) > _MOST_BYTES:
        return None
    left, overlap = set(values), max(map(len, values), default=1) - 1
    for file in files:
        with file.open("rb") as opened:
            before = b""
            while left and (read := opened.read(_CHUNK)):
                chunk = before + read
                left -= {value for value in left if value in chunk}
                before = chunk[len(chunk) - overlap :] if overlap else b""
    return len(set(values)) - len(left)
