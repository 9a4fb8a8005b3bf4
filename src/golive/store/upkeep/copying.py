"""Copying a whole store from one database into another, and proving that nothing was lost on the way.

Rows are read in one snapshot and written in one transaction: the target has all of them, or none. Then both are read
again: each table must have as many rows, and the same sum over its rows' hashes. The journal keeps its order.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, MetaData, Select, Table, and_, func, insert, not_, select, text
from sqlalchemy.exc import DBAPIError

from golive.core.errors import InvalidRequest, SchemaMismatch, StoreError, StoreUnavailable
from golive.store import schema
from golive.store.migrations.tables import describe
from golive.store.tenancy import BY_GOLIVE
from golive.store.upkeep.database import Database

_BATCH = 500
SNAPSHOT = "REPEATABLE READ"
_NOT_COPIED = frozenset({"schema_version"})
_MADE_WITH_IT = ("installation", "holders")
"""Tables in which a database has rows before anybody used it; but for these, `default` in the table of tenants."""
_ORDER = {"sqlite": ("rowid",), "postgresql": ("xid", "number")}
"""By what the journal's rows lie in the order in which they became durable."""

Progress = Callable[[str, int, int], None]
"""Told a table, how many of its rows are done, and how many it has."""


class Sum(msgspec.Struct, frozen=True):
    """What a table holds: rows, and the sum of their hashes (hexadecimal)."""

    table: str
    rows: int
    sum: str


def copy(source: Database, target: Database, progress: Progress) -> list[Sum]:
    """Copies everything into an empty target; what each table holds now, in both.

    Raises:
        StoreUnavailable: servers use one of the two; or one cannot be reached, read or written.
        SchemaMismatch: the source's schema is not this golive's, or the target is not empty.
        StoreError: the target holds something else than the source, or refused a row. Nothing of it stands.
    """
    if source.same_as(target):
        raise InvalidRequest(
            f"{source.name} cannot be copied onto itself.", remedy="Give another target.", field="to", value=target.name
        )
    need_there(source)
    fresh = not target.exists()
    try:
        with source.connected(isolation=SNAPSHOT) as reading:
            need_current(source, reading)
            with source.without_servers("copied", reading):
                _hold_still(source, reading)
                return _into(target, source, reading, progress)
    except BaseException:
        if fresh:
            target.discard()
        raise


def need_there(source: Database) -> None:
    """Raises SchemaMismatch when there is no such file."""
    if not source.exists():
        raise SchemaMismatch(
            f"There is no database {source.name}.", remedy="Check store.url, or give --config.", path=source.name
        )


def _into(target: Database, source: Database, reading: Connection, progress: Progress) -> list[Sum]:
    with target.connected() as writing, target.without_servers("copied to", writing):
        make_empty(target, writing)
        sums = pour(source, reading, target, writing, progress)
        writing.commit()
    return sums


def need_current(source: Database, connection: Connection) -> None:
    """Raises SchemaMismatch unless the database has this golive's schema."""
    found = source.version(connection)
    if found is None:
        raise SchemaMismatch(
            f"{source.name} is empty.", remedy="Check the address; there is nothing to copy.", path=source.name
        )
    if found[0] != schema.VERSION:
        older = "Run `golive store migrate` first, or use the golive that it is of."
        raise schema.mismatch(
            source.name, found[0], schema.VERSION, older if found[0] < schema.VERSION else "Use a newer golive."
        )


def make_empty(target: Database, connection: Connection) -> None:
    """Makes the tables where there are none; begins the transaction.

    Raises:
        SchemaMismatch: there are tables of another schema, or of another program, or rows.
    """
    target.begin(connection)
    found = target.version(connection)
    if found is None:
        target.script(connection, schema.ddl(target.kind))
        target.grant(connection)
        connection.execute(
            text("INSERT INTO schema_version (version, name, applied_at, oldest) SELECT :v, :n, 0, :o"),
            {"v": schema.VERSION, "n": schema.NAME, "o": schema.OLDEST},
        )
        return
    if found[0] != schema.VERSION:
        raise schema.mismatch(target.name, found[0], schema.VERSION, "Give an empty database as the target.")
    for table in tables(target):
        if table.name in _MADE_WITH_IT:
            continue
        counted = select(func.count()).select_from(table)
        if table.name == "tenants":
            counted = counted.where(changed_by_somebody(table))
        rows = connection.execute(counted).scalar_one()
        if rows:
            raise SchemaMismatch(
                f"{target.name} is not empty: {table.name} has {rows} rows.",
                remedy="Give an empty database as the target.",
                path=target.name,
                table=table.name,
                rows=rows,
            )
    for name in (*_MADE_WITH_IT, "tenants"):
        connection.execute(text(f"DELETE FROM {name}"))  # noqa: S608 - names of ours


