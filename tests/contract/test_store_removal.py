"""The contract of a store: what is removed for good, and what stays."""

import asyncio
from typing import Any

import pytest

from golive.core.errors import Conflict, Fenced
from golive.store.ports import Lease, RunFilter, ScheduleRow, Store, VersionRow
from golive.store.revocation import TokenRevocation
from golive.store.tenancy import CredentialRow
from tests.contract.store_kit import Opener, decision, entry, events, key, message, view
from tests.contract.test_store_tenancy import begin, tenant, user, whose


async def full(store: Store, run: str, name: str | None, of: str = "acme", **fields: Any) -> Lease:
    """A run with something of everything; its message is due, its decision pending."""
    lease = whose(run, name, of)
    await store.append(
        lease, 0, events(range(1, 3), lease), views=[view(lease, user=name, **fields)],
        ledger=[entry(lease, 1, 7)], outbox=[message(lease, f"m_{run}")], decisions=[decision(lease, f"d_{run}")],
    )  # fmt: skip
    return lease


async def left(store: Store, of: str = "acme") -> dict[str, list[str]]:
    """By kind, the runs of which there still is something."""
    mine = store.tenant(of)
    return {
        "runs": sorted(row.run for row in await mine.runs(RunFilter())),
        "events": sorted({event.run for event in (await mine.tail(""))[0]}),
        "messages": sorted(row.run for row in await mine.deliveries()),
        "decisions": sorted(row.run for row in await mine.decisions()),
    }


def only(*runs: str) -> dict[str, list[str]]:
    return {kind: list(runs) for kind in ("runs", "events", "messages", "decisions")}


async def erased(store: Store, of: str, name: str | None, limit: int = 10) -> list[int]:
    """What each call returned, until there was nothing left."""
    counts = [await store.erase_runs(of, name, limit)]
    while counts[-1]:
        counts.append(await store.erase_runs(of, name, limit))
    return counts


async def test_a_users_runs_go_with_all_that_belongs_to_them(store: Store) -> None:
    """Open ones and messages that are due as well; nobody else's, and what was paid stays."""
    await full(store, "run_1", "ann")
    await full(store, "run_2", "ben")
    await full(store, "run_3", None)
    await full(store, "run_4", "ann", state="finished", outcome="completed", finished_at=5.0)
    await full(store, "run_1", "ann", "beta")
    assert await erased(store, "acme", "ann") == [2, 0]
    assert await left(store) == only("run_2", "run_3")
    assert await left(store, "beta") == only("run_1")
    assert await store.tenant("acme").spent("run_1") == 7
    assert await store.acquire("acme", "run_1", "b") is None
    told = {(row.tenant, row.run) for row in await store.claim_messages(60.0, 10)}
    assert told == {("acme", "run_2"), ("acme", "run_3"), ("beta", "run_1")}
    assert await erased(store, "acme", "nobody") == [0]


async def test_a_run_that_no_list_has_goes_too(store: Store) -> None:
    """Short relayed calls are listed when they end; whose they are is in the lease."""
    lease = whose("run_1", "ann")
    await store.append(lease, 0, events(range(1, 3), lease))
    assert await erased(store, "acme", "ann") == [1, 0]
    assert await store.tenant("acme").events("run_1") == []


async def test_a_tenants_runs_go_in_portions(store: Store) -> None:
    """All of them, whoever's; another tenant's stay."""
    for number in range(5):
        await full(store, f"run_{number}", "ann" if number % 2 else None)
    await full(store, "run_1", "ann", "beta")
    assert await erased(store, "acme", None, 2) == [2, 2, 1, 0]
    assert await left(store) == only()
    assert await left(store, "beta") == only("run_1")
    assert await store.tenant("acme").spent("run_4") == 7
    assert await store.erase_runs("beta", None, 0) == 0
    assert await left(store, "beta") == only("run_1")


async def test_who_still_works_on_an_erased_run_writes_nothing_any_more(store: Store) -> None:
    """There is no such run, whatever lease somebody holds; and nobody claims it."""
    lease = await begin(store, "run_1", "ann")
    await store.erase_runs("acme", "ann", 10)
    with pytest.raises((Conflict, Fenced)):
        await store.append(lease, 2, events(range(3, 4), lease), views=[view(lease, user="ann")])
    assert await left(store) == only()
    assert await store.claim("b", ["digest"], 10, 0.0) == []


async def test_nothing_of_a_run_stays_that_is_written_to_while_it_is_erased(open_store: Opener) -> None:
    """Each append stands whole before, or not at all: no event is left without its run."""
    store, other = await open_store(), await open_store()
    leases = [await begin(store, f"run_{number}", "ann") for number in range(6)]

    async def work(lease: Lease) -> None:
        for seq in range(3, 40):
            try:
                await store.append(lease, seq - 1, events(range(seq, seq + 1), lease), views=[view(lease, user="ann")])
            except (Conflict, Fenced):
                return
            await asyncio.sleep(0)

    async def erase() -> None:
        await asyncio.sleep(0.01)
        while await other.erase_runs("acme", "ann", 2):
            await asyncio.sleep(0)

    await asyncio.gather(erase(), *map(work, leases))
    assert await erased(other, "acme", "ann") == [0]
    assert await left(store) == only()


