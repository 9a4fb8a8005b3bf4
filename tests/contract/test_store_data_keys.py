"""The contract of a store: data keys. One is present at a time, none seals more than it may, erasing leaves nothing."""

import asyncio

import pytest
from msgspec.structs import replace

from golive.core.errors import ContentErased
from golive.store.data_keys import DataKeyCount, DataKeyRow, Living
from golive.store.ports import Store
from golive.store.tenancy import TenantRow, UserRow
from tests.contract.store_kit import IMPLEMENTATIONS, Opener

PLAIN = [name for name in IMPLEMENTATIONS if "sealed" not in name]
"""A wrapper hands data keys through as they are, and has made one of its own."""


pytestmark = pytest.mark.parametrize("place", PLAIN, indirect=True)


def data_key(id_: str = "dk_1", tenant: str = "acme", **fields: object) -> DataKeyRow:
    row = DataKeyRow(tenant, id_, "tenant", "", b"\x01\x00wrapped", "m1", 0, 1000.25)
    return replace(row, **fields)


async def test_a_key_is_kept_as_it_was_added(store: Store) -> None:
    """Every column; bytes that are no text included. The control version tells of it."""
    before = await store.control_version()
    assert await store.data_keys.add(data_key(), None)
    assert await store.data_keys.all() == [data_key()]
    assert await store.control_version() > before
    assert (await store.data_keys.installation()).startswith("inst_")


async def test_one_key_of_a_subject_is_the_present_one(store: Store) -> None:
    """A second needs to say which one it replaces, and that one is retired in the same moment."""
    assert await store.data_keys.add(data_key("dk_1"), None)
    assert not await store.data_keys.add(data_key("dk_2"), None)
    assert not await store.data_keys.add(data_key("dk_2"), "dk_0")
    assert await store.data_keys.add(data_key("dk_2", created_at=2000.5), "dk_1")
    assert not await store.data_keys.add(data_key("dk_3"), "dk_1")
    retired = data_key("dk_1", retired_at=2000.5)
    assert await store.data_keys.all() == [retired, data_key("dk_2", created_at=2000.5)]


async def test_users_and_tenants_have_keys_beside_each_other(store: Store) -> None:
    """A user's key is none of the tenant's, and another tenant's is none of this one's."""
    ann = data_key("dk_2", scope="user", subject="ann")
    for row in (data_key("dk_1"), ann, data_key("dk_3", scope="user", subject="ben"), data_key("dk_4", "beta")):
        assert await store.data_keys.add(row, None)
    assert await store.data_keys.erase("acme", "user", "ann", 5.5) == 1
    assert await store.data_keys.get("acme", "dk_2") == replace(ann, wrapped=b"", erased_at=5.5)
    assert await store.data_keys.present("acme", "ann") is None
    assert (await store.data_keys.present("acme", "ben") or ann).id == "dk_3"
    assert await store.data_keys.present("beta", "ben") is None
    assert [row.id for row in await store.data_keys.all()] == ["dk_1", "dk_4"]
    places = [("acme", "dk_1"), ("acme", "dk_2"), ("beta", "dk_1"), ("acme", "dk_3")]
    assert await store.data_keys.erased(places) == [("acme", "dk_2"), ("beta", "dk_1")]
    assert await store.data_keys.erased([]) == []


async def test_they_are_counted_and_wrapped_anew_a_few_at_once(store: Store) -> None:
    """By tenant, scope, state and master key; the erased ones are left alone."""
    rows = (
        data_key("dk_1"), data_key("dk_2", scope="user", subject="ann", master="m2"),
        data_key("dk_3", scope="user", subject="ben"), data_key("dk_4", "beta", scope="user", subject="ann"),
    )  # fmt: skip
    for row in rows:
        assert await store.data_keys.add(row, None)
    await store.data_keys.erase("beta", None, "", 5.5)
    assert await store.data_keys.counts() == [
        DataKeyCount("acme", "tenant", "present", "m1", 1),
        DataKeyCount("acme", "user", "present", "m1", 1),
        DataKeyCount("acme", "user", "present", "m2", 1),
        DataKeyCount("beta", "user", "erased", "", 1),
    ]
    assert [row.id for row in await store.data_keys.to_rewrap("m2", 1)] == ["dk_1"]
    assert [row.id for row in await store.data_keys.to_rewrap("m2", 10)] == ["dk_1", "dk_3"]


async def test_a_users_new_key_moves_no_control_version(store: Store) -> None:
    """A tenant's does: others seal under it. A user's is looked for by who needs it; that it is destroyed is told."""
    before = await store.control_version()
    assert await store.data_keys.add(data_key("dk_2", scope="user", subject="ann"), None)
    assert await store.control_version() == before
    assert await store.data_keys.add(data_key("dk_3", scope="user", subject="ann"), "dk_2")
    assert await store.control_version() == before
    await store.data_keys.erase("acme", "user", "ann", 5.5)
    assert await store.control_version() > before


