"""Opens a connection to PostgreSQL the way golive needs it, and says in our own words what PostgreSQL could not do.

Owns addresses, roles, settings of a session and the translation of error codes. Leaves statements to others.
"""

import asyncio
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import StoreError, StoreUnavailable
from golive.store.postgres import tls

Connection: TypeAlias = asyncpg.Connection
Role = Literal["golive_writer", "golive_reader", "golive_server"]

CONNECT_S = 3.0
"""How long one attempt to connect may take."""

STATEMENT_S = 10.0
"""How long the database works on one statement at most; then it gives it up, and nothing of it was written."""

SILENCE_S = STATEMENT_S + 2.0
"""How long an answer is waited for before the connection counts as broken."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_CACHED_STATEMENTS = 256

_WRITES_AGAIN = "golive connects again by itself, without a restart."
_LOOK = f"Look whether PostgreSQL runs and can be reached from here; {_WRITES_AGAIN}"
_CAUSES = {
    "08": ("the connection broke", _LOOK),
    "28": (
        "PostgreSQL refused user or password",
        "Correct store.url, PGPASSWORD or ~/.pgpass, or what pg_hba.conf allows.",
    ),
    "3D": ("there is no such database", "Create it (`createdb`), or correct store.url."),
    "40": ("its transactions collide", "Try again."),
    "53": ("PostgreSQL has no disk, memory or connections left", f"Give it more, or free some; {_WRITES_AGAIN}"),
    "54": ("a limit of PostgreSQL is reached", "Report this, with PostgreSQL's log."),
    "55": ("what was to be changed is locked", "Find out who keeps a transaction open (pg_stat_activity), and end it."),
    "57": ("PostgreSQL ended the statement or is shutting down", _LOOK),
    "58": ("the operating system refused PostgreSQL to read or write", "Look for a failing or full disk."),
    "XX": ("PostgreSQL has a fault of its own", "Look into PostgreSQL's log."),
}
_EXACT = {
    "25006": (
        "it is read-only",
        "It is a standby, or its disk is full: let store.url name the primary (several hosts may stand there).",
    ),
    "57014": (
        f"a statement took longer than {STATEMENT_S:g} s",
        "Find out what holds the database up (pg_stat_activity): locks, or too slow a disk.",
    ),
}
"""By SQLSTATE and by its class.

Source: https://www.postgresql.org/docs/18/errcodes-appendix.html (2026-11).
"""


class Lost(Exception):
    """The connection is gone, and nobody can tell whether what was under way stands."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Address:
    """Where the database is. `shown` has no password and may be told to anybody."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        self.url = url
        self.shown = f"{parts.scheme}://{user.partition(':')[0]}{at}{hosts}{parts.path}{_place(parts.query)}"


def _place(query: str) -> str:
    """Of a URL's query what says where the database is, which may stand there alone."""
    named = [f"{name}={value}" for name, value in parse_qsl(query) if name in ("host", "port", "dbname", "database")]
    return f"?{'&'.join(named)}" if named else ""


async def connect(address: Address, role: Role | None) -> Connection:
    """One attempt to connect, as `role`; None: as the user of the URL.

    Raises:
        StoreUnavailable: it cannot be reached, or refuses.
        StoreError: the user may not work as `role`.
    """
    settings = {
        "application_name": "golive",
        "jit": "off",
        "statement_timeout": f"{STATEMENT_S * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{STATEMENT_S * 1000:.0f}",
    }
    if role is not None:
        settings["role"] = role
    if role == "golive_writer":
        # Few statements, and each row of them is found by its key: planned once, and never by reading a whole table.
        settings |= {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_mergejoin": "off"}
        settings["enable_hashjoin"] = "off"
    try:
        async with asyncio.timeout(CONNECT_S):
            connection = await asyncpg.connect(
                address.url,
                timeout=CONNECT_S,
                server_settings=settings,
                statement_cache_size=_CACHED_STATEMENTS,
                max_cached_statement_lifetime=0,
                max_cacheable_statement_size=0,
            )
            if role == "golive_writer":
                await connection.execute(_DURABLE)
            return connection
    except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError) as error:
        raise no_role(address, role, error) from error
    except Exception as error:
        raise failure(error, address) from error


_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
"""What an append has written is to survive the machine, whatever the database's own setting."""


