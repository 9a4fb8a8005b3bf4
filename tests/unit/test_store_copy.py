"""`golive store copy`, `backup` and `restore`, between and within both databases."""

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from golive.core.clock import SystemClock
from golive.core.errors import Fenced, InvalidRequest, SchemaMismatch, StoreError, StoreUnavailable
from golive.core.events import Event
from golive.runtime.folding import views
from golive.store.migrations.tables import describe
from golive.store.ports import Lease, Store
from golive.store.postgres.store import PostgresStore
from golive.store.schema import VERSION
from golive.store.sqlite import SqliteStore
from golive.store.sqlite.exclusive import ServerLock
from golive.store.upkeep import copying
from golive.store.upkeep.backup import Backup, backup
from golive.store.upkeep.copying import copy
from golive.store.upkeep.restore import Restored, restore
from golive.store.upkeep.verify import verify
from tests.unit import postgres_kit
from tests.unit.upkeep_kit import add_run, at, done, filled, rows, silent

ALIVE = "INSERT INTO holders VALUES ('srv_alive', extract(epoch FROM now()) + 60)"
ORDERED = {"sqlite": "rowid", "postgresql": "xid, number"}


def copied(source: str, target: str) -> dict[str, int]:
    return {table.table: table.rows for table in done(lambda: copy(at(source), at(target), silent))}


def backed_up(place: str, path: Path, *, replace: bool = False) -> Backup:
    return done(lambda: backup(at(place), path, silent, replace=replace))


def restored(path: Path, place: str, *, force: bool = False) -> Restored:
    return done(lambda: restore(path, at(place), SystemClock(), silent, force=force))


def journal(place: str) -> list[tuple[object, ...]]:
    """All events, in the order in which they became durable."""
    order = ORDERED["sqlite" if place.startswith("sqlite") else "postgresql"]
    found = rows(place, f"SELECT tenant, run, seq, epoch, at, kind, body, key_id FROM events ORDER BY {order}")
    return [tuple(row) for row in found]


def counts(place: str) -> dict[str, int]:
    return {name: rows(place, f"SELECT count(*) FROM {name}")[0][0] for name in list(describe("sqlite").tables)[2:]}


@pytest.fixture(params=["postgres", "app"])
def empty(request: pytest.FixtureRequest) -> str:
    """An empty PostgreSQL database: of a superuser, and of a user whom row-level security holds."""
    return postgres_kit.fresh(request.param)


def test_a_store_moves_to_postgresql_and_back_without_loss(tmp_path: Path, empty: str) -> None:
    """Every row of every table, every type, the order of the journal; and nothing disagrees afterwards."""
    source, back = filled(tmp_path / "golive.db", 3, "waiting"), f"sqlite:{tmp_path / 'back.db'}"
    there = copied(source, empty)
    assert there == {**counts(source), "installation": 1}
    assert (there["events"], there["ledger"], there["decisions"], there["outbox"]) == (42, 6, 2, 4)
    assert journal(empty) == journal(source)
    assert copied(empty, back) == there
    for table in (*counts(source), "installation"):
        single = {"holders", "audit_heads", "secret_fingerprints"}
        key = ("1, 2, 6" if table == "ledger" else "1, 2, 3") if table not in single else "1"
        every = f"SELECT * FROM {table} ORDER BY {key}"
        assert rows(back, every) == rows(source, every)
    assert journal(back) == journal(source)
    for place in (empty, back):
        assert done(lambda place=place: verify(at(place), views, silent)).discrepancies == []  # type: ignore[misc]


def test_a_target_with_runs_is_refused(tmp_path: Path, empty: str) -> None:
    """And left as it is; so is a database of another program."""
    source = filled(tmp_path / "golive.db")
    copied(source, empty)
    for target in (empty, filled(tmp_path / "other.db", 1)):
        before = counts(target)
        with pytest.raises(SchemaMismatch, match="is not empty: leases has"):
            copied(source, target)
        assert counts(target) == before
    foreign = f"sqlite:{tmp_path / 'shop.db'}"
    rows(foreign, "CREATE TABLE orders (id INTEGER)")
    with pytest.raises(SchemaMismatch, match="another program"):
        copied(source, foreign)


