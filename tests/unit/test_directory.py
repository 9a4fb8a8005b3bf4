"""The directory of tenants: whom it lets in, what it lets begin, and how soon it knows."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from golive.core.errors import GoliveError, NotAsItStands, NotFound, StoreUnavailable, Suspended, TenantLimited
from golive.store.sqlite.store import SqliteStore
from golive.tenants.administration import CredentialAdmin, Settings, TenantAdmin, UserAdmin
from golive.tenants.authorize import Principal
from golive.tenants.directory import LOOKUP_S, POLL_S, Directory
from tests.unit.test_keys import SetClock


class World:
    """Two servers on one store, of which only one is told of changes."""

    def __init__(self, path: Path) -> None:
        self.clock = SetClock()
        self.store = SqliteStore.open(path / "tenants.db", clock=self.clock, inline=True)
        self.refused: list[tuple[str, str]] = []
        self.here = Directory(self.store, self.clock, refused=lambda *told: self.refused.append(told))
        self.there = Directory(self.store, self.clock)
        around = (self.store, self.clock)
        self.tenants = TenantAdmin(*around, self.here.refresh)
        self.users = UserAdmin(*around, self.here.refresh)
        self.credentials = CredentialAdmin(
            *around, providers=lambda: ["openai"], allowed=lambda: ["vault:{tenant}/*"], changed=self.here.refresh
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.here.refresh()
    await made.there.refresh()
    await made.tenants.create("acme", Settings(agents=("shop-*",), max_open_runs=2), by="tests")
    await made.there.refresh()
    yield made
    await made.store.close()


def key(tenant: str = "acme", *, across: bool = False) -> Principal:
    return Principal(tenant, "key:1", "admin", across=across)


async def why(directory: Directory, principal: Principal, *, changes: bool = True) -> str:
    """Why somebody is not let in; "" where they are."""
    try:
        await directory.admit(principal, changes=changes)
    except GoliveError as error:
        return str(error.fields.get("reason", error.code))
    return ""


async def test_the_installations_own_tenant_is_there_from_the_first_start(world: World) -> None:
    """With all agents, and without limits."""
    row = world.here.row("default")
    assert row is not None
    assert (row.state, row.agents, row.limits) == ("active", ("*",), {})
    assert await why(world.here, key("default")) == ""


async def test_whom_a_tenant_or_user_is_suspended_of_is_told_so(world: World) -> None:
    """At once where it was done; each refusal is counted by tenant and reason."""
    ada = Principal("acme", "user:ada", "user")
    assert [await why(world.here, who) for who in (key(), ada)] == ["", ""]
    await world.users.suspend("acme", "ada", by="tests")
    assert [await why(world.here, who) for who in (key(), ada)] == ["", "user.suspended"]
    assert await why(world.here, Principal("default", "user:ada", "user")) == "", "of the same name elsewhere"
    await world.users.resume("acme", "ada")
    await world.tenants.suspend("acme")
    assert [await why(world.here, who) for who in (key(), ada)] == ["tenant.suspended", "tenant.suspended"]
    await world.tenants.resume("acme")
    assert [await why(world.here, who) for who in (key(), ada)] == ["", ""]
    assert world.refused == [("acme", "user.suspended"), ("acme", "tenant.suspended"), ("acme", "tenant.suspended")]


async def test_another_server_knows_with_its_next_look_and_from_then_on(world: World) -> None:
    """It polls by itself: nobody need tell it."""
    await world.there.start()
    try:
        looked = asyncio.Event()
        await world.tenants.suspend("acme")
        world.there.on_poll = looked.set
        async with asyncio.timeout(20):
            await looked.wait()
        assert await why(world.there, key()) == "tenant.suspended"
    finally:
        await world.there.close()
    assert POLL_S < 0.5, "two looks within a second, which is what is promised"


async def test_a_tenant_that_was_just_made_is_let_in_and_one_that_nobody_made_is_not(world: World) -> None:
    """By a server that has not looked since; made-up names cause no more than a read every tenth of a second."""
    await world.tenants.create("fresh", Settings(), by="tests")
    assert await why(world.there, key("fresh")) == ""
    reads = 0
    real = world.store.control_version

    async def counted() -> int:
        nonlocal reads
        reads += 1
        return await real()

    world.store.control_version = counted  # type: ignore[method-assign]
    world.clock.at += 1
    told = await asyncio.gather(*(why(world.there, key(f"made-up-{number}")) for number in range(40)))
    assert set(told) == {"tenant.unknown"}
    assert reads <= 2
    assert LOOKUP_S >= 0.1


async def test_who_acts_across_looks_after_suspended_tenants_and_reads_erased_ones(world: World) -> None:
    """And is told which there are not."""
    across = key("default", across=True)
    await world.tenants.suspend("acme")
    assert await why(world.here, across.acting_in("acme")) == ""
    row = await world.tenants.get("acme")
    await world.store.tenant("acme").put_tenant(replace(row, state="erased"))
    await world.here.refresh()
    assert await why(world.here, across.acting_in("acme"), changes=False) == ""
    assert await why(world.here, across.acting_in("acme")) == "tenant.erased"
    assert await why(world.here, across.acting_in("nothing")) == "not_found"
    assert await why(world.here, key()) == "tenant.erased"


async def test_what_begins_is_held_against_state_and_limit(world: World) -> None:
    """Of the tenant, and of the user in whose name it is to be; who has no limit is not counted."""
    world.here.begin("acme", None, lambda: 1)
    with pytest.raises(TenantLimited) as limited:
        world.here.begin("acme", "ada", lambda: 2)
    assert (limited.value.fields["limit"], limited.value.fields["value"]) == ("max_open_runs", 2)
    world.here.begin("default", None, lambda: pytest.fail("nobody need count"))
    await world.users.suspend("acme", "ada", by="tests")
    with pytest.raises(Suspended):
        world.here.begin("acme", "ada", lambda: 0)
    world.here.begin("acme", "bob", lambda: 0)
    with pytest.raises(Suspended) as unknown:
        world.here.begin("nobody", None, lambda: 0)
    assert unknown.value.fields["reason"] == "tenant.unknown"
    assert world.refused == [("acme", "max_open_runs"), ("acme", "user.suspended"), ("unknown", "tenant.unknown")]


async def test_agents_and_credentials_are_the_tenants_own(world: World) -> None:
    """By patterns; a credential is given as the reference that it is."""
    assert [world.here.may_use("acme", name) for name in ("shop-1", "support")] == [True, False]
    assert [world.here.may_use(tenant, "support") for tenant in ("default", "nobody")] == [True, False]
    await world.credentials.set("acme", "openai", "vault:acme/x#key", by="tests", any_reference=False)
    assert world.here.credential("acme", "openai") == "vault:acme/x#key"
    assert world.here.credential("default", "openai") is None
    await world.credentials.remove("acme", "openai")
    assert world.here.credential("acme", "openai") is None


async def test_while_the_store_is_away_what_was_known_counts(world: World) -> None:
    """Whoever was let in is, whoever was suspended is not, and nobody new."""
    await world.tenants.create("other", Settings(), by="tests")
    await world.tenants.suspend("other")

    async def away() -> int:
        raise StoreUnavailable("The database is away.")

    world.store.control_version = away  # type: ignore[method-assign]
    world.clock.at += 1
    assert await why(world.here, key()) == ""
    assert await why(world.here, key("other")) == "tenant.suspended"
    assert await why(world.here, key("made-up")) == "tenant.unknown"


async def test_the_installations_own_tenant_is_not_suspended(world: World) -> None:
    """Or nobody could ever be let in again."""
    with pytest.raises(NotAsItStands, match="installation's own"):
        await world.tenants.suspend("default")
    assert await why(world.here, key("default")) == ""
    with pytest.raises(NotFound):
        await world.tenants.suspend("nobody")


async def test_whoever_keeps_what_was_answered_learns_who_is_out(world: World) -> None:
    """Once for each user that goes, and for a tenant that is erased; on the server that nobody told, too."""
    told: list[str] = []
    world.there.on_out = told.append
    await world.users.suspend("acme", "ada", by="tests")
    await world.there.refresh()
    await world.users.suspend("acme", "bob", by="tests")
    await world.there.refresh()
    await world.tenants.suspend("acme")
    await world.there.refresh()
    assert told == ["acme", "acme"]
    row = world.there.row("acme")
    assert row is not None
    await world.store.tenant("acme").put_tenant(replace(row, state="erased"))
    await world.there.refresh()
    await world.tenants.create("beta", Settings(), by="tests")
    await world.there.refresh()
    assert told == ["acme", "acme", "acme"]
