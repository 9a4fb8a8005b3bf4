"""PostgreSQL goes away and comes back, is slow or read-only, has several writers: nothing is lost, doubled, skipped."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from golive.core.clock import SystemClock
from golive.core.errors import Conflict, Fenced, StoreError, StoreUnavailable
from golive.core.events import Event
from golive.core.tasks import Tasks
from golive.store.ports import Lease
from golive.store.postgres import PostgresStore, flusher, pool, waiting
from golive.store.postgres import store as store_module
from golive.store.postgres.group import CHANNEL
from tests.contract.store_kit import entry, events, lease
from tests.postgres_kit import Database, PostgresServer


@pytest.fixture
def database() -> Iterator[Database]:
    found = Database()
    yield found
    found.drop()


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresStore]:
    opened = await database.open()
    yield opened
    await opened.close()


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection of somebody else's, as a superuser."""
    connection = await asyncpg.connect(database.url)
    yield connection
    await connection.close()


async def error_of(work: object) -> StoreError | None:
    try:
        await work  # type: ignore[misc]
    except StoreError as error:
        return error
    return None


# ---- connections that die --------------------------------------------------------------------------------------------

KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'golive' AND datname = $1"


async def test_killed_connections_lose_and_double_nothing(
    database: Database, store: PostgresStore, admin: asyncpg.Connection
) -> None:
    """Backends are terminated again and again while 20 runs write: each append stands once, and says so."""
    appends = 25
    written = 0
    progress = asyncio.Event()

    async def carry(run: str) -> None:
        of = lease(run)
        for seq in range(appends):
            await store.append(of, seq, events(range(seq + 1, seq + 2), of), ledger=[entry(of, seq + 1, 1)])
            nonlocal written
            written += 1
            progress.set()

    async def kill() -> int:
        kills = 0
        for goal in range(20, 20 * appends, 20):
            while written < goal:
                progress.clear()
                await progress.wait()
            kills += len(await admin.fetch(KILL, database.name))
        return kills

    runs = [f"run_{number:02d}" for number in range(20)]
    async with Tasks("chaos") as tasks:
        killing = tasks.start(kill(), "kill")
        for run in runs:
            tasks.start(carry(run), run)
    assert killing.result() > 10
    for run in runs:
        assert [event.seq for event in await store.tenant("acme").events(run)] == list(range(1, appends + 1))
        assert await store.tenant("acme").spent(run) == appends


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of the test's own, to stop and start."""
    found = PostgresServer()
    found.start()
    yield found
    found.remove()


