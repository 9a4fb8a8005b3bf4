"""Revocations of tokens go once no token can be meant by them any more, also where no other ever comes."""

import asyncio

from golive.core.errors import StoreError, StoreUnavailable
from golive.core.tasks import Tasks
from golive.store.revocation import EVERY_TENANT, TokenRevocation
from golive.store.sqlite.store import SqliteStore
from golive.tenants.revoking import PRUNE_S, prune_for_ever
from tests.sim.loop import EPOCH, VirtualClock, simulate


def row(number: int, until: float, tenant: str = "acme") -> TokenRevocation:
    return TokenRevocation(tenant, f"rev_{number}", "https://i", "user", "ada", EPOCH, until, EPOCH, "key:1")


def test_what_means_no_token_any_more_is_gone_within_an_hour() -> None:
    """Of every tenant; what may still mean one stays."""

    async def main(clock: VirtualClock) -> None:
        store = SqliteStore.open(":memory:", clock=clock, inline=True)
        for each in (row(1, EPOCH + 100.0), row(2, EPOCH + 90.0, EVERY_TENANT), row(3, EPOCH + 3 * PRUNE_S)):
            await store.revocations.add(each)
        tasks = Tasks("test")
        tasks.start(prune_for_ever(store.revocations, clock, _must_not_be), "prune")
        await asyncio.sleep(PRUNE_S - 1.0)
        assert [each.id for each in await store.revocations.all()] == ["rev_2", "rev_1", "rev_3"]
        await asyncio.sleep(2.0)
        assert [each.id for each in await store.revocations.all()] == ["rev_3"]
        await asyncio.sleep(3 * PRUNE_S)
        assert await store.revocations.all() == []
        await tasks.close()
        await store.close()

    simulate(main)


def test_a_store_that_is_away_is_tried_again() -> None:
    """It is told of, and the next hour prunes."""

    async def main(clock: VirtualClock) -> None:
        store = SqliteStore.open(":memory:", clock=clock, inline=True)
        await store.revocations.add(row(1, EPOCH + 10.0))
        prune, told = store.revocations.prune, list[StoreError]()

        async def once_away(before: float) -> int:
            store.revocations.prune = prune  # type: ignore[method-assign]
            raise StoreUnavailable("The database is away.")

        store.revocations.prune = once_away  # type: ignore[method-assign]
        tasks = Tasks("test")
        tasks.start(prune_for_ever(store.revocations, clock, told.append), "prune")
        await asyncio.sleep(1.0)
        assert [error.message for error in told] == ["The database is away."]
        assert len(await store.revocations.all()) == 1
        await asyncio.sleep(PRUNE_S)
        assert await store.revocations.all() == []
        await tasks.close()
        await store.close()

    simulate(main)


def _must_not_be(error: StoreError) -> None:
    raise AssertionError(error)