async def test_who_was_erased_gets_no_new_key(store: Store) -> None:
    """Neither the user, nor anybody of an erased tenant; their neighbours do."""
    await store.tenant("acme").put_tenant(TenantRow(tenant="acme", state="active", created_at=1.0, created_by="cli"))
    gone = UserRow(tenant="acme", id="ann", state="erased", created_at=1.0, created_by="cli")
    await store.tenant("acme").put_user(gone)
    ann = data_key("dk_1", scope="user", subject="ann")
    with pytest.raises(ContentErased, match="user ann of acme any more"):
        await store.data_keys.add(ann, None)
    with pytest.raises(ContentErased):
        await store.data_keys.add(ann, "dk_0")
    assert await store.data_keys.add(data_key("dk_2", scope="user", subject="ben"), None)
    assert await store.data_keys.add(data_key("dk_3", "beta", scope="user", subject="ann"), None)
    await store.tenant("acme").put_tenant(TenantRow(tenant="acme", state="erased", created_at=1.0, created_by="cli"))
    for row in (data_key("dk_4"), data_key("dk_5", scope="user", subject="eve")):
        with pytest.raises(ContentErased):
            await store.data_keys.add(row, None)
    assert await store.data_keys.add(data_key("dk_6", "beta"), None)


async def test_no_more_values_are_reserved_than_a_key_may_seal(store: Store) -> None:
    """Up to the last one; a retired key, and one that is not there, reserves none."""
    await store.data_keys.add(data_key(), None)
    assert await store.data_keys.reserve("acme", "dk_1", 60, 100)
    assert not await store.data_keys.reserve("acme", "dk_1", 41, 100)
    assert await store.data_keys.reserve("acme", "dk_1", 40, 100)
    assert not await store.data_keys.reserve("beta", "dk_1", 1, 100)
    assert [row.reserved for row in await store.data_keys.all()] == [100]
    await store.data_keys.add(data_key("dk_2"), "dk_1")
    assert not await store.data_keys.reserve("acme", "dk_1", 1, 1_000)


async def test_reserving_tells_no_other_server(store: Store) -> None:
    """The control version stays: it happens all the time."""
    await store.data_keys.add(data_key(), None)
    before = await store.control_version()
    await store.data_keys.reserve("acme", "dk_1", 60, 100)
    assert await store.control_version() == before


async def test_a_key_is_wrapped_anew_only_where_it_is_as_it_was_read(store: Store) -> None:
    """Two who rotate at once do not undo each other; what is erased stays erased."""
    await store.data_keys.add(data_key(), None)
    [read] = await store.data_keys.all()
    assert await store.data_keys.rewrap(read, b"new", "m2")
    assert not await store.data_keys.rewrap(read, b"other", "m3")
    [now] = await store.data_keys.all()
    assert (now.wrapped, now.master) == (b"new", "m2")
    await store.data_keys.erase("acme", None, "", 9.0)
    assert not await store.data_keys.rewrap(now, b"back", "m1")
    assert (await store.data_keys.all())[0].wrapped == b""


async def test_erasing_a_tenant_destroys_all_its_keys_and_no_others(store: Store) -> None:
    """The retired ones and its users' too; a new present key may come after."""
    await store.data_keys.add(data_key("dk_1"), None)
    await store.data_keys.add(data_key("dk_2"), "dk_1")
    await store.data_keys.add(data_key("dk_3", scope="user", subject="ann"), None)
    await store.data_keys.add(data_key("dk_4", "beta"), None)
    before = await store.control_version()
    assert await store.data_keys.erase("acme", None, "", 7.5) == 3
    assert await store.data_keys.erase("acme", None, "", 8.5) == 0
    assert [(row.id, row.wrapped, row.erased_at) for row in await store.data_keys.all()] == [
        ("dk_1", b"", 7.5), ("dk_2", b"", 7.5), ("dk_4", b"\x01\x00wrapped", None),
    ]  # fmt: skip
    assert await store.data_keys.present("acme", "ann") is None
    assert await store.control_version() > before
    assert await store.data_keys.add(data_key("dk_5"), None)


async def test_many_who_make_the_first_key_at_once_make_one(open_store: Opener) -> None:
    """Two servers, ten tries each."""
    one, other = await open_store(), await open_store()
    made = await asyncio.gather(
        *(store.data_keys.add(data_key(f"dk_{number}"), None) for number in range(20) for store in (one, other))
    )
    assert sum(made) == 1
    assert len(await one.data_keys.all()) == 1


async def test_servers_say_which_master_keys_they_have(store: Store) -> None:
    """Those that live, the present one first; beating again takes nothing away; one that left is none of them."""
    await store.data_keys.tell_masters("srv_none", ["m1"])
    for holder in ("srv_1", "srv_2", "srv_3"):
        assert await store.beat(holder, 60.0)
    await store.data_keys.tell_masters("srv_1", ["m2", "m1"])
    await store.data_keys.tell_masters("srv_3", ["m1"])
    await store.beat("srv_1", 60.0)
    await store.leave("srv_3")
    assert await store.data_keys.living() == [Living("srv_1", ("m2", "m1")), Living("srv_2", ())]
