"""`golive store migrate`: every schema there ever was comes up and goes down; servers of two schemas run at once."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from golive.core.clock import SystemClock
from golive.core.errors import InvalidRequest, SchemaMismatch, StoreError, StoreUnavailable
from golive.runtime.folding import views
from golive.store import schema
from golive.store.migrations import ddl, steps
from golive.store.ports import Store
from golive.store.postgres.store import PostgresStore
from golive.store.sqlite import SqliteStore
from golive.store.sqlite.exclusive import ServerLock
from golive.store.upkeep.copying import copy
from golive.store.upkeep.migrate import Plan, migrate
from golive.store.upkeep.verify import verify
from tests.unit import postgres_kit
from tests.unit.upkeep_kit import add_run, at, done, filled, rows, silent

NOW, NEXT = schema.VERSION, schema.VERSION + 1
LATER = '''"""Notes on runs."""

from golive.store.migrations.statements import run

revision = "{next:04}"
down_revision = "{now:04}"
oldest = {oldest}
loses = "notes"


def upgrade() -> None:
    run("""
CREATE TABLE notes (tenant TEXT NOT NULL, body TEXT NOT NULL);
INSERT INTO notes VALUES ('t', 'a;b');
ALTER TABLE runs ADD COLUMN mood TEXT NOT NULL DEFAULT 'good';
{more}
""")


def downgrade() -> None:
    run("ALTER TABLE runs DROP COLUMN mood; DROP TABLE notes;")
'''


def migrated(place: str, to: int | None = None, **options: Any) -> Plan:
    return done(lambda: migrate(at(place), SystemClock(), to, **options))


def version(place: str) -> int:
    found: int = rows(place, "SELECT max(version) FROM schema_version")[0][0]
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store with runs in it; PostgreSQL's is of a user whom row-level security holds."""
    made = filled(tmp_path / "golive.db", 3, "waiting")
    if request.param == "sqlite":
        return made
    url = postgres_kit.fresh("app")
    done(lambda: copy(at(made), at(url), silent))
    return url


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Invents the next schema: an addition by default. golive has no such step yet, so that one is made up."""

    def invent(oldest: int = NOW, more: str = "") -> None:
        folder = tmp_path / "versions"
        folder.mkdir(exist_ok=True)
        (folder / f"v{NEXT:04}_notes.py").write_text(LATER.format(oldest=oldest, more=more, next=NEXT, now=NOW))
        monkeypatch.setattr(steps, "LOCATIONS", [steps.HERE / "versions", folder])

    return invent


def shape(path: Path) -> dict[str, Any]:
    """What a file's schema is, however it came to it: columns, keys, strictness, indexes with their conditions."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name, wr, strict FROM pragma_table_list WHERE name NOT LIKE 'sqlite_%'")
        found: dict[str, Any] = {name: (wr, strict) for name, wr, strict in tables}
        for name in list(found):
            found[f"{name}: columns"] = connection.execute(f"PRAGMA table_info({name})").fetchall()
        indexes = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        return found | dict(indexes)


def test_the_checked_in_sql_is_what_the_description_gives() -> None:
    """`make schema` writes it."""
    for kind, name in ddl.FILES.items():
        assert (ddl.FOLDER / name).read_text("utf-8") == ddl.written(kind), name


def test_steps_have_numbers_without_gaps_and_lead_to_what_servers_know() -> None:
    """And the newest says the same of old servers as a fresh database does."""
    walk = steps.between(0, steps.newest())
    assert [step.version for step in walk] == list(range(1, schema.VERSION + 1))
    assert (walk[-1].name, walk[-1].oldest) == (schema.NAME, schema.OLDEST)
    assert all(step.about and 1 <= step.oldest <= step.version for step in walk)


def test_steps_from_the_first_schema_give_what_the_description_does(tmp_path: Path) -> None:
    """Down to 1 and up again, column by column and index by index."""
    place = filled(tmp_path / "golive.db", 1)
    fresh = shape(tmp_path / "golive.db")
    migrated(place, 1)
    assert "holders" not in shape(tmp_path / "golive.db")
    migrated(place)
    assert shape(tmp_path / "golive.db") == fresh


