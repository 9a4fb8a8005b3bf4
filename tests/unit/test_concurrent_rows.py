"""Changes of keys, tenants and users that others change at the same time: none is lost, and none brings back."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from golive.core.chance import SeededChance
from golive.core.errors import Conflict, InvalidRequest, NotAsItStands
from golive.store.ports import KeyRow, TenantStore
from golive.tenants.administration import Settings, TenantAdmin, UserAdmin
from golive.tenants.keys import KeyAdmin
from tests.unit.test_keys import PEPPER, World

Meanwhile = Callable[[], Awaitable[Any]]


class Slow:
    """A store at which somebody else acts between what is read of a row and what is written to it."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.meanwhile: list[Meanwhile] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def tenant(self, tenant: str) -> Any:
        return _SlowTenant(self, self._store.tenant(tenant))


class _SlowTenant:
    def __init__(self, slow: Slow, store: TenantStore) -> None:
        self._slow = slow
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put_key(self, row: KeyRow, read: KeyRow | None = None) -> None:
        if read is not None:
            await self._others()
        await self._store.put_key(row, read)

    async def change_tenant(self, row: Any, read: Any) -> None:
        await self._others()
        await self._store.change_tenant(row, read)

    async def change_user(self, row: Any, read: Any) -> None:
        await self._others()
        await self._store.change_user(row, read)

    async def _others(self) -> None:
        if self._slow.meanwhile:
            await self._slow.meanwhile.pop(0)()


class Two(World):
    """Two servers: what is `late` is overtaken by what the tests put into `slow.meanwhile`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.slow: Any = Slow(self.store)
        self.late = KeyAdmin(self.slow, PEPPER, self.clock, SeededChance(2), self.ring.learn)
        self.tenants, self.late_tenants = TenantAdmin(self.store, self.clock), TenantAdmin(self.slow, self.clock)
        self.users, self.late_users = UserAdmin(self.store, self.clock), UserAdmin(self.slow, self.clock)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    made = Two(tmp_path)
    await made.tenants.create("acme", Settings(), by="tests")
    await made.ring.start()
    yield made
    await made.ring.close()
    await made.store.close()


async def test_a_rotation_beside_a_revocation_changes_nothing(two: Two) -> None:
    """The key stays revoked, and of the one that was to take its place nothing works: nobody was given its secret."""
    key_id, secret = await two.key()
    two.slow.meanwhile = [lambda: two.admin.revoke("default", key_id)]
    with pytest.raises(Conflict, match="was changed by somebody else"):
        await two.late.rotate("default", key_id, 90.0, created_by="tests")
    await two.ring.refresh()
    await two.refused(f"Bearer {secret}")
    assert [row.revoked_at for row in await two.admin.list("default")] == [1_000_000.0, 1_000_000.0]
    with pytest.raises(InvalidRequest, match="does not work any more"):
        await two.late.rotate("default", key_id, 90.0, created_by="tests")


async def test_a_revocation_beside_a_rotation_holds(two: Two) -> None:
    """It is done over what the rotation left."""
    key_id, secret = await two.key()
    two.slow.meanwhile = [lambda: two.admin.rotate("default", key_id, 90.0, created_by="tests")]
    row = await two.late.revoke("default", key_id)
    assert (row.revoked_at, row.expires_at) == (1_000_000.0, 1_000_090.0)
    assert [each for each in await two.admin.list("default") if each.id == key_id] == [row]
    await two.refused(f"Bearer {secret}")


async def test_what_a_ring_is_told_late_does_not_revive_a_key(two: Two) -> None:
    """Whoever shortened a key before it was revoked may tell of it afterwards."""
    key_id, secret = await two.key()
    revoked = await two.admin.revoke("default", key_id)
    await two.ring.refresh()
    await two.ring.learn(replace(revoked, revoked_at=None, expires_at=1_000_090.0))
    await two.refused(f"Bearer {secret}")
    await two.ring.refresh()
    assert two.ring._known[key_id][0] == revoked


async def test_a_change_of_a_tenant_beside_its_suspension_keeps_both(two: Two) -> None:
    """The settings are set, and the tenant is suspended."""
    two.slow.meanwhile = [lambda: two.tenants.suspend("acme", "unpaid")]
    changed = await two.late_tenants.change("acme", Settings(max_open_runs=3))
    assert (changed.state, changed.note, changed.limits) == ("suspended", "unpaid", {"max_open_runs": 3})
    assert await two.tenants.get("acme") == changed


async def test_a_suspension_beside_a_change_keeps_both(two: Two) -> None:
    two.slow.meanwhile = [lambda: two.tenants.change("acme", Settings(keep_days=2.0))]
    await two.late_tenants.suspend("acme")
    row = await two.tenants.get("acme")
    assert (row.state, row.keep_days) == ("suspended", 2.0)


async def test_a_tenant_that_is_made_twice_is_made_once(two: Two) -> None:
    """Whoever comes second is told, and does not write over what became of the first."""

    async def first() -> None:
        await two.tenants.create("beta", Settings(), by="tests")
        await two.tenants.suspend("beta")

    two.slow.meanwhile = [first]
    with pytest.raises(Conflict):
        await two.late_tenants.create("beta", Settings(), by="tests")
    assert (await two.tenants.get("beta")).state == "suspended"


async def test_a_user_that_is_made_beside_a_suspension_stays_out(two: Two) -> None:
    two.slow.meanwhile = [lambda: two.users.suspend("acme", "ann", by="tests")]
    with pytest.raises(Conflict):
        await two.late_users.create("acme", "ann", by="tests")
    assert (await two.users.get("acme", "ann")).state == "suspended"


async def test_a_user_that_comes_while_they_are_suspended_is_suspended(two: Two) -> None:
    """Who was never seen may be seen just then."""
    two.slow.meanwhile = [lambda: two.store.tenant("acme").users_seen({"ann": 40.5})]
    await two.late_users.suspend("acme", "ann", by="tests")
    row = await two.users.get("acme", "ann")
    assert (row.state, row.last_seen_at) == ("suspended", 40.5)


async def test_nothing_is_resumed_that_was_erased_meanwhile(two: Two) -> None:
    """Neither a tenant nor a user."""
    await two.users.suspend("acme", "ann", by="tests")
    erased = replace(await two.users.get("acme", "ann"), state="erased")
    two.slow.meanwhile = [lambda: two.store.tenant("acme").put_user(erased)]
    with pytest.raises(NotAsItStands):
        await two.late_users.resume("acme", "ann")
    gone = replace(await two.tenants.suspend("acme"), state="erased")
    two.slow.meanwhile = [lambda: two.store.tenant("acme").put_tenant(gone)]
    with pytest.raises(NotAsItStands):
        await two.late_tenants.resume("acme")
    assert (await two.tenants.get("acme")).state == "erased"


async def test_a_change_that_others_overtake_again_and_again_is_told_so(two: Two) -> None:
    """It is not tried for ever."""
    two.slow.meanwhile = [lambda n=n: two.tenants.change("acme", Settings(note=f"n{n}")) for n in range(9)]
    with pytest.raises(Conflict, match="The tenant 'acme' was changed by somebody else"):
        await two.late_tenants.change("acme", Settings(max_open_runs=3))
    assert (await two.tenants.get("acme")).note == "n3"
