"""A database as `golive store` sees it: SQLite or PostgreSQL, through SQLAlchemy.

Owns connections, whether servers use the database, and whose fault an error is. All is called within `work`, which lets
SQLAlchemy's plain interface wait for PostgreSQL's asynchronous driver.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn

from golive.core.errors import GoliveError, InvalidRequest, SchemaMismatch, StoreUnavailable
from golive.store.schema import Kind, foreign, statements
from golive.store.sqlite.connection import connect, connect_writer, create_file, failure
from golive.store.sqlite.exclusive import ServerLock

T = TypeVar("T")
_SQLITE = "sqlite:"
_POSTGRES = ("postgresql://", "postgres://")
_LIVING = text("SELECT holder FROM holders WHERE until > extract(epoch FROM clock_timestamp()) ORDER BY holder")
_CONNECT_S = 10.0


async def work(doing: Callable[[], T]) -> T:
    """What `doing` returns; within it, databases of both kinds can be used."""
    done: T = await greenlet_spawn(doing)
    return done


def of_a_command(error: GoliveError) -> GoliveError:
    """The error without what holds for servers alone: they write again by themselves, a command is given again."""
    error.remedy = error.remedy.partition("; golive ")[0].rstrip(".") + "."
    return error


def nothing_yet(name: str, doing: str) -> SchemaMismatch:
    """The error for a database without any table; `doing`: what was to be done with them."""
    return SchemaMismatch(
        f"{name} is empty: there is no store in it yet.",
        remedy=f"`golive serve` makes its tables; there is nothing to {doing}.", path=name,
    )  # fmt: skip


class Database:
    """Where a store is or is to be."""

    def __init__(self, kind: Kind, where: str) -> None:
        self.kind: Kind = kind
        self.where = where
        self._engine: Engine | None = None

    @classmethod
    def of(cls, url: str, folder: Path) -> "Database":
        """The database of a URL: `sqlite:PATH`, relative to `folder`, or `postgresql://…`.

        Raises:
            InvalidRequest: it is neither.
        """
        if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
            return cls("sqlite", str(folder / url.removeprefix(_SQLITE)))
        if url.startswith(_POSTGRES):
            return cls("postgresql", url)
        raise InvalidRequest(
            f"{url!r} is no address of a store.",
            remedy="Give sqlite:PATH or postgresql://USER@HOST/DATABASE.",
            field="url",
            value=url,
        )

    @property
    def name(self) -> str:
        """What it is called in messages: no password in it."""
        if self.kind == "sqlite":
            return self.where
        from golive.store.postgres.connection import Address

        return Address(self.where).shown

    def exists(self) -> bool:
        """Whether there is anything that could hold a store."""
        return self.kind == "postgresql" or Path(self.where).exists()

    @contextmanager
    def connected(self, *, isolation: str | None = None, writable: bool = True) -> Iterator[Connection]:
        """A connection; what is not committed is rolled back at the end.

        Raises:
            StoreUnavailable: the database cannot be reached, read or written.
        """
        engine = self._made(writable)
        try:
            with engine.connect() as connection:
                if isolation is not None and self.kind == "postgresql":
                    connection.execution_options(isolation_level=isolation)
                yield connection
        except GoliveError:
            raise
        except Exception as error:
            found = self._failure(error)
            if found is None:
                raise
            raise of_a_command(found) from error
        finally:
            engine.dispose()

    def _made(self, writable: bool) -> Engine:
        if self.kind == "postgresql":
            return create_async_engine(
                "postgresql+asyncpg://", async_creator=self._dial, poolclass=NullPool, hide_parameters=True
            ).sync_engine
        if not writable:
            return create_engine(
                "sqlite://", creator=lambda: connect(self.where, writable=False), poolclass=NullPool,
                hide_parameters=True,
            )  # fmt: skip
        create_file(self.where)
        return create_engine(
            "sqlite://", creator=lambda: connect_writer(self.where), poolclass=NullPool, hide_parameters=True
        )

    async def _dial(self) -> Any:
        import asyncpg

        return await asyncpg.connect(self.where, timeout=_CONNECT_S)

    def _failure(self, error: Exception) -> GoliveError | None:
        """None: it is no fault of the database's."""
        root: BaseException = error
        if isinstance(error, DBAPIError) and error.orig is not None:
            root = error.orig.__cause__ or error.orig
        if self.kind == "sqlite":
            return failure(root, self.where) if isinstance(root, sqlite3.Error) else None
        import asyncpg

        from golive.store.postgres.connection import Address, no_role
        from golive.store.postgres.connection import failure as failed

        if isinstance(root, asyncpg.InsufficientPrivilegeError):
            return no_role(Address(self.where), None, root)
        faults = (OSError, TimeoutError, DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError)
        return failed(root, Address(self.where)) if isinstance(root, faults) else None

    @contextmanager
    def without_servers(self, doing: str, connection: Connection | None = None) -> Iterator[None]:
        """Holds servers off a SQLite file while the block runs; on PostgreSQL, says whether any lives now.

        Raises:
            StoreUnavailable: a server uses the database.
        """
        if self.kind == "sqlite":
            lock = ServerLock.take(Path(self.where))
            try:
                yield
            finally:
                lock.release()
            return
        assert connection is not None
        living = self.living(connection)
        if living:
            raise StoreUnavailable(
                f"Golive servers use {self.name} ({', '.join(living[:5])}), so that it cannot be {doing}.",
                remedy="Stop them; one that was killed counts as gone when its lease is over (server.lease_s).",
                path=self.name,
                cause="in use",
                holders=living,
            )
        yield

    def living(self, connection: Connection) -> list[str]:
        """The servers whose leases are not over, or that hold the file's lock (by process id)."""
        if self.kind == "sqlite":
            try:
                ServerLock.take(Path(self.where)).release()
            except StoreUnavailable as error:
                return [f"process {error.fields['holder']}"] if "holder" in error.fields else []
            return []
        if "holders" not in inspect(connection).get_table_names():
            return []
        return [str(holder) for (holder,) in connection.execute(_LIVING)]

    def version(self, connection: Connection) -> tuple[int, int] | None:
        """The schema, and the oldest server schema that may run on it; None: the database is empty.

        Raises:
            SchemaMismatch: another program keeps its tables there.
        """
        tables = inspect(connection).get_table_names()
        if not tables:
            return None
        if "schema_version" not in tables:
            raise foreign(self.name, min(tables))
        found = connection.execute(text("SELECT * FROM schema_version ORDER BY version DESC LIMIT 1"))
        row = found.mappings().first()
        if row is None:
            raise SchemaMismatch(
                f"{self.name} does not say which schema it has: schema_version is empty.",
                remedy="Restore a backup.", path=self.name,
            )  # fmt: skip
        return int(row["version"]), int(row.get("oldest", row["version"]))

    def begin(self, connection: Connection, how: str = "DEFERRED") -> None:
        """Begins a transaction; `how` is SQLite's word for what it keeps others from."""
        if self.kind == "sqlite":
            connection.exec_driver_sql(f"BEGIN {how}")
        else:
            connection.execute(text("SELECT 1"))

    def script(self, connection: Connection, sql: str) -> None:
        """Runs many statements in the transaction."""
        if self.kind == "sqlite":
            for statement in statements(sql):
                connection.exec_driver_sql(statement)
        else:
            driver: Any = connection.connection.dbapi_connection
            driver.run_async(lambda driver: driver.execute(sql))

    def same_as(self, other: "Database") -> bool:
        """Whether both are the same place, as far as their addresses tell."""
        if self.kind == other.kind == "sqlite":
            return Path(self.where).resolve() == Path(other.where).resolve()
        return self.where == other.where

    def grant(self, connection: Connection) -> None:
        """Who may do what with the tables that there are now: PostgreSQL's roles and policies, in the transaction."""
        if self.kind == "postgresql":
            self.script(connection, (files("golive.store") / "ddl" / "postgres_roles.sql").read_text("utf-8"))

    def discard(self) -> None:
        """Removes a SQLite file that was made in vain."""
        if self.kind == "sqlite":
            for ending in ("", "-wal", "-shm", "-journal", ".lock"):
                with suppress(OSError):
                    Path(self.where + ending).unlink(missing_ok=True)