@pytest.mark.parametrize("old", [1, 2, 3, 4, 5, 6, 7, 8])
def test_every_schema_there_ever_was_keeps_its_data(tmp_path: Path, old: int) -> None:
    """Down to it and up again: journal, ledger, runs, versions and keys stand, and all agree."""
    place = filled(tmp_path / "golive.db", 3)
    kept = ("tenant, run, cost_microusd", "runs"), ("*", "events"), ("tenant, run, amount_microusd", "ledger"), (
        "tenant, run, epoch, seq", "leases"), ("*", "keys"), ("*", "versions")  # fmt: skip
    before = [rows(place, f"SELECT {what} FROM {table} ORDER BY 1, 2, 3") for what, table in kept]
    assert migrated(place, old).now == NOW
    assert version(place) == old
    with pytest.raises(SchemaMismatch, match=f"has schema {old}"):
        asyncio.run(SqliteStore.open(tmp_path / "golive.db", clock=SystemClock()).close())
    assert migrated(place).now == old
    assert version(place) == NOW
    assert [rows(place, f"SELECT {what} FROM {table} ORDER BY 1, 2, 3") for what, table in kept] == before
    told = done(lambda: verify(at(place), views, silent)).discrepancies
    saved = "saved_microusd is 0 and should be 5"
    whose = "user is None and should be 'né'"
    lost = {f"{saved}; {whose}", saved} if old < 4 else {whose}
    lost.add("The lease says that the run is of the user None, the journal of né")
    assert {one.message.removeprefix("In the list of runs ").rstrip(".") for one in told} == lost


def old_file(path: Path, schema_version: int) -> str:
    """A new file of an older schema."""
    place = filled(path, 1)
    migrated(place, schema_version)
    for table in ("events", "runs", "ledger", "leases"):
        rows(place, f"DELETE FROM {table}")
    return place


def test_runs_from_before_are_marked_where_their_journal_tells_of_an_estimate(tmp_path: Path) -> None:
    """0002 reads `estimated` out of the events of calls that ended, and of nothing that a user said."""
    place = old_file(tmp_path / "golive.db", 1)
    bodies = {
        "run_1": b'{"finish_reason":"stop","usage_estimated":true}',
        "run_2": b'{"finish_reason":"stop"}',
        "run_3": rb'{"tool_calls":[["c","f","{\"usage_estimated\":true}"]]}',
    }
    for run_id, body in bodies.items():
        rows(
            place,
            f"INSERT INTO events VALUES ('t', '{run_id}', 1, 1, '', 'v', 0, 'model.finished', x'{body.hex()}', NULL)",
        )
        rows(
            place, f"INSERT INTO runs VALUES ('t', '{run_id}', '', 'v', 1, 'a', '1', 'agent', NULL, 'p', 'finished', "
            "'completed', 'done', 0, 0, 0, 1, 0, 1, 0, 1, 0, 9, 1)",
        )  # fmt: skip
    migrated(place)
    marked = [("run_1", 1), ("run_2", 0), ("run_3", 0)]
    assert rows(place, "SELECT run, estimated FROM runs ORDER BY run") == marked


def test_rows_from_before_caches_were_counted_have_none(tmp_path: Path) -> None:
    """0004 adds the columns with 0, and leaves every other value where it was."""
    place = old_file(tmp_path / "golive.db", 3)
    rows(place, "INSERT INTO ledger VALUES ('t', 'run_1', '', 'v', 1, 2, 0.5, 'settled', 'a/m', 9, 100, 40, 7, 3)")
    rows(
        place, "INSERT INTO runs VALUES ('t', 'run_1', '', 'v', 1, 'a', '1', 'agent', NULL, 'p', 'finished', "
        "'completed', 'done', 0, 0, 0, 1, 0, 100, 40, 7, 3, 9, 1, 1)",
    )  # fmt: skip
    migrated(place)
    told = "amount_microusd, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cache_write_tokens"
    assert rows(place, f"SELECT {told} FROM ledger") == [(9, 100, 40, 7, 3, 0)]
    told = "cost_microusd, reasoning_tokens, priced, estimated, cache_write_tokens, saved_microusd"
    assert rows(place, f"SELECT {told} FROM runs") == [(9, 3, 1, 1, 0, 0)]


