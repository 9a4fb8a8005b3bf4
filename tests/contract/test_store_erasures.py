"""The contract of a store: which erasures there are, which are unfinished, and what still stands of somebody."""

from pathlib import Path

import pytest

from golive.store.erasures import Erasure
from golive.store.ports import Lease, Store
from golive.store.tenancy import TenantRow, UserRow
from tests.contract.store_kit import File, InPostgres, Place, decision, entry, events, key, message, view
from tests.contract.store_kit import lease as lease_of


def of(user: str | None, run: str = "run_1", tenant: str = "acme") -> Lease:
    return Lease(tenant, run, 1, "holder-1", user)


async def said(store: Store, lease: Lease) -> None:
    await store.append(
        lease, 0, events(range(1, 3), lease, b'{"text":"hello"}'), views=[view(lease, user=lease.user)],
        outbox=[message(lease, f"msg_{lease.run}")], ledger=[entry(lease, 1, 5)],
        decisions=[decision(lease, f"dec_{lease.run}")],
    )  # fmt: skip


async def out(store: Store, tenant: str, user: str | None, at: float | None) -> None:
    mine = store.tenant(tenant)
    if user is None:
        row = TenantRow(tenant=tenant, state="erased", created_at=1.0, created_by="cli", erased_at=at)
        await mine.put_tenant(row)
    else:
        await mine.put_user(
            UserRow(tenant=tenant, id=user, state="erased", created_at=1.0, created_by="cli", erased_at=at)
        )


async def test_erasures_are_listed_and_those_that_are_not_finished(store: Store) -> None:
    """Not those who are merely suspended; one is unfinished again where a run of it stands that came late."""
    await store.tenant("acme").put_user(
        UserRow(tenant="acme", id="kim", state="suspended", created_at=1.0, created_by="cli")
    )
    assert await store.erasures.all() == []
    await out(store, "acme", "ann", None)
    await out(store, "acme", "ben", 7.5)
    await out(store, "beta", None, 8.5)
    assert await store.erasures.all() == [
        Erasure("acme", "ann", None), Erasure("acme", "ben", 7.5), Erasure("beta", None, 8.5),
    ]  # fmt: skip
    assert await store.erasures.unfinished(10) == [Erasure("acme", "ann", None)]
    assert await store.erasures.unfinished(0) == []


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
async def test_a_run_that_came_late_makes_its_erasure_unfinished(store: Store) -> None:
    """A server that hung while its user was erased; a sealed store has no key for it any more."""
    await out(store, "acme", "ann", 7.5)
    await out(store, "beta", None, 8.5)
    assert await store.erasures.unfinished(10) == []
    await said(store, of("ann"))
    await said(store, of(None, "run_2", "beta"))
    assert set(await store.erasures.unfinished(10)) == {Erasure("acme", "ann", 7.5), Erasure("beta", None, 8.5)}


async def test_what_stands_is_counted_by_table(store: Store) -> None:
    """A user's runs; a tenant's everything, but for the ledger; nobody else's."""
    await said(store, of("ann"))
    await said(store, of("ben", "run_2"))
    await said(store, of("ann", "run_3", "beta"))
    await store.tenant("acme").put_key(key())
    standing = await store.erasures.standing("acme", "ann")
    keys = standing.pop("data_keys")
    assert (standing, keys <= 1) == ({"leases": 1, "runs": 1}, True)
    whole = await store.erasures.standing("acme", None)
    whole.pop("data_keys")
    assert whole == {
        "decisions": 2, "events": 4, "keys": 1, "leases": 2, "outbox": 2, "runs": 2, "schedules": 0,
        "tenant_credentials": 0, "tenant_users": 0, "tokens_revoked": 0, "versions": 0,
    }  # fmt: skip
    while await store.erase_runs("acme", "ann", 10):
        pass
    await store.data_keys.erase("acme", "user", "ann", 5.0)
    assert set((await store.erasures.standing("acme", "ann")).values()) == {0}
    assert (await store.erasures.standing("acme", None))["events"] == 2
    assert [row.amount_microusd for row in await store.tenant("acme").ledger("run_1")] == [5]


async def test_the_ledger_of_a_run_is_read_in_order(store: Store) -> None:
    """Entry for entry as it was written; another tenant reads none."""
    lease = lease_of()
    await store.append(lease, 0, events(range(1, 4), lease), ledger=[entry(lease, 1, 5), entry(lease, 3, 7)])
    assert await store.tenant("acme").ledger("run_1") == [entry(lease, 1, 5), entry(lease, 3, 7)]
    assert await store.tenant("beta").ledger("run_1") == []


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
async def test_bytes_are_looked_for_in_the_files(place: Place, store: Store, tmp_path: Path) -> None:
    """In the write-ahead log too; gone once they were erased. PostgreSQL's files are not golive's to read."""
    await said(store, of("ann"))
    planted, other = b'{"text":"hello"}', b"never written"
    if isinstance(place, InPostgres):
        assert await store.erasures.in_files([planted]) is None
        return
    assert isinstance(place, File)
    assert await store.erasures.in_files([planted, other]) == 1
    while await store.erase_runs("acme", None, 10):
        pass
    assert await store.wipe()
    assert await store.erasures.in_files([planted, other]) == 0