async def test_writes_go_on_when_the_server_is_back(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who waited too long were told so, with a cause; nothing has to be restarted."""
    for module in (flusher, pool):
        monkeypatch.setattr(module, "PATIENCE_S", 0.1)
        monkeypatch.setattr(module, "LOCKED_OUT_S", 0.0)
    store = await PostgresStore.open(server.create("golive_1"), clock=SystemClock())
    await store.append(lease(), 0, events(range(1, 2), lease()))
    server.stop()
    while not store._flusher._link._connection.is_closed():  # type: ignore[union-attr]
        await asyncio.sleep(0)
    for work in (
        store.append(lease("run_2"), 0, events(range(1, 2), lease("run_2"))), store.ping(), store.generation(),
        store.tenant("acme").events("run_1"), store.beat("a", 10.0), store.claim("a", [], 10, 0.0),
    ):  # fmt: skip
        error = await error_of(work)
        assert isinstance(error, StoreUnavailable)
        assert error.remedy
        assert "golive connects again by itself" in error.remedy
    server.start()
    await store.ping()
    await store.append(lease(), 1, events(range(2, 3), lease()))
    assert [event.seq for event in await store.tenant("acme").events("run_1")] == [1, 2]
    assert await store.tenant("acme").events("run_2") == []
    await store.close()


async def test_a_short_outage_is_not_noticed(server: PostgresServer) -> None:
    """Whoever writes while the server starts again, waits, and is written."""
    store = await PostgresStore.open(server.create("golive_1"), clock=SystemClock())
    await store.append(lease(), 0, events(range(1, 2), lease()))
    await asyncio.to_thread(server.stop)
    async with Tasks("writing") as tasks:
        writing = tasks.start(store.append(lease(), 1, events(range(2, 3), lease())), "append")
        reading = tasks.start(store.tenant("acme").events("run_1", after_seq=5), "read")
        await asyncio.to_thread(server.start)
        await writing
        assert await reading == []
    assert [event.seq for event in await store.tenant("acme").events("run_1")] == [1, 2]
    await store.close()


async def test_a_database_that_became_read_only_says_so_and_is_written_again(
    database: Database, store: PostgresStore, admin: asyncpg.Connection
) -> None:
    """As after a failover, when the old primary is a standby: it is asked for a new connection each time."""
    await admin.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    await admin.fetch(KILL, database.name)
    for work in (store.ping(), store.append(lease(), 0, events(range(1, 2), lease()))):
        error = await error_of(work)
        assert isinstance(error, StoreUnavailable)
        assert error.fields["sqlstate"] == "25006"
        assert "primary" in error.remedy
    await admin.execute("SET default_transaction_read_only = off")
    await admin.execute(f"ALTER DATABASE {database.name} RESET default_transaction_read_only")
    await store.ping()
    await store.append(lease(), 0, events(range(1, 2), lease()))


async def test_a_ping_really_writes_and_does_not_wait_long(
    store: PostgresStore, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody holds the row that it writes: it says so instead of waiting with them."""
    before = await admin.fetchval("SELECT pings FROM installation")
    await store.ping()
    assert await admin.fetchval("SELECT pings FROM installation") == before + 1
    monkeypatch.setattr(store_module, "PING_S", 0.05)
    async with admin.transaction():
        await admin.execute("UPDATE installation SET pings = pings")
        with pytest.raises(StoreUnavailable, match="did not answer within"):
            await store.ping()


# ---- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["a\x00b", "\ud800"], ids=["nul", "surrogate"])
async def test_text_that_cannot_be_stored_harms_nobody_else(store: PostgresStore, bad: str) -> None:
    """NUL and broken Unicode are named; the rest of the group is written; asking for them finds nothing."""
    async with Tasks("appends") as tasks:
        results = []
        for number in range(9):
            of = lease(f"run_{number}")
            kind = bad if number == 4 else "fine"
            event = Event("acme", of.run, 1, 1, "", "d", 1.0, kind, b"\x00")
            results.append(tasks.start(error_of(store.append(of, 0, [event])), "append"))
        named = lease(f"run_{bad}")
        results.append(tasks.start(error_of(store.append(named, 0, events(range(1, 2), named))), "append"))
    errors = [task.result() for task in results]
    assert [type(error) for error in errors] == [type(None)] * 4 + [StoreError] + [type(None)] * 4 + [StoreError]
    if bad == "a\x00b":
        assert all("NUL" in error.message for error in errors if error is not None)
    assert [len(await store.tenant("acme").events(f"run_{number}")) for number in range(9)] == [1] * 4 + [0] + [1] * 4
    assert isinstance(await error_of(store.tenant("acme").events(f"run_{bad}")), StoreError)
    await store.ping()


# ---- several servers -------------------------------------------------------------------------------------------------


async def test_a_tail_waits_for_a_transaction_that_began_early_and_commits_late(
    store: PostgresStore, admin: asyncpg.Connection
) -> None:
    """What was written behind it is not shown before it, and then all of it is: no event is ever skipped."""
    mine = store.tenant("acme")
    await store.append(lease("run_1"), 0, events(range(1, 2), lease("run_1")))
    found, cursor = await mine.tail("")
    assert [event.run for event in found] == ["run_1"]
    late = admin.transaction()
    await late.start()
    await admin.execute(
        "INSERT INTO events (tenant, run, seq, epoch, branch, version, at, kind, body)"
        " VALUES ('acme', 'run_late', 1, 1, '', 'd', 1.0, 'k', '')"
    )
    await store.append(lease("run_2"), 0, events(range(1, 2), lease("run_2")))
    assert await mine.tail(cursor) == ([], cursor)
    await late.commit()
    await store.append(lease("run_3"), 0, events(range(1, 2), lease("run_3")))
    found, cursor = await mine.tail(cursor)
    assert [event.run for event in found] == ["run_late", "run_2", "run_3"]
    assert await mine.tail(cursor) == ([], cursor)


async def test_a_tail_counts_transactions_and_does_not_spell_them(
    store: PostgresStore, admin: asyncpg.Connection
) -> None:
    """The tenth comes behind the ninth, and a cursor at either stands between them."""
    for xid in (10, 9, 100):
        await admin.execute(
            "INSERT INTO events (tenant, run, seq, epoch, branch, version, at, kind, body, xid)"
            f" VALUES ('acme', 'run_{xid}', 1, 1, '', 'd', 1.0, 'k', '', '{xid}')"
        )
    mine, cursor, seen = store.tenant("acme"), "", []
    for _ in range(3):
        [event], cursor = await mine.tail(cursor, 1)
        seen.append(event.run)
    assert seen == ["run_9", "run_10", "run_100"]


async def test_servers_that_take_runs_from_each_other_never_mix(database: Database) -> None:
    """Three stores acquire and append at once: what was said to stand stands, and nothing else; epochs never fall."""
    stores = [await database.open() for _ in range(3)]
    runs = [f"run_{number}" for number in range(4)]
    stood: dict[str, list[bytes]] = {run: [] for run in runs}
    for run in runs:
        of = Lease("acme", run, 1, "first")
        await stores[0].append(of, 0, [Event("acme", run, 1, 1, "", "d", 0.0, "k", b"begin")])
        stood[run].append(b"begin")

    async def rob(number: int, run: str) -> None:
        store, mine = stores[number], stores[number].tenant("acme")
        for turn in range(12):
            taken = await store.acquire("acme", run, f"holder-{number}")
            assert taken is not None
            try:
                for step in range(3):
                    seq = len(await mine.events(run))
                    body = b"%d/%d/%d" % (number, turn, step)
                    event = Event("acme", run, seq + 1, taken.epoch, "", "d", 0.0, "k", body)
                    await store.append(taken, seq, [event])
                    stood[run].append(body)
            except (Fenced, Conflict):
                continue

    async with Tasks("robbers") as tasks:
        for number in range(3):
            for run in runs:
                tasks.start(rob(number, run), run)
    for run in runs:
        found = await stores[0].tenant("acme").events(run)
        assert sorted(event.body for event in found) == sorted(stood[run])
        assert [event.seq for event in found] == list(range(1, len(found) + 1))
        epochs = [event.epoch for event in found]
        assert epochs == sorted(epochs)
        assert epochs[-1] > 1
    for store in stores:
        await store.close()


async def test_a_flush_tells_of_each_run_once(store: PostgresStore, database: Database) -> None:
    """However many of its events the flush had; and of a run whose append did not stand, nothing."""
    heard: list[str] = []
    listener = await asyncpg.connect(database.url)
    await listener.add_listener(CHANNEL, lambda *said: heard.append(said[3]))
    async with Tasks("appends") as tasks:
        for seq in range(5):
            tasks.start(store.append(lease(), seq, events(range(seq + 1, seq + 2), lease())), "append")
        tasks.start(
            store.append(lease("run_2", tenant="a/b"), 0, events(range(1, 3), lease("run_2", tenant="a/b"))), "b"
        )
        tasks.start(error_of(store.append(lease("run_3"), 4, events(range(5, 6), lease("run_3")))), "c")
    await store.append(lease(), 5, [], ledger=[entry(lease(), 5, 1)])
    await listener.fetch("SELECT 1")  # what was told before has come by then
    assert sorted(heard) == ["a/b/run_2/2", "acme/run_1/5"]
    await listener.close()


async def test_a_change_by_another_server_is_told_at_once(
    store: PostgresStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a notification: the poll is switched off."""
    monkeypatch.setattr(waiting, "POLL_S", 600.0)
    other = await database.open()
    of = lease(tenant="a/b")
    await store.append(of, 0, events(range(1, 2), of))
    async with asyncio.timeout(30), Tasks("waiting") as tasks:
        waits = tasks.start(other.changed("a/b", "run_1", 1, 600), "wait")
        await other._waiting.listening.wait()
        await store.append(of, 1, events(range(2, 3), of))
        await waits
    await other.close()


async def test_a_change_is_noticed_without_any_notification(
    store: PostgresStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are lost while nobody is connected; the poll finds it all the same, for many at once."""
    monkeypatch.setattr(waiting, "CHANNEL", "nobody_tells_here")
    monkeypatch.setattr(waiting, "POLL_S", 0.02)
    other = await database.open()
    of = [lease(f"run_{number}") for number in range(20)]
    async with asyncio.timeout(30), Tasks("waiting") as tasks:
        waits = [tasks.start(other.changed("acme", each.run, 0, 600), "wait") for each in of]
        await other._waiting.listening.wait()
        for each in of:
            await store.append(each, 0, events(range(1, 2), each))
        await asyncio.wait(waits)
    await other.close()


async def test_the_listener_connects_again(
    store: PostgresStore, database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its connection was cut, notifications come again."""
    monkeypatch.setattr(waiting, "POLL_S", 0.01)
    listening = store._waiting.listening
    async with asyncio.timeout(30), Tasks("waiting") as tasks:
        waits = tasks.start(store.changed("acme", "run_1", 0, 600), "wait")
        await listening.wait()
        await admin.fetch(KILL, database.name)
        while listening.is_set():
            await asyncio.sleep(0.005)
        await listening.wait()
        await store.append(lease(), 0, events(range(1, 2), lease()))
        await waits