def test_finished_runs_from_before_are_at_rest(tmp_path: Path) -> None:
    """0005: nobody is to carry them on; those that were open are."""
    place = filled(tmp_path / "golive.db", 2, "running")
    migrated(place, 4)
    migrated(place)
    assert rows(place, "SELECT run, at_rest FROM leases WHERE tenant = 'acme' ORDER BY run") == [
        ("run_1", 1),
        ("run_2", 0),
    ]


# ---- a schema to come --------------------------------------------------------------------------------------------


def test_a_step_goes_up_and_down_with_data(place: str, later: Any) -> None:
    """In both databases: what it adds is there, what it takes away is gone, everything else stands."""
    later()
    before = rows(place, "SELECT * FROM runs ORDER BY tenant, run")
    assert [step.name for step in migrated(place, NEXT).steps] == ["notes"]
    assert (version(place), rows(place, "SELECT body FROM notes")) == (NEXT, [("a;b",)])
    assert rows(place, "SELECT DISTINCT mood FROM runs") == [("good",)]
    assert rows(place, f"SELECT oldest FROM schema_version WHERE version = {NEXT}") == [(NOW,)]
    assert migrated(place, NOW).to == NOW
    assert rows(place, "SELECT * FROM runs ORDER BY tenant, run") == before
    assert version(place) == NOW


def test_a_step_that_fails_leaves_everything_as_it_was(place: str, later: Any) -> None:
    """All steps are one transaction: nothing of the ones before it stands either."""
    later(more="CREATE TABLE notes (again TEXT);")
    with pytest.raises(StoreError, match="already exists"):
        migrated(place, NEXT)
    assert version(place) == NOW
    with pytest.raises(Exception, match="mood"):
        rows(place, "SELECT mood FROM runs")


def test_a_dry_run_tells_and_changes_nothing(place: str, later: Any) -> None:
    """The plan is told before the first step."""
    later()
    told: list[Plan] = []
    assert migrated(place, NEXT, dry=True, tell=told.append) == told[0]
    assert [(step.version, step.up, step.about) for step in told[0].steps] == [(NEXT, True, "Notes on runs.")]
    assert told[0].beside
    assert version(place) == NOW


async def opened(place: str) -> Store:
    if place.startswith("sqlite:"):
        return SqliteStore.open(place.removeprefix("sqlite:"), clock=SystemClock())
    return await PostgresStore.open(place, clock=SystemClock())


