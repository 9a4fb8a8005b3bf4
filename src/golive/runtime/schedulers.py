"""The schedules of all tenants: each tenant's are looked after over its own handle of the store, by a `Scheduler`."""

from collections.abc import Callable, Iterable, Mapping

from golive.config.outward import ScheduleConfig
from golive.core.clock import Clock
from golive.runtime.schedules import Scheduler, Schedules, Start
from golive.store.ports import ScheduleRow, Store
from golive.telemetry.logs import Log
from golive.telemetry.outward import OutwardMetrics
from golive.tenants.authorize import Principal


class Schedulers:
    """Of one server. Nobody sees or begins a schedule of another tenant."""

    def __init__(
        self, *, store: Store, start: Start, schedules: Schedules, clock: Clock, metrics: OutwardMetrics, log: Log,
        paused: Callable[[str], bool] = lambda tenant: False,
    ) -> None:  # fmt: skip
        """`schedules`: those of all tenants as they are now, by name. `paused`: as for `Scheduler`."""
        self._store = store
        self._start = start
        self._schedules = schedules
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._paused = paused
        self._running = False
        self._of: dict[str, Scheduler] = {}

    def of(self, tenant: str) -> Mapping[str, ScheduleConfig]:
        """The tenant's schedules as they are now, by name."""
        return {name: schedule for name, schedule in self._schedules().items() if schedule.tenant == tenant}

    def start(self) -> None:
        """Begins to look after the schedules."""
        self._running = True
        self.adopt()

    async def look_after(self, tenants: Iterable[str]) -> None:
        """Takes care of what there may be of schedules that are gone, so that none goes on where it comes again.

        Raises:
            StoreError: it cannot be read; nothing else is the worse for it.
        """
        for tenant in tenants:
            if self._running and tenant not in self._of and await self._store.tenant(tenant).schedules():
                self._scheduler(tenant)

    def adopt(self) -> None:
        """The settings have changed."""
        if self._running:
            for schedule in self._schedules().values():
                self._scheduler(schedule.tenant)
        for scheduler in self._of.values():
            scheduler.adopt()

    async def close(self) -> None:
        """Begins nothing more."""
        self._running = False
        for scheduler in self._of.values():
            await scheduler.close()

    async def run_now(self, name: str, principal: Principal) -> str:
        """Begins a run of a schedule of the principal's tenant at once. Raises as `Scheduler.run_now`."""
        return await self._scheduler(principal.tenant, asked=True).run_now(name, principal)

    async def rows(self, tenant: str) -> dict[str, ScheduleRow]:
        """How each schedule of the tenant that is enabled stands, by name."""
        return await self._scheduler(tenant, asked=True).rows()

    def _scheduler(self, tenant: str, *, asked: bool = False) -> Scheduler:
        """The tenant's; one that is only `asked` something looks after nothing, and is not kept."""
        found = self._of.get(tenant)
        if found is None:
            found = Scheduler(
                store=self._store.tenant(tenant), start=self._start, schedules=lambda: self.of(tenant),
                clock=self._clock, metrics=self._metrics, log=self._log, paused=self._paused,
            )  # fmt: skip
            if not asked:
                self._of[tenant] = found
                found.start()
        return found
