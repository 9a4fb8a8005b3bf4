"""Finished runs go after their time, and the ledger stays."""

from pathlib import Path

from golive.core.errors import StoreUnavailable
from golive.runtime import retention
from golive.store.ports import RunFilter
from tests.sim.loop import VirtualClock, simulate
from tests.unit.runtime_kit import ScriptedModel, World, answer


class Pruned:
    """A store that has some runs to remove, and cannot be written the second time."""

    def __init__(self, clock: VirtualClock) -> None:
        self.left = 1_200
        self.asked: list[tuple[float, float]] = []
        self._clock = clock

    async def prune(self, finished_before: float, limit: int) -> int:
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