def test_servers_of_both_schemas_run_at_once(place: str, later: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next schema comes while a server of this one works; one of the next starts beside it; both write and read.

    The server of the next is this one's with another number, for there is none yet; what it would write is the
    new column.
    """

    async def go() -> None:
        old = await opened(place)
        await add_run(old, "acme", "run_old_1", "finished")
        later()
        await asyncio.to_thread(migrated, place, NEXT)
        await add_run(old, "acme", "run_old_2", "finished")
        with monkeypatch.context() as patch:
            patch.setattr("golive.store.schema.check.__defaults__", (NEXT,))
            new = await opened(place)
        await add_run(new, "acme", "run_new", "finished")
        restarted = await opened(place)  # one of this one, after the change
        for store in (old, new, restarted):
            events = await store.tenant("acme").events("run_old_2")
            assert [event.seq for event in events] == list(range(1, 8))
            run = await store.tenant("acme").run("run_new")
            assert run is not None
            assert run.cost_microusd == 90
            await store.close()

    asyncio.run(go())
    assert rows(place, "SELECT DISTINCT mood FROM runs") == [("good",)]
    assert done(lambda: verify(at(place), views, silent)).discrepancies == []


def test_a_server_of_the_next_schema_does_not_start_before_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the schema, then the servers."""
    filled(tmp_path / "golive.db", 1)
    monkeypatch.setattr("golive.store.schema.check.__defaults__", (NEXT,))
    with pytest.raises(SchemaMismatch, match=f"has schema {NOW}; this golive works with schema {NEXT}"):
        SqliteStore.open(tmp_path / "golive.db", clock=SystemClock())


def test_a_change_that_servers_do_not_survive_waits_for_their_end(tmp_path: Path, place: str, later: Any) -> None:
    """A schema that old servers may not run on, and every step down; unless it is forced."""
    later(oldest=NEXT)
    lock = None
    if place.startswith("sqlite:"):
        lock = ServerLock.take(tmp_path / "golive.db")
    else:
        postgres_kit.run(place, "INSERT INTO holders VALUES ('srv_alive', extract(epoch FROM now()) + 60)")
    with pytest.raises(StoreUnavailable, match=f"might not survive the change from schema {NOW} to {NEXT}"):
        migrated(place, NEXT)
    assert version(place) == NOW
    assert not migrated(place, NEXT, dry=True).beside
    assert migrated(place, NEXT, force=True).servers
    later()
    with pytest.raises(StoreUnavailable, match=f"from schema {NEXT} to {NOW}"):
        migrated(place, NOW)
    if lock is not None:
        lock.release()
    else:
        postgres_kit.run(place, "UPDATE holders SET until = 0")
    migrated(place, NOW)
    assert version(place) == NOW


def test_two_changes_at_once_take_their_turn(place: str, later: Any) -> None:
    """The second finds done what it came for."""
    later()

    async def both() -> list[Plan]:
        return list(await asyncio.gather(*(asyncio.to_thread(migrated, place, NEXT) for _ in range(2))))

    plans = asyncio.run(both())
    assert sorted(len(plan.steps) for plan in plans) == [0, 1]
    assert rows(place, "SELECT count(*) FROM notes") == [(1,)]


def test_a_change_does_not_queue_behind_a_long_transaction(
    place: str, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else would queue behind it: it gives up, says so, and nothing has changed."""
    later()
    monkeypatch.setattr("golive.store.upkeep.migrate._WAIT", "SET LOCAL lock_timeout = '200ms'")
    monkeypatch.setattr("golive.store.sqlite.connection.BUSY_TIMEOUT_S", 0.2)
    if place.startswith("sqlite:"):
        with closing(sqlite3.connect(place.removeprefix("sqlite:"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="another process held it locked"):
                migrated(place, NEXT)
    else:

        async def behind() -> None:
            other = await asyncpg.connect(place)
            async with other.transaction():
                await other.fetch("SELECT count(*) FROM runs")
                with pytest.raises(StoreUnavailable, match="is locked"):
                    await asyncio.to_thread(migrated, place, NEXT)
            await other.close()

        asyncio.run(behind())
    assert version(place) == NOW


def test_what_cannot_be_migrated_is_told(tmp_path: Path) -> None:
    """No file, an empty one, another program's, a schema that there is not, one of a newer golive."""
    with pytest.raises(SchemaMismatch, match="There is no database"):
        migrated(f"sqlite:{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.db").touch()
    with pytest.raises(SchemaMismatch, match="is empty"):
        migrated(f"sqlite:{tmp_path / 'empty.db'}")
    rows(f"sqlite:{tmp_path / 'shop.db'}", "CREATE TABLE orders (id INTEGER)")
    with pytest.raises(SchemaMismatch, match="another program"):
        migrated(f"sqlite:{tmp_path / 'shop.db'}")
    place = filled(tmp_path / "golive.db", 1)
    with pytest.raises(InvalidRequest, match="There is no schema 99 of sqlite"):
        migrated(place, 99)
    rows(place, "INSERT INTO schema_version VALUES (99, 'later', 0, 99)")
    with pytest.raises(SchemaMismatch, match="has schema 99"):
        migrated(place)
    with pytest.raises(InvalidRequest, match="There is no schema 5 of postgresql"):
        url = postgres_kit.fresh()
        other = filled(tmp_path / "other.db", 1)
        done(lambda: copy(at(other), at(url), silent))
        migrated(url, 5)


def test_new_tables_are_granted_to_the_roles(tmp_path: Path, later: Any) -> None:
    """After a change on PostgreSQL, roles and policies are set anew: here one that somebody dropped."""
    later()
    url = postgres_kit.fresh("app")
    made = filled(tmp_path / "golive.db", 1)
    done(lambda: copy(at(made), at(url), silent))
    postgres_kit.run(url, "DROP POLICY reader ON runs")
    migrated(url, NEXT)
    assert postgres_kit.run(url, "SELECT count(*) FROM pg_policies WHERE tablename = 'runs'") == [(3,)]
