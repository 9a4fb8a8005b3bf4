"""Which PostgreSQL role may do what, in the catalogue and by trying; and what the users of a URL get of it."""

from collections.abc import Iterator

import asyncpg
import pytest

from golive.core.clock import SystemClock
from golive.store.postgres import PostgresStore
from tests.contract.store_kit import events, lease
from tests.postgres_kit import Database

TENANT_TABLES = {"leases", "events", "ledger", "outbox", "decisions", "runs", "versions", "keys", "schedules"}
AUDIT = {"audit", "audit_heads", "audit_checkpoints"}
REVOKED = {"tokens_revoked"}
SEALED = {"data_keys"}
TENANCY = {"tenants", "tenant_users", "tenant_credentials"}
PRINTS = {"secret_fingerprints"}
LOGIN = (
    "DO $$ BEGIN CREATE ROLE golive_app LOGIN NOINHERIT; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    "GRANT golive_writer, golive_reader, golive_server TO golive_app",
)
"""The user that servers log in as, as docs/operations.md has it."""


@pytest.fixture
def database() -> Iterator[Database]:
    found = Database()
    for sql in LOGIN:
        found.server.psql(found.name, sql)
    yield found
    found.drop()


def test_the_rights_of_each_role_are_those_of_the_documents(database: Database) -> None:
    """Whole tables that a role may change, out of the catalogue; columns of the writer are named beside."""
    rows = database.server.psql(
        database.name,
        "SELECT grantee::text, privilege_type::text, array_agg(table_name::text ORDER BY table_name) FROM "
        "information_schema.role_table_grants WHERE grantee LIKE 'golive\\_%' GROUP BY 1, 2 ORDER BY 1, 2",
    )
    found = {(role, right): set(tables) for role, right, tables in rows}
    everything = TENANT_TABLES | {"installation", "holders"}
    secured = AUDIT | REVOKED | SEALED | PRINTS | TENANCY
    assert found == {
        ("golive_reader", "SELECT"): TENANT_TABLES | AUDIT | REVOKED | TENANCY | {"schema_version"},
        ("golive_server", "DELETE"): everything - {"ledger"}
        | AUDIT - {"audit_heads"}
        | REVOKED
        | TENANCY - {"tenants"},
        ("golive_server", "INSERT"): everything | secured,
        ("golive_server", "SELECT"): everything | secured | {"schema_version"},
        ("golive_server", "UPDATE"): everything - {"events", "ledger"} | {"audit_heads"} | SEALED | PRINTS | TENANCY,
        ("golive_writer", "INSERT"): {"events", "ledger", "outbox", "leases", "runs", "decisions"},
        ("golive_writer", "SELECT"): {"leases", "runs", "decisions", "schema_version"},
        ("golive_writer", "UPDATE"): {"leases", "runs", "decisions"},
    }


def test_each_table_of_tenants_is_guarded_and_only_the_reader_is_held_to_its_tenant(database: Database) -> None:
    """Row-level security is on and forced; the policies of writer and server let all tenants through."""
    guarded = database.server.psql(
        database.name,
        "SELECT relname::text FROM pg_class WHERE relrowsecurity AND relforcerowsecurity AND relkind = 'r'",
    )
    assert {name for (name,) in guarded} == TENANT_TABLES | AUDIT | REVOKED | SEALED | TENANCY
    policies = database.server.psql(
        database.name, "SELECT tablename::text, policyname::text, roles::text, qual FROM pg_policies"
    )
    for table, policy, roles, condition in policies:
        assert roles == f"{{golive_{policy}}}", table
        assert (condition == "true") == (policy != "reader"), table
    assert {(table, policy) for table, policy, _, _ in policies} == {
        (table, policy)
        for table in TENANT_TABLES
        for policy in ("reader", "server", "writer")
        if policy != "writer" or table not in {"versions", "keys", "schedules"}
    } | {(table, policy) for table in AUDIT | REVOKED | TENANCY for policy in ("reader", "server")} | {
        ("data_keys", "server")
    }


async def test_servers_that_log_in_without_inheriting_get_nothing_of_their_own_accord(database: Database) -> None:
    """The documented user serves, and whoever logs in as it and takes no role sees no row and removes none."""
    store = await PostgresStore.open(database.server.url(database.name, "golive_app"), clock=SystemClock())
    of = lease()
    await store.append(of, 0, events(range(1, 3), of))
    assert len(await store.tenant("acme").events("run_1")) == 2
    await store.beat("srv", 10.0)
    await store.close()
    connection = await asyncpg.connect(database.server.url(database.name, "golive_app"))
    try:
        for table in sorted(TENANT_TABLES | TENANCY):
            for sql in (f"SELECT count(*) FROM {table}", f"DELETE FROM {table}", f"TRUNCATE {table}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(sql)
        await connection.execute("SET ROLE golive_reader")
        assert await connection.fetchval("SELECT count(*) FROM events") == 0
    finally:
        await connection.close()
