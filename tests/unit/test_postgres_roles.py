"""Who may do what in PostgreSQL: what is written stays as it is, and a tenant's reads see that tenant alone."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from golive.core.clock import SystemClock
from golive.core.errors import SchemaMismatch, StoreError, StoreUnavailable
from golive.store.audit import AuditCheckpoint
from golive.store.postgres import PostgresStore
from golive.store.postgres.connection import Address, connect
from golive.store.revocation import TokenRevocation
from golive.store.tenancy import CredentialRow
from tests.contract.store_kit import entry, events, key, lease, message, view
from tests.contract.test_store_audit import entry as audited
from tests.contract.test_store_tenancy import tenant as a_tenant
from tests.contract.test_store_tenancy import user as a_user
from tests.postgres_kit import Database, postgres_server


@pytest.fixture
def database() -> Iterator[Database]:
    found = Database()
    yield found
    found.drop()


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresStore]:
    opened = await database.open()
    for tenant in ("acme", "evil"):
        of = lease(tenant=tenant)
        await opened.append(
            of, 0, events(range(1, 3), of), ledger=[entry(of, 1, 7)], outbox=[message(of, "m1")], views=[view(of)]
        )
        await opened.tenant(tenant).put_key(key(tenant=tenant))
        await opened.tenant(tenant).put_tenant(a_tenant(tenant))
        await opened.tenant(tenant).put_user(a_user("ann", tenant))
        await opened.tenant(tenant).put_credential(CredentialRow(tenant, "openai", "env:KEY", 1.5, "cli"))
        await opened.revocations.add(TokenRevocation(tenant, "rev_1", "https://i", "jti", "t", 0.0, 9e9, 1.5, "cli"))
        await opened.audit.append([audited(tenant=tenant)])
        head = await opened.audit.tenant(tenant).head()
        await opened.audit.put_checkpoint(AuditCheckpoint(tenant, 1, "checkpoint", head.hash, 7, "k", b""))
    yield opened
    await opened.close()


def make_user(database: Database, name: str) -> None:
    """A user that may do nothing yet; users are the whole server's."""
    sql = f"DO $$ BEGIN CREATE ROLE {name} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    database.server.psql(database.name, sql)


