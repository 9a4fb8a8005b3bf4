"""Which store a URL means. PostgreSQL's driver is imported where one is meant, and nowhere else."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import StoreUnavailable
from golive.store.ports import Store
from golive.store.sqlite.exclusive import ServerLock
from golive.store.sqlite.store import SqliteStore

POSTGRES = ("postgresql://", "postgres://")

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
_STAYS = ("28", "3D")
"""Classes of SQLSTATE that no waiting mends: user or password refused, no such database."""

Missed = Callable[[StoreUnavailable, int, float], Awaitable[None]]
"""Told of a try that failed: why, which one it was (from 1), and the seconds until the next."""


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


async def await_store(url: str, root: Path, clock: Clock, chance: Chance, patience_s: float, missed: Missed) -> Store:
    """As `open_store`; a PostgreSQL that is away is tried again, with growing pauses, for `patience_s` seconds.

    Raises:
        StoreUnavailable: the time is over, or waiting would not mend it. Otherwise as `open_store`, at once.
    """
    began, pause, tries = clock.monotonic(), _FIRST_PAUSE_S, 0
    while True:
        tries += 1
        try:
            return await open_store(url, root, clock)
        except StoreUnavailable as error:
            waited = clock.monotonic() - began
            if sqlite_path(url, root) is not None or not passes(error):
                raise
            if waited + pause > patience_s:
                error.message += f" golive tried {tries} times in {waited:.0f} s (server.start_patience_s)."
                raise
            wait_s = pause * chance.uniform(0.5, 1.0)
            await missed(error, tries, wait_s)
        await asyncio.sleep(wait_s)
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def passes(error: StoreUnavailable) -> bool:
    """Whether the database may come back by itself; not so where it, or golive, is set up wrongly."""
    return not error.fields.get("set_up") and not str(error.fields.get("sqlstate", "")).startswith(_STAYS)


def take_for_server(url: str, root: Path) -> Callable[[], None]:
    """Keeps other servers away where there may be one only; returns what gives it up again.

    Raises:
        StoreUnavailable: another server has the SQLite file.
    """
    path = sqlite_path(url, root)
    return _nothing if path is None else ServerLock.take(path).release


def _nothing() -> None:
    """PostgreSQL is for any number of servers."""
