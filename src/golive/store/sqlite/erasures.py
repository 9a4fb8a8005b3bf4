"""Erasures in a SQLite file, and what of its bytes still stands anywhere in it."""

import asyncio
import mmap
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from golive.store.erasures import ALL, UNFINISHED, Erasure, ErasureStore, counting
from golive.store.sqlite.asking import ReadWrite
from golive.store.sqlite.connection import MEMORY

_ENDINGS = ("", "-wal")


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
        sql = counting(user, tenant, ("?1", "?2"))
        values = (tenant,) if user is None else (tenant, user)

        def count(connection: sqlite3.Connection) -> dict[str, int]:
            return dict(connection.execute(sql, values).fetchall())

        return await self._store.read(count)

    async def in_files(self, values: Sequence[bytes]) -> int | None:
        """See `ErasureStore.in_files`."""
        if self._path == MEMORY:
            return None
        return await asyncio.to_thread(_found, self._path, values)


def _found(path: str, values: Sequence[bytes]) -> int:
    left = set(values)
    found = 0
    for ending in _ENDINGS:
        file = Path(path + ending)
        if not file.exists() or file.stat().st_size == 0:
            continue
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            here = {value for value in left if mapped.find(value) >= 0}
        found += len(here)
        left -= here
    return found
