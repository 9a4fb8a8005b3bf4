"""Makes an empty database ready, and otherwise looks whether its schema will do.

Owns the moment and the lock. Leaves the tables to `store/ddl/postgres.sql`, roles and policies to
`postgres_roles.sql` beside it, and changes of an older schema to `golive store migrate`.
"""

from importlib.resources import files

import asyncpg

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import StoreError
from golive.core.ids import Ids
from golive.store import schema
from golive.store.postgres.connection import Address, Connection, connect, failure, no_role

LOCK = 0x676F6C697665
"""The advisory lock under which a schema is made or changed: "golive" in ASCII."""

ROLES = ("golive_writer", "golive_reader", "golive_server")
OLDEST_SERVER = 140_000
"""PostgreSQL 14."""

_VERSION = "SELECT version, oldest FROM schema_version ORDER BY version DESC LIMIT 1"


async def prepare(address: Address, clock: Clock, chance: Chance) -> None:
    """Checks the schema's version, and creates the schema in an empty database.

    Raises:
        SchemaMismatch: the schema is older or newer, or not golive's.
        StoreError: the user may not create the schema, or not work as golive's roles.
        StoreUnavailable: the database cannot be reached.
    """
    connection = await connect(address, None)
    try:
        await _prepare(connection, address, clock, chance)
    except asyncpg.InsufficientPrivilegeError as error:
        raise no_role(address, None, error) from error
    except StoreError:
        raise
    except Exception as error:
        raise failure(error, address) from error
    finally:
        await connection.close()


async def _prepare(connection: Connection, address: Address, clock: Clock, chance: Chance) -> None:
    found = int(await connection.fetchval("SELECT current_setting('server_version_num')::int"))
    if found < OLDEST_SERVER:
        raise StoreError(
            f"The database {address.shown} is PostgreSQL {found // 10_000}; golive needs 14 or newer.",
            remedy="Bring PostgreSQL up to a newer version.",
            url=address.shown,
        )
    if await _checked(connection, address):
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        if await _checked(connection, address):
            return  # another server was faster
        await connection.execute(schema.ddl("postgresql"))
        now = clock.now()
        first = schema.FIRST_TENANT.replace(":tenant", "$1").replace(":now", "$2")
        await connection.execute(first, "default", now)  # while nobody needs a role to see the table's rows
        await connection.execute(roles())
        await connection.execute(
            "INSERT INTO schema_version (version, name, applied_at, oldest) VALUES ($1, $2, $3, $4)",
            schema.VERSION, schema.NAME, now, schema.OLDEST,
        )  # fmt: skip
        await connection.execute(
            'INSERT INTO installation ("only", id, generation, control_version, created_at, pings)'
            " VALUES (1, $1, 1, 1, $2, 0)",
            Ids(clock, chance).new("inst"), now,
        )  # fmt: skip


async def _stands(connection: Connection) -> tuple[int, int]:
    """The schema, and the oldest server schema that may run on it; a user that inherits nothing reads it as a role."""
    inherits = await connection.fetchval("SELECT has_table_privilege('schema_version', 'SELECT')")
    if not inherits:
        await connection.execute("SET ROLE golive_reader")
    version, oldest = await connection.fetchrow(_VERSION) or (0, 0)
    if not inherits:
        await connection.execute("RESET ROLE")
    return int(version), int(oldest)


def roles() -> str:
    """The SQL that makes roles, grants and policies; may be run again."""
    return (files("golive.store") / "ddl" / "postgres_roles.sql").read_text("utf-8")


async def _checked(connection: Connection, address: Address) -> bool:
    """Whether there is a schema that will do; False: the database is empty."""
    tables = {
        row[0]
        for row in await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
        )
    }
    if "schema_version" in tables:
        version, oldest = await _stands(connection)
        schema.check(address.shown, version, oldest)
        return True
    if tables:
        raise schema.foreign(address.shown, min(tables))
    return False
