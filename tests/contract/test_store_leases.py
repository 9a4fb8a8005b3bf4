"""The contract of a store: who lives, and who takes over the runs of those that do not."""

import pytest

from golive.core.errors import Fenced
from golive.core.tasks import Tasks
from golive.store.ports import Lease, Store
from tests.contract.store_kit import Opener, events, held

LONG_S = 3_600.0
ALL = ("digest",)


async def begin(store: Store, run: str, holder: str, *, tenant: str = "acme", at_rest: bool = False) -> Lease:
    """A run that `holder` carries."""
    lease = held(run, holder, tenant)
    await store.append(lease, 0, events(range(1, 2), lease), at_rest=at_rest)
    return lease


async def claimed(store: Store, holder: str = "b", limit: int = 100) -> list[str]:
    return [lease.run for lease in await store.claim(holder, ALL, limit, LONG_S)]


async def test_runs_of_a_living_holder_are_nobody_elses(store: Store) -> None:
    """While its time runs nobody is given them; once it has left, all of them at once, with the next epoch."""
    await store.beat("a", LONG_S)
    for number in range(3):
        await begin(store, f"run_{number}", "a")
    assert await claimed(store) == []
    await store.leave("a")
    leases = await store.claim("b", ALL, 100, LONG_S)
    assert leases == [Lease("acme", f"run_{number}", 2, "b") for number in range(3)]
    assert await store.claim("b", ALL, 100, LONG_S) == []


async def test_runs_of_a_holder_whose_time_is_over_are_claimed(store: Store) -> None:
    """By the store's clock: a holder that said it lives for no time is dead at once."""
    await store.beat("a", 0.0)
    await begin(store, "run_1", "a")
    assert await claimed(store) == ["run_1"]


async def test_a_beat_tells_whether_the_time_was_over_before(store: Store) -> None:
    """The first and those in time are True; one that comes too late is False, and the holder lives again."""
    assert await store.beat("a", LONG_S) is True
    assert await store.beat("a", LONG_S) is True
    await store.leave("a")
    assert await store.beat("a", LONG_S) is False
    await begin(store, "run_1", "a")
    assert await claimed(store) == []
    assert await store.beat("a", LONG_S) is True


async def test_a_shorter_beat_takes_nothing_back(store: Store) -> None:
    """Whoever said that it lives for an hour, lives for an hour."""
    await store.beat("a", LONG_S)
    await store.beat("a", 0.0)
    await begin(store, "run_1", "a")
    assert await claimed(store) == []


async def test_a_server_that_knows_itself_to_be_alone_ends_all_others(store: Store) -> None:
    """And not itself."""
    for holder in ("a", "b", "c"):
        await store.beat(holder, LONG_S)
        await begin(store, f"run_{holder}", holder)
    await store.end_others("b")
    assert await claimed(store, "b") == ["run_a", "run_c"]
    assert await store.beat("b", LONG_S) is True


async def test_a_replica_ends_its_own_earlier_processes_alone(store: Store) -> None:
    """Names that only begin alike, with a wildcard in them or not, are others'."""
    for holder in ("web/1", "web/2", "web-2/1", "web", "we%/1"):
        await store.beat(holder, LONG_S)
        await begin(store, f"run_{holder.replace('/', '_')}", holder)
    await store.end_others("web/2", "web")
    assert await claimed(store, "web/2") == ["run_web_1"]
    await store.end_others("we%/2", "we%")
    assert await claimed(store, "web/2") == ["run_we%_1"]


async def test_a_run_at_rest_is_carried_on_by_nobody(store: Store) -> None:
    """Finished or waiting for a decision: until an append says otherwise."""
    lease = await begin(store, "run_1", "a", at_rest=True)
    await store.leave("a")
    assert await claimed(store) == []
    await store.append(lease, 1, events(range(2, 3), lease))
    assert await claimed(store) == ["run_1"]