def no_role(address: Address, role: str | None, error: Exception) -> StoreError:
    """The user that golive connects as cannot work as `role`; None: cannot make tables and roles."""
    doing = f"work as {role}" if role else "make its tables and roles"
    return StoreError(
        f"The database {address.shown} does not let golive {doing}: {str(error).splitlines()[0]}.",
        remedy="As an administrator: CREATE ROLE golive_writer; CREATE ROLE golive_reader; CREATE ROLE golive_server; "
        "GRANT golive_writer, golive_reader, golive_server TO the user of store.url; and let it own the database.",
        url=address.shown,
        role=role,
        cause=str(error),
    )


def failure(error: BaseException, address: Address) -> StoreError:
    """Any fault of PostgreSQL's or of the way to it as one of our own errors.

    Its field `set_up` is true where something is set up wrongly, which no waiting mends.
    """
    if isinstance(error, StoreError):
        return error
    code = getattr(error, "sqlstate", None) or ""
    found = _EXACT.get(code) or _CAUSES.get(code[:2])
    of_tls = tls.fault(error, address.url) if found is None else None
    if of_tls is not None:
        found = (of_tls.cause, of_tls.remedy)
    if found is None and (isinstance(error, (OSError, TimeoutError, asyncpg.InterfaceError, Lost)) or not code):
        silent = isinstance(error, TimeoutError) and not str(error)
        said = "it does not answer" if silent else str(error) or type(error).__name__
        found = (said.splitlines()[0].rstrip("."), _LOOK)
    if found is None:
        return StoreError(
            f"The database {address.shown} refused: {error}.",
            remedy="Report this; the statement, or what golive's roles may do, is wrong.",
            url=address.shown,
            cause=str(error),
            sqlstate=code,
        )
    cause, remedy = found
    detail = f" ({error})" if code and code not in _EXACT else ""
    return StoreUnavailable(
        f"The database {address.shown} is unavailable: {cause}{detail}.",
        remedy=remedy,
        url=address.shown,
        cause=cause,
        sqlstate=code,
        set_up=of_tls is not None or None,
    )


def closed(address: Address) -> StoreUnavailable:
    """The error of a store that was closed."""
    return StoreUnavailable(
        f"The database {address.shown} is closed.",
        remedy="Send the request to a running server.",
        url=address.shown,
        cause="closed",
    )


def is_lost(error: BaseException, connection: Connection) -> bool:
    """Whether the connection went while a statement was under way, so that its outcome is not known."""
    if isinstance(error, ValueError):
        return False  # a value that the driver could not even send
    if isinstance(error, (OSError, TimeoutError, asyncpg.InterfaceError)) or connection.is_closed():
        return True
    code = getattr(error, "sqlstate", None) or ""
    return code[:2] == "08" or code[:3] == "57P"


def is_standby(error: BaseException) -> bool:
    """Whether the server turned out to be one that cannot write: another may be the primary by now."""
    return getattr(error, "sqlstate", None) == "25006"


async def execute(connection: Connection, sql: str, *values: Any) -> list[Any]:
    """The rows of one statement, which is a transaction of its own.

    Raises:
        Lost: the connection is gone; it was closed.
        Exception: as the driver raises; nothing of the statement stands.
    """
    try:
        async with asyncio.timeout(SILENCE_S):
            rows: list[Any] = await connection.fetch(sql, *values)
            return rows
    except Exception as error:
        if is_lost(error, connection):
            connection.terminate()
            raise Lost(str(error) or type(error).__name__) from error
        if is_standby(error):
            connection.terminate()
        raise


class Link:
    """One connection that is opened when it is needed, and again after it broke. For one user at a time."""

    def __init__(self, address: Address, role: Role, clock: Clock, chance: Chance) -> None:
        self._address = address
        self._role = role
        self._clock = clock
        self._chance = chance
        self._connection: Connection | None = None

    async def open(self, patience_s: float) -> Connection:
        """The connection; tries again and again, with growing pauses, for `patience_s`, and once at least.

        Raises:
            StoreUnavailable: the time is over.
            StoreError: the user may not work as the role.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        until = self._clock.monotonic() + patience_s
        pause = _FIRST_PAUSE_S
        while True:
            try:
                self._connection = await connect(self._address, self._role)
                return self._connection
            except StoreUnavailable:
                if self._clock.monotonic() + pause > until:
                    raise
            await asyncio.sleep(pause * self._chance.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def drop(self) -> None:
        """Breaks the connection off, whatever it does."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Says good-bye to the server, if there is a connection."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=CONNECT_S)
            except Exception:
                connection.terminate()
