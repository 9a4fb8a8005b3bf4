"""Brings a file to the schema: numbered plain-SQL files, applied in order in one exclusive transaction.

Owns the order and the record of what was applied. Leaves the schema itself to `store/migrations/NNNN_name.sql`.
"""

import sqlite3
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import SchemaMismatch
from golive.core.ids import Ids


class Migration(NamedTuple):
    """One numbered file."""

    version: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations this golive knows, by number."""
    found = [
        Migration(int(file.name[:4]), file.name[5:-4], file.read_text("utf-8"))
        for file in (files("golive.store") / "migrations").iterdir()
        if file.name.endswith(".sql")
    ]
    return tuple(sorted(found))


def prepare(connection: sqlite3.Connection, path: str, clock: Clock, chance: Chance, *, migrate: bool) -> None:
    """Checks the schema's version; creates the schema in an empty file, and with `migrate` brings an older one up.

    Raises:
        SchemaMismatch: the file is older (and `migrate` is off), newer, or not golive's.
        sqlite3.Error: see `connection.unavailable`.
    """
    newest = migrations()[-1].version
    if _version(connection, path) == newest:
        return
    connection.execute("BEGIN EXCLUSIVE")
    try:
        version = _version(connection, path)  # again: another process may have been faster
        if version > newest:
            raise _mismatch(path, version, newest, "Start the golive that wrote it, or a newer one.")
        if 0 < version < newest and not migrate:
            raise _mismatch(path, version, newest, "Back the file up, then run `golive store migrate`.")
        now = clock.now()
        for migration in migrations()[version:]:
            for statement in _statements(migration.sql):
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version VALUES (?, ?, ?)", (migration.version, migration.name, now))
        if version == 0:
            connection.execute(
                "INSERT INTO installation VALUES (1, ?, 1, 1, ?, 0)", (Ids(clock, chance).new("inst"), now)
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: str) -> int:
    """0 for an empty file."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "schema_version" in tables:
        (version,) = connection.execute("SELECT max(version) FROM schema_version").fetchone()
        return int(version or 0)
    if tables:
        raise SchemaMismatch(
            f"{path} is a database of another program (it has the table {min(tables)!r}, and no schema_version).",
            remedy="Point store.url at another path.",
            path=path,
        )
    return 0


def _mismatch(path: str, found: int, known: int, remedy: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"The database {path} has schema {found}; this golive works with schema {known}.",
        remedy=remedy,
        path=path,
        found=found,
        known=known,
    )


def _statements(sql: str) -> Iterator[str]:
    """The script's statements one by one: `executescript` would end our transaction."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    assert not statement.strip(), f"a statement without its semicolon: {statement}"
