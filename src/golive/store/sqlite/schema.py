"""Brings an empty file to the schema, and says whether that of another will do.

Owns the reading of a file's version. Leaves what a schema is to `store/ddl/sqlite.sql`, which servers may use it to
`store/schema.py`, and changing it to `golive store migrate`.
"""

import sqlite3
from typing import Any

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.ids import Ids
from golive.store import schema


def prepare(connection: sqlite3.Connection, path: str, clock: Clock, chance: Chance) -> None:
    """Checks the schema's version; creates the schema in an empty file.

    Raises:
        SchemaMismatch: the file is older, too new, or not golive's.
        sqlite3.Error: see `connection.unavailable`.
    """
    found = version(connection, path)
    if found is None:
        _create(connection, path, clock, chance)
        found = version(connection, path)
        assert found is not None
    schema.check(path, *found)


def version(connection: sqlite3.Connection, path: str) -> tuple[int, int] | None:
    """The file's schema, and the oldest server schema that may run on it; None for an empty file.

    Raises:
        SchemaMismatch: another program keeps its tables there.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return None
    if "schema_version" not in tables:
        raise schema.foreign(path, min(tables))
    cursor = connection.execute("SELECT * FROM schema_version ORDER BY version DESC LIMIT 1")
    row: dict[str, Any] = dict(zip((column[0] for column in cursor.description), cursor.fetchone(), strict=True))
    return int(row["version"]), int(row.get("oldest", row["version"]))  # up to 5 none but its own servers ran on it


def _create(connection: sqlite3.Connection, path: str, clock: Clock, chance: Chance) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    try:
        if version(connection, path) is None:  # another process may have been faster
            for statement in schema.statements(schema.ddl("sqlite")):
                connection.execute(statement)
            now = clock.now()
            row = (schema.VERSION, schema.NAME, now, schema.OLDEST)
            connection.execute("INSERT INTO schema_version VALUES (?, ?, ?, ?)", row)
            connection.execute(
                "INSERT INTO installation VALUES (1, ?, 1, 1, ?, 0)", (Ids(clock, chance).new("inst"), now)
            )
            connection.execute(schema.FIRST_TENANT, {"tenant": "default", "now": now})
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
