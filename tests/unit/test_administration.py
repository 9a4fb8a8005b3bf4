"""What may stand in the rows of tenants, users and credentials, and what is refused in words."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from golive.core.errors import InvalidRequest, NotAsItStands, NotFound
from golive.tenants.administration import Settings, confirmed
from tests.unit.test_directory import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.store.close()


async def test_a_tenant_is_made_changed_and_what_is_left_out_stays(world: World) -> None:
    """None takes a limit away."""
    made = await world.tenants.create("acme", Settings(max_open_runs=3, note="new"), by="key:1")
    assert (made.state, made.created_by, made.agents, made.limits) == ("active", "key:1", ("*",), {"max_open_runs": 3})
    world.clock.at += 5
    changed = await world.tenants.change("acme", Settings(agents=("shop-*", "shop-*", "help"), keep_days=2.5))
    assert (changed.agents, changed.keep_days, changed.note) == (("shop-*", "help"), 2.5, "new")
    assert changed.changed_at == made.changed_at + 5
    free = await world.tenants.change("acme", Settings(max_open_runs=None, keep_days=None, agents=()))
    assert (free.limits, free.keep_days, free.agents) == ({}, None, ())
    assert await world.tenants.get("acme") == free
    assert [row.tenant for row in await world.tenants.list()] == ["acme", "default"]


@pytest.mark.parametrize("name", ["", "Acme", "1a", "a" * 64, "../x", "a b", "a\n", "ä"])
async def test_names_that_are_none_are_refused(world: World, name: str) -> None:
    """They stand in paths, labels and audit logs."""
    with pytest.raises(InvalidRequest) as error:
        await world.tenants.create(name, Settings(), by="tests")
    assert error.value.fields["field"] == "tenant"
    with pytest.raises(NotFound):
        await world.tenants.get(name)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (Settings(max_open_runs=0), "max_open_runs"),
        (Settings(max_open_runs=1_000_001), "max_open_runs"),
        (Settings(keep_days=0.0), "keep_days"),
        (Settings(keep_days=float("inf")), "keep_days"),
        (Settings(keep_days=float("nan")), "keep_days"),
        (Settings(agents=("a*b",)), "agents"),
        (Settings(agents=tuple(f"a{n}" for n in range(65))), "agents"),
        (Settings(note="x" * 501), "note"),
        (Settings(note="a\nb"), "note"),
    ],
)
async def test_settings_out_of_range_name_the_field_and_change_nothing(
    world: World, settings: Settings, field: str
) -> None:
    """Neither when it is made nor afterwards."""
    before = await world.tenants.create("acme", Settings(), by="tests")
    for change in (world.tenants.create("new", settings, by="tests"), world.tenants.change("acme", settings)):
        with pytest.raises(InvalidRequest) as error:
            await change
        assert error.value.fields["field"] == field
    assert await world.tenants.get("acme") == before
    assert len(await world.tenants.list()) == 2


async def test_nothing_is_made_twice_and_what_is_erased_stays_so(world: World) -> None:
    """Neither tenants nor users."""
    tenant = await world.tenants.create("acme", Settings(), by="tests")
    user = await world.users.create("acme", "ada", by="tests")
    with pytest.raises(NotAsItStands):
        await world.tenants.create("acme", Settings(), by="tests")
    with pytest.raises(NotAsItStands):
        await world.users.create("acme", "ada", by="tests")
    mine = world.store.tenant("acme")
    await mine.put_user(replace(user, state="erased"))
    await mine.put_tenant(replace(tenant, state="erased"))
    again: tuple[Callable[[], Any], ...] = (
        lambda: world.tenants.resume("acme"), lambda: world.tenants.suspend("acme"),
        lambda: world.tenants.change("acme", Settings(note="x")),
        lambda: world.tenants.create("acme", Settings(), by="tests"),
        lambda: world.users.resume("acme", "ada"), lambda: world.users.suspend("acme", "ada", by="tests"),
        lambda: world.users.create("acme", "ada", by="tests"),
    )  # fmt: skip
    for act in again:
        with pytest.raises(NotAsItStands):
            await act()


async def test_a_user_is_suspended_before_they_ever_come(world: World) -> None:
    """And stays known for it; only who was seen, or made known, is resumed."""
    row = await world.users.suspend("default", "auth0|1/2", "asked to", by="key:1")
    assert (row.state, row.created_by, row.note, row.last_seen_at) == ("suspended", "key:1", "asked to", None)
    assert (await world.users.resume("default", "auth0|1/2")).note == ""
    with pytest.raises(NotFound):
        await world.users.resume("default", "nobody")
    for wrong in ("", " a", "a\u00a0b", "x" * 201, "a\n"):
        with pytest.raises(InvalidRequest):
            await world.users.suspend("default", wrong, by="tests")


async def test_users_are_listed_page_by_page(world: World) -> None:
    """By id."""
    for name in ("eve", "ada", "bob"):
        await world.users.create("default", name, by="tests")
    first = await world.users.list("default", limit=2)
    assert [row.id for row in first] == ["ada", "bob"]
    assert [row.id for row in await world.users.list("default", first[-1].id, 2)] == ["eve"]


async def test_a_credential_is_a_reference_that_the_tenant_may_set(world: World) -> None:
    """Who holds the installation in hand may set any; a value is never taken."""
    await world.tenants.create("acme", Settings(), by="tests")
    put = world.credentials.set
    for reference in ("sk-secret", "vault:", "env:a b"):
        with pytest.raises(InvalidRequest, match="no reference"):
            await put("acme", "openai", reference, by="tests", any_reference=True)
    for reference in ("file:a\0b", "file:a b", "file:ä", "file:\x7f", "file:a\u2028", f"file:{'a' * 1_000}"):
        with pytest.raises(InvalidRequest, match="cannot be used") as refused:
            await put("acme", "openai", reference, by="tests", any_reference=True)
        assert (refused.value.fields["field"], "printable ASCII" in str(refused.value.remedy)) == ("reference", True)
    for reference in ("vault:other/x#key", "env:OPENAI_API_KEY"):
        with pytest.raises(InvalidRequest, match="may set"):
            await put("acme", "openai", reference, by="tests", any_reference=False)
    with pytest.raises(NotFound, match="no provider"):
        await put("acme", "nobody", "env:X", by="tests", any_reference=True)
    assert (await put("acme", "openai", "env:X", by="cli", any_reference=True)).reference == "env:X"
    assert (await put("acme", "openai", "vault:acme/x#key", by="k", any_reference=False)).created_by == "k"
    assert [row.reference for row in await world.credentials.list("acme")] == ["vault:acme/x#key"]
    await world.credentials.remove("acme", "openai")
    with pytest.raises(NotFound):
        await world.credentials.remove("acme", "openai")


def test_erasing_is_confirmed_by_the_name() -> None:
    """Word for word."""
    confirmed("acme", "acme")
    for wrong in ("", "Acme", "acme "):
        with pytest.raises(InvalidRequest, match="does not repeat"):
            confirmed("acme", wrong)
