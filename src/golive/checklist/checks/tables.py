"""Does the database itself keep tenants apart, whatever it is asked for? Every table, by PostgreSQL's catalogue.

The cluster is this drill's own, its schema that of the server under check. Rows of two tenants are put into each table
that has tenants, made up from its columns, so that a later table is tried unasked.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from golive.checklist.drill import noted
from golive.checklist.postgres import MISSING, PostgresNotStarted, own_folder, postgres, programs
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.store.postgres.connection import Address, Connection, connect

MOST_TOLD = 6
FIRST, SECOND = "golive-check-first", "golive-check-second"
NO_TENANT = {
    "schema_version": "which schema the tables have: the installation's",
    "installation": "counters of the installation as a whole; one row",
    "holders": "which servers live; each carries runs of all tenants",
    "secret_fingerprints": "fingerprints of the installation's secrets; no reader may look",
}
"""Tables without tenants, and why."""
_TABLES = """
SELECT c.relname, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity, EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
) FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY c.relname
"""
_COLUMNS = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = $1 AND is_nullable = 'NO' AND column_default IS NULL
    AND is_identity = 'NO' AND is_generated = 'NEVER' ORDER BY ordinal_position
"""
_VALUES: dict[str, Any] = {
    "text": "planted", "bigint": 1, "integer": 1, "double precision": 1.0, "boolean": False, "bytea": b"planted",
}  # fmt: skip


class Table(NamedTuple):
    """A table or view; `guarded`: row-level security is on, for its owner too."""

    name: str
    kind: str
    enabled: bool
    forced: bool
    has_tenant: bool

    @property
    def quoted(self) -> str:
        return '"' + self.name.replace('"', '""') + '"'


@check(
    "SEC-6.tables",
    row="SEC-6",
    title="The database shows and takes nothing of another tenant, in any table, whatever SQL is asked",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "golive"},
    where="own",
    remediation="Give each table with a column `tenant` forced row-level security and a policy on golive.tenant "
    "(store/ddl/postgres_roles.sql).",
    references=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html", "CWE-639"),
    timeout_s=90.0,
)
async def tables_are_apart(target: Target) -> Result:
    """As the role that tenants read through, naming the one tenant, rows of the other are read, changed and added."""
    found = Finding("0 crossings")
    if programs() is None:
        return found.unknown(MISSING)
    with own_folder() as folder:
        try:
            async with postgres(folder, target.clock) as url:
                twin = await target.twin.configured({"GOLIVE_STORE__URL": url})
                try:
                    return await _tried(found, target, Address(url))
                finally:
                    await twin.end()
        except PostgresNotStarted as error:
            return found.unknown(error.message)


async def _tried(found: Finding, target: Target, address: Address) -> Result:
    owner = await connect(address, None)
    reader = await connect(address, "golive_reader")
    try:
        tables = [Table(*row) for row in await owner.fetch(_TABLES)]
        wrong = list(_declared(tables))
        apart = [table for table in tables if table.has_tenant]
        tried = 0
        for table in apart:
            faults, tries = await _table(owner, reader, table)
            wrong += faults
            tried += tries
    finally:
        await reader.close()
        await owner.close()
    others = [table.name for table in tables if not table.has_tenant]
    why = "; ".join(f"{name}: {NO_TENANT.get(name, 'not on the list')}" for name in others)
    found.saw(noted(target.twin, f"{len(apart)} tables have tenants; of no tenant are {len(others)}", why))
    found.saw(noted(target.twin, "tried as golive_reader with golive.tenant set to another", "; ".join(wrong) or "-"))
    found.measured = f"{tried} statements on {len(apart)} of {len(tables)} tables: {len(wrong)} crossings or gaps"
    return found.failed("; ".join(wrong[:MOST_TOLD])) if wrong else found.passed()


def _declared(tables: Sequence[Table]) -> Iterator[str]:
    """What the catalogue itself shows to be wrong."""
    for table in tables:
        if not table.has_tenant and table.name not in NO_TENANT:
            yield f"{table.name} has no column `tenant`, and nobody has said why"
        if table.has_tenant and table.kind in "vmf":
            yield f"{table.name} is a view or a foreign table: no policy stands before it"
        elif table.has_tenant and not (table.enabled and table.forced):
            yield f"{table.name} has no row-level security{'' if not table.enabled else ' for its owner'}"


async def _table(owner: Connection, reader: Connection, table: Table) -> tuple[list[str], int]:
    """What is wrong with one table, and how many statements were tried."""
    from asyncpg import PostgresError

    columns = [(row[0], row[1]) for row in await owner.fetch(_COLUMNS, table.name)]
    names = ", ".join(f'"{name}"' for name, _ in columns)
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    insert = f"INSERT INTO {table.quoted} ({names}) VALUES ({places})"  # noqa: S608 - names out of the catalogue
    try:
        for tenant in (FIRST, SECOND):
            await owner.execute(insert, *_row(columns, tenant))
    except (PostgresError, KeyError) as error:
        return [f"{table.name}: no row can be made up for the drill ({error})"], 0
    tries = {
        "reads rows": (f"SELECT count(*) FROM {table.quoted} WHERE tenant <> '{SECOND}'", ()),  # noqa: S608
        "changes rows": (f"UPDATE {table.quoted} SET tenant = tenant WHERE tenant = '{FIRST}'", ()),  # noqa: S608
        "removes rows": (f"DELETE FROM {table.quoted} WHERE tenant = '{FIRST}'", ()),  # noqa: S608
        "adds rows": (insert.replace(places, places + " ") + "ON CONFLICT DO NOTHING", _row(columns, FIRST, "other")),
        "empties the table": (f"TRUNCATE {table.quoted}", ()),
    }
    wrong = [
        f"{table.name}: {tenant or 'who names no tenant'} {what} of another"
        for what, (sql, values) in tries.items()
        for tenant in (SECOND, "")
        if await _went_through(reader, tenant, sql, values)
    ]
    left = await owner.fetchval(f"SELECT count(*) FROM {table.quoted} WHERE tenant = '{FIRST}'")  # noqa: S608
    return wrong + ([f"{table.name}: rows of the first tenant have changed"] if left != 1 else []), 2 * len(tries)


def _row(columns: Sequence[tuple[str, str]], tenant: str, text: str = "planted") -> tuple[Any, ...]:
    values = _VALUES | {"text": text}
    return tuple(tenant if name == "tenant" else values[kind] for name, kind in columns)


async def _went_through(reader: Connection, tenant: str, sql: str, values: Sequence[Any]) -> bool:
    """Whether the statement touched a row; nothing of it stays."""
    from asyncpg import PostgresError

    transaction = reader.transaction()
    await transaction.start()
    try:
        await reader.execute("SELECT set_config('golive.tenant', $1, true)", tenant)
        if sql.startswith("SELECT"):
            return bool(await reader.fetchval(sql))
        done = str(await reader.execute(sql, *values))
        return done == "TRUNCATE TABLE" or done.rpartition(" ")[2] not in ("", "0")
    except PostgresError:
        return False
    finally:
        await transaction.rollback()