def changed_by_somebody(tenants: Table) -> ColumnElement[bool]:
    """Which tenants are more than the row of `default` that each database is made with."""
    made = and_(tenants.c.tenant == "default", tenants.c.created_by == BY_GOLIVE, tenants.c.changed_at == 0.0)
    return not_(made)


def pour(source: Database, reading: Connection, target: Database, writing: Connection, progress: Progress) -> list[Sum]:
    """Copies the rows of all tables, and compares both sides.

    Raises:
        StoreError: the target holds something else than the source, or refused a row.
    """
    given = {table.name: table for table in tables(source)}
    sums: list[Sum] = []
    for table in tables(target):
        before = _pour(given[table.name], reading, table, writing, source, target, progress)
        after = total(table, writing, target)
        if before != after:
            raise StoreError(
                f"{target.name} does not hold in {table.name} what {source.name} does: {after.rows} rows of "
                f"{before.rows}, sum {after.sum} instead of {before.sum}.",
                remedy="Nothing of the copy stands. Check the source (`golive store verify`), and report this.",
                table=table.name,
            )
        sums.append(after)
    if target.kind == "postgresql":  # the first server is not to plan as for empty tables
        writing.execute(text(f"ANALYZE {', '.join(given)}"))
    return sums


def tables(database: Database) -> list[Table]:
    """The tables that are copied, as they are in this kind of database."""
    metadata: MetaData = describe(database.kind)
    return [table for table in metadata.tables.values() if table.name not in _NOT_COPIED]


def total(table: Table, connection: Connection, database: Database) -> Sum:
    """Counts and adds up what a table holds."""
    adding = _Adding(table)
    for rows in _batches(table, connection, database):
        adding.add(rows)
    return adding.sum()


def _pour(
    given: Table, reading: Connection, taken: Table, writing: Connection, source: Database, target: Database,
    progress: Progress,
) -> Sum:  # fmt: skip
    name, adding, done = given.name, _Adding(given), 0
    count = int(reading.execute(select(func.count()).select_from(given)).scalar_one())
    progress(name, 0, count)
    columns = [column.name for column in _columns(given)]
    adds = insert(taken)
    for rows in _batches(given, reading, source):
        values = [dict(zip(columns, row, strict=True)) for row in rows]
        try:
            writing.execute(adds, values)
        except DBAPIError as error:
            raise StoreError(
                f"{target.name} refused rows of {name}: {error.orig}.",
                remedy="Nothing of the copy stands. PostgreSQL keeps no NUL in text; check the rows between the keys.",
                table=name, first=_key(given, values[0]), last=_key(given, values[-1]),
            ) from error  # fmt: skip
        adding.add(rows)
        done += len(rows)
        progress(name, done, count)
    return adding.sum()


class _Adding:
    """The sum over a table's rows; of the journal's with their place, for their order must be kept."""

    def __init__(self, table: Table) -> None:
        self._name = table.name
        self._rows = 0
        self._sum = 0
        self._ordered = table.name == "events"

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        for row in rows:
            place = self._rows if self._ordered else 0
            digest = hashlib.blake2b(msgspec.msgpack.encode((place, *row)), digest_size=16).digest()
            self._sum = (self._sum + int.from_bytes(digest)) % (1 << 128)
            self._rows += 1

    def sum(self) -> Sum:
        return Sum(self._name, self._rows, f"{self._sum:032x}")


def _columns(table: Table) -> list[Any]:
    return [column for column in table.columns if column.name not in _ORDER["postgresql"]]


def _batches(table: Table, connection: Connection, database: Database) -> Iterator[list[tuple[Any, ...]]]:
    asked: Select[Any] = select(*_columns(table)).execution_options(yield_per=_BATCH)
    if table.name == "events":
        asked = asked.order_by(*(text(name) for name in _ORDER[database.kind]))
    rows = iter(connection.execute(asked))
    while batch := [tuple(row) for row in islice(rows, _BATCH)]:
        yield batch


def _hold_still(source: Database, connection: Connection) -> None:
    """Nobody can write what the copy would not have: not until the transaction that this begins is over.

    The lock comes before the snapshot, which the first query takes.
    """
    connection.rollback()
    if source.kind == "sqlite":
        source.begin(connection, "IMMEDIATE")
        return
    connection.execute(text("LOCK TABLE leases, events, keys, tenants, tenant_users, tenant_credentials IN SHARE MODE"))
    living = source.living(connection)
    if living:
        raise StoreUnavailable(
            f"A golive server ({living[0]}) began to use {source.name}.",
            remedy="Stop it, then copy again.",
            path=source.name,
        )


def _key(table: Table, row: dict[str, Any]) -> str:
    return "/".join(str(row[column.name]) for column in table.primary_key.columns)