async def test_the_last_append_of_several_says_whether_a_run_is_at_rest(store: Store) -> None:
    """Also when all of them are asked for in one tick."""
    async with Tasks("appends") as tasks:
        for run, rests in (("run_1", True), ("run_2", False)):
            lease = held(run, "a")
            tasks.start(store.append(lease, 0, events(range(1, 2), lease), at_rest=not rests), "first")
            tasks.start(store.append(lease, 1, events(range(2, 3), lease), at_rest=rests), "second")
    assert await claimed(store) == ["run_2"]


async def test_the_oldest_runs_are_claimed_first_and_no_more_than_asked_for(store: Store) -> None:
    """Run ids sort by time, whichever tenant's they are."""
    await begin(store, "run_2", "a", tenant="acme")
    await begin(store, "run_1", "a", tenant="zeta")
    await begin(store, "run_3", "a", tenant="acme")
    assert await store.claim("b", ALL, 2, LONG_S) == [Lease("zeta", "run_1", 2, "b"), Lease("acme", "run_2", 2, "b")]
    assert await store.claim("b", ALL, 0, LONG_S) == []
    assert await claimed(store) == ["run_3"]


async def test_runs_of_versions_that_are_not_served_here_wait_for_somebody_else(store: Store) -> None:
    """Only when their holder has been gone for `patience_s` are they given to whoever asks."""
    await store.beat("a", 0.0)
    await begin(store, "run_1", "a")
    assert await store.claim("b", ["other", "o'dd"], 10, LONG_S) == []
    assert await store.claim("b", [], 10, LONG_S) == []
    assert await store.claim("b", ["other"], 10, 0.0) == [Lease("acme", "run_1", 2, "b")]


async def test_two_that_claim_at_once_never_get_the_same_run(open_store: Opener) -> None:
    """Over two stores, many at a time: each run is given out once, and none is forgotten."""
    one, two = await open_store(), await open_store()
    runs = [f"run_{number:03d}" for number in range(120)]
    async with Tasks("appends") as tasks:
        for run in runs:
            tasks.start(begin(one, run, "a"), "begin")
    for living in ("b", "c", "d", "e"):
        await one.beat(living, LONG_S)
    found: list[Lease] = []
    while len(found) < len(runs):
        before = len(found)
        async with Tasks("claims") as tasks:
            claims = [
                tasks.start(store.claim(holder, ALL, 10, LONG_S), "claim")
                for store, holder in ((one, "b"), (two, "c"), (one, "d"), (two, "e"))
            ]
        found += [lease for claim in claims for lease in claim.result()]
        assert len(found) > before
    assert sorted(lease.run for lease in found) == runs
    assert {lease.epoch for lease in found} == {2}


async def test_who_was_taken_over_writes_nothing(open_store: Opener) -> None:
    """A holder that slept through its time is fenced, in the store of another server too; the new one goes on."""
    one, two = await open_store(), await open_store()
    old = await begin(one, "run_1", "a")
    [new] = await two.claim("b", ALL, 10, LONG_S)
    with pytest.raises(Fenced) as caught:
        await one.append(old, 1, events(range(2, 3), old))
    assert (caught.value.fields["epoch"], caught.value.fields["held_epoch"]) == (1, 2)
    await two.append(new, 1, events(range(2, 3), new))
    assert [(e.seq, e.epoch) for e in await one.tenant("acme").events("run_1")] == [(1, 1), (2, 2)]


async def test_a_run_that_was_acquired_is_its_new_holders(store: Store) -> None:
    """It is claimed again only when that one is gone."""
    await begin(store, "run_1", "a", at_rest=True)
    await store.beat("b", LONG_S)
    lease = await store.acquire("acme", "run_1", "b")
    assert lease == Lease("acme", "run_1", 2, "b")
    await store.append(lease, 1, events(range(2, 3), lease))
    assert await claimed(store, "c") == []
    await store.leave("b")
    assert await store.claim("c", ALL, 10, LONG_S) == [Lease("acme", "run_1", 3, "c")]
