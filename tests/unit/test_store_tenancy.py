"""Tenants and users when a whole store is copied, restored or verified; and what an erased user leaves in a file."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from golive.core.clock import SystemClock
from golive.core.errors import SchemaMismatch
from golive.core.events import Event
from golive.runtime.folding import views
from golive.store.ports import Lease, OutboxMessage
from golive.store.sqlite import SqliteStore
from golive.store.upkeep.backup import backup
from golive.store.upkeep.copying import copy
from golive.store.upkeep.restore import restore
from golive.store.upkeep.verify import verify
from tests.contract.store_kit import decision, view
from tests.unit import postgres_kit
from tests.unit.upkeep_kit import at, done, filled, rows, silent
from tests.untouched import contents

ROWS = ("tenants", "tenant_users", "tenant_credentials")
ANN, SAID = "ann@example.com", b"a word of hers"
CHANGES = (
    "UPDATE tenants SET changed_at = 5 WHERE tenant = 'default'",
    "INSERT INTO tenants SELECT 'acme', state, 0, created_by, NULL, agents, limits, note, 0, NULL FROM tenants",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that a server made, and nobody used."""
    made = f"sqlite:{tmp_path / 'empty.db'}"
    asyncio.run(SqliteStore.open(tmp_path / "empty.db", clock=SystemClock()).close())
    if request.param == "sqlite":
        return made
    url = postgres_kit.fresh()
    done(lambda: copy(at(made), at(url), silent))
    return url


def saved(tmp_path: Path) -> Path:
    """A backup of a store with tenants, users and runs."""
    place, path = filled(tmp_path / "golive.db", 1), tmp_path / "saved.db"
    done(lambda: backup(at(place), path, silent))
    return path


def told(place: str) -> list[list[tuple[object, ...]]]:
    return [rows(place, f"SELECT * FROM {table} ORDER BY 1, 2") for table in ROWS]


def test_a_store_that_nobody_used_is_empty_though_it_has_a_tenant(tmp_path: Path, empty: str) -> None:
    """The row of `default` that it was made with gives way to the source's, in a copy and in a restore."""
    source = filled(tmp_path / "golive.db", 1)
    rows(source, "UPDATE tenants SET note = 'ours', changed_at = 7 WHERE tenant = 'default'")
    assert rows(empty, "SELECT tenant, created_by FROM tenants") == [("default", "golive")]
    done(lambda: copy(at(source), at(empty), silent))
    assert told(empty) == told(source)
    assert [row[:2] for row in rows(empty, "SELECT tenant, note FROM tenants ORDER BY tenant")] == [
        ("acme", ""), ("beta", ""), ("default", "ours"),
    ]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_store_with_tenants_alone_is_not_overwritten(tmp_path: Path, empty: str, change: str) -> None:
    """Neither by a copy nor by a restore without --force: who was let in, and who was not, is worth keeping."""
    path = saved(tmp_path)
    rows(empty, change)
    before = told(empty)
    with pytest.raises(SchemaMismatch, match="is not empty: tenants has 1 rows"):
        done(lambda: copy(at(f"sqlite:{tmp_path / 'golive.db'}"), at(empty), silent))
    with pytest.raises(SchemaMismatch, match="holds 0 runs, 0 keys and 1 tenants or users"):
        done(lambda: restore(path, at(empty), SystemClock(), silent))
    assert told(empty) == before
    done(lambda: restore(path, at(empty), SystemClock(), silent, force=True))
    assert [row[0] for row in rows(empty, "SELECT tenant FROM tenants ORDER BY tenant")] == ["acme", "beta", "default"]


def with_store(path: Path, doing: Callable[[SqliteStore], object]) -> None:
    """Does it with a store of the file, which is closed again."""

    async def go() -> None:
        store = SqliteStore.open(path, clock=SystemClock())
        await doing(store)  # type: ignore[misc]
        await store.close()

    asyncio.run(go())


def test_a_store_agrees_after_a_user_was_erased_and_so_does_its_copy(tmp_path: Path) -> None:
    """Also where the newest event of all was the user's, whose place in the journal is kept."""
    place = filled(tmp_path / "golive.db", 1)
    with_store(tmp_path / "golive.db", lambda store: store.erase_runs("beta", "né", 10))
    assert rows(place, "SELECT run, kind, length(body) FROM events WHERE tenant = ''") == [("", "erased", 0)]
    url = postgres_kit.fresh("app")
    done(lambda: copy(at(place), at(url), silent))
    for each in (place, url):
        verdict = done(lambda each=each: verify(at(each), views, silent))  # type: ignore[misc]
        assert (verdict.discrepancies, verdict.runs, verdict.events) == ([], 1, 7)


async def speak(store: SqliteStore, number: int, user: str | None, said: bytes) -> None:
    """A run of a few events with a message and a decision; ids rise with time, as golive's do."""
    run = f"run_{number:06}"
    lease = Lease("acme", run, 1, "srv", user)
    bodies = [Event("acme", run, seq, 1, "", "digest", 1.0, "text.block", said * (seq * 20)) for seq in range(1, 6)]
    message = OutboxMessage("acme", run, "", "digest", 1, f"msg_{run}", 1.5, "run.finished", "crm", 0.0, said * 30)
    rest = [decision(lease, f"dec_{run}", choice="done", decided_by=user)]
    await store.append(lease, 0, bodies[:3], views=[view(lease, user=user)], decisions=rest)
    await store.append(lease, 3, bodies[3:], views=[view(lease, user=user, steps=3)], outbox=[message], at_rest=True)


def test_what_an_erased_user_said_is_neither_in_the_file_nor_in_the_log_ahead_of_it(tmp_path: Path) -> None:
    """Byte by byte, while the store is open; it was in both before."""
    path = tmp_path / "golive.db"

    def counted(word: bytes) -> list[int]:
        files = (path, path.with_name("golive.db-wal"))
        return [contents(file).count(word) for file in files]

    async def go(store: SqliteStore) -> None:
        for start in range(0, 300, 30):
            others = {number: None if number % 3 else f"user {number}" for number in range(start, start + 30)}
            others |= dict.fromkeys(range(start, start + 30, 5), ANN)
            whose = {ANN: SAID}
            await asyncio.gather(*(speak(store, n, u, whose.get(u or "", b"of others")) for n, u in others.items()))
            if start == 150:
                await store.wipe()  # so that some of it is in the file already
        assert min(counted(SAID)) > 100
        assert min(counted(ANN.encode())) > 10
        while await store.erase_runs("acme", ANN, 25):
            pass
        assert await store.wipe()
        assert counted(SAID) == [0, 0]
        assert counted(ANN.encode()) == [0, 0]
        assert counted(b"of others")[0] > 1_000

    with_store(path, go)
