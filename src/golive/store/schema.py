"""Which schema a server needs, and whether the one that it finds will do. Nothing here changes a database.

Changes come in two kinds. An addition leaves a server of the schema before at work: it writes what it knows, and the
rest has defaults. What would break it comes a schema later, when no such server is left. So each schema says which is
the `oldest` server schema that may run on it, and servers are replaced one by one while others serve.
"""

import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from typing import Literal

from golive.core.errors import SchemaMismatch

Kind = Literal["sqlite", "postgresql"]

VERSION = 14
"""The schema that this golive's servers know, and that an empty database gets."""
OLDEST = 9
"""The oldest server schema that may run on it."""
NAME = "lookups"
"""What the newest step is called; recorded beside its number."""

FIRST_TENANT = """
INSERT INTO tenants (tenant, state, created_at, created_by, agents, limits, note, changed_at)
VALUES (:tenant, 'active', :now, 'golive', '["*"]', '{}', '', 0)
"""
"""The row of a tenant that is there because it always was; `default` has one from the first start."""

_FILES: dict[Kind, str] = {"sqlite": "sqlite.sql", "postgresql": "postgres.sql"}


def ddl(kind: Kind) -> str:
    """The SQL that makes all tables in an empty database; all but the rows of `schema_version` and `installation`."""
    return (files("golive.store") / "ddl" / _FILES[kind]).read_text("utf-8")


def statements(script: str) -> Iterator[str]:
    """The script's statements one by one: SQLite's `executescript` would end the transaction that it is run in."""
    statement = ""
    for piece in re.split("(?<=;)", script):
        statement += piece
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    assert not statement.strip(), f"a statement without its semicolon: {statement}"


def check(where: str, version: int, oldest: int, known: int = VERSION) -> None:
    """Whether a server that knows `known` may run on schema `version`, which says which is the `oldest` that may.

    Raises:
        SchemaMismatch: the schema is older than the server needs, or too new for it.
    """
    if version < known:
        raise mismatch(
            where, version, known,
            "Back it up with the golive that served it (`golive store backup FILE`), then run `golive store migrate`.",
        )  # fmt: skip
    if oldest > known:
        raise mismatch(where, version, known, "Start the golive that wrote it, or a newer one.")


def mismatch(where: str, found: int, known: int, remedy: str) -> SchemaMismatch:
    """The error for a database of another schema than the one that is needed."""
    return SchemaMismatch(
        f"The database {where} has schema {found}; this golive works with schema {known}.",
        remedy=remedy,
        path=where,
        found=found,
        known=known,
    )


def foreign(where: str, table: str) -> SchemaMismatch:
    """The error for a database in which another program keeps its tables."""
    return SchemaMismatch(
        f"{where} is a database of another program (it has the table {table!r}, and no schema_version).",
        remedy="Point store.url at another place.",
        path=where,
    )
