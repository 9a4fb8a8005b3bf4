"""How a file comes to its schema, and what is said of a file that has another."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import Struct

from golive.core.clock import SystemClock
from golive.core.errors import SchemaMismatch
from golive.core.events import Event
from golive.store import schema
from golive.store.audit import AuditCheckpoint, AuditHead, AuditRow
from golive.store.data_keys import DataKeyRow
from golive.store.fingerprints import FingerprintRow
from golive.store.ports import (
    DecisionRow,
    Delivery,
    KeyRow,
    LedgerEntry,
    OutboxMessage,
    RunView,
    ScheduleRow,
    VersionRow,
)
from golive.store.revocation import TokenRevocation
from golive.store.sqlite import SqliteStore
from golive.store.tenancy import CredentialRow, TenantRow, UserRow


def opened_and_closed(path: Path) -> None:
    asyncio.run(SqliteStore.open(path, clock=SystemClock()).close())


def columns(path: Path, table: str) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    finally:
        connection.close()


def run(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("table", "struct"),
    [
        ("events", Event),
        ("ledger", LedgerEntry),
        ("decisions", DecisionRow),
        ("schedules", ScheduleRow),
        ("runs", RunView),
        ("versions", VersionRow),
        ("keys", KeyRow),
        ("data_keys", DataKeyRow),
        ("secret_fingerprints", FingerprintRow),
        ("tokens_revoked", TokenRevocation),
        ("tenants", TenantRow),
        ("tenant_users", UserRow),
        ("tenant_credentials", CredentialRow),
        ("audit", AuditRow),
        ("audit_heads", AuditHead),
        ("audit_checkpoints", AuditCheckpoint),
    ],
)
def test_tables_have_the_columns_of_their_structs(tmp_path: Path, table: str, struct: type[Struct]) -> None:
    """Name by name and in order; so a field added to a struct needs a migration."""
    opened_and_closed(tmp_path / "golive.db")
    assert columns(tmp_path / "golive.db", table) == list(struct.__struct_fields__)


def test_an_outbox_row_is_the_message_and_what_became_of_it(tmp_path: Path) -> None:
    """The columns of both structs; when a message is due, the store counts from the delay that is asked for."""
    opened_and_closed(tmp_path / "golive.db")
    found = columns(tmp_path / "golive.db", "outbox")
    asked = ["due_at" if name == "after_s" else name for name in OutboxMessage.__struct_fields__]
    assert found[: len(asked)] == asked
    assert set(found) == {*asked, *Delivery.__struct_fields__}


def test_rows_of_a_run_carry_tenant_first_then_version_epoch_and_branch(tmp_path: Path) -> None:
    """Every table but those of the installation leads with the tenant."""
    path = tmp_path / "golive.db"
    opened_and_closed(path)
    tables = {str(name) for (name,) in run(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {
        "schema_version",
        "installation",
        "leases",
        "events",
        "ledger",
        "outbox",
        "runs",
        "versions",
        "keys",
        "holders",
        "decisions",
        "schedules",
        "audit",
        "audit_heads",
        "audit_checkpoints",
        "data_keys",
        "secret_fingerprints",
        "tokens_revoked",
        "tenants",
        "tenant_users",
        "tenant_credentials",
    }
    for table in tables - {"schema_version", "installation", "holders", "secret_fingerprints"}:
        assert columns(path, table)[0] == "tenant"
        alone = {"versions", "keys", "schedules", "data_keys", "tokens_revoked"}
        if table not in alone and not table.startswith(("audit", "tenant")):
            assert {"run", "branch", "version", "epoch"} <= set(columns(path, table))


def test_tables_are_strict_and_lie_as_they_are_used(tmp_path: Path) -> None:
    """Only the journal and the ledger keep their rows in the order they were written."""
    path = tmp_path / "golive.db"
    opened_and_closed(path)
    found = {str(row[0]): row[1:] for row in run(path, "SELECT name, wr, strict FROM pragma_table_list")}
    ours = {name: kind for name, kind in found.items() if not name.startswith("sqlite_")}
    assert {name for name, (without_rowid, _) in ours.items() if not without_rowid} == {"events", "ledger"}
    assert all(strict for _, strict in ours.values())


def test_a_fresh_file_records_schema_and_installation(tmp_path: Path) -> None:
    """The id is drawn once and stays; opening again applies nothing."""
    path = tmp_path / "golive.db"
    opened_and_closed(path)
    first = run(path, "SELECT * FROM installation")
    applied = run(path, "SELECT version, name, oldest FROM schema_version")
    assert applied == [(schema.VERSION, schema.NAME, schema.OLDEST)]
    opened_and_closed(path)
    assert run(path, "SELECT * FROM installation") == first
    assert run(path, "SELECT version, name, oldest FROM schema_version") == applied
    assert str(first[0][1]).startswith("inst_")
    assert run(path, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize(
    ("version", "oldest", "taken"),
    [
        (schema.VERSION - 1, 6, False),
        (schema.VERSION, schema.VERSION, True),
        (schema.VERSION, 6, True),
        (schema.VERSION + 1, schema.VERSION, True),
        (schema.VERSION + 1, schema.VERSION + 1, False),
        (schema.VERSION + 3, 3, True),
        (schema.VERSION + 3, schema.VERSION + 1, False),
    ],
)
def test_a_server_takes_its_schema_and_newer_ones_that_allow_it(
    tmp_path: Path, version: int, oldest: int, taken: bool
) -> None:
    """Otherwise the error names both versions and what to do; nothing is changed."""
    path = tmp_path / "golive.db"
    opened_and_closed(path)
    run(path, "DELETE FROM schema_version")
    run(path, f"INSERT INTO schema_version VALUES ({version}, 'x', 0, {oldest})")
    if taken:
        opened_and_closed(path)
        return
    with pytest.raises(SchemaMismatch) as caught:
        opened_and_closed(path)
    assert f"has schema {version}; this golive works with schema {schema.VERSION}" in caught.value.message
    assert (caught.value.fields["found"], caught.value.fields["known"]) == (version, schema.VERSION)
    assert ("golive store migrate" in caught.value.remedy) is (version < schema.VERSION)
    assert run(path, "SELECT version FROM schema_version") == [(version,)]


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """Tables without our record of versions are not ours."""
    path = tmp_path / "shop.db"
    run(path, "CREATE TABLE orders (id INTEGER)")
    with pytest.raises(SchemaMismatch) as caught:
        opened_and_closed(path)
    assert "orders" in caught.value.message
    assert run(path, "SELECT name FROM sqlite_master") == [("orders",)]


def test_a_schema_that_breaks_off_leaves_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is one transaction."""
    path = tmp_path / "golive.db"
    whole = schema.ddl("sqlite")
    monkeypatch.setattr(schema, "ddl", lambda _: whole + "CREATE TABLE keys (again INTEGER);\n")
    with pytest.raises(Exception, match="already exists"):
        opened_and_closed(path)
    assert run(path, "SELECT name FROM sqlite_master") == []
    monkeypatch.undo()
    opened_and_closed(path)


def test_a_server_imports_neither_sqlalchemy_nor_alembic(tmp_path: Path) -> None:
    """They are `golive store`'s alone: memory and start-up time of a server do not pay for them."""
    code = (
        "import asyncio, sys; import golive.app; from golive.core.clock import SystemClock\n"
        "from golive.store.sqlite import SqliteStore\n"
        "asyncio.run(SqliteStore.open(sys.argv[1], clock=SystemClock()).close())\n"
        "print(sorted({'sqlalchemy', 'alembic', 'greenlet'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "golive.db")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_processes_that_open_a_fresh_file_together_agree(tmp_path: Path) -> None:
    """One creates the schema, the others find it; none fails."""
    code = (
        "import asyncio, sys; from golive.core.clock import SystemClock; from golive.store.sqlite import SqliteStore\n"
        "sys.stdin.readline()\n"
        "asyncio.run(SqliteStore.open(sys.argv[1], clock=SystemClock()).ping())"
    )
    path = tmp_path / "golive.db"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in processes] == [(b"", 0)] * 4
    assert run(path, "SELECT count(*) FROM installation") == [(1,)]
    assert run(path, "SELECT pings FROM installation") == [(4,)]
