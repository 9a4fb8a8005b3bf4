"""The contract of a store: tenants, their users, their credentials, and whose a run is."""

from typing import Any

import pytest
from msgspec.structs import replace

from golive.core.errors import Conflict
from golive.store.ports import Lease, RunFilter, Store
from golive.store.tenancy import CredentialRow, TenantRow, UserRow
from tests.contract.store_kit import Opener, events, key, view


def tenant(name: str = "acme", **fields: Any) -> TenantRow:
    given: dict[str, Any] = {"tenant": name, "state": "active", "created_at": 5.25, "created_by": "key:né"}
    return TenantRow(**(given | fields))


def user(id_: str = "ann", of: str = "acme", **fields: Any) -> UserRow:
    given: dict[str, Any] = {"tenant": of, "id": id_, "state": "active", "created_at": 6.5, "created_by": "cli"}
    return UserRow(**(given | fields))


def whose(run: str, name: str | None, of: str = "acme", holder: str = "holder-1") -> Lease:
    return Lease(of, run, 1, holder, name)


async def begin(store: Store, run: str, name: str | None, of: str = "acme", **fields: Any) -> Lease:
    lease = whose(run, name, of)
    await store.append(lease, 0, events(range(1, 3), lease), views=[view(lease, user=name, **fields)])
    return lease


async def test_an_installation_begins_with_one_tenant(store: Store) -> None:
    """`default`, active, and with no limit; nobody else is there."""
    [row] = await store.all_tenants()
    assert (row.tenant, row.state, row.created_by, row.agents, row.limits) == (
        "default",
        "active",
        "golive",
        ("*",),
        {},
    )
    assert (row.keep_days, row.note, row.changed_at, row.erased_at) == (None, "", 0.0, None)
    assert row.created_at > 1e9
    assert await store.tenant("default").tenant_row() == row
    assert await store.tenant("acme").tenant_row() is None


async def test_a_tenants_row_comes_back_as_it_went_in(open_store: Opener) -> None:
    """Every field, also after the store was opened anew, and replaced whole; each change moves the control version."""
    store, other = await open_store(), await open_store()
    before = await store.control_version()
    full = tenant(
        state="suspended", keep_days=0.5, agents=("support", "shop-*"), limits={"z": 1, "max_open_runs": 20},
        note="né \N{SNOWMAN}", changed_at=7.75,
    )  # fmt: skip
    await store.tenant("acme").put_tenant(full)
    assert await other.tenant("acme").tenant_row() == full
    assert await store.control_version() == before + 1
    await store.tenant("acme").put_tenant(tenant())
    assert await store.tenant("acme").tenant_row() == tenant()
    await store.tenant("Zeta").put_tenant(tenant("Zeta"))
    assert [row.tenant for row in await other.all_tenants()] == ["Zeta", "acme", "default"]
    assert await other.control_version() == before + 3


async def test_what_was_erased_stays_so(store: Store) -> None:
    """A change that was decided before does not bring a tenant or a user back; and it is told."""
    mine = store.tenant("acme")
    await mine.put_tenant(tenant(state="erased", erased_at=9.5))
    await mine.put_user(user(state="erased", erased_at=9.5))
    before = await store.control_version()
    for again in (mine.put_tenant(tenant(note="late")), mine.put_user(user(state="suspended"))):
        with pytest.raises(Conflict, match="is erased, and stays so"):
            await again
    assert await store.control_version() == before
    assert await mine.tenant_row() == tenant(state="erased", erased_at=9.5)
    await mine.put_tenant(tenant(state="erased", erased_at=9.5, note="counted"))
    found = await mine.tenant_row()
    assert found is not None
    assert found.note == "counted"