@pytest.mark.parametrize("table", ["events", "ledger", "outbox"])
@pytest.mark.parametrize("role", ["golive_writer", "golive_reader"])
async def test_what_was_written_can_be_changed_or_removed_by_no_writer(
    store: PostgresStore, role: str, table: str
) -> None:
    """Not by SQL either: the role has no right to."""
    connection = await connect(store.address, role)  # type: ignore[arg-type]
    try:
        for sql in (f"UPDATE {table} SET tenant = 'x'", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(sql)
    finally:
        await connection.close()
    assert len(await store.tenant("acme").events("run_1")) == 2


@pytest.mark.parametrize("role", ["golive_writer", "golive_reader", "golive_server", None])
async def test_the_audit_log_is_only_added_to_whoever_asks(store: PostgresStore, role: str | None) -> None:
    """Not even the owner changes a row, or removes one that no mark covers."""
    [head] = await store.audit.append([audited(), audited()])
    connection = await connect(store.address, role)  # type: ignore[arg-type]
    try:
        for sql in (
            "UPDATE audit SET actor = 'x'", "DELETE FROM audit", "UPDATE audit_heads SET seq = 1",
            "DELETE FROM audit_heads",
        ):  # fmt: skip
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT set_config('golive.tenant', 'acme', false); {sql}")
        if role is not None:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("TRUNCATE audit")
    finally:
        await connection.close()
    assert await store.audit.tenant("acme").head() == head
    assert len(await store.audit.tenant("acme").rows()) == 3


async def test_the_role_that_prunes_changes_no_event_and_no_ledger_entry(store: PostgresStore) -> None:
    """It may remove events of old runs; what was paid stays, whoever asks."""
    connection = await connect(store.address, "golive_server")
    try:
        for sql in ("UPDATE events SET body = ''", "UPDATE ledger SET amount_microusd = 0", "DELETE FROM ledger"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(sql)
    finally:
        await connection.close()


async def test_the_writer_cannot_read_what_was_said(store: PostgresStore) -> None:
    """It sees where runs stand, and no content."""
    connection = await connect(store.address, "golive_writer")
    try:
        for sql in ("SELECT body FROM events", "SELECT body FROM outbox", "SELECT mac FROM keys"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(sql)
    finally:
        await connection.close()


TENANTS = (
    "events", "ledger", "outbox", "runs", "leases", "keys", "audit", "audit_heads", "audit_checkpoints",
    "tokens_revoked", "tenants", "tenant_users", "tenant_credentials",
)  # fmt: skip


@pytest.mark.parametrize("table", TENANTS)
async def test_a_forgotten_condition_shows_nothing_of_another_tenant(store: PostgresStore, table: str) -> None:
    """`SELECT … FROM table` without any WHERE gives the named tenant's rows; without a tenant, none at all."""
    connection = await connect(store.address, "golive_reader")
    sql = f"SELECT DISTINCT tenant FROM {table}"
    try:
        assert await connection.fetch(sql) == []
        async with connection.transaction():
            await connection.execute("SELECT set_config('golive.tenant', 'acme', true)")
            assert [row[0] for row in await connection.fetch(sql)] == ["acme"]
        assert await connection.fetch(sql) == []
    finally:
        await connection.close()


async def test_the_tables_owner_is_bound_by_it_too(database: Database, store: PostgresStore) -> None:
    """Row-level security is forced: a user that owns the tables and is no superuser sees no row of its own accord."""
    make_user(database, "plain")
    for table in TENANTS:
        database.server.psql(database.name, f"ALTER TABLE {table} OWNER TO plain")
    for table in TENANTS:
        assert database.server.psql(database.name, f"SELECT * FROM {table}", user="plain") == []
    assert len(await store.tenant("acme").events("run_1")) == 2


async def test_no_connection_keeps_the_tenant_of_the_one_before(store: PostgresStore) -> None:
    """Readers are shared by all tenants, and each statement begins with none."""
    for _ in range(20):
        assert [e.tenant for e in await store.tenant("acme").events("run_1")] == ["acme"] * 2
        assert await store.tenant("nobody").events("run_1") == []
    left = await asyncio.gather(
        *(store._reader.fetch("SELECT current_setting('golive.tenant', true)") for _ in range(8))
    )
    assert {row[0][0] for row in left} <= {None, ""}


# ---- opening -------------------------------------------------------------------------------------------------------


async def test_many_servers_that_open_an_empty_database_at_once_make_it_once() -> None:
    """Under a lock: one creates the schema, the others find it."""
    server = postgres_server()
    server.drop("fresh")
    url = server.create("fresh")
    try:
        stores = await asyncio.gather(*(PostgresStore.open(url, clock=SystemClock()) for _ in range(6)))
        assert [await store.generation() for store in stores] == [1] * 6
        for store in stores:
            await store.close()
        assert server.psql("fresh", "SELECT count(*) FROM installation") == [(1,)]
    finally:
        server.drop("fresh")


async def test_a_database_of_another_program_is_left_alone(database: Database) -> None:
    """Nothing is created in it."""
    server = postgres_server()
    server.drop("foreign")
    url = server.create("foreign")
    try:
        server.psql("foreign", "CREATE TABLE invoices (id INT)")
        with pytest.raises(SchemaMismatch, match="'invoices'"):
            await PostgresStore.open(url, clock=SystemClock())
        assert server.psql("foreign", "SELECT relname FROM pg_class WHERE relname = 'events'") == []
    finally:
        server.drop("foreign")


@pytest.mark.parametrize(("version", "oldest", "said"), [(1, 1, "golive store migrate"), (99, 99, "newer")])
async def test_a_schema_that_will_not_do_is_refused(database: Database, version: int, oldest: int, said: str) -> None:
    """Older or too new, with both numbers and what to do."""
    database.server.psql(database.name, f"UPDATE schema_version SET version = {version}, oldest = {oldest}")
    with pytest.raises(SchemaMismatch) as caught:
        await database.open()
    assert caught.value.fields["found"] == version
    assert said in caught.value.remedy


async def test_a_newer_schema_that_says_that_we_may_is_worked_on(database: Database) -> None:
    """Servers are replaced one by one."""
    database.server.psql(database.name, "INSERT INTO schema_version VALUES (99, 'later', 1.0, 1)")
    store = await database.open()
    assert await store.generation() == 1
    await store.close()


async def test_a_user_that_may_not_work_as_the_roles_is_told_what_to_grant(database: Database) -> None:
    """As the administrator would type it; with the grant, and no further right, it opens."""
    server = database.server
    make_user(database, "guest")
    server.psql(database.name, "REVOKE golive_writer, golive_reader, golive_server FROM guest")
    url = server.url(database.name, "guest")
    with pytest.raises(StoreError) as caught:
        await PostgresStore.open(url, clock=SystemClock())
    assert "GRANT golive_writer, golive_reader, golive_server" in caught.value.remedy
    server.psql(database.name, "GRANT golive_writer, golive_reader, golive_server TO guest")
    store = await PostgresStore.open(url, clock=SystemClock())
    await store.append(lease(), 0, events(range(1, 2), lease()))
    assert len(await store.tenant("acme").events("run_1")) == 1
    await store.close()


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("postgresql://golive:geheim@127.0.0.1:1/golive", "Connect call failed"),
        ("postgresql://golive:geheim@/nowhere?host=SOCKET", "there is no such database"),
        ("postgresql://nobody_at_all:geheim@/golive_template?host=SOCKET", "PostgreSQL refused user or password"),
    ],
)
async def test_a_database_that_cannot_be_opened_says_why_and_shows_no_password(url: str, cause: str) -> None:
    """Nobody listens there, no such database, no such user."""
    with pytest.raises(StoreUnavailable) as caught:
        await PostgresStore.open(url.replace("SOCKET", str(postgres_server().folder)), clock=SystemClock())
    assert cause in caught.value.message
    assert caught.value.remedy
    assert "geheim" not in f"{caught.value} {caught.value.fields}"


def test_an_address_is_shown_without_its_password() -> None:
    """Wherever it stands."""
    assert Address("postgresql://u:p@h1:1,h2:2/db?password=p").shown == "postgresql://u@h1:1,h2:2/db"
    there = "postgresql://u@/db?password=p&host=/run/pg&port=5433&sslpassword=p"
    assert Address(there).shown == "postgresql://u@/db?host=/run/pg&port=5433"
    assert Address("postgresql:///db").shown == "postgresql:///db"
