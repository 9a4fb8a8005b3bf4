"""`golive store restore`: a backup in the place of a store, such that nobody who lived before can write to it.

The backup is first prepared beside: brought up to the schema, its generation raised, every lease's epoch moved out of
the reach of whoever holds one, every holder ended, what was erased since erased again. Then it takes the store's place
in one transaction.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from msgspec import Struct
from sqlalchemy import Connection, func, select, text

from golive.core.clock import Clock
from golive.core.errors import SchemaMismatch, StoreError, StoreUnavailable
from golive.store import schema
from golive.store.erasures import Erasure
from golive.store.migrations.tables import describe
from golive.store.sqlite.connection import connect, connect_writer, create_file, failure
from golive.store.sqlite.exclusive import ServerLock
from golive.store.upkeep.backup import Backup, duplicate, inspected
from golive.store.upkeep.copying import Progress, changed_by_somebody, make_empty, pour, tables
from golive.store.upkeep.database import Database
from golive.store.upkeep.erased import Again, apply, known
from golive.store.upkeep.migrate import bring_up

_LEAST_STEP = 1_000_000
_TENANTS_FROM = 12
"""The first schema with rows of tenants."""
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


class Restored(Struct, frozen=True):
    """What was done. `of`: what the backup held; `replaced`: how many runs were there before, None: no store was;
    `aside`: where the damaged file is that was there."""

    where: str
    of: Backup
    schema: int
    generation: int
    open_runs: int
    replaced: int | None
    aside: str = ""
    erased: Again = Again()
    """What had been erased, and was erased again."""


class _Before(Struct, frozen=True):
    """What was in the target: so that generation, control version and the journal's places rise above it."""

    generation: int = 0
    control_version: int = 0
    runs: int | None = None
    aside: str = ""
    place: int = 0
    erasures: tuple[Erasure, ...] = ()


def restore(
    path: Path, target: Database, clock: Clock, progress: Progress, *, force: bool = False,
    erasures: Sequence[Erasure] = (),
) -> Restored:  # fmt: skip
    """Puts the backup in the target's place: all of it, or nothing.

    Args:
        force: also where the target holds runs, keys or anything else; they are gone then.
        erasures: what was erased, besides what the target knows of: it does not come back with the backup.

    Raises:
        SchemaMismatch: the file is no backup or of a newer golive; or the target is not empty, or another program's.
        StoreUnavailable: a server uses the target; or one of the two cannot be read or written.
        StoreError: the backup is damaged.
    """
    backup = _examined(path)
    with _held(target) as connection:
        before = _before(target, connection, force)
        with tempfile.TemporaryDirectory(prefix="golive-restore-", dir=_beside(target)) as folder:
            ready = Database("sqlite", str(Path(folder) / "ready.db"))
            with _told_of(target, ready):
                _duplicate(str(path), ready.where, progress)
                open_runs, generation, erased = _prepare(ready, backup, before, clock.now(), erasures)
            if connection is None:
                _replace_file(ready, target, progress)
            else:
                _replace_rows(ready, target, connection, progress)
    return Restored(target.name, backup, schema.VERSION, generation, open_runs, before.runs, before.aside, erased)


def _examined(path: Path) -> Backup:
    if path.is_dir():
        raise SchemaMismatch(
            f"{path} is a directory, and no backup.", remedy="Give a file that `golive store backup` wrote.",
            path=str(path),
        )  # fmt: skip
    if not path.is_file():
        raise SchemaMismatch(
            f"There is no backup {path}.", remedy="Give a file that `golive store backup` wrote.", path=str(path)
        )
    try:
        backup = inspected(str(path))
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB:
            raise SchemaMismatch(
                f"{path} is no backup: it is not a SQLite file.",
                remedy="Give a file that `golive store backup` wrote.",
                path=str(path),
            ) from error
        raise _damaged(str(path), failure(error, str(path))) from error
    except SchemaMismatch:
        raise
    except StoreError as error:
        raise _damaged(str(path), error) from error
    if backup.schema > schema.VERSION:
        remedy = "Restore it with the golive that wrote it, or a newer one."
        raise schema.mismatch(str(path), backup.schema, schema.VERSION, remedy)
    return backup


@contextmanager
def _held(target: Database) -> Iterator[Connection | None]:
    """No server may begin to use the target meanwhile. The connection: PostgreSQL's, within a transaction."""
    if target.kind == "sqlite":
        lock = ServerLock.take(Path(target.where))
        try:
            yield None
        finally:
            lock.release()
        return
    with target.connected() as connection:
        target.begin(connection)
        with target.without_servers("restored", connection):
            yield connection


def _before(target: Database, connection: Connection | None, force: bool) -> _Before:
    """What the target holds now; refuses what is not to be replaced."""
    if connection is not None:
        return _looked(target, connection, force)
    if not target.exists() or Path(target.where).stat().st_size == 0:
        return _Before()
    try:
        with target.connected() as looking:
            return _looked(target, looking, force)
    except StoreUnavailable as error:
        if error.fields.get("sqlite_code") not in _DAMAGED:
            raise
        if not force:
            raise StoreUnavailable(
                f"The database {target.name} is damaged.", remedy="--force keeps it aside and restores in its place.",
                path=target.name, cause="damaged",
            ) from error  # fmt: skip
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(target.where + ending, f"{target.where}.damaged{ending}")
    return _Before(aside=f"{target.where}.damaged")


