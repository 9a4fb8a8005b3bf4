"""A store that goes away and comes back is told once each, with how long it was."""

import asyncio
import json
from io import StringIO
from pathlib import Path

from golive.core.errors import StoreUnavailable
from golive.runtime.holding import Holding
from golive.telemetry.hold_log import HoldLog
from golive.telemetry.logs import configure
from golive.telemetry.metrics import Metrics
from tests.sim.loop import VirtualClock, simulate
from tests.unit.runtime_kit import ScriptedModel, World


def test_an_outage_of_the_store_is_two_lines(tmp_path: Path) -> None:
    """However many beats fail in it; and it is counted."""
    written = StringIO()

    async def main(clock: VirtualClock) -> None:
        world = World(tmp_path, ScriptedModel())
        metrics = Metrics(lambda: 0)
        told = HoldLog(configure("info", "json", None, written, clock=clock), metrics.durable)
        runtime = world.runtime
        hold = Holding(
            store=world.store, clock=clock, holder="test", replica="", lease_s=9.0, versions=lambda: (),
            take_over=runtime.steering.take_over, room=runtime.room, expire=runtime.steering.expire,
            faults=lambda run, error: None, taken_over=told.taken_over, carries=runtime.carries_run,
            followed=runtime.followed, lost=lambda lapsed: None, away=told.store,
        )  # fmt: skip
        real = world.store.beat

        async def fails(holder: str, lease_s: float) -> bool:
            raise StoreUnavailable("The database is gone.", remedy="Start it.")

        keeping = asyncio.ensure_future(hold.keep())
        await asyncio.sleep(10)
        world.store.beat = fails  # type: ignore[method-assign]
        await asyncio.sleep(20)
        world.store.beat = real  # type: ignore[method-assign]
        await asyncio.sleep(20)
        keeping.cancel()
        await world.store.close()
        assert b"golive_store_outages_total 1.0" in metrics.render()

    simulate(main)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["store.lost", "store.back"]
    assert lines[0]["message"] == "The database is gone."
    assert 15 <= lines[1]["seconds"] <= 21
