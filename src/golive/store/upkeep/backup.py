"""`golive store backup`: one state of a whole store as one SQLite file, taken while servers run.

Of SQLite by its online backup, of PostgreSQL by copying a snapshot. The file appears under its name once it is whole,
on the disk and checked.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from golive.core.errors import SchemaMismatch, StoreError, StoreUnavailable
from golive.store.sqlite.connection import connect, create_file, failure
from golive.store.sqlite.schema import version
from golive.store.upkeep.copying import SNAPSHOT, Progress, make_empty, need_current, need_there, pour
from golive.store.upkeep.database import Database

_PAGES = 1_000
"""How many pages are copied between two words on how far it is."""
_SHOWN = ("runs", "events", "keys")


class Backup(msgspec.Struct, frozen=True):
    """What a backup holds. `rows`: of the tables that say most."""

    path: str
    bytes: int
    schema: int
    installation: str
    generation: int
    rows: dict[str, int]


def backup(source: Database, path: Path, progress: Progress, *, replace: bool = False) -> Backup:
    """Writes the store's present state to `path`, readable by its owner alone.

    Args:
        replace: also where there is a file already; it stays until the new one is whole.

    Raises:
        SchemaMismatch: there is no store, or another program's.
        StoreUnavailable: the store cannot be read, or the file not written; or there is one already.
    """
    need_there(source)
    if path.exists() and not replace:
        raise StoreUnavailable(
            f"There is a file {path} already.", remedy="Give another name, or --replace.", path=str(path)
        )
    part = Database("sqlite", str(path.with_name(path.name + ".part")))
    part.discard()
    try:
        create_file(part.where)
        (_of_sqlite if source.kind == "sqlite" else _of_postgres)(source, part, progress)
        made = settle(part)
        os.replace(part.where, path)
        _sync_folder(path)
    except OSError as error:
        raise StoreUnavailable(
            f"The backup {path} cannot be written: {error.strerror}.", remedy="Free the disk, or give another place.",
            path=str(path),
        ) from error  # fmt: skip
    finally:
        part.discard()
    return msgspec.structs.replace(made, path=str(path))


def settle(made: Database) -> Backup:
    """Makes one plain file of a database, on the disk, and checks it.

    Raises:
        StoreError: it is damaged.
    """
    path = made.where
    try:
        with closing(connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        return inspected(path)
    except sqlite3.Error as error:
        raise failure(error, path) from error


def inspected(path: str) -> Backup:
    """What the file holds, after a check of its every page.

    Raises:
        SchemaMismatch: it is no store of golive's.
        StoreError: it is damaged. sqlite3.Error: it cannot be read.
    """
    with closing(connect(path, writable=False)) as connection:
        found = version(connection, path)
        if found is None:
            raise SchemaMismatch(f"{path} holds no store: it is empty.", remedy="Give another file.", path=path)
        damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise StoreError(
                f"{path} is damaged: {damage}.", remedy="Give another backup.", path=path, cause=str(damage)
            )
        identity, generation = connection.execute("SELECT id, generation FROM installation").fetchone()
        rows = {
            table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - ours
            for table in _SHOWN
        }
    return Backup(path, os.stat(path).st_size, found[0], str(identity), int(generation), rows)


def duplicate(path: str, into: str, progress: Progress) -> None:
    """The state that a SQLite file has now, as another; both may be in use. All of that is replaced, or nothing."""
    with closing(connect(path)) as source, closing(connect(into)) as target:
        # Within a transaction the pages are those of one state; without one, every write would begin it again.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(target, pages=_PAGES, progress=lambda _, left, all_: progress("pages", all_ - left, all_))


def _of_sqlite(source: Database, part: Database, progress: Progress) -> None:
    try:
        with closing(connect(source.where)) as connection:
            if version(connection, source.where) is None:
                raise SchemaMismatch(
                    f"{source.name} is empty.", remedy="Check store.url; there is nothing to back up.", path=source.name
                )
        duplicate(source.where, part.where, progress)
    except sqlite3.Error as error:
        raise failure(error, source.where) from error


def _of_postgres(source: Database, part: Database, progress: Progress) -> None:
    with source.connected(isolation=SNAPSHOT) as reading, part.connected() as writing:
        need_current(source, reading)
        make_empty(part, writing)
        pour(source, reading, part, writing, progress)
        writing.commit()


def _sync_folder(path: Path) -> None:
    """The file's name is on the disk too."""
    with suppress(OSError):
        folder = os.open(path.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
