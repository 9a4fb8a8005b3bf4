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
from golive.store.sqlite import SqliteStore, schema
from golive.store.sqlite.schema import Migration, migrations


def opened_and_closed(path: Path, **options: bool) -> None:
    asyncio.run(SqliteStore.open(path, clock=SystemClock(), **options).close())


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


def test_migrations_are_numbered_without_gaps() -> None:
    """The files are 0001, 0002 and so on, each with a name."""
    assert [migration.version for migration in migrations()] == list(range(1, len(migrations()) + 1))
    assert all(migration.name for migration in migrations())


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
    ],
)
def test_tables_have_the_columns_of_their_structs(tmp_path: Path, table: str, struct: type[Struct]) -> None:
    """Name by name and in order; so a field added to a struct needs a migration."""
    opened_and_closed(tmp_path / "golive.db")
    assert columns(tmp_path / "golive.db", table) == list(struct.__struct_fields__)


def test_an_outbox_row_is_the_message_and_what_became_of_it(tmp_path: Path) -> None:
    """The columns of both structs."""
    opened_and_closed(tmp_path / "golive.db")
    found = columns(tmp_path / "golive.db", "outbox")
    assert found[: len(OutboxMessage.__struct_fields__)] == list(OutboxMessage.__struct_fields__)
    assert set(found) == {*OutboxMessage.__struct_fields__, *Delivery.__struct_fields__}


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
    }
    for table in tables - {"schema_version", "installation", "holders"}:
        assert columns(path, table)[0] == "tenant"
        if table not in {"versions", "keys", "schedules"}:
            assert {"run", "branch", "version", "epoch"} <= set(columns(path, table))


def test_a_fresh_file_records_schema_and_installation(tmp_path: Path) -> None:
    """The id is drawn once and stays; opening again applies nothing."""
    path = tmp_path / "golive.db"
    opened_and_closed(path)
    first = run(path, "SELECT * FROM installation")
    applied = run(path, "SELECT * FROM schema_version")
    opened_and_closed(path)
    assert run(path, "SELECT * FROM installation") == first
    assert run(path, "SELECT * FROM schema_version") == applied
    assert str(first[0][1]).startswith("inst_")
    assert run(path, "PRAGMA journal_mode") == [("wal",)]


def test_an_older_schema_is_brought_up_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the error names both versions and the command; nothing is changed."""
    path = tmp_path / "golive.db"
    opened_and_closed(path)
    known = migrations()
    newer = Migration(
        len(known) + 1, "notes", "-- a; comment\nCREATE TABLE notes (tenant TEXT);\nINSERT INTO notes VALUES ('a;b');\n"
    )
    monkeypatch.setattr(schema, "migrations", lambda: (*known, newer))
    with pytest.raises(SchemaMismatch) as caught:
        opened_and_closed(path)
    assert "golive store migrate" in caught.value.remedy
    assert (caught.value.fields["found"], caught.value.fields["known"]) == (len(known), len(known) + 1)
    assert columns(path, "notes") == []
    opened_and_closed(path, migrate=True)
    assert run(path, "SELECT * FROM notes") == [("a;b",)]
    assert run(path, "SELECT max(version) FROM schema_version") == [(len(known) + 1,)]
    monkeypatch.undo()
    with pytest.raises(SchemaMismatch) as caught:
        opened_and_closed(path, migrate=True)
    assert f"schema {len(known) + 1}" in caught.value.message
    assert f"schema {len(known)}" in caught.value.message


def test_runs_from_before_are_marked_where_their_journal_tells_of_an_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0002 reads `estimated` out of the events of calls that ended, and of nothing that a user said."""
    path = tmp_path / "golive.db"
    monkeypatch.setattr(schema, "migrations", lambda: migrations()[:1])
    opened_and_closed(path)
    monkeypatch.undo()
    bodies = {
        "run_1": b'{"finish_reason":"stop","usage_estimated":true}',
        "run_2": b'{"finish_reason":"stop"}',
        "run_3": rb'{"tool_calls":[["c","f","{\"usage_estimated\":true}"]]}',
    }
    for run_id, body in bodies.items():
        run(
            path,
            f"INSERT INTO events VALUES ('t', '{run_id}', 1, 1, '', 'v', 0, 'model.finished', x'{body.hex()}', NULL)",
        )
        run(
            path, f"INSERT INTO runs VALUES ('t', '{run_id}', '', 'v', 1, 'a', '1', 'agent', NULL, 'p', 'finished', "
            "'completed', 'done', 0, 0, 0, 1, 0, 1, 0, 1, 0, 9, 1)",
        )  # fmt: skip
    opened_and_closed(path, migrate=True)
    marked = [("run_1", 1), ("run_2", 0), ("run_3", 0)]
    assert run(path, "SELECT run, estimated FROM runs ORDER BY run") == marked


def test_rows_from_before_caches_were_counted_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0004 adds the columns with 0, and leaves every other value where it was."""
    path = tmp_path / "golive.db"
    monkeypatch.setattr(schema, "migrations", lambda: migrations()[:3])
    opened_and_closed(path)
    monkeypatch.undo()
    run(path, "INSERT INTO ledger VALUES ('t', 'run_1', '', 'v', 1, 2, 0.5, 'settled', 'a/m', 9, 100, 40, 7, 3)")
    run(
        path, "INSERT INTO runs VALUES ('t', 'run_1', '', 'v', 1, 'a', '1', 'agent', NULL, 'p', 'finished', "
        "'completed', 'done', 0, 0, 0, 1, 0, 100, 40, 7, 3, 9, 1, 1)",
    )  # fmt: skip
    opened_and_closed(path, migrate=True)
    told = "amount_microusd, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cache_write_tokens"
    assert run(path, f"SELECT {told} FROM ledger") == [(9, 100, 40, 7, 3, 0)]
    told = "cost_microusd, reasoning_tokens, priced, estimated, cache_write_tokens, saved_microusd"
    assert run(path, f"SELECT {told} FROM runs") == [(9, 3, 1, 1, 0, 0)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All migrations of one opening are one transaction."""
    path = tmp_path / "golive.db"
    opened_and_closed(path)
    known = migrations()
    good = Migration(len(known) + 1, "good", "CREATE TABLE good (tenant TEXT);")
    bad = Migration(len(known) + 2, "bad", "CREATE TABLE good (tenant TEXT);")
    monkeypatch.setattr(schema, "migrations", lambda: (*known, good, bad))
    with pytest.raises(Exception, match="already exists"):
        opened_and_closed(path, migrate=True)
    assert columns(path, "good") == []
    assert run(path, "SELECT max(version) FROM schema_version") == [(len(known),)]


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """Tables without our record of versions are not ours."""
    path = tmp_path / "shop.db"
    run(path, "CREATE TABLE orders (id INTEGER)")
    with pytest.raises(SchemaMismatch) as caught:
        opened_and_closed(path, migrate=True)
    assert "orders" in caught.value.message
    assert run(path, "SELECT name FROM sqlite_master") == [("orders",)]


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
