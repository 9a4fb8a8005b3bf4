"""A connection breaks under a write: what stands is found out, nothing is written twice, nothing is said to be lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from golive.core.clock import SystemClock
from golive.core.errors import Fenced, StoreUnavailable
from golive.core.tasks import Tasks
from golive.store.ports import Lease
from golive.store.postgres import PostgresStore, connection, flusher
from tests.contract.store_kit import entry, events, lease, message, view
from tests.postgres_kit import Database, postgres_server
from tests.unit.postgres_proxy import Proxy


@pytest.fixture
def database() -> Iterator[Database]:
    found = Database()
    yield found
    found.drop()


@pytest.fixture
async def wire(database: Database) -> AsyncIterator[Proxy]:
    proxy = Proxy(postgres_server().folder)
    await proxy.start()
    yield proxy
    await proxy.close()


@pytest.fixture
async def store(database: Database, wire: Proxy) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(wire.url(database.name), clock=SystemClock())
    yield opened
    wire.mute = False
    await opened.close()


@pytest.fixture
async def other(database: Database) -> AsyncIterator[PostgresStore]:
    """Another server, whose connection is sound."""
    opened = await database.open()
    yield opened
    await opened.close()


async def prepared(store: PostgresStore, write: Callable[[str], Awaitable[None]]) -> None:
    """A statement of this shape was sent before, so that the next one is not preceded by its preparation."""
    of = lease("warm")
    await store.append(of, 0, events(range(1, 2), of))
    await write("warm")


@pytest.mark.parametrize("fault", ["lose_answers", "lose_requests"])
async def test_an_append_whose_connection_breaks_stands_once(
    store: PostgresStore, wire: Proxy, other: PostgresStore, fault: str
) -> None:
    """Whether it was the request that was lost or the answer; the caller learns that it stands."""
    await store.append(lease(), 0, events(range(1, 2), lease()))

    async def write(run: str) -> None:
        of = lease(run)
        await store.append(
            of, 1, events(range(2, 4), of), ledger=[entry(of, 2, 5)], outbox=[message(of, f"m_{run}")],
            views=[view(of, steps=3)],
        )  # fmt: skip

    await prepared(store, write)
    setattr(wire, fault, True)
    await write("run_1")
    assert wire.lost.is_set()
    mine = other.tenant("acme")
    assert [event.seq for event in await mine.events("run_1")] == [1, 2, 3]
    assert await mine.spent("run_1") == 5
    assert await mine.run("run_1") == view(lease(), steps=3)
    assert [row.id for row in await mine.deliveries(run="run_1")] == ["m_run_1"]


@pytest.mark.parametrize("fault", ["lose_answers", "lose_requests"])
async def test_an_append_without_events_stands_once(
    store: PostgresStore, wire: Proxy, other: PostgresStore, fault: str
) -> None:
    """No sequence number tells of it: its ledger entry, or its message, does."""
    await store.append(lease(), 0, events(range(1, 2), lease()))
    of = lease("warm")
    await store.append(of, 0, events(range(1, 2), of))
    for kind in ("ledger", "outbox"):
        wire.lost.clear()
        for run in ("warm", "run_1"):
            of = lease(run)
            extra = {"ledger": [entry(of, 1, 5)]} if kind == "ledger" else {"outbox": [message(of, f"m_{run}")]}
            setattr(wire, fault, run == "run_1")
            await store.append(of, 1, [], views=[view(of, steps=3)], **extra)
        assert wire.lost.is_set()
    mine = other.tenant("acme")
    assert await mine.spent("run_1") == 5
    assert await mine.run("run_1") == view(lease(), steps=3)
    assert [row.id for row in await mine.deliveries(run="run_1")] == ["m_run_1"]


async def _taken_over_meanwhile(store: PostgresStore, wire: Proxy, other: PostgresStore) -> Lease:
    """The store cannot connect any more; another server takes the run over, and then it can again."""
    await wire.lost.wait()
    taken = await other.acquire("acme", "run_1", "b")
    assert taken is not None
    wire.refuse = False
    return taken


@pytest.mark.parametrize(("fault", "stands"), [("lose_answers", True), ("lose_requests", False)])
async def test_what_is_said_of_an_append_is_true_after_a_takeover_too(
    store: PostgresStore, wire: Proxy, other: PostgresStore, fault: str, stands: bool
) -> None:
    """What stood before the run was taken over is a success; what did not is fenced."""
    await store.append(lease(), 0, events(range(1, 2), lease()))
    await prepared(store, lambda run: store.append(lease(run), 1, events(range(2, 3), lease(run))))
    setattr(wire, fault, True)
    wire.refuse = True
    async with Tasks("writing") as tasks:
        writing = tasks.start(_caught(store.append(lease(), 1, events(range(2, 3), lease()))), "append")
        taken = await _taken_over_meanwhile(store, wire, other)
    assert writing.result() is (None if stands else Fenced)
    seqs = [(event.seq, event.epoch) for event in await other.tenant("acme").events("run_1")]
    assert seqs == ([(1, 1), (2, 1)] if stands else [(1, 1)])
    await other.append(taken, len(seqs), events(range(len(seqs) + 1, len(seqs) + 2), taken))


async def _caught(work: object) -> type | None:
    try:
        await work  # type: ignore[misc]
    except (Fenced, StoreUnavailable) as error:
        return type(error)
    return None


async def test_a_claim_whose_answer_is_lost_is_not_forgotten(
    store: PostgresStore, wire: Proxy, other: PostgresStore
) -> None:
    """What it took is among what the next one returns, and belongs to nobody else meanwhile."""
    for name in ("a", "b", "c"):
        await other.beat(name, 3_600)
    for run in ("run_1", "run_2"):
        await other.append(Lease("acme", run, 1, "a"), 0, events(range(1, 2), Lease("acme", run, 1, "a")))
    assert await store.claim("b", ["digest"], 10, 0.0) == []
    await other.leave("a")
    wire.lose_answers = True
    with pytest.raises(StoreUnavailable):
        await store.claim("b", ["digest"], 10, 0.0)
    assert await other.claim("c", ["digest"], 10, 0.0) == []
    assert await store.claim("b", ["digest"], 10, 0.0) == [
        Lease("acme", "run_1", 3, "b"), Lease("acme", "run_2", 3, "b"),
    ]  # fmt: skip
    assert await store.claim("b", ["digest"], 10, 0.0) == []


async def test_a_lease_that_was_acquired_over_a_broken_connection_is_good(
    store: PostgresStore, wire: Proxy, other: PostgresStore
) -> None:
    """It may be an epoch further than it had to be; it is the one that stands."""
    await store.append(lease(), 0, events(range(1, 2), lease()))
    assert await store.acquire("acme", "run_2", "b") is None
    wire.lose_answers = True
    taken = await store.acquire("acme", "run_1", "b")
    assert taken == Lease("acme", "run_1", 3, "b")
    await store.append(taken, 1, events(range(2, 3), taken))


async def test_reads_are_asked_again(store: PostgresStore, wire: Proxy) -> None:
    """A caller does not notice a connection that broke."""
    await store.append(lease(), 0, events(range(1, 2), lease()))
    for fault in ("lose_answers", "lose_requests"):
        setattr(wire, fault, True)
        assert len(await store.tenant("acme").events("run_1")) == 1
    wire.cut()
    assert len(await store.tenant("acme").events("run_1")) == 1
    await store.ping()


async def test_a_database_that_falls_silent_is_left_for_another_connection(
    store: PostgresStore, wire: Proxy, other: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is closed, and nothing answers: after a while the connection counts as broken."""
    monkeypatch.setattr(connection, "SILENCE_S", 0.2)
    await store.append(lease(), 0, events(range(1, 2), lease()))
    wire.mute = True
    async with Tasks("writing") as tasks:
        writing = tasks.start(store.append(lease(), 1, events(range(2, 3), lease())), "append")
        await wire.lost.wait()
        wire.mute = False
        await writing
    assert [event.seq for event in await other.tenant("acme").events("run_1")] == [1, 2]