async def test_a_row_is_changed_only_as_it_was_read(open_store: Opener) -> None:
    """Key, tenant and user: what somebody else wrote meanwhile stands, and whoever comes too late is told."""
    store, other = await open_store(), await open_store()
    mine, theirs = store.tenant("acme"), other.tenant("acme")
    await mine.change_tenant(tenant(), None)
    await mine.change_user(user(), None)
    await mine.put_key(key())
    await theirs.change_tenant(tenant(state="suspended", limits={"z": 1}), tenant())
    await theirs.change_user(user(state="suspended"), user())
    await theirs.put_key(key(revoked_at=9.5), key())
    before = await store.control_version()
    for late in (
        mine.change_tenant(tenant(note="late"), tenant()), mine.change_tenant(tenant(agents=()), None),
        mine.change_user(user(note="late"), user()), mine.change_user(user(note="new"), None),
        mine.put_key(key(expires_at=99.5), key()), mine.put_key(key(mac=b"other")),
        mine.change_user(user("nobody", note="late"), user("nobody")),
        mine.put_key(key("none", revoked_at=1.0), key("none")),
    ):  # fmt: skip
        with pytest.raises(Conflict, match="was changed by somebody else at the same time; nothing was done"):
            await late
    assert await store.control_version() == before
    assert await mine.tenant_row() == tenant(state="suspended", limits={"z": 1})
    assert await mine.user("ann") == user(state="suspended")
    assert await mine.user("nobody") is None
    assert await mine.keys() == [key(revoked_at=9.5)]


async def test_a_row_is_changed_whole_over_the_one_that_was_read(store: Store) -> None:
    """Every field that can change does, null included; each change moves the control version; use is no change."""
    mine = store.tenant("acme")
    before = await store.control_version()
    full = tenant(
        state="suspended", keep_days=0.5, agents=("né-*",), limits={"z": 1}, note="né", changed_at=7.75, erased_at=8.5
    )
    await mine.change_tenant(full, None)
    assert await mine.tenant_row() == full
    await mine.change_tenant(tenant(), full)
    assert await mine.tenant_row() == tenant()
    await mine.change_user(user(note="né", erased_at=1.5), None)
    await mine.users_seen({"ann": 40.5})
    await mine.change_user(user(state="suspended"), user(note="né", erased_at=1.5))
    assert await mine.user("ann") == user(state="suspended", last_seen_at=40.5)
    await mine.put_key(key(expires_at=9.5))
    await mine.keys_used({"key_1": 20.0})
    await mine.put_key(key(expires_at=8.5, revoked_at=7.5), key(expires_at=9.5))
    assert await mine.keys() == [key(expires_at=8.5, revoked_at=7.5, last_used_at=20.0)]
    assert await store.control_version() == before + 6


async def test_users_are_listed_by_id_page_by_page(store: Store) -> None:
    """Those of one tenant alone, each once."""
    mine = store.tenant("acme")
    names = ["Zoe", "ann", "ben", "b@x/1", "~"]
    for name in names:
        await mine.put_user(user(name, note=name))
    await store.tenant("beta").put_user(user("ann", "beta"))
    pages, before = [], ""
    while page := await mine.users(before=before, limit=2):
        pages.append([row.id for row in page])
        before = page[-1].id
    assert pages == [["Zoe", "ann"], ["b@x/1", "ben"], ["~"]]
    assert await mine.user("ben") == user("ben", note="ben")
    assert await mine.user("nobody") is None
    assert await store.tenant("beta").users() == [user("ann", "beta")]
    assert await mine.users(limit=0) == []


async def test_users_that_come_by_themselves_are_noted(store: Store) -> None:
    """They are added active, later times count, and neither states nor the control version change."""
    mine = store.tenant("acme")
    await mine.put_user(user("ben", state="suspended", last_seen_at=50.0))
    await mine.put_user(user("eve", state="erased", erased_at=9.5))
    before = await store.control_version()
    await mine.users_seen({"ann": 40.5, "ben": 30.0, "eve": 60.0})
    await mine.users_seen({"ann": 41.5, "ben": 55.0})
    await mine.users_seen({})
    assert await mine.users() == [
        user("ann", created_at=40.5, created_by="request", last_seen_at=41.5),
        user("ben", state="suspended", last_seen_at=55.0),
        user("eve", state="erased", erased_at=9.5),
    ]
    assert await store.control_version() == before


async def test_nobody_is_noted_in_a_tenant_that_was_erased(store: Store) -> None:
    """What a server had still to tell comes too late."""
    mine = store.tenant("acme")
    await mine.put_tenant(tenant(state="erased", erased_at=9.5))
    await mine.users_seen({"ann": 40.5})
    assert await mine.users() == []


