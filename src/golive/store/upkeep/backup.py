"""`golive store backup`: one state of a whole store as one SQLite file, taken while servers run.

Of SQLite by its online backup, of PostgreSQL by copying a snapshot. The file appears under its name once it is whole,
on the disk and checked.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from golive.core.errors import InvalidRequest, SchemaMismatch, StoreError, StoreUnavailable
from golive.store import schema
from golive.store.sealed.offline import Master
from golive.store.sqlite.connection import connect, create_file, failure
from golive.store.sqlite.schema import version
from golive.store.upkeep.copying import SNAPSHOT, Progress, make_empty, need_current, need_there, pour
from golive.store.upkeep.database import Database, of_a_command
from golive.store.upkeep.verify import Discrepancy, Fold, verify

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


def backup(
    source: Database, path: Path, progress: Progress, *, replace: bool = False, fold: Fold | None = None,
    master: Master | None = None,
) -> Backup:  # fmt: skip
    """Writes the store's present state to `path`, readable by its owner alone.

    Args:
        replace: also where there is a file already; it stays until the new one is whole.
        fold: what journals mean, to verify what was written; None: it is not verified. One of an older schema never is.
        master: as for `verify`.

    Raises:
        InvalidRequest: the file is the store itself.
        SchemaMismatch: there is no store, or another program's.
        StoreUnavailable: the store cannot be read, or the file not written; or there is one already.
        StoreError: what was written does not agree. It is kept beside, as PATH.refused; an earlier file stays.
    """
    need_there(source)
    if source.same_as(Database("sqlite", str(path))):
        raise InvalidRequest(f"{path} is the store itself.", remedy="Give another name.", field="file", value=str(path))
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
        if fold is not None and made.schema == schema.VERSION:
            _need_agreement(source, part, path, fold, progress, master)
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


def _need_agreement(
    source: Database, part: Database, path: Path, fold: Fold, progress: Progress, master: Master | None
) -> None:
    """Raises StoreError, and puts what was written beside, unless all in it agrees: so does, or not, the store."""
    found = verify(part, fold, progress, master).discrepancies
    if not found:
        return
    refused = f"{path}.refused"
    os.replace(part.where, refused)
    raise StoreError(
        f"What {source.name} holds does not agree: {summed_up(found)}",
        remedy=f"The backup was kept as {refused}, and {path} was left alone. `golive store verify` tells all; with "
        "--no-verify the backup is written under its name all the same.",
        path=refused, discrepancies=len(found),
    )  # fmt: skip


def summed_up(found: Sequence[Discrepancy]) -> str:
    """The first of what does not agree, and how many more there are."""
    first = found[0]
    more = f" And {len(found) - 1} more." if len(found) > 1 else ""
    return f"{first.tenant or '-'} {first.run or '-'}: {first.message}{more}"


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
    """The state that a SQLite file has now, as another; both may be in use. All of that is replaced, or nothing.

    Raises:
        StoreError: one of the two could not be read or written; it is named.
    """
    at = path
    try:
        with closing(connect(path)) as source:
            # Within a transaction the pages are those of one state; without one, every write would begin it again.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            at = into
            with closing(connect(into)) as target:
                source.backup(target, pages=_PAGES, progress=lambda _, left, all_: progress("pages", all_ - left, all_))
    except sqlite3.Error as error:
        raise of_a_command(failure(error, path if _of_reading(error) else at)) from error


def _of_reading(error: sqlite3.Error) -> bool:
    """Whether copying pages failed at what is read: what is written is whole as far as it goes."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or code == sqlite3.SQLITE_IOERR_READ


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
