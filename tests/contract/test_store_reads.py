"""The contract of a store, second half: what is read back, by whom; versions, keys and the control version."""

from typing import Any

import pytest

from golive.core.errors import VersionTaken
from golive.store.ports import RunFilter, Store, VersionRow
from tests.contract.store_kit import entry, events, key, lease, view


async def test_a_tenant_reaches_nothing_of_another(store: Store) -> None:
    """The same ids under two tenants are two runs, two keys, two versions."""
    for tenant, body in (("acme", b"a"), ("evil", b"e")):
        of = lease(tenant=tenant)
        await store.append(
            of, 0, events(range(1, 2), of, body), ledger=[entry(of, 1, 7)], views=[view(of, agent=tenant)]
        )
        await store.tenant(tenant).put_key(key(tenant=tenant, name=tenant))
        await store.tenant(tenant).register_version(VersionRow(tenant, "support", "1", tenant, 1.0))
    acme = store.tenant("acme")
    assert [e.body for e in await acme.events("run_1")] == [b"a"]
    assert await acme.spent("run_1") == 7
    assert [v.agent for v in await acme.runs(RunFilter())] == ["acme"]
    assert (await acme.run("run_1")) == view(lease(), agent="acme")
    assert [k.name for k in await acme.keys()] == ["acme"]
    assert [v.digest for v in await acme.versions()] == ["acme"]
    await acme.keys_used({"key_1": 50.0})
    assert [k.last_used_at for k in await store.tenant("evil").keys()] == [None]
    nobody = store.tenant("")
    assert (await nobody.runs(RunFilter()), await nobody.keys(), await nobody.versions()) == ([], [], [])
    with pytest.raises(ValueError):
        await acme.put_key(key(tenant="evil", role="stolen"))
    with pytest.raises(ValueError):
        await acme.register_version(VersionRow("evil", "support", "2", "d", 1.0))


async def test_a_view_is_replaced_whole(store: Store) -> None:
    """Every column of the view that was appended last is read back; none of an earlier one shines through."""
    full = view(
        lease(), version="d2", version_name="2", source="relay", conversation="conv_1", principal="p", state="finished",
        outcome="failed", reason="deadline", created_at=1.25, started_at=2.5, finished_at=3.75, steps=1, tool_calls=2,
        input_tokens=3, cached_input_tokens=4, output_tokens=5, reasoning_tokens=6, cost_microusd=7, priced=False,
        estimated=True, cache_write_tokens=8, saved_microusd=-9,
    )  # fmt: skip
    await store.append(lease(), 0, events(range(1, 2), lease()), views=[view(lease()), full])
    found = await store.tenant("acme").run("run_1")
    assert found == full
    assert found is not None
    assert (found.priced, found.estimated) == (False, True)
    await store.append(lease(), 1, [], views=[view(lease())])
    assert await store.tenant("acme").run("run_1") == view(lease())
    assert await store.tenant("acme").run("run_2") is None


async def test_runs_are_listed_newest_first_filtered_and_paged(store: Store) -> None:
    """Each filter narrows, they combine, and `before` continues where a page ended."""
    for number in range(10):
        of = lease(f"run_{number}")
        shown = view(
            of,
            agent="support" if number % 2 else "sales",
            conversation="conv_1" if number in (1, 2, 3) else None,
            source="relay" if number == 4 else "agent",
            state="finished" if number < 5 else "running",
            outcome="failed" if number < 2 else None,
        )
        await store.append(of, 0, events(range(1, 2), of), views=[shown])

    async def listed(**where: Any) -> list[str]:
        return [v.run[4:] for v in await store.tenant("acme").runs(RunFilter(**where))]

    assert await listed() == list("9876543210")
    assert await listed(limit=3) == list("987")
    assert await listed(before="run_7", limit=3) == list("654")
    assert await listed(agent="support") == list("97531")
    assert await listed(conversation="conv_1") == list("321")
    assert await listed(conversation="conv_1", agent="support", before="run_3") == ["1"]
    assert await listed(source="relay") == ["4"]
    assert await listed(state="finished", outcome="failed") == list("10")
    assert await listed(agent="' OR 1=1 --") == []


