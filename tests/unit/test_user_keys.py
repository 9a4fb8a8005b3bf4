"""Keys of users: each user's content under a key of their own, few in memory, and gone everywhere once destroyed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from golive.core.chance import SystemChance
from golive.core.errors import ContentErased, ContentSealed
from golive.core.sealing import MOST_VALUES, fingerprint
from golive.runtime.folding import views
from golive.store.ports import Lease
from golive.store.sealed import user_keys
from golive.store.sealed.master import Masters
from golive.store.sealed.rotation import rewrap
from golive.store.tenancy import UserRow
from golive.store.upkeep.verify import verify
from tests.contract.store_kit import MASTER, events, message
from tests.unit.test_sealed_store import OTHER, WORD, Place, bodies, sql
from tests.unit.upkeep_kit import at, done, silent


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path / "golive.db")
    yield made
    for store in made.opened:
        await store.close()


async def said(store: Any, run: str, user: str | None, body: bytes = WORD.encode()) -> None:
    of = Lease("acme", run, 1, "holder-1", user)
    await store.append(of, 0, events(range(1, 3), of, body), outbox=[replace(message(of, f"msg_{run}"), body=body)])


def under(place: Place) -> dict[str, set[str]]:
    """By run, whose key its events are sealed under ("" for the tenant's)."""
    rows = sql(
        place, "SELECT run, subject FROM events JOIN data_keys ON events.tenant = data_keys.tenant AND key_id = id"
    )
    return {run: {subject for of, subject in rows if of == run} for run, _ in rows}


async def test_each_users_words_are_under_a_key_of_their_own(place: Place) -> None:
    """And what nobody in particular said under the tenant's; another server opens all of it."""
    one, _ = await place.server()
    other, _ = await place.server()
    for run, user in (("run_1", "ann"), ("run_2", "ben"), ("run_3", None), ("run_4", "ann")):
        await said(one, run, user)
    assert under(place) == {"run_1": {"ann"}, "run_2": {"ben"}, "run_3": {""}, "run_4": {"ann"}}
    assert sql(place, "SELECT count(*) FROM data_keys") == [(3,)]
    for run in ("run_1", "run_2", "run_3", "run_4"):
        assert await bodies(other, run) == [WORD.encode()] * 2


async def test_a_destroyed_key_opens_on_no_server_and_no_other_users_words_are_lost(place: Place) -> None:
    """As soon as they see the control version; and nothing more is sealed in the user's name."""
    one, _ = await place.server()
    other, _ = await place.server()
    for run, user in (("run_1", "ann"), ("run_2", "ben"), ("run_3", None)):
        await said(one, run, user)
        assert await bodies(other, run) == [WORD.encode()] * 2
    gone = UserRow(tenant="acme", id="ann", state="erased", created_at=1.0, created_by="cli")
    await one.tenant("acme").put_user(gone)
    assert await one.data_keys.erase("acme", "user", "ann", 5.0) == 1
    for number, store in enumerate((one, other)):
        await store.control_version()
        with pytest.raises(ContentErased, match="was erased"):
            await bodies(store, "run_1")
        with pytest.raises(ContentErased, match="user ann of acme"):
            await said(store, f"run_9{number}", "ann")
        assert await bodies(store, "run_2") == await bodies(store, "run_3") == [WORD.encode()] * 2
    assert [run for (run,) in sql(place, "SELECT run FROM leases ORDER BY run")] == ["run_1", "run_2", "run_3"]


async def test_few_keys_are_in_memory_and_the_others_are_fetched_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was not used for longest goes; it is the same key when it comes back, and no second is made."""
    monkeypatch.setattr(user_keys, "MOST", 2)
    store, keys = await place.server()
    for number, user in enumerate(("ann", "ben", "cy", "ann")):
        await said(store, f"run_{number}", user)
    assert len(keys._of_users) == 2
    assert sql(place, "SELECT count(*) FROM data_keys") == [(3,)]
    assert sql(place, "SELECT reserved FROM data_keys WHERE subject = 'ann'") == [(2 * user_keys.BLOCK,)]
    for number in range(4):
        assert await bodies(store, f"run_{number}") == [WORD.encode()] * 2


async def test_servers_that_begin_at_once_agree_on_one_key(place: Place) -> None:
    """Whoever is second takes the first one's."""
    servers = [(await place.server())[0] for _ in range(3)]
    await asyncio.gather(
        *(said(store, f"run_{number}_{turn}", "ann") for number, store in enumerate(servers) for turn in range(4))
    )
    assert sql(place, "SELECT count(*) FROM data_keys") == [(1,)]
    for store in servers:
        assert await bodies(store, "run_0_0") == [WORD.encode()] * 2


async def test_a_users_key_seals_no_more_than_it_may(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound a new one takes its place, and the old one still opens."""
    monkeypatch.setattr(user_keys, "BLOCK", 3)
    store, _ = await place.server()
    await said(store, "run_1", "ann")
    sql(place, "UPDATE data_keys SET reserved = ?", MOST_VALUES - 1)
    await said(store, "run_2", "ann")
    assert sql(place, "SELECT count(*), count(retired_at) FROM data_keys WHERE subject = 'ann'") == [(2, 1)]
    for run in ("run_1", "run_2"):
        assert await bodies(store, run) == [WORD.encode()] * 2


async def test_the_words_of_a_receiver_are_under_the_users_key_too(place: Place) -> None:
    """It may quote what it was sent; once the key is destroyed nobody reads them."""
    store, _ = await place.server()
    await said(store, "run_1", "ann")
    [found] = await store.claim_messages(10.0, 5)
    await store.settle_message("acme", found.id, "due", f"400: cannot read {WORD}")
    [kept] = await store.tenant("acme").deliveries()
    assert kept.last_error == f"400: cannot read {WORD}"
    [(error,)] = sql(place, "SELECT last_error FROM outbox")
    assert sql(place, "SELECT subject FROM data_keys WHERE id = ?", error.split(":")[1]) == [("ann",)]
    await store.data_keys.erase("acme", "user", "ann", 5.0)
    await store.control_version()
    assert [(one.body, one.last_error) for one in await store.tenant("acme").deliveries()] == [(b"", None)]


async def test_a_key_that_is_destroyed_while_it_is_fetched_is_not_kept(place: Place) -> None:
    """It was read before, and comes back after the look that would have forgotten it."""
    one, _ = await place.server()
    other, keys = await place.server()
    await said(one, "run_1", "ann")
    real, reached, held = other.data_keys.get, asyncio.Event(), asyncio.Event()

    async def slow(tenant: str, id_: str) -> Any:
        row = await real(tenant, id_)
        reached.set()
        await held.wait()
        return row

    other.data_keys.get = slow
    reading = asyncio.ensure_future(bodies(other, "run_1"))
    await reached.wait()
    await one.data_keys.erase("acme", "user", "ann", 5.0)
    await other.control_version()
    held.set()
    with pytest.raises(ContentErased):
        await reading
    assert len(keys._of_users) == 0


async def test_users_keys_are_wrapped_under_a_new_master_key_too(place: Place) -> None:
    """All of them, a few at once; the old master key is then needed by none."""
    store, keys = await place.server()
    for number, user in enumerate(("ann", "ben", None)):
        await said(store, f"run_{number}", user)
    found = await rewrap(store.data_keys, Masters(keys.masters.installation, OTHER, [MASTER]), SystemChance())
    assert (found.wrapped, found.already) == (3, 0)
    new, _ = await place.server(OTHER)
    for number in range(3):
        assert await bodies(new, f"run_{number}") == [WORD.encode()] * 2


async def test_a_store_is_verified_with_the_keys_of_its_users(place: Place) -> None:
    """Offline they are looked up run by run; an erased user's runs count as unopened, and as nothing wrong."""
    store, keys = await place.server()
    await said(store, "run_1", "ann", b"{}")
    await said(store, "run_2", "ben", b"{}")

    def seen() -> list[str]:
        url = f"sqlite:{place.path}"
        verdict = done(lambda: verify(at(url), views, silent, lambda installation, rows: keys.masters))
        return [f"{one.run} {one.check}" for one in verdict.discrepancies]

    before = await asyncio.to_thread(seen)
    await store.data_keys.erase("acme", "user", "ann", 5.0)
    after = await asyncio.to_thread(seen)
    assert [one for one in before if "sealed" in one] == []
    assert [one for one in after if "sealed" in one] == []


async def test_where_there_are_keys_of_users_alone_another_master_key_is_refused_at_the_start(place: Place) -> None:
    """As where there are tenants' keys: else old runs did not open, and new users' keys came under another one."""
    store, keys = await place.server()
    await said(store, "run_1", "ann")
    await said(store, "run_2", "ben")
    assert sql(place, "SELECT DISTINCT scope FROM data_keys") == [("user",)]
    with pytest.raises(ContentSealed) as caught:
        await place.server(OTHER)
    assert caught.value.message == (
        f"2 data keys of users of acme are wrapped under the master key {keys.masters.present}, which golive was not "
        f"given: it has {fingerprint(OTHER)}."
    )
    assert "secrets.old_master_keys" in caught.value.remedy
    again, _ = await place.server(OTHER, MASTER)
    assert await bodies(again) == [WORD.encode()] * 2
    await store.data_keys.erase("acme", "user", "ben", 5.0)
    with pytest.raises(ContentSealed, match=r"^The data key of a user of acme is wrapped under"):
        await place.server(OTHER)
    await store.data_keys.erase("acme", "user", "ann", 5.0)
    await place.server(OTHER)


async def test_keys_of_users_alone_that_cannot_be_unwrapped_are_told_at_the_start(place: Place) -> None:
    """The name of the master key is right, and the row another installation's."""
    store, _ = await place.server()
    await said(store, "run_1", "ann")
    sql(place, "UPDATE installation SET id = 'inst_other'")
    with pytest.raises(ContentSealed, match="cannot be unwrapped"):
        await place.server()
