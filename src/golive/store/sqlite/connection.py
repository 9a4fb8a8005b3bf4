"""Opens a SQLite file the way golive needs it, and says in our own words what SQLite could not do.

Owns pragmas and the translation of result codes. Leaves statements and transactions to others.
"""

import errno
import os
import sqlite3
from pathlib import Path

from golive.core.errors import StoreError, StoreUnavailable

BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another process (such as the CLI beside a server) to end its transaction."""

LOCKED_OUT_S = 1.0
"""The same once that was in vain, until a transaction stands again: what queued up behind it has waited already."""

_SWITCHES = 20
"""Attempts to switch the write-ahead log on while other processes do."""
MEMORY = ":memory:"
_CACHED_STATEMENTS = 256
_CHECKPOINT_PAGES = 4000
"""Pages (4 KiB) in the write-ahead log before it is folded into the file: 16 MB keeps checkpoints rare under load."""
_WAL_KEPT_BYTES = 64 << 20

_WRITES_AGAIN = "golive writes again by itself, without a restart."
_CAUSES = {
    sqlite3.SQLITE_FULL: ("the disk is full", f"Free space on that disk; {_WRITES_AGAIN}"),
    sqlite3.SQLITE_IOERR: (
        "the operating system refused to read or write",
        f"Look for a failing disk, a quota or a file size limit (ulimit -f); {_WRITES_AGAIN}",
    ),
    sqlite3.SQLITE_READONLY: ("the file or its disk is read-only", f"Make file and folder writable; {_WRITES_AGAIN}"),
    sqlite3.SQLITE_PERM: ("permission was denied", "Make file and folder writable for golive's user."),
    sqlite3.SQLITE_AUTH: ("permission was denied", "Make file and folder writable for golive's user."),
    sqlite3.SQLITE_BUSY: (
        f"another process held it locked for more than {BUSY_TIMEOUT_S:g} s",
        "Find out which process keeps a transaction open on the file (fuser FILE), and end it.",
    ),
    sqlite3.SQLITE_LOCKED: ("the table is locked", "Try again."),
    sqlite3.SQLITE_PROTOCOL: (
        "its lock could not be taken",
        "Put the file on a local disk; network disks cannot lock.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "Check that its folder exists and that golive's user may write there.",
    ),
    sqlite3.SQLITE_NOTADB: ("it is not a SQLite database", "Point store.url at another path, or restore a backup."),
    sqlite3.SQLITE_CORRUPT: ("the database is damaged", "Stop golive and restore the last backup of the file."),
    sqlite3.SQLITE_NOMEM: ("memory ran out", "Give the process more memory."),
    sqlite3.SQLITE_INTERRUPT: ("the statement was interrupted", "Try again."),
}


def connect(path: str, *, writable: bool = True) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions begin and end where the code says so.

    Args:
        path: the file, which must exist unless `writable`; or ":memory:".
        writable: False opens the file so that SQLite itself refuses every write.

    Raises:
        sqlite3.Error: see `unavailable`.
    """
    where = path if path == MEMORY else Path(path).absolute().as_uri() + ("?mode=rw" if writable else "?mode=ro")
    connection = sqlite3.connect(
        where,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,  # opened in one thread, used in another, by one at a time
        cached_statements=_CACHED_STATEMENTS,
        uri=True,
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA trusted_schema=OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> str:
    """Switches the write-ahead log on; returns the journal mode that holds then.

    While another process does the same, SQLite says "busy" at once, whatever the time-out: both waiting would be a
    deadlock. Beginning to write does wait, so that the other is done when this tries again.
    """
    for _ in range(_SWITCHES):
        try:
            return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])


def connect_writer(path: str) -> sqlite3.Connection:
    """The connection that writes: write-ahead log on, so that readers never wait for it.

    Raises:
        StoreUnavailable: the file's disk cannot hold a write-ahead log (shared memory is missing).
        sqlite3.Error: see `unavailable`.
    """
    connection = connect(path)
    try:
        mode = _write_ahead(connection)
        if mode != "wal" and path != MEMORY:
            raise StoreUnavailable(
                f"The database {path} cannot use a write-ahead log (journal mode stays {mode!r}).",
                remedy="Put the file on a local disk.",
                path=path,
                cause="no write-ahead log",
            )
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={_WAL_KEPT_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: str) -> sqlite3.Connection:
    """A connection that refuses to write."""
    connection = connect(path)
    connection.execute("PRAGMA query_only=ON")
    return connection


def create_file(path: str) -> None:
    """Makes the file and its folders if missing, readable by their owner alone (they hold what users said).

    One that is there is not opened: closing it would take away the locks of whatever connection this process has to it
    (see `erasures.py`).

    Raises:
        StoreUnavailable: the operating system refused.
    """
    if path == MEMORY:
        return
    try:
        Path(path).absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(os.path.realpath(path))
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise StoreUnavailable(
            f"The database {path} cannot be opened for writing: {cause}.",
            remedy="Make file and folder writable for golive's user, or point store.url at another path.",
            path=path,
            cause=cause,
        ) from error


def _create(path: str) -> None:
    """Makes it unless it is there. Raises OSError: it cannot be made, or read and written."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def unavailable(error: BaseException, path: str) -> StoreUnavailable | None:
    """What to raise when SQLite could not do its work; None when the fault lies in the statement or its values.

    Source: https://www.sqlite.org/rescode.html (2026-11).
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or (code & 0xFF) not in _CAUSES:
        return None
    cause, remedy = _CAUSES[code & 0xFF]
    return StoreUnavailable(
        f"The database {path} is unavailable: {cause}.",
        remedy=remedy,
        path=path,
        cause=cause,
        sqlite_code=getattr(error, "sqlite_errorname", ""),
    )


def failure(error: Exception, path: str) -> StoreError:
    """Any fault of SQLite's as one of our own errors."""
    return unavailable(error, path) or StoreError(
        f"The database {path} refused: {error}.",
        remedy="Report this; the statement or one of its values is wrong.",
        path=path,
        cause=str(error),
    )
