"""The contract of a store, first half: what `append` and `acquire` promise, and what closing leaves behind."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from golive.core.errors import Conflict, Fenced, StoreError, StoreUnavailable
from golive.core.events import Event
from golive.core.tasks import Tasks
from golive.store.ports import Lease, RunFilter, Store
from golive.store.sealed.store import SealedStore
from tests.contract.store_kit import Opener, entry, events, key, lease, message, view


async def test_what_was_appended_is_read_back_exactly(store: Store) -> None:
    """Every column of an event survives, bytes that are no text included."""
    first = Event("acme", "run_1", 1, 1, "sub/1", "digest", 1700000000.123456, "odd.kind", b"\x00\xff\xfe{", "k_7")
    second = Event("acme", "run_1", 2, 1, "", "digest", 0.1, "ä😀", b"", None)
    await store.append(lease(), 0, [first, second])
    kept = replace(first, key_id=None) if isinstance(store, SealedStore) else first  # what is opened is plain
    assert await store.tenant("acme").events("run_1") == [kept, second]


async def test_events_are_read_from_any_place_and_in_portions(store: Store) -> None:
    """`after_seq` and `limit` cut the list; an unknown run has no events."""
    await store.append(lease(), 0, events(range(1, 151), lease()))
    tenant = store.tenant("acme")
    assert [e.seq for e in await tenant.events("run_1", after_seq=147)] == [148, 149, 150]
    assert [e.seq for e in await tenant.events("run_1", after_seq=3, limit=2)] == [4, 5]
    assert [e.seq for e in await tenant.events("run_1", limit=0)] == []
    assert await tenant.events("run_2") == []


async def test_a_run_is_created_once(store: Store) -> None:
    """A second creation of the same run is a conflict and leaves the first as it is."""
    await store.append(lease(), 0, events(range(1, 2), lease(), b"1"))
    with pytest.raises(Conflict):
        await store.append(lease(), 0, events(range(1, 2), lease(), b"2"))
    assert [e.body for e in await store.tenant("acme").events("run_1")] == [b"1"]


@pytest.mark.parametrize("expected", [0, 1, 3])
async def test_an_append_at_another_seq_is_a_conflict_and_writes_nothing(store: Store, expected: int) -> None:
    """Neither events nor ledger, outbox or view of a conflicting append remain."""
    await store.append(lease(), 0, events(range(1, 3), lease()), views=[view(lease(), steps=1)])
    with pytest.raises(Conflict) as caught:
        await store.append(
            lease(), expected, events(range(expected + 1, expected + 2), lease()),
            ledger=[entry(lease(), 3, 99)], outbox=[message(lease(), "m1")], views=[view(lease(), steps=9)],
        )  # fmt: skip
    assert caught.value.fields["run"] == "run_1"
    tenant = store.tenant("acme")
    assert [e.seq for e in await tenant.events("run_1")] == [1, 2]
    assert await tenant.spent("run_1") == 0
    assert await tenant.run("run_1") == view(lease(), steps=1)
    await store.append(lease(), 2, events(range(3, 4), lease()), outbox=[message(lease(), "m1")])  # m1 is still free


async def test_an_append_to_a_run_that_does_not_exist_is_a_conflict(store: Store) -> None:
    """Only epoch 1 at seq 0 creates a run."""
    for epoch, seq in ((1, 5), (2, 0)):
        with pytest.raises(Conflict):
            await store.append(lease(epoch=epoch), seq, events(range(seq + 1, seq + 2), lease(epoch=epoch)))
    assert await store.tenant("acme").events("run_1") == []


async def test_a_run_taken_over_fences_its_former_holder(store: Store) -> None:
    """After `acquire` the earlier lease writes nothing, whatever seq it expects; the new one goes on."""
    await store.append(lease(), 0, events(range(1, 2), lease()))
    taken = await store.acquire("acme", "run_1", "holder-2")
    assert taken == Lease("acme", "run_1", 2, "holder-2")
    for seq in (0, 1, 7):
        with pytest.raises(Fenced):
            await store.append(lease(), seq, events(range(seq + 1, seq + 2), lease()), ledger=[entry(lease(), 2, 5)])
    await store.append(taken, 1, events(range(2, 3), taken))
    assert [(e.seq, e.epoch) for e in await store.tenant("acme").events("run_1")] == [(1, 1), (2, 2)]
    assert await store.tenant("acme").spent("run_1") == 0


async def test_acquire_of_an_unknown_run_is_none(store: Store) -> None:
    """Another tenant's run is unknown as well."""
    await store.append(lease(), 0, events(range(1, 2), lease()))
    assert await store.acquire("acme", "run_2", "h") is None
    assert await store.acquire("other", "run_1", "h") is None


async def test_an_append_without_events_moves_no_seq_but_is_fenced_all_the_same(store: Store) -> None:
    """A view alone may be replaced by the holder, and by nobody else."""
    await store.append(lease(), 0, events(range(1, 2), lease()))
    await store.append(lease(), 1, [], views=[view(lease(), steps=4)])
    assert (await store.tenant("acme").run("run_1")) == view(lease(), steps=4)
    await store.acquire("acme", "run_1", "h2")
    with pytest.raises(Fenced):
        await store.append(lease(), 1, [], views=[view(lease(), steps=5)])
    assert (await store.tenant("acme").run("run_1")) == view(lease(), steps=4)


async def test_several_appends_of_one_run_at_once_stand_in_their_order(store: Store) -> None:
    """Creation and what follows may be asked for in one tick; the last view stands."""
    async with Tasks("appends") as tasks:
        for seq in range(20):
            work = store.append(
                lease(), seq, events(range(seq + 1, seq + 2), lease()), views=[view(lease(), steps=seq)]
            )
            tasks.start(work, "append")
    assert [e.seq for e in await store.tenant("acme").events("run_1")] == list(range(1, 21))
    assert await store.tenant("acme").run("run_1") == view(lease(), steps=19)


