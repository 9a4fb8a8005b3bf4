"""Finished runs go after their time, and the ledger stays."""

from collections.abc import Sequence
from pathlib import Path

from golive.core.errors import StoreUnavailable
from golive.runtime import retention
from golive.store.ports import RunFilter
from golive.store.sqlite import SqliteStore
from golive.store.tenancy import TenantRow
from tests.contract.store_kit import events, lease, view
from tests.sim.loop import VirtualClock, simulate
from tests.unit.runtime_kit import ScriptedModel, World, answer


class Pruned:
    """A store that has some runs to remove, and cannot be written the second time."""

    def __init__(self, clock: VirtualClock) -> None:
        self.left = 1_200
        self.asked: list[tuple[float, float]] = []
        self._clock = clock

    async def all_tenants(self) -> list[TenantRow]:
        return []

    async def prune(
        self, finished_before: float, limit: int, tenant: str | None = None, but: Sequence[str] = ()
    ) -> int:
        self.asked.append((self._clock.monotonic(), finished_before - self._clock.now()))
        if len(self.asked) == 2:
            raise StoreUnavailable("the disk is full")
        removed = min(limit, self.left)
        self.left -= removed
        return removed


def test_old_runs_go_a_few_at_once_and_a_full_disk_is_tried_again() -> None:
    """In transactions of 500, to the last of them; then once a minute."""
    faults: list[BaseException] = []

    async def main(clock: VirtualClock) -> Pruned:
        import asyncio

        store = Pruned(clock)
        task = asyncio.ensure_future(retention.keep(store, clock, 2.0, lambda run, error: faults.append(error)))  # type: ignore[arg-type]
        await asyncio.sleep(130.0)
        task.cancel()
        return store

    store = simulate(main)
    assert [at for at, _ in store.asked] == [0.0, 0.0, 60.0, 60.0, 120.0]
    assert {before for _, before in store.asked} == {-2 * 86_400.0}
    assert (store.left, [type(fault) for fault in faults]) == (0, [StoreUnavailable])


async def test_a_removed_run_is_gone_and_its_cost_is_not(tmp_path: Path) -> None:
    """Lists and journal know it no more; what it cost does not change."""
    world = World(tmp_path, ScriptedModel(answer("one"), answer("two")))
    old = await world.start(background=True)
    await world.runtime.wait("default", old)
    new = await world.start(background=True)
    await world.runtime.wait("default", new)
    assert await world.store.prune(world.clock.now() + 1.0, 10) == 1, "the newest stays for the tail's sake"
    assert [view.run for view in await world.runtime.runs("default", RunFilter())] == [new]
    assert await world.store.tenant("default").events(old) == []
    assert await world.store.tenant("default").spent(old) == 30


def test_a_tenant_may_keep_its_runs_for_longer_or_not_as_long() -> None:
    """Days of its own where its row says so; the installation's for the others, or for ever."""
    runs = [("acme", 20.0), ("acme", 2.0), ("beta", 20.0), ("beta", 2.0), ("default", 20.0), ("default", 2.0)]

    async def main(clock: VirtualClock) -> tuple[list[int], list[list[str]]]:
        store, day = SqliteStore.open(":memory:", clock=clock, inline=True), retention.DAY_S
        for tenant, days in (("acme", 10.0), ("beta", 100.0)):
            row = TenantRow(tenant=tenant, state="active", created_at=1.0, created_by="cli", keep_days=days)
            await store.tenant(tenant).put_tenant(row)
        for number, (tenant, age) in enumerate((*runs, ("other", 0.0))):
            of, at = lease(f"run_{number}", tenant=tenant), clock.now() - age * day
            ended = view(of, state="finished", outcome="completed", finished_at=at)
            await store.append(of, 0, events(range(1, 2), of), views=[ended])
        removed: list[int] = []
        left = []
        for days in (None, 5.0):
            await retention.look(store, clock, days, removed.append)
            found = [
                [view.run for view in await store.tenant(tenant).runs(RunFilter())]
                for tenant in ("acme", "beta", "default")
            ]
            left.append([run for runs in found for run in runs])
        return removed, left

    removed, left = simulate(main)
    assert left == [["run_1", "run_3", "run_2", "run_5", "run_4"], ["run_1", "run_3", "run_2", "run_5"]]
    assert sum(removed) == 2