def test_neither_side_may_be_in_use(tmp_path: Path) -> None:
    """SQLite knows by the server's lock, PostgreSQL by a holder that lives."""
    source, url = filled(tmp_path / "golive.db"), postgres_kit.fresh()
    lock = ServerLock.take(tmp_path / "golive.db")
    with pytest.raises(StoreUnavailable, match="another golive server"):
        copied(source, url)
    lock.release()
    copied(source, url)
    postgres_kit.run(url, ALIVE)
    with pytest.raises(StoreUnavailable, match="srv_alive"):
        copied(url, f"sqlite:{tmp_path / 'new.db'}")
    assert not (tmp_path / "new.db").exists()
    fresh = postgres_kit.fresh()
    copied(f"sqlite:{tmp_path / 'golive.db'}", fresh)
    postgres_kit.run(fresh, ALIVE)
    with pytest.raises(StoreUnavailable, match="srv_alive"):
        restored(tmp_path / "golive.db", fresh, force=True)


def test_what_arrives_changed_is_noticed(tmp_path: Path) -> None:
    """A target that keeps something else than it is given, here by a trigger: the sums differ, nothing stands."""
    source, target = filled(tmp_path / "golive.db"), f"sqlite:{tmp_path / 'lossy.db'}"
    asyncio.run(SqliteStore.open(tmp_path / "lossy.db", clock=SystemClock()).close())
    rows(target, "CREATE TRIGGER lossy AFTER INSERT ON events WHEN new.seq = 3 BEGIN "
         "UPDATE events SET at = at + 1 WHERE tenant = new.tenant AND run = new.run AND seq = 3; END")  # fmt: skip
    with pytest.raises(StoreError, match=r"does not hold in events .* 42 rows of 42, sum"):
        copied(source, target)
    assert counts(target)["leases"] == 0