async def test_who_is_not_let_in_is_listed_for_all_tenants(store: Store) -> None:
    """Suspended or erased; the active ones, who may be many, are not."""
    for of, name, state in (("beta", "b", "suspended"), ("acme", "z", "erased"), ("acme", "a", "suspended")):
        await store.tenant(of).put_user(user(name, of, state=state))
    await store.tenant("acme").put_user(user("ann"))
    assert await store.suspended_users() == [("acme", "a"), ("acme", "z"), ("beta", "b")]
    await store.tenant("acme").put_user(user("a"))
    assert await store.suspended_users() == [("acme", "z"), ("beta", "b")]


async def test_credentials_are_kept_by_provider(store: Store) -> None:
    """Replaced, removed, read by tenant and all at once; each change moves the control version."""
    mine = store.tenant("acme")
    before = await store.control_version()
    first = CredentialRow("acme", "openai", "vault:tenants/acme/openai", 5.5, "key:1")
    other = CredentialRow("acme", "anthropic", "env:KEY", 6.5, "cli")
    beta = replace(first, tenant="beta")
    for row in (replace(first, reference="env:OLD"), first, other):
        await mine.put_credential(row)
    await store.tenant("beta").put_credential(beta)
    assert await mine.credentials() == [other, first]
    assert await store.all_credentials() == [other, first, beta]
    assert await store.control_version() == before + 4
    assert await mine.drop_credential("openai") is True
    assert await mine.drop_credential("openai") is False
    assert await store.control_version() == before + 5
    assert await store.all_credentials() == [other, beta]


async def test_a_row_of_another_tenant_is_not_written(store: Store) -> None:
    """A mistake of ours, which must not get through."""
    for wrong in (
        store.tenant("beta").put_tenant(tenant()),
        store.tenant("beta").put_user(user()),
        store.tenant("beta").put_credential(CredentialRow("acme", "openai", "env:KEY", 1.0, "cli")),
    ):
        with pytest.raises(ValueError, match="cannot be written through the handle of"):
            await wrong


async def test_a_run_is_its_users_from_the_first_append_on(open_store: Opener) -> None:
    """Whoever takes it over learns whose it is; lists tell, and are asked for one user's runs."""
    store = await open_store()
    await begin(store, "run_1", "ann")
    await begin(store, "run_2", None)
    await begin(store, "run_3", "ben")
    await begin(store, "run_1", "ann", "beta")
    mine = store.tenant("acme")
    assert [row.run for row in await mine.runs(RunFilter(user="ann"))] == ["run_1"]
    assert [(row.run, row.user) for row in await mine.runs(RunFilter())] == [
        ("run_3", "ben"), ("run_2", None), ("run_1", "ann"),
    ]  # fmt: skip
    assert [row.run for row in await mine.runs(RunFilter(user="ben", before="run_3"))] == []
    found = await mine.run("run_1")
    assert found is not None
    assert found.user == "ann"
    assert await store.acquire("acme", "run_1", "b") == Lease("acme", "run_1", 2, "b", "ann")
    assert await store.acquire("acme", "run_2", "b") == Lease("acme", "run_2", 2, "b", None)
    await store.leave("b")
    claimed = await (await open_store()).claim("c", ["digest"], 10, 3_600.0)
    assert sorted((lease.run, lease.user) for lease in claimed if lease.tenant == "acme") == [
        ("run_1", "ann"), ("run_2", None), ("run_3", "ben"),
    ]  # fmt: skip


async def test_nobody_elses_name_is_put_on_a_run_later(store: Store) -> None:
    """Neither by a lease nor by a view that says so: it was said when the run began."""
    await begin(store, "run_1", "ann")
    later = replace(whose("run_1", "ben"), epoch=1)
    await store.append(later, 2, events(range(3, 4), later), views=[view(later, user=None, steps=4)])
    found = await store.tenant("acme").run("run_1")
    assert found is not None
    assert (found.user, found.steps) == ("ann", 4)
    assert await store.acquire("acme", "run_1", "b") == Lease("acme", "run_1", 2, "b", "ann")
