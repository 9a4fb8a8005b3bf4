"""Each byte of a small audit log, one after the other, is changed: each time verifying tells it."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from golive.audit.verifying import verify
from golive.core.clock import SystemClock
from golive.store.audit import AuditCheckpoint, AuditHead, AuditRow
from golive.store.sqlite.store import SqliteStore
from tests.unit.audit_kit import TRUSTED, filled

TABLES = {"audit": AuditRow, "audit_heads": AuditHead, "audit_checkpoints": AuditCheckpoint}


def flips(value: Any) -> Iterator[tuple[str, Any]]:
    """The value with each of its bytes changed in its lowest and its highest bit, as SQL and what goes into it."""
    if isinstance(value, int):
        for bit in range(0, 64, 4):
            flipped = (value & (2**64 - 1)) ^ (1 << bit)
            yield "?", flipped - 2**64 if flipped >= 2**63 else flipped
        return
    raw = value.encode() if isinstance(value, str) else value
    for place in range(len(raw)):
        for bit in (1, 128):
            changed = bytes([*raw[:place], raw[place] ^ bit, *raw[place + 1 :]])
            yield ("CAST(? AS TEXT)" if isinstance(value, str) else "?"), changed


@pytest.mark.parametrize("table", list(TABLES))
async def test_any_byte_of_any_column_that_changes_is_told(tmp_path: Path, table: str) -> None:
    """Text, numbers, hashes, signatures; also where text is no UTF-8 any more. Then it is put back, and proved."""
    path = tmp_path / "golive.db"
    await asyncio.to_thread(filled, path, entries=2, tenants=("acme",), every=2)
    store = SqliteStore.open(path, clock=SystemClock())

    async def wrong() -> int:
        tenants = await store.audit.tenants()
        return sum([len((await verify(store.audit, tenant, TRUSTED)).faults) for tenant in tenants])

    names = TABLES[table].__struct_fields__
    add = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    tried = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        [*found] = connection.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()
        for row in found:
            for name, value in zip(names, row, strict=True):
                for sql, changed in flips(value):
                    where = " AND ".join(f"{other} = ?" for other in ("tenant", "seq") if other in names)
                    key = [row[names.index(other)] for other in ("tenant", "seq") if other in names]
                    connection.execute("BEGIN")
                    connection.execute(f"UPDATE {table} SET {name} = {sql} WHERE {where}", [changed, *key])
                    connection.execute("COMMIT")
                    assert await wrong(), f"{name}: {value!r} became {changed!r}"
                    tried += 1
                    connection.execute(f"DELETE FROM {table}")
                    connection.executemany(add, found)
            assert await wrong() == 0
    assert tried > 80
    await store.close()
