"""What docs/security/encryption.md says of the files of a database, looked at byte by byte."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.store.data_keys import DataKeyRow, DataKeyStore
from golive.store.sealed.master import Masters
from golive.store.sqlite import SqliteStore
from tests.contract.store_kit import MASTER
from tests.postgres_kit import Database
from tests.untouched import contents


async def a_key(keys: DataKeyStore) -> tuple[Masters, DataKeyRow]:
    """The data key of a tenant, in the store."""
    masters = Masters(await keys.installation(), MASTER)
    row = await masters.made("acme", "dk_1", 1.0, SystemChance())
    assert await keys.add(row, None)
    return masters, row


async def test_a_backup_holds_wrapped_keys_and_no_master_key(tmp_path: Path) -> None:
    """Who has a backup has what the master key opens, and not the master key."""
    store = SqliteStore.open(tmp_path / "golive.db", clock=SystemClock())
    masters, row = await a_key(store.data_keys)
    with (
        closing(sqlite3.connect(tmp_path / "golive.db")) as source,
        closing(sqlite3.connect(tmp_path / "backup.db")) as copy,
    ):
        source.backup(copy)
    await store.close()
    backup = (tmp_path / "backup.db").read_bytes()
    assert row.wrapped in backup
    assert masters.unwrap(row) not in backup
    assert MASTER not in backup
    assert MASTER.hex().encode() not in backup


async def test_in_sqlite_the_log_holds_an_erased_key_until_it_is_emptied(tmp_path: Path) -> None:
    """Destroying a key overwrites it in the file; the write-ahead log has it until `wipe`, which erasing calls."""
    path = tmp_path / "golive.db"
    store = SqliteStore.open(path, clock=SystemClock())
    _, row = await a_key(store.data_keys)
    assert await store.data_keys.erase("acme", None, "", 2.0) == 1
    log = path.with_name("golive.db-wal")
    assert row.wrapped in contents(log)
    assert await store.wipe()
    assert row.wrapped not in contents(log)
    assert row.wrapped not in contents(path)
    await store.close()


async def test_in_postgres_the_log_holds_an_erased_key_and_the_master_key_opens_it() -> None:
    """Neither erasing nor VACUUM reaches PostgreSQL's own log: until that is gone, the old row can be read there."""
    base = Database()
    try:
        store = await base.open()
        masters, row = await a_key(store.data_keys)
        assert await store.data_keys.erase("acme", None, "", 2.0) == 1
        await store.close()
        base.server.psql(base.name, "VACUUM data_keys")
        logs = base.server.folder / "data" / "pg_wal"
        assert await asyncio.to_thread(holding, logs, row.wrapped), "the page says that the log holds it"
        assert len(masters.unwrap(row)) == 32
    finally:
        base.drop()


def holding(folder: Path, value: bytes) -> list[str]:
    return [file.name for file in folder.iterdir() if file.is_file() and value in file.read_bytes()]