def test_text_that_postgresql_cannot_keep_is_told_with_its_row(tmp_path: Path) -> None:
    """NUL in a text column; the target stays empty."""
    source, url = filled(tmp_path / "golive.db"), postgres_kit.fresh()
    rows(source, "UPDATE runs SET conversation = 'a' || char(0) || 'b' WHERE tenant = 'beta' AND run = 'run_2'")
    with pytest.raises(StoreError, match="refused rows of runs") as caught:
        copied(source, url)
    assert (caught.value.fields["first"], caught.value.fields["last"]) == ("acme/run_1", "beta/run_3")
    assert postgres_kit.run(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_addresses_are_checked(tmp_path: Path) -> None:
    """What is no store's address, onto itself, and a source that is not there."""
    source = filled(tmp_path / "golive.db", 1)
    with pytest.raises(InvalidRequest, match="no address of a store"):
        at("mysql://db")
    with pytest.raises(InvalidRequest, match="onto itself"):
        copied(source, f"sqlite:{tmp_path}/./golive.db")
    with pytest.raises(SchemaMismatch, match="There is no database"):
        copied(f"sqlite:{tmp_path / 'none.db'}", source)
    with pytest.raises(StoreUnavailable, match="unavailable"):
        copied(source, "postgresql://127.0.0.1:1/none")


# ---- backup ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store with a run that goes on."""
    made = filled(tmp_path / "golive.db", 3, "running")
    if request.param == "sqlite":
        return made
    url = postgres_kit.fresh("app")
    copied(made, url)
    return url


def test_a_backup_is_one_plain_file_for_its_owner_alone(tmp_path: Path, place: str) -> None:
    """With everything in it; nothing else lies beside it."""
    folder = tmp_path / "backups"
    folder.mkdir()
    made = backed_up(place, folder / "b.db")
    assert made.rows == {"runs": 6, "events": 38, "keys": 2}
    assert (made.schema, made.generation, made.bytes) == (VERSION, 1, (folder / "b.db").stat().st_size)
    assert stat.S_IMODE((folder / "b.db").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["b.db"]
    assert journal(f"sqlite:{folder / 'b.db'}") == journal(place)
    assert rows(f"sqlite:{folder / 'b.db'}", "PRAGMA journal_mode") == [("delete",)]


def test_a_backup_that_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path, place: str) -> None:
    """And then until the new one is whole."""
    path = tmp_path / "b.db"
    path.write_text("precious")
    with pytest.raises(StoreUnavailable, match="There is a file"):
        backed_up(place, path)
    assert path.read_text() == "precious"
    assert backed_up(place, path, replace=True).rows["runs"] == 6


def test_a_backup_is_taken_while_a_server_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds one state: whole runs, each in agreement; the writer is not stopped, nor is the backup begun again."""
    monkeypatch.setattr("golive.store.upkeep.backup._PAGES", 5)
    place = filled(tmp_path / "golive.db")
    lock = ServerLock.take(tmp_path / "golive.db")

    def write_on(name: str, _done: int, _all: int) -> None:
        if name == "pages":  # between two steps of the backup
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, more()).result()

    async def more() -> None:
        store = SqliteStore.open(tmp_path / "golive.db", clock=SystemClock())
        lease = Lease("acme", "run_new", 1, "srv_1")
        seq = len(await store.tenant("acme").events("run_new"))
        await store.append(lease, seq, [Event("acme", "run_new", seq + 1, 1, "", "digest", 1.0, "text.block", b"{}")])
        await store.close()

    done(lambda: backup(at(place), tmp_path / "b.db", write_on))
    lock.release()
    assert rows(place, "SELECT count(*) > 3 FROM events WHERE run = 'run_new'") == [(1,)]
    assert rows(f"sqlite:{tmp_path / 'b.db'}", "SELECT count(*) FROM events WHERE run = 'run_new'") == [(0,)]
    assert done(lambda: verify(at(f"sqlite:{tmp_path / 'b.db'}"), views, silent)).discrepancies == []


def test_a_disk_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The folder cannot be made; the store is untouched."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable):
        backed_up(filled(tmp_path / "golive.db", 1), tmp_path / "file" / "b.db")


# ---- restore -----------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A backup with a run that goes on."""
    backed_up(filled(tmp_path / "old" / "golive.db", 3, "running"), tmp_path / "saved.db")
    return tmp_path / "saved.db"


def a_target(kind: str, tmp_path: Path, *, full: bool) -> str:
    if kind == "sqlite":
        return filled(tmp_path / "new.db", 5) if full else f"sqlite:{tmp_path / 'new.db'}"
    url = postgres_kit.fresh("app")
    if full:
        copied(filled(tmp_path / "full.db", 5), url)
    return url


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("full", [False, True])
def test_a_backup_takes_the_stores_place_and_fences_everybody(
    tmp_path: Path, saved: Path, kind: str, full: bool
) -> None:
    """Generation above both, epochs out of reach, no holder lives, keys are read anew; a full store only by force."""
    target = a_target(kind, tmp_path, full=full)
    if full:
        rows(target, "UPDATE installation SET generation = 4, control_version = 40")
        with pytest.raises(SchemaMismatch, match="holds 10 runs, 2 keys and 4 tenants or users"):
            restored(saved, target)
        assert counts(target)["leases"] == 10
    said = restored(saved, target, force=full)
    assert (said.generation, said.open_runs, said.replaced) == ((5, 2, 10) if full else (2, 2, None))
    (generation, version) = rows(target, "SELECT generation, control_version FROM installation")[0]
    assert generation == said.generation
    assert version > (40 if full else 1)
    assert rows(target, "SELECT min(epoch) > 1000000 FROM leases")[0][0]
    assert rows(target, "SELECT count(*) FROM holders WHERE until > 0.0")[0][0] in (0, 1)
    assert counts(target) == counts(f"sqlite:{saved}")
    assert journal(target) == journal(f"sqlite:{saved}")
    assert done(lambda: verify(at(target), views, silent)).discrepancies == []


def test_whoever_lived_before_cannot_write(tmp_path: Path, saved: Path) -> None:
    """Its lease is fenced; a new server claims the run and goes on."""
    target = tmp_path / "new.db"
    restored(saved, f"sqlite:{target}")

    async def go() -> Lease:
        store = SqliteStore.open(target, clock=SystemClock())
        old = Lease("acme", "run_3", 1, "srv_1")
        event = Event("acme", "run_3", 6, 1, "", "digest", 1.0, "text.block", b"{}")
        with pytest.raises(Fenced):
            await store.append(old, 5, [event])
        claimed = await store.claim("srv_2", ["digest"], 10, 0.0)
        lease = next(lease for lease in claimed if (lease.tenant, lease.run) == ("acme", "run_3"))
        fresh = Event("acme", "run_3", 6, lease.epoch, "", "digest", 1.0, "text.block", b"{}")
        await store.append(lease, 5, [fresh])
        await store.close()
        return lease

    assert asyncio.run(go()).epoch > 1_000_000


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_who_follows_the_journal_misses_nothing_after_a_restore(tmp_path: Path, saved: Path, kind: str) -> None:
    """A cursor from before, farther than the backup ever came, finds what is written afterwards."""
    target = a_target(kind, tmp_path, full=True)

    async def opened() -> Store:
        if kind == "sqlite":
            return SqliteStore.open(tmp_path / "new.db", clock=SystemClock())
        return await PostgresStore.open(target, clock=SystemClock())

    async def end() -> str:
        store = await opened()
        cursor = ""
        while True:
            events, cursor = await store.tenant("acme").tail(cursor)
            if not events:
                await store.close()
                return cursor

    async def after(cursor: str) -> list[str]:
        store = await opened()
        await add_run(store, "acme", "run_new", "finished")
        found: list[str] = []
        while True:
            events, cursor = await store.tenant("acme").tail(cursor)
            found += [f"{event.run}/{event.seq}" for event in events]
            if not events:
                await store.close()
                return found

    cursor = asyncio.run(end())
    restored(saved, target, force=True)
    assert asyncio.run(after(cursor))[-7:] == [f"run_new/{seq}" for seq in range(1, 8)]


def test_restoring_twice_gives_other_epochs(tmp_path: Path, saved: Path) -> None:
    """A server that lived between two restores of one backup is fenced by the second."""

    class At(SystemClock):
        def __init__(self, moment: float) -> None:
            self.moment = moment

        def now(self) -> float:
            return self.moment

    epochs = []
    for moment in (2e9, 2e9 + 60):
        place = f"sqlite:{tmp_path / 'new.db'}"
        done(lambda place=place, moment=moment: restore(saved, at(place), At(moment), silent, force=True))  # type: ignore[misc]
        epochs.append(rows(place, "SELECT max(epoch) FROM leases")[0][0])
    assert epochs == [2_000_000_001, 2_000_000_061]


def test_what_is_no_backup_is_refused(tmp_path: Path, saved: Path) -> None:
    """Missing, text, another program's, damaged, newer: the target stays as it is, or is not made."""
    target = f"sqlite:{tmp_path / 'new.db'}"
    text, shop, newer = tmp_path / "text.db", tmp_path / "shop.db", tmp_path / "newer.db"
    text.write_text("hello " * 1000)
    rows(f"sqlite:{shop}", "CREATE TABLE orders (id INTEGER)")
    newer.write_bytes(saved.read_bytes())
    rows(f"sqlite:{newer}", "INSERT INTO schema_version VALUES (99, 'later', 0, 99)")
    for path, said in [
        (tmp_path / "none.db", "There is no backup"), (text, "it is not a SQLite file"),
        (shop, "another program"), (newer, "has schema 99"),
    ]:  # fmt: skip
        with pytest.raises(SchemaMismatch, match=said):
            restored(path, target)
    damaged = bytearray(saved.read_bytes())
    damaged[8192:40960] = b"\xff" * 32768
    (tmp_path / "damaged.db").write_bytes(damaged)
    with pytest.raises(StoreError):
        restored(tmp_path / "damaged.db", target)
    assert not (tmp_path / "new.db").exists()


def test_a_backup_of_an_older_schema_is_brought_up(tmp_path: Path, saved: Path) -> None:
    """As `migrate` would."""
    from golive.store.upkeep.migrate import migrate

    done(lambda: migrate(at(f"sqlite:{saved}"), SystemClock(), 4))
    said = restored(saved, f"sqlite:{tmp_path / 'new.db'}")
    assert (said.of.schema, said.schema) == (4, VERSION)
    assert counts(f"sqlite:{tmp_path / 'new.db'}")["events"] == 38


def test_a_damaged_store_is_kept_aside(tmp_path: Path, saved: Path) -> None:
    """The usual reason to restore: by force the backup comes in its place, and the damaged file stays for a look."""
    target = tmp_path / "new.db"
    target.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailable, match="is damaged"):
        restored(saved, f"sqlite:{target}")
    assert restored(saved, f"sqlite:{target}", force=True).replaced is None
    assert counts(f"sqlite:{target}")["leases"] == 6
    assert (tmp_path / "new.db.damaged").read_bytes().startswith(b"not a database")


def test_a_restore_that_breaks_off_leaves_the_store_as_it_was(
    tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL all is one transaction: here the rows arrive changed, which is noticed at the end."""
    target = a_target("postgresql", tmp_path, full=True)
    before = journal(target)
    monkeypatch.setattr(copying._Adding, "sum", lambda self: copying.Sum(self._name, self._rows, str(id(self))))
    with pytest.raises(StoreError, match="does not hold"):
        restored(saved, target, force=True)
    assert journal(target) == before


def test_a_server_that_runs_keeps_its_store(tmp_path: Path, saved: Path) -> None:
    """Also against force."""
    target = a_target("sqlite", tmp_path, full=True)
    lock = ServerLock.take(tmp_path / "new.db")
    with pytest.raises(StoreUnavailable, match="another golive server"):
        restored(saved, target, force=True)
    lock.release()
    assert counts(target)["leases"] == 10


def test_the_kit_fills_every_table(tmp_path: Path) -> None:
    """So that what is copied is tried with rows in it."""
    assert all(counts(filled(tmp_path / "golive.db", 2, "waiting")).values())
