"""Schedules of several tenants: each begins its runs in its own, and is seen there alone."""

import asyncio

import pytest

from golive.core.errors import NotFound
from golive.runtime.schedulers import Schedulers
from golive.store.ports import ScheduleRow
from golive.tenants.authorize import Principal
from tests.sim.loop import EPOCH
from tests.unit.test_schedules import HOUR, World, job, play


def test_each_tenant_has_its_own_schedules() -> None:
    """Begun in it and seen by it alone; of one that moves away nothing is left behind; a suspended tenant's rest."""

    async def main(world: World) -> None:
        mine = {"home": job(), "theirs": job(tenant="acme"), "moving": job(tenant="acme")}
        paused: set[str] = set()
        schedulers = Schedulers(
            store=world.store, start=world.start, schedules=lambda: mine, clock=world.clock,
            metrics=world.metrics.outward, log=world.log, paused=paused.__contains__,
        )  # fmt: skip
        schedulers.start()
        try:
            await asyncio.sleep(HOUR + 60)
            begun = sorted((request.principal.tenant, request.schedule) for _, request in world.begun.values())
            assert begun == [("acme", "moving"), ("acme", "theirs"), ("default", "home")]
            assert (list(await schedulers.rows("acme")), list(schedulers.of("default"))) == (
                ["theirs", "moving"], ["home"],
            )  # fmt: skip
            with pytest.raises(NotFound):
                await schedulers.run_now("theirs", Principal("default", "key:1", "admin"))
            assert (await schedulers.run_now("theirs", Principal("acme", "key:2", "admin"))) == ""
            mine["moving"] = job(tenant="umbrella")
            paused.add("acme")
            schedulers.adopt()
            await asyncio.sleep(HOUR)
            late = [request for at, request in world.begun.values() if at > HOUR + 61]
            assert sorted((one.principal.tenant, one.schedule) for one in late) == [
                ("default", "home"), ("umbrella", "moving"),
            ]  # fmt: skip
            assert [row.name for row in await world.store.tenant("acme").schedules()] == ["theirs"]
        finally:
            await schedulers.close()

    play(main)


def test_what_an_earlier_server_left_in_a_tenant_is_taken_away() -> None:
    """It would otherwise begin late runs, should its schedule come back."""

    async def main(world: World) -> None:
        gone = ScheduleRow("acme", "old", "sha256:x", EPOCH - HOUR)
        assert await world.store.tenant("acme").put_schedule(gone, None)
        schedulers = Schedulers(
            store=world.store, start=world.start, schedules=lambda: world.schedules, clock=world.clock,
            metrics=world.metrics.outward, log=world.log,
        )  # fmt: skip
        schedulers.start()
        try:
            await schedulers.look_after(["acme", "default"])
            await asyncio.sleep(1)
            assert await world.store.tenant("acme").schedules() == []
        finally:
            await schedulers.close()

    play(main)