async def outcome(work: Any) -> type | None:
    try:
        await work
    except StoreError as error:
        return type(error)
    return None


async def test_one_that_does_not_stand_harms_no_other_of_its_group(store: Store) -> None:
    """Conflict, fenced and unstorable appends fail alone; the rest of the tick is written."""
    await store.append(lease("fenced"), 0, events(range(1, 2), lease("fenced")))
    await store.acquire("acme", "fenced", "h2")
    async with Tasks("appends") as tasks:
        results = []
        for number in range(5):
            of = lease(f"good_{number}")
            results.append(tasks.start(outcome(store.append(of, 0, events(range(1, 3), of))), "good"))
        bad = lease("bad")
        broken = [Event("acme", "bad", 1, 1, "", "digest", 1.0, "\ud800", b"{}")]
        results.append(tasks.start(outcome(store.append(bad, 0, broken)), "bad"))
        huge = lease("huge")
        work = store.append(huge, 0, events(range(1, 2), huge), ledger=[entry(huge, 1, 1 << 70)])
        results.append(tasks.start(outcome(work), "huge"))
        late = lease("fenced")
        results.append(tasks.start(outcome(store.append(late, 1, events(range(2, 3), late))), "fenced"))
        results.append(tasks.start(outcome(store.append(late, 9, events(range(10, 11), late))), "fenced"))
        results.append(tasks.start(outcome(store.append(lease("none"), 4, events(range(5, 6), lease("none")))), "none"))
        after = lease("good_0")
        results.append(tasks.start(outcome(store.append(after, 2, events(range(3, 4), after))), "after"))
    assert [task.result() for task in results] == [*[None] * 5, StoreError, StoreError, Fenced, Fenced, Conflict, None]
    tenant = store.tenant("acme")
    counts = {run: len(await tenant.events(run)) for run in ("good_0", "good_4", "bad", "huge", "fenced", "none")}
    assert counts == {"good_0": 3, "good_4": 2, "bad": 0, "huge": 0, "fenced": 1, "none": 0}


@pytest.mark.parametrize(
    "wrong",
    [
        Event("acme", "run_1", 2, 1, "", "d", 1.0, "k", b""),
        Event("acme", "run_2", 1, 1, "", "d", 1.0, "k", b""),
        Event("other", "run_1", 1, 1, "", "d", 1.0, "k", b""),
        Event("acme", "run_1", 1, 2, "", "d", 1.0, "k", b""),
    ],
    ids=["seq", "run", "tenant", "epoch"],
)
async def test_events_that_are_not_the_leases_own_are_refused(store: Store, wrong: Event) -> None:
    """A gap, another run, tenant or epoch is a fault of the caller, and nothing is written."""
    with pytest.raises(ValueError):
        await store.append(lease(), 0, [wrong])
    assert await store.tenant(wrong.tenant).events(wrong.run) == []


async def test_rows_of_another_run_cannot_ride_along(store: Store) -> None:
    """Ledger, outbox and views belong to the lease's run."""
    other = lease("run_2")
    for extra in ({"ledger": [entry(other, 1, 5)]}, {"outbox": [message(other, "m")]}, {"views": [view(other)]}):
        with pytest.raises(ValueError):
            await store.append(lease(), 0, events(range(1, 2), lease()), **extra)
    assert await store.tenant("acme").events("run_1") == []


async def test_a_cancelled_caller_harms_no_other(store: Store) -> None:
    """Callers that are cancelled while they wait leave whole appends or none, and the store goes on."""
    async with Tasks("appends") as tasks:
        waiting = [
            tasks.start(store.append(lease(f"run_{n}"), 0, events(range(1, 4), lease(f"run_{n}"))), "append")
            for n in range(40)
        ]
        for pause in range(4):
            await asyncio.sleep(0)
            for task in waiting[pause::8]:
                task.cancel()
    tenant = store.tenant("acme")
    for number, task in enumerate(waiting):
        found = len(await tenant.events(f"run_{number}"))
        assert found in ({0, 3} if task.cancelled() else {3})
    await store.ping()


# ---- several stores, closing ---------------------------------------------------------------------------------------


async def test_what_was_written_is_there_after_reopening(open_store: Opener) -> None:
    """Closing finishes what was queued; a closed store refuses, and may be closed again."""
    first = await open_store()
    async with Tasks("appends") as tasks:
        for number in range(30):
            of = lease(f"run_{number:02d}")
            tasks.start(first.append(of, 0, events(range(1, 3), of), views=[view(of)]), "append")
        await asyncio.sleep(0)
        await first.close()
    await first.close()
    for refused in (first.ping(), first.append(lease(), 0, events(range(1, 2), lease()))):
        with pytest.raises(StoreUnavailable):
            await refused
    second = await open_store()
    assert len(await second.tenant("acme").runs(RunFilter())) == 30
    assert [e.seq for e in await second.tenant("acme").events("run_07")] == [1, 2]


async def test_two_stores_on_one_place_see_each_other(open_store: Opener) -> None:
    """Keys written through the one are seen by the other, control version included; leases fence across both."""
    server, cli = await open_store(), await open_store()
    before = await server.control_version()
    await server.append(lease(), 0, events(range(1, 2), lease()))
    await cli.tenant("acme").put_key(key())
    assert await server.control_version() > before
    assert await server.all_keys() == [key()]
    assert await cli.acquire("acme", "run_1", "cli") is not None
    with pytest.raises(Fenced):
        await server.append(lease(), 1, events(range(2, 3), lease()))
