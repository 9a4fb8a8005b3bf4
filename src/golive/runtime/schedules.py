"""Begins runs by the clock: each time of a schedule once, however many servers there are and whenever one dies.

The store keeps, for each schedule, when its next run is due. A run's id is made of the schedule's name and that time;
so a server that dies between beginning the run and moving the row on leaves nothing to be lost or doubled: the next one
to look begins the same run, which there is already. Owns when; what a run is, `service.py` says.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping

from msgspec.structs import replace

from golive.config.outward import ScheduleConfig
from golive.core.clock import Clock
from golive.core.cron import Cron
from golive.core.errors import GoliveError, InvalidRequest, NotFound, ShuttingDown, StoreError
from golive.core.ids import derived
from golive.core.messages import Message
from golive.core.tasks import Tasks
from golive.runtime.api import RunRequest
from golive.store.ports import ScheduleRow, TenantStore
from golive.telemetry.logs import Log
from golive.telemetry.outward import OutwardMetrics
from golive.tenants.authorize import Principal

LATE_S = 60.0
"""A time that is later than this was missed."""
LOOK_S = 15.0
"""The longest wait between two looks: clocks jump, and other servers change rows."""
RETRY_S = (1.0, 2.0, 5.0, 15.0)
"""Waits before a run that could not be begun is tried again; the last one repeats."""
LEFT_S = 120.0
"""A row that another server set or removed, and that nobody has served for so long, is taken over."""

Schedules = Callable[[], Mapping[str, ScheduleConfig]]
Start = Callable[[RunRequest, str], Awaitable[str]]
"""Begins a run under an id ("": a new one), unless there is one; returns its id."""


class Scheduler:
    """All schedules of one tenant, in one server."""

    def __init__(
        self, *, store: TenantStore, start: Start, schedules: Schedules, clock: Clock, metrics: OutwardMetrics,
        log: Log, paused: Callable[[str], bool] = lambda tenant: False,
    ) -> None:  # fmt: skip
        """`schedules`: the tenant's as they are now, by name. `paused`: whether a tenant's rest for now; what was
        missed then is caught up with as if no server had run."""
        self._store = store
        self._start = start
        self._schedules = schedules
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._paused = paused
        self._tasks = Tasks("schedules")
        self._changed = asyncio.Event()
        self._adopted: dict[str, str] = {}
        """The times of each schedule, as a digest, that this server has put into the store."""
        self._store_fails = False
        """Whether that was told: once, until the store answers again."""
        self._first = True
        self._gone_since: dict[str, float] = {}
        """Of schedules of ours that another server has removed, when that was seen."""
        self._failures: dict[str, int] = {}
        """Of schedules whose run cannot be begun, how often that was tried."""
        self._retry_at: dict[str, float] = {}

    def start(self) -> None:
        """Begins to look after the schedules."""
        self._tasks.start(self._watch(), "watch")

    def adopt(self) -> None:
        """The settings have changed."""
        self._changed.set()

    async def close(self) -> None:
        """Begins nothing more."""
        await self._tasks.close()

    async def run_now(self, name: str, principal: Principal) -> str:
        """Begins a run of the schedule at once, whenever it is due; returns its id.

        Raises:
            NotFound: there is no such schedule. What `Runtime.start` raises.
        """
        schedule = self._schedules().get(name)
        if schedule is None:
            raise NotFound(
                f"There is no schedule {name!r}.", advice="Add [schedules.NAME] to golive.toml.", field="name",
                value=name,
            )  # fmt: skip
        return await self._start(_request(name, schedule, principal), "")

    async def rows(self) -> dict[str, ScheduleRow]:
        """How each schedule that is enabled stands, by name; one that nobody has looked after yet counts from now."""
        now, tenant = self._clock.now(), self._store.tenant
        fresh = {
            name: ScheduleRow(tenant, name, "", Cron(schedule.cron, schedule.timezone).after(now))
            for name, schedule in self._schedules().items()
            if schedule.enabled
        }
        return fresh | await self._rows()

    async def _rows(self) -> dict[str, ScheduleRow]:
        return {row.name: row for row in await self._store.schedules()}

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            try:
                wait_s = await self._look()
                self._store_fails = False
            except StoreError as error:
                if not self._store_fails:
                    self._log.warning("schedule.store_failed", code=error.code, message=str(error))
                self._store_fails = True
                wait_s = RETRY_S[-1]
            except Exception as error:
                self._log.error("schedule.fault", error=repr(error), exc_info=error)
                wait_s = RETRY_S[-1]
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _look(self) -> float:
        """Does what is due; seconds until there may be more."""
        rows = await self._rows()
        enabled = {name: schedule for name, schedule in self._schedules().items() if schedule.enabled}
        await self._drop(rows, enabled)
        next_at = self._clock.now() + LOOK_S
        for name, schedule in enabled.items():
            cron = Cron(schedule.cron, schedule.timezone)
            row = await self._adopt(name, schedule, cron, rows.get(name))
            if row is None:
                continue
            due_at = max(row.next_at, self._retry_at.get(name, 0.0))
            if self._paused(self._store.tenant):
                continue
            if due_at <= self._clock.now():
                due_at = await self._begin(name, schedule, cron, row)
            next_at = min(next_at, due_at)
        return max(0.0, next_at - self._clock.now())

    async def _drop(self, rows: Mapping[str, ScheduleRow], enabled: Mapping[str, ScheduleConfig]) -> None:
        """What our settings do not have goes, once: another server's may be newer than ours."""
        known = self._adopted.keys() | (rows.keys() if self._first else set())
        self._first = False
        for name in known - enabled.keys():
            self._adopted.pop(name, None)
            if name in rows:
                await self._store.drop_schedule(name)
                self._log.info("schedule.removed", schedule=name)

    async def _adopt(
        self, name: str, schedule: ScheduleConfig, cron: Cron, row: ScheduleRow | None
    ) -> ScheduleRow | None:
        """The row to go by; None: another server, with other settings, looks after the schedule.

        A schedule whose times have changed counts from now. Whoever started last decides which they are: servers of two
        configurations would otherwise set each other's back again and again, and no time would ever come.
        """
        digest = _digest(schedule)
        now = self._clock.now()
        if row is not None and row.digest == digest:
            self._adopted[name] = digest
            self._gone_since.pop(name, None)
            return row
        if self._adopted.get(name) == digest:
            since = row.next_at if row is not None else self._gone_since.setdefault(name, now)
            if since > now - LEFT_S:
                return None
        fresh = ScheduleRow(self._store.tenant, name, digest, cron.after(now))
        if row is not None:
            fresh = replace(fresh, last_at=row.last_at, last_run=row.last_run)
        if not await self._store.put_schedule(fresh, row):
            return None  # another server was quicker; the next look sees what it wrote
        self._adopted[name] = digest
        self._retry_at.pop(name, None)
        self._log.info("schedule.set", schedule=name, agent=schedule.agent, next_at=fresh.next_at)
        return fresh

    async def _begin(self, name: str, schedule: ScheduleConfig, cron: Cron, row: ScheduleRow) -> float:
        """Begins the run that is due, and moves the row on; returns when to look again."""
        now = self._clock.now()
        at = cron.latest(row.next_at, now) or row.next_at
        if schedule.catch_up == "none" and now - at > LATE_S:
            moved = replace(row, next_at=cron.after(now))
            if await self._store.put_schedule(moved, row):
                self._missed(name, row.next_at, at)
            return moved.next_at
        if at != row.next_at:
            before, row = row, replace(row, next_at=at)  # written down, so that what was missed is told once
            if not await self._store.put_schedule(row, before):
                return now
            self._missed(name, before.next_at, at)
        run = derived("run", at, self._store.tenant, name)
        principal = Principal(self._store.tenant, f"schedule:{name}", "user")
        try:
            await self._start(_request(name, schedule, principal), run)
        except (InvalidRequest, NotFound) as error:  # it will not be otherwise in a moment
            moved = replace(row, next_at=cron.after(at), last_at=at)
            if await self._store.put_schedule(moved, row):
                self._failed(name, at, error, "failed")
            return moved.next_at
        except GoliveError as error:
            return self._again(name, at, error)
        self._failures.pop(name, None)
        self._retry_at.pop(name, None)
        late_s = round(self._clock.now() - at, 3)
        moved = replace(row, next_at=cron.after(at), last_at=at, last_run=run)
        if await self._store.put_schedule(moved, row):  # else another server has told of it
            self._metrics.scheduled(self._store.tenant, name, "begun", late_s)
            self._log.info("schedule.run_begun", schedule=name, run=run, due_at=at, late_s=late_s)
        return moved.next_at

    def _again(self, name: str, at: float, error: GoliveError) -> float:
        """The server is full, or stops, or the store cannot be written: the same time is tried again."""
        tried = self._failures[name] = self._failures.get(name, 0) + 1
        self._retry_at[name] = self._clock.now() + RETRY_S[min(tried, len(RETRY_S)) - 1]
        if tried == 1 and not isinstance(error, ShuttingDown):
            self._failed(name, at, error, "delayed")
        return self._retry_at[name]

    def _missed(self, name: str, since: float, until: float) -> None:
        self._metrics.scheduled(self._store.tenant, name, "missed")
        self._log.warning("schedule.missed", schedule=name, since=since, until=until)

    def _failed(self, name: str, at: float, error: GoliveError, how: str) -> None:
        self._metrics.scheduled(self._store.tenant, name, how)
        self._log.error(f"schedule.run_{how}", schedule=name, due_at=at, code=error.code, message=str(error))


def _request(name: str, schedule: ScheduleConfig, principal: Principal) -> RunRequest:
    return RunRequest(
        agent=schedule.agent,
        input=(Message("user", schedule.input),),
        principal=principal,
        conversation=schedule.conversation_id,
        background=True,
        deadline_s=schedule.deadline_s,
        schedule=name,
    )


def _digest(schedule: ScheduleConfig) -> str:
    """Of its times alone: another text or agent is no reason to count anew."""
    said = "\0".join((" ".join(schedule.cron.split()), schedule.timezone))
    return "sha256:" + hashlib.sha256(said.encode()).hexdigest()
