"""Runs by the clock: each time once, whatever becomes of servers, clocks and settings."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from golive.config.outward import ScheduleConfig
from golive.core.errors import InvalidRequest, NotFound, Overloaded, StoreUnavailable
from golive.core.ids import derived
from golive.runtime.api import RunRequest
from golive.runtime.schedules import LEFT_S, LOOK_S, Scheduler
from golive.store.ports import ScheduleRow
from golive.store.sqlite.store import SqliteStore
from golive.telemetry.logs import configure
from golive.telemetry.metrics import Metrics
from golive.tenants.authorize import Principal
from tests.sim.loop import EPOCH, VirtualClock, simulate

# Every simulated world begins on 2027-01-15 at 08:00 UTC.
HOUR = 3_600.0


class World:
    """A store in memory, runs that are only counted, and schedulers over both."""

    def __init__(self, clock: VirtualClock, **schedules: ScheduleConfig) -> None:
        self.clock = clock
        self.schedules = schedules
        self.store = SqliteStore.open(":memory:", clock=clock, inline=True)
        self.tenant = self.store.tenant("default")
        self.begun: dict[str, tuple[float, RunRequest]] = {}
        self.errors: list[Exception] = []
        self.after_start: Callable[[], Awaitable[None]] | None = None
        self.metrics = Metrics()
        self.lines = io.StringIO()
        self.log = configure("debug", "json", None, self.lines, clock=clock)
        self.servers: list[Scheduler] = []

    def server(self, **schedules: ScheduleConfig) -> Scheduler:
        """Another server begins, with settings of its own where some are given."""
        mine = schedules or self.schedules
        made = Scheduler(
            store=self.tenant, start=self.start, schedules=lambda: mine, clock=self.clock, metrics=self.metrics.outward,
            log=self.log,
        )  # fmt: skip
        made.start()
        self.servers.append(made)
        return made

    async def start(self, request: RunRequest, run: str) -> str:
        """As `Runtime.start`: a run that there is counts as begun."""
        if self.errors:
            raise self.errors.pop(0)
        await asyncio.sleep(0.01)
        self.begun.setdefault(run or f"run_{len(self.begun)}", (self.clock.now() - EPOCH, request))
        if self.after_start is not None:
            await self.after_start()
        return run

    def times(self) -> list[float]:
        """When runs were begun, in whole seconds since the world began."""
        return [float(int(at)) for at, _ in self.begun.values()]

    async def row(self, name: str = "job") -> ScheduleRow | None:
        return next((row for row in await self.tenant.schedules() if row.name == name), None)

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.lines.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def end(self) -> None:
        for server in self.servers:
            await server.close()


def job(cron: str = "0 * * * *", **fields: Any) -> ScheduleConfig:
    return ScheduleConfig(agent="helper", cron=cron, input="Sum up.", **fields)


def play(main: Callable[[World], Awaitable[None]], **schedules: ScheduleConfig) -> None:
    """A world for `main`; its servers are ended."""

    async def whole(clock: VirtualClock) -> None:
        world = World(clock, **(schedules or {"job": job()}))
        try:
            await main(world)
        finally:
            await world.end()

    simulate(whole)


def test_a_run_is_begun_at_each_time() -> None:
    """On the hour, once each, with what the schedule says; the row tells of the last run and the next time."""

    async def main(world: World) -> None:
        world.server()
        await asyncio.sleep(3 * HOUR + 60)
        assert world.times() == [HOUR, 2 * HOUR, 3 * HOUR]
        at = EPOCH + 3 * HOUR
        run = derived("run", at, "default", "job")
        (_, request) = world.begun[run]
        assert (request.agent, request.input[0].content, request.schedule) == ("helper", "Sum up.", "job")
        assert (request.principal, request.background) == (Principal("default", "schedule:job", "user"), True)
        assert (request.conversation, request.deadline_s) == ("daily", 90.0)
        row = await world.row()
        assert row is not None
        assert (row.next_at, row.last_at, row.last_run) == (at + HOUR, at, run)
        assert all(line["late_s"] < 0.1 for line in world.logged("schedule.run_begun"))
        assert (
            b'golive_scheduled_runs_total{result="begun",schedule="job",tenant="default"} 3.0' in world.metrics.render()
        )

    play(main, job=job(conversation_id="daily", deadline_s=90))


def test_several_servers_begin_one_run_each_time() -> None:
    """Three servers over one store, all of them awake at the hour."""

    async def main(world: World) -> None:
        for _ in range(3):
            world.server()
        await asyncio.sleep(10 * HOUR + 60)
        assert world.times() == [number * HOUR for number in range(1, 11)]
        assert len(world.logged("schedule.run_begun")) == 10

    play(main)


def test_a_server_that_dies_after_beginning_the_run_and_before_saying_so() -> None:
    """The next one begins the same run, which there is already, and goes on with the next time."""

    async def main(world: World) -> None:
        first = world.server()

        async def killed() -> None:
            world.after_start = None
            await asyncio.sleep(1e9)

        world.after_start = killed
        await asyncio.sleep(HOUR + 1)
        assert len(world.begun) == 1
        await first.close()
        row = await world.row()
        assert row is not None
        assert (row.next_at, row.last_run) == (EPOCH + HOUR, None), "not moved on"
        world.server()
        await asyncio.sleep(HOUR)
        assert world.times() == [HOUR, 2 * HOUR]
        row = await world.row()
        assert row is not None
        assert row.last_run == derived("run", EPOCH + 2 * HOUR, "default", "job")

    play(main)


@pytest.mark.parametrize(("catch_up", "expected"), [("latest", [5.5, 6]), ("none", [6])])
def test_times_that_were_missed(catch_up: str, expected: list[float]) -> None:
    """Down from 1:30 to 5:30: one run for the last of four times, or none; either way the next is on time."""

    async def main(world: World) -> None:
        first = world.server()
        await asyncio.sleep(1.5 * HOUR)
        await first.close()
        world.begun.clear()
        await asyncio.sleep(4 * HOUR)
        world.server()
        await asyncio.sleep(HOUR)
        assert world.times() == [at * HOUR for at in expected]
        (missed,) = world.logged("schedule.missed")
        assert missed["since"] == EPOCH + 2 * HOUR
        if catch_up == "latest":
            assert derived("run", EPOCH + 5 * HOUR, "default", "job") in world.begun, "it is that of its time"

    play(main, job=job(catch_up=catch_up))


def test_servers_that_catch_up_together_begin_one_run() -> None:
    """Both find the row of long ago; the second to look finds a later time past than the first."""

    async def main(world: World) -> None:
        await (first := world.server()).close()
        first = world.server()
        await asyncio.sleep(1)
        await first.close()
        await asyncio.sleep(5 * HOUR - 1 - 0.005)
        world.server()
        await asyncio.sleep(0.01)
        world.server()
        await asyncio.sleep(60)
        ids = [derived("run", EPOCH + hour * HOUR, "default", "job") for hour in (4, 5)]
        assert list(world.begun) == ids, "four o'clock's was missed, five o'clock's came meanwhile"

    play(main)


def test_up_to_a_minute_late_is_not_missed() -> None:
    """A restart over the hour costs no run, also where missed ones are not made up for."""

    async def main(world: World) -> None:
        first = world.server()
        await asyncio.sleep(HOUR - 10)
        await first.close()
        await asyncio.sleep(40)
        world.server()
        await asyncio.sleep(10)
        assert world.times() == [HOUR + 30]
        assert world.logged("schedule.missed") == []

    play(main, job=job(catch_up="none"))


@pytest.mark.parametrize("error", [Overloaded("full"), StoreUnavailable("locked")])
def test_a_server_that_is_full_begins_the_run_when_it_can(error: Exception) -> None:
    """After 1, 2, 5 and 15 seconds; the log says so once."""

    async def main(world: World) -> None:
        world.errors = [error] * 4
        world.server()
        await asyncio.sleep(HOUR + 60)
        assert world.times() == [HOUR + 23]
        assert len(world.logged("schedule.run_delayed")) == 1
        world.errors = [error]
        await asyncio.sleep(HOUR)
        assert world.times() == [HOUR + 23, 2 * HOUR + 1]

    play(main)


@pytest.mark.parametrize("error", [InvalidRequest("the conversation is another's"), NotFound("no agent")])
def test_a_run_that_cannot_be_begun_at_all_is_left_out(error: Exception) -> None:
    """It would not be otherwise in a moment: the log and the metric say so, and the next time is tried."""

    async def main(world: World) -> None:
        world.errors = [error]
        world.server()
        await asyncio.sleep(2 * HOUR + 60)
        assert world.times() == [2 * HOUR]
        assert [line["level"] for line in world.logged("schedule.run_failed")] == ["error"]
        assert (
            b'golive_scheduled_runs_total{result="failed",schedule="job",tenant="default"} 1.0'
            in world.metrics.render()
        )

    play(main)


def test_times_that_change_count_from_now_and_other_settings_go_on() -> None:
    """A restart with half past instead of the full hour waits for the next half; another text changes nothing."""

    async def main(world: World) -> None:
        await asyncio.sleep(0)
        first = world.server()
        await asyncio.sleep(0.9 * HOUR)
        await first.close()
        await asyncio.sleep(0.2 * HOUR)
        second = world.server(job=job("30 * * * *"))
        await asyncio.sleep(HOUR)
        assert world.times() == [1.5 * HOUR], "the full hour is of the settings before"
        await second.close()
        await asyncio.sleep(0.6 * HOUR)
        changed = job("30 * * * *").model_copy(update={"input": "Sum up briefly."})
        world.server(job=changed)
        await asyncio.sleep(60)
        assert len(world.times()) == 2, "half past two was missed, and is made up for"
        assert [request.input[0].content for _, request in world.begun.values()] == ["Sum up.", "Sum up briefly."]

    play(main)


def test_servers_of_two_configurations_do_not_undo_each_other() -> None:
    """In the middle of a deployment the newer server's times hold; if it goes again, the older one's come back."""

    async def main(world: World) -> None:
        world.server()
        await asyncio.sleep(0.4 * HOUR)
        newer = world.server(job=job("30 * * * *"))
        await asyncio.sleep(1.2 * HOUR)
        assert world.times() == [0.5 * HOUR, 1.5 * HOUR]
        await newer.close()
        await asyncio.sleep(2 * HOUR)
        assert world.times() == [0.5 * HOUR, 1.5 * HOUR, 3 * HOUR], "half past two found nobody"
        (_, last) = list(world.begun.values())[-1]
        assert last.schedule == "job"

    play(main)


def test_what_is_removed_or_switched_off_goes() -> None:
    """At the next start, or when the settings are read again; switched on again it counts from then."""

    async def main(world: World) -> None:
        server = world.server()
        await asyncio.sleep(10)
        assert {row.name for row in await world.tenant.schedules()} == {"job", "other"}
        world.schedules["job"] = job(enabled=False)
        del world.schedules["other"]
        server.adopt()
        await asyncio.sleep(1)
        assert await world.tenant.schedules() == []
        await asyncio.sleep(2 * HOUR)
        world.schedules["job"] = job()
        server.adopt()
        await asyncio.sleep(HOUR)
        assert world.times() == [3 * HOUR]
        await server.close()
        world.schedules["new"] = world.schedules.pop("job")
        world.server()
        await asyncio.sleep(1)
        assert {row.name for row in await world.tenant.schedules()} == {"new"}

    play(main, job=job(), other=job("0 0 1 1 *"))


def test_a_server_without_the_schedule_does_not_take_it_away_again_and_again() -> None:
    """One with the settings before removes what it does not know when it starts, and never after; ours comes back."""

    async def main(world: World) -> None:
        world.server()
        await asyncio.sleep(1)
        world.server(other=job("0 0 1 1 *"))
        await asyncio.sleep(1)
        assert await world.row() is None
        await asyncio.sleep(LEFT_S + 2 * LOOK_S)
        assert await world.row() is not None
        await asyncio.sleep(2 * HOUR)
        assert world.times() == [HOUR, 2 * HOUR]

    play(main)


def test_a_run_by_hand() -> None:
    """At once, under an id of its own and the caller's name, also of a schedule that is switched off."""

    async def main(world: World) -> None:
        server = world.server()
        await asyncio.sleep(5)
        await server.run_now("job", Principal("default", "key_1", "operator"))
        ((_, request),) = world.begun.values()
        assert (request.schedule, request.principal.id) == ("job", "key_1")
        with pytest.raises(NotFound, match="There is no schedule 'jub'"):
            await server.run_now("jub", Principal("default", "key_1", "operator"))
        assert await server.rows() == {}

    play(main, job=job(enabled=False))