async def test_a_queue_that_nobody_empties_has_an_end(
    store: PostgresStore, wire: Proxy, other: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further writes are refused at once, with a cause; those that waited are written in the end."""
    monkeypatch.setattr(connection, "SILENCE_S", 0.3)
    monkeypatch.setattr(flusher, "MOST_WAITING", 5)
    await store.append(lease(), 0, events(range(1, 2), lease()))
    wire.mute = True
    async with Tasks("writing") as tasks:
        first = tasks.start(store.append(lease(), 1, events(range(2, 3), lease())), "first")
        await wire.lost.wait()
        of = [lease(f"run_{number}") for number in range(2, 10)]
        waiting = [tasks.start(_caught(store.append(each, 0, events(range(1, 2), each))), "next") for each in of]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [False] * 5 + [True] * 3
        wire.mute = False
        await first
    assert [task.result() for task in waiting] == [None] * 5 + [StoreUnavailable] * 3
    assert len(await other.tenant("acme").events("run_6")) == 1
    assert await other.tenant("acme").events("run_7") == []


async def test_closing_does_not_wait_for_ever(
    store: PostgresStore, wire: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody can know by then is said to be unknown."""
    monkeypatch.setattr(flusher, "CLOSE_S", 0.2)
    monkeypatch.setattr(flusher, "PATIENCE_S", 0.1)
    monkeypatch.setattr(flusher, "LOCKED_OUT_S", 0.1)
    store._flusher._patience_s = 0.1
    await store.append(lease(), 0, events(range(1, 2), lease()))
    wire.lose_answers = wire.refuse = True
    async with Tasks("writing") as tasks:
        writing = tasks.start(_error(store.append(lease(), 1, events(range(2, 3), lease()))), "append")
        await wire.lost.wait()
        await store.close()
    error = writing.result()
    assert error is not None
    assert error.fields["in_doubt"] is True


async def _error(work: object) -> StoreUnavailable | None:
    try:
        await work  # type: ignore[misc]
    except StoreUnavailable as error:
        return error
    return None


async def test_a_standby_that_answers_next_says_nothing_of_what_was_sent_before(
    database: Database, store: PostgresStore, wire: Proxy, other: PostgresStore
) -> None:
    """The answer is lost in a failover, and the next connection leads to where nothing can be written: it is waited."""
    await store.append(lease(), 0, events(range(1, 2), lease()))
    await prepared(store, lambda run: store.append(lease(run), 1, events(range(2, 3), lease(run))))
    standby = f"ALTER DATABASE {database.name} SET default_transaction_read_only = on"
    database.server.psql(database.name, standby)
    wire.lose_answers = True
    async with Tasks("writing") as tasks:
        writing = tasks.start(store.append(lease(), 1, events(range(2, 3), lease())), "append")
        await wire.lost.wait()
        later = lease("run_2")
        assert await _caught(store.append(later, 0, events(range(1, 2), later))) is StoreUnavailable
        assert not writing.done()
        database.server.psql("postgres", f"ALTER DATABASE {database.name} RESET default_transaction_read_only")
        await writing
    assert [event.seq for event in await other.tenant("acme").events("run_1")] == [1, 2]
