"""Erasures in a SQLite file, and what of its bytes still stands anywhere in it.

No process that has the database open through SQLite may open its files itself. POSIX locks belong to the process: when
it closes any descriptor of a file, all locks that SQLite holds on it are gone, without a word. The next process then
takes the database for unused, and removes the write-ahead log under whoever still writes to it.
So another process looks through the files (`grep.py`). Source: https://www.sqlite.org/howtocorrupt.html, 2.2 (2026-11).
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from golive.core.errors import StoreUnavailable
from golive.core.tasks import uncancelled
from golive.store.erasures import ALL, UNFINISHED, Erasure, ErasureStore, counting
from golive.store.sqlite.asking import ReadWrite
from golive.store.sqlite.connection import MEMORY

_ENDINGS = ("", "-wal")
_GREP = Path(__file__).with_name("grep.py")
LOOK_S = 120.0
"""How long looking through the files may take."""
_MOST_BYTES = 16 << 30
"""Larger files are not looked through: it would take minutes of a core."""
_MOST_TOLD = 300
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
        if not values:
            return 0
        files = [self._path + ending for ending in _ENDINGS]
        asked = {"files": files, "values": [value.hex() for value in values], "most_bytes": _MOST_BYTES}
        try:
            async with asyncio.timeout(LOOK_S):
                answer = await _grep(json.dumps(asked).encode())
        except TimeoutError:
            raise self._not_read(f"it took longer than {LOOK_S:g} s") from None
        except OSError as error:
            raise self._not_read(f"no process can be started ({error.strerror})") from error
        if "found" not in answer:
            raise self._not_read(str(answer.get("error", "no answer")))
        found: int | None = answer["found"]
        return found

    def _not_read(self, cause: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"The files of the database {self._path} could not be looked through: {cause}.",
            remedy="Make them readable, then erase again: rows and keys are counted anew.",
            path=self._path, cause=cause,
        )  # fmt: skip


async def _grep(asked: bytes) -> dict[str, Any]:
    """What `grep.py` answers; `error` where it ends without an answer. It ends with its caller's patience."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(_GREP), stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        out, err = await process.communicate(asked)
    finally:
        if process.returncode is None:
            process.kill()
            await uncancelled(process.wait())
    if process.returncode != 0:
        said = err.decode(errors="replace").strip()[-_MOST_TOLD:]
        return {"error": f"the process that reads them ended with {process.returncode}: {said}"}
    answer: dict[str, Any] = json.loads(out)
    return answer
