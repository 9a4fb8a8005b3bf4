"""Which store a URL means. PostgreSQL's driver is imported where one is meant, and nowhere else."""

from collections.abc import Callable
from pathlib import Path

from golive.core.clock import Clock
from golive.store.ports import Store
from golive.store.sqlite.exclusive import ServerLock
from golive.store.sqlite.store import SqliteStore

POSTGRES = ("postgresql://", "postgres://")


def sqlite_path(url: str, root: Path) -> Path | None:
    """The file of `sqlite:PATH`, relative to `root`; None: it is PostgreSQL."""
    return None if url.startswith(POSTGRES) else root / url.removeprefix("sqlite:")


async def open_store(url: str, root: Path, clock: Clock) -> Store:
    """Opens the store, and makes an empty one ready.

    Args:
        url: `sqlite:PATH`, relative to `root`, or `postgresql://USER@HOST/DATABASE`.

    Raises:
        StoreUnavailable, SchemaMismatch, StoreError: as `SqliteStore.open` and `PostgresStore.open`.
    """
    path = sqlite_path(url, root)
    if path is not None:
        return SqliteStore.open(path, clock=clock)
    from golive.store.postgres.store import PostgresStore

    return await PostgresStore.open(url, clock=clock)


def take_for_server(url: str, root: Path) -> Callable[[], None]:
    """Keeps other servers away where there may be one only; returns what gives it up again.

    Raises:
        StoreUnavailable: another server has the SQLite file.
    """
    path = sqlite_path(url, root)
    return _nothing if path is None else ServerLock.take(path).release


def _nothing() -> None:
    """PostgreSQL is for any number of servers."""