def test_a_store_that_fails_for_a_while_costs_no_run() -> None:
    """It is late, and told so."""

    async def main(world: World) -> None:
        world.server()
        await asyncio.sleep(HOUR - 5)
        real = world.tenant.schedules

        async def fails() -> list[ScheduleRow]:
            raise StoreUnavailable("locked")

        world.tenant.schedules = fails  # type: ignore[method-assign]
        await asyncio.sleep(30)
        world.tenant.schedules = real  # type: ignore[method-assign]
        await asyncio.sleep(30)
        assert len(world.begun) == 1
        assert len(world.logged("schedule.store_failed")) == 1

    play(main)


def test_the_clock_is_set_back_and_forth() -> None:
    """Set back over the hour, the hour does not come twice; set forward over it, it is made up for."""

    async def main(world: World) -> None:
        world.server()
        await asyncio.sleep(HOUR + 5)
        now = world.clock.now
        world.clock.now = lambda: now() - 600  # type: ignore[method-assign]
        await asyncio.sleep(1_200)
        assert len(world.begun) == 1
        world.clock.now = lambda: now() + HOUR  # type: ignore[method-assign]
        await asyncio.sleep(60)
        assert list(world.begun)[1] == derived("run", EPOCH + 2 * HOUR, "default", "job")

    play(main)


def test_a_schedule_tells_its_next_time_before_anybody_has_looked_after_it() -> None:
    """Whoever asks right after the start is not told that it has none."""

    async def main(world: World) -> None:
        server = world.server()
        shown = (await server.rows())["job"]
        assert (await world.row(), shown.next_at, shown.last_run) == (None, EPOCH + HOUR, None)

    play(main)
