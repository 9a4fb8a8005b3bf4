"""A database that another process keeps locked: health says so soon, and what queues up does not wait in a row."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from golive.core.clock import SystemClock
from golive.core.errors import StoreUnavailable
from golive.store.sqlite import SqliteStore, connection, writer
from golive.store.sqlite import store as sqlite_store
from tests.contract.store_kit import events, lease


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "golive.db", clock=SystemClock())
    yield opened
    await opened.close()


def locked(store: SqliteStore) -> sqlite3.Connection:
    """Another process, in the middle of a transaction; `rollback` lets go."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


async def test_a_ping_does_not_wait_as_long_as_a_write(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up by itself, says after how long, and takes nothing from the store."""
    monkeypatch.setattr(sqlite_store, "PING_S", 0.05)
    other = locked(store)
    async with asyncio.timeout(5):  # half of what a write waits
        with pytest.raises(StoreUnavailable) as caught:
            await store.ping()
    assert caught.value.fields["cause"] == "it did not answer within 0.05 s"
    monkeypatch.undo()
    other.rollback()
    await store.ping()


async def test_what_queues_up_behind_a_lock_does_not_wait_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one wait in vain the next group waits shortly, and as long as ever once the database takes writes again."""
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(writer, "BUSY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(writer, "LOCKED_OUT_S", 0.001)
    store = SqliteStore.open(tmp_path / "golive.db", clock=SystemClock())

    def patience(of: sqlite3.Connection) -> int:
        return int(of.execute("PRAGMA busy_timeout").fetchone()[0])

    assert await store.call(patience) == 200
    other = locked(store)
    for run in ("run_1", "run_2"):
        with pytest.raises(StoreUnavailable) as caught:
            await store.append(lease(run), 0, events(range(1, 2), lease(run)))
        assert caught.value.fields["sqlite_code"] == "SQLITE_BUSY"
    other.rollback()
    assert await store.call(patience) == 1
    assert await store.call(patience) == 200
    (tmp_path / "golive.db").rename(tmp_path / "moved.db")
    with pytest.raises(StoreUnavailable, match="the file was deleted"):
        await store.ping()
    assert await store.call(patience) == 200
    await store.close()