async def test_the_ledger_adds_up(store: Store) -> None:
    """Entries of several appends, several in one, and negative ones are summed to the micro-dollar."""
    await store.append(lease(), 0, events(range(1, 2), lease()), ledger=[entry(lease(), 1, 1), entry(lease(), 1, 2)])
    await store.append(lease(), 1, [], ledger=[entry(lease(), 1, 10_000_000_000_000), entry(lease(), 1, -4)])
    assert await store.tenant("acme").spent("run_1") == 9_999_999_999_999
    assert await store.tenant("acme").spent("run_2") == 0


# ---- versions, keys, control ---------------------------------------------------------------------------------------


async def test_a_version_name_is_bound_to_its_digest_for_good(store: Store) -> None:
    """The same digest again answers the row that stands; another digest is refused and changes nothing."""
    tenant = store.tenant("acme")
    row = VersionRow("acme", "support", "1.0.0", "aaa", 1.0)
    assert await tenant.register_version(row) == row
    assert await tenant.register_version(VersionRow("acme", "support", "1.0.0", "aaa", 99.0)) == row
    with pytest.raises(VersionTaken) as caught:
        await tenant.register_version(VersionRow("acme", "support", "1.0.0", "bbb", 2.0))
    assert caught.value.fields["registered"] == "aaa"
    other = VersionRow("acme", "sales", "1.0.0", "bbb", 3.0)
    await tenant.register_version(other)
    assert await tenant.versions() == [row, other]
    assert await tenant.versions("sales") == [other]


async def test_keys_are_added_and_ended(store: Store) -> None:
    """All columns survive, the MAC's bytes included; of a key that stands, its end is changed and nothing else."""
    tenant = store.tenant("acme")
    await tenant.put_key(key(last_used_at=1.0))
    revoked = key(revoked_at=8.5, expires_at=9.5, last_used_at=1.0)
    await tenant.put_key(key("key_2", created_at=8.0))
    await tenant.put_key(key(revoked_at=8.5, expires_at=9.5, role="agent"), key())
    await store.tenant("b").put_key(key("key_1", "b"))
    assert await tenant.keys() == [revoked, key("key_2", created_at=8.0)]
    assert await store.all_keys() == [revoked, key("key_2", created_at=8.0), key("key_1", "b")]


async def test_the_use_of_a_key_is_noted_and_nothing_else(store: Store) -> None:
    """A revocation meanwhile stands, unknown ids are passed over, the control version stays."""
    tenant = store.tenant("acme")
    await tenant.put_key(key(revoked_at=5.0))
    before = await store.control_version()
    await tenant.keys_used({"key_1": 20.0, "gone": 30.0})
    await tenant.keys_used({})
    assert await tenant.keys() == [key(revoked_at=5.0, last_used_at=20.0)]
    assert await store.control_version() == before


async def test_the_control_version_grows_with_keys_and_versions_only(store: Store) -> None:
    """Each change is seen; appends, pings, refused and repeated registrations are none."""
    seen = [await store.control_version()]
    await store.tenant("acme").put_key(key())
    seen.append(await store.control_version())
    await store.tenant("acme").register_version(VersionRow("acme", "a", "1", "d", 1.0))
    seen.append(await store.control_version())
    assert seen[0] < seen[1] < seen[2]
    await store.append(lease(), 0, events(range(1, 2), lease()))
    await store.ping()
    await store.tenant("acme").register_version(VersionRow("acme", "a", "1", "d", 1.0))
    with pytest.raises(VersionTaken):
        await store.tenant("acme").register_version(VersionRow("acme", "a", "1", "e", 1.0))
    assert await store.control_version() == seen[2]