def _looked(target: Database, connection: Connection, force: bool) -> _Before:
    found = target.version(connection)
    if found is None:
        return _Before()
    runs = int(connection.execute(text("SELECT count(*) FROM leases")).scalar_one())
    keys = int(connection.execute(text("SELECT count(*) FROM keys")).scalar_one())
    tenants = _tenants(target, connection) if found[0] >= _TENANTS_FROM else 0
    if (runs or keys or tenants) and not force:
        raise SchemaMismatch(
            f"{target.name} holds {runs} runs, {keys} keys and {tenants} tenants or users.",
            remedy="Back it up (`golive store backup FILE`); then --force puts the backup in its place.",
            path=target.name,
            runs=runs,
        )
    row = connection.execute(text("SELECT generation, control_version FROM installation")).first() or (0, 0)
    place = 0
    if target.kind == "sqlite":
        place = int(connection.execute(text("SELECT coalesce(max(rowid), 0) FROM events")).scalar_one())
    return _Before(int(row[0]), int(row[1]), runs, place=place, erasures=tuple(known(connection, found[0])))


def _tenants(target: Database, connection: Connection) -> int:
    """How many tenants and users somebody made or changed."""
    known_tables = describe(target.kind).tables
    tenants, users = known_tables["tenants"], known_tables["tenant_users"]
    counted = select(func.count()).select_from(tenants).where(changed_by_somebody(tenants))
    each = (counted, select(func.count()).select_from(users))
    return sum(int(connection.execute(one).scalar_one()) for one in each)


def _damaged(path: str, error: StoreError) -> StoreError:
    """The error for a backup that cannot be read to its end; as it is where the file is whole, and locked or so."""
    if isinstance(error, StoreUnavailable) and error.fields.get("sqlite_code") not in _DAMAGED:
        return error
    return StoreError(
        f"The backup {path} is damaged: {error.fields.get('cause', error.message)}.",
        remedy="The store was not touched. Restore an earlier backup.", path=path, cause="damaged",
    )  # fmt: skip


def _prepare(
    ready: Database, backup: Backup, before: _Before, now: float, erasures: Sequence[Erasure]
) -> tuple[int, int, Again]:
    """Fences everybody; how many runs are to be carried on, the new generation, and what was erased again."""
    generation = max(backup.generation, before.generation) + 1
    with ready.connected() as connection:
        ready.begin(connection, "EXCLUSIVE")
        if backup.schema < schema.VERSION:
            bring_up(connection, backup.schema, now)
        erased = apply(connection, dict.fromkeys((*before.erasures, *erasures)), now)
        connection.execute(
            text("UPDATE installation SET generation = :g, control_version = max(control_version, :c) + 1"),
            {"g": generation, "c": before.control_version},
        )
        # By the clock: two restores of one backup never give a run the same epoch, unless it changed hands more than
        # once a second in between.
        connection.execute(text("UPDATE leases SET epoch = epoch + :step"), {"step": max(_LEAST_STEP, int(now))})
        connection.execute(text("UPDATE holders SET until = min(until, :now)"), {"now": now})
        # Events to come get places behind all that there were: who follows the journal with a cursor from before misses
        # none of them.
        last = "rowid = (SELECT max(rowid) FROM events) AND rowid <= :place"
        connection.execute(text(f"UPDATE events SET rowid = :place + 1 WHERE {last}"), {"place": before.place})  # noqa: S608
        open_runs = connection.execute(text("SELECT count(*) FROM leases WHERE at_rest = 0")).scalar_one()
        connection.commit()
    return int(open_runs), generation, erased


def _duplicate(path: str, into: str, progress: Progress) -> None:
    create_file(into)
    try:
        duplicate(path, into, progress)
    except StoreError as error:
        raise (_damaged(path, error) if error.fields.get("path") == path else error) from error


@contextmanager
def _told_of(target: Database, ready: Database) -> Iterator[None]:
    """What fails beside a SQLite target is told of the target: its disk is meant, and what was beside it is gone."""
    try:
        yield
    except StoreUnavailable as error:
        if target.kind != "sqlite" or error.fields.get("path") != ready.where:
            raise
        fields = {**error.fields, "path": target.name}
        message = error.message.replace(ready.where, target.name)
        raise StoreUnavailable(message, remedy=error.remedy, **fields) from error


def _replace_file(ready: Database, target: Database, progress: Progress) -> None:
    """SQLite's backup, the other way: who has the file open (such as `golive keys`) sees the one or the other."""
    create_file(target.where)
    try:
        connect_writer(target.where).close()
        with closing(connect(ready.where)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        duplicate(ready.where, target.where, progress)
    except sqlite3.Error as error:
        raise failure(error, target.where) from error


def _replace_rows(ready: Database, target: Database, connection: Connection, progress: Progress) -> None:
    found = target.version(connection)
    if found is not None:
        if found[0] != schema.VERSION:
            raise schema.mismatch(target.name, found[0], schema.VERSION, "Run `golive store migrate` first.")
        connection.execute(text("LOCK TABLE holders IN ACCESS EXCLUSIVE MODE"))
        with target.without_servers("restored", connection):
            names = ", ".join(table.name for table in tables(target))
        # The journal's numbers go on counting: who follows it across the restore sees all of it again, and misses
        # nothing.
        connection.execute(text(f"TRUNCATE {names}"))
    make_empty(target, connection)
    with ready.connected() as reading:
        ready.begin(reading)
        pour(ready, reading, target, connection, progress)
    connection.commit()


def _beside(target: Database) -> str | None:
    """Where there is room for a store, and nobody else may look."""
    if target.kind == "postgresql":
        return None
    folder = Path(target.where).absolute().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(folder)