async def test_a_tail_goes_on_behind_what_was_erased(store: Store) -> None:
    """Also where the newest event of all was: who stood behind it misses nothing that comes, and sees nothing twice."""
    await begin(store, "run_1", None)
    await begin(store, "run_2", "ann")
    mine = store.tenant("acme")
    _, cursor = await mine.tail("")
    for number in range(3, 6):
        assert await erased(store, "acme", "ann") == [1, 0]
        await begin(store, f"run_{number}", "ann" if number < 5 else None)
        found, cursor = await mine.tail(cursor)
        assert [event.run for event in found] == [f"run_{number}"] * 2
    assert [event.run for event in (await mine.tail(""))[0]] == ["run_1", "run_1", "run_5", "run_5"]
    assert await erased(store, "acme", None) == [2, 0]
    assert await mine.tail(cursor) == ([], cursor)
    await begin(store, "run_6", None)
    assert [event.run for event in (await mine.tail(cursor))[0]] == ["run_6"] * 2
    assert await store.prune(1e12, 10) == 0


async def test_the_rows_of_a_tenant_go_and_its_own_row_stays(store: Store) -> None:
    """Keys, schedules, versions, credentials, users, revocations: counted, and nobody else's."""
    for of in ("acme", "beta"):
        mine = store.tenant(of)
        await mine.put_tenant(tenant(of, state="suspended"))
        await mine.put_key(key(tenant=of))
        await mine.put_key(key("key_2", tenant=of))
        await mine.put_user(user("ann", of, state="suspended"))
        await mine.put_credential(CredentialRow(of, "openai", "env:KEY", 1.0, "cli"))
        await mine.put_schedule(ScheduleRow(of, "daily", "d", 5.0), None)
        await mine.register_version(VersionRow(of, "support", "1.0.0", "digest", 1.5))
        await store.revocations.add(TokenRevocation(of, "rev_1", "https://i", "user", "ann", 1.0, 9e9, 1.0, "cli"))
    before = await store.control_version()
    counts = await store.erase_tenant_rows("acme")
    assert counts == {
        "keys": 2, "schedules": 1, "tenant_credentials": 1, "tenant_users": 1, "tokens_revoked": 1, "versions": 1,
    }  # fmt: skip
    assert await store.control_version() == before + 1
    mine, beta = store.tenant("acme"), store.tenant("beta")
    assert (await mine.keys(), await mine.users(), await mine.credentials(), await mine.schedules()) == ([], [], [], [])
    assert (await mine.versions(), await store.revocations.of("acme")) == ([], [])
    assert await mine.tenant_row() == tenant(state="suspended")
    assert [row.id for row in await beta.keys()] == ["key_1", "key_2"]
    assert len(await beta.users() + await store.revocations.of("beta")) == 2
    assert (len(await beta.versions()), len(await beta.credentials()), len(await beta.schedules())) == (1, 1, 1)
    assert set((await store.erase_tenant_rows("acme")).values()) == {0}


async def test_versions_of_the_installation_stay(store: Store) -> None:
    """They are `default`'s, and not of its content."""
    row = VersionRow("default", "support", "1.0.0", "digest", 1.5)
    await store.tenant("default").register_version(row)
    assert (await store.erase_tenant_rows("default")).get("versions", 0) == 0
    assert await store.tenant("default").versions() == [row]


async def test_old_runs_of_one_tenant_are_removed_by_its_own_time(store: Store) -> None:
    """And those of all others by the installation's, without it."""
    for of in ("acme", "beta", "gamma"):
        for run, at in (("run_1", 5.0), ("run_2", 50.0)):
            await begin(store, run, None, of, state="finished", outcome="completed", finished_at=at)
    await begin(store, "run_9", None, "other")
    assert await store.prune(100.0, 1, tenant="acme") == 1
    assert await store.prune(100.0, 10, tenant="acme") == 1
    assert await store.prune(10.0, 10, but=["acme", "beta"]) == 1
    assert [(await left(store, of))["runs"] for of in ("acme", "beta", "gamma")] == [
        [], ["run_1", "run_2"], ["run_2"],
    ]  # fmt: skip
    assert await store.prune(100.0, 10, tenant="nobody") == 0
    assert await store.prune(100.0, 10) == 3


async def test_the_log_ahead_of_the_file_can_be_emptied(store: Store) -> None:
    """Nobody reads: it is done at once."""
    await full(store, "run_1", "ann")
    await store.erase_runs("acme", "ann", 10)
    assert await store.wipe() is True
