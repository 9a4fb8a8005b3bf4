"""The contract of a store: revocations of tokens."""

from golive.store.ports import Store
from golive.store.revocation import EVERY_TENANT, TokenRevocation


def row(number: int, tenant: str = "acme", *, at: float = 10.0, until: float = 100.0) -> TokenRevocation:
    return TokenRevocation(tenant, f"rev_{number}", "https://i", "user", "né", at, until, at, "key:1")


async def test_revocations_are_read_by_tenant_and_all_at_once(store: Store) -> None:
    """The oldest first; whoever polls sees that something changed."""
    before = await store.control_version()
    one, two, three = row(1, at=12.0), row(2, "beta", at=11.0), row(3, EVERY_TENANT, at=13.0)
    for each in (one, two, three):
        await store.revocations.add(each)
    assert await store.control_version() == before + 3
    assert await store.revocations.all() == [two, one, three]
    assert await store.revocations.of("acme") == [one]
    assert await store.revocations.of(EVERY_TENANT) == [three]
    assert await store.revocations.of("nobody") == []


async def test_one_that_is_there_stays_as_it_is(store: Store) -> None:
    """Added again, with another moment: the first stands."""
    await store.revocations.add(row(1))
    await store.revocations.add(row(1, at=20.0))
    assert await store.revocations.of("acme") == [row(1)]


async def test_those_of_expired_tokens_go_when_another_comes(store: Store) -> None:
    """What none can mean any more is not carried along."""
    await store.revocations.add(row(1, until=50.0))
    await store.revocations.add(row(2, until=60.0))
    await store.revocations.add(row(3, at=55.0))
    assert [each.id for each in await store.revocations.all()] == ["rev_2", "rev_3"]


async def test_those_of_expired_tokens_go_when_they_are_pruned(store: Store) -> None:
    """Of every tenant; what may still mean a token stays to the last moment, and nobody has to read anything anew."""
    for each in (row(1, until=50.0), row(2, "beta", until=60.0), row(3, EVERY_TENANT, until=59.0)):
        await store.revocations.add(each)
    version = await store.control_version()
    assert await store.revocations.prune(60.0) == 2
    assert [each.id for each in await store.revocations.all()] == ["rev_2"]
    assert await store.revocations.prune(60.0) == 0
    assert await store.control_version() == version
