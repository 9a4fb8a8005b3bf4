"""Schedules over HTTP: when each begins its next run, and beginning one now."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from msgspec import Struct

from golive.config.outward import ScheduleConfig
from golive.config.suggest import did_you_mean
from golive.core.errors import NotFound
from golive.gateway.exchange import Exchange
from golive.gateway.permit import reach, see
from golive.gateway.routes import Answer, Param, Route
from golive.runtime.api import RunResult
from golive.store.ports import ScheduleRow
from golive.tenants.authorize import Principal


class ScheduleCard(Struct, frozen=True, kw_only=True):
    """A schedule. `next_at` is null where it is not enabled; `last_at` is the time of the last run, `last_run` its id.

    Times are seconds since the epoch.
    """

    name: str
    agent: str
    cron: str
    timezone: str
    enabled: bool
    catch_up: Literal["latest", "none"]
    conversation_id: str | None
    next_at: float | None
    last_at: float | None
    last_run: str | None


class ScheduleList(Struct, frozen=True):
    data: list[ScheduleCard]


class ScheduleFaces:
    """Handlers of /v1/schedules."""

    def __init__(
        self, *, schedules: Callable[[str], Mapping[str, ScheduleConfig]],
        rows: Callable[[str], Awaitable[Mapping[str, ScheduleRow]]],
        run_now: Callable[[str, Principal], Awaitable[str]], result: Callable[[str, str], Awaitable[RunResult]],
    ) -> None:  # fmt: skip
        """Takes what it asks.

        Args:
            schedules: a tenant's, those there are now, by name.
            rows: how those of a tenant that are enabled stand.
            run_now: begins a run of one; its id.
            result: a tenant's run as it stands.
        """
        self._schedules = schedules
        self._rows = rows
        self._run_now = run_now
        self._result = result

    async def listing(self, exchange: Exchange) -> None:
        """GET /v1/schedules"""
        tenant = exchange.principal.tenant
        rows, seen = await self._rows(tenant), reach(exchange, "schedules.read", "schedule")
        cards = []
        for name, schedule in self._schedules(tenant).items():
            if not seen(schedule.agent):
                continue
            row = rows.get(name)
            cards.append(
                ScheduleCard(
                    name=name, agent=schedule.agent, cron=schedule.cron, timezone=schedule.timezone,
                    enabled=schedule.enabled, catch_up=schedule.catch_up, conversation_id=schedule.conversation_id,
                    next_at=row.next_at if row and schedule.enabled else None, last_at=row.last_at if row else None,
                    last_run=row.last_run if row else None,
                )
            )  # fmt: skip
        await exchange.json(ScheduleList(cards))

    async def run(self, exchange: Exchange) -> None:
        """POST /v1/schedules/{name}/run"""
        name = exchange.params["name"]
        schedule = self._schedules(exchange.principal.tenant).get(name)
        if schedule is None or not see(exchange, "schedules.run", "schedule", name, schedule.agent):
            raise NotFound(
                f"There is no schedule {name[:120]!r}.",
                remedy=(near := did_you_mean(name[:120], self._seen(exchange))),
                advice="" if near else "Add [schedules.NAME] to golive.toml.",
                field="name", value=name[:120],
            )  # fmt: skip
        run = exchange.run = await self._run_now(name, exchange.principal)
        headers = [(b"location", b"/v1/runs/" + run.encode()), (b"x-request-id", run.encode())]
        await exchange.json(await self._result(exchange.principal.tenant, run), 202, headers)

    def _seen(self, exchange: Exchange) -> list[str]:
        """The names that who asks may be told."""
        seen = reach(exchange, "schedules.run", "schedule")
        schedules = self._schedules(exchange.principal.tenant)
        return [name for name, schedule in schedules.items() if seen(schedule.agent)]

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "GET", "/v1/schedules", "schedules.read", self.listing, "List schedules", kind="schedule",
                narrows=True, tag="Runs",
                answers=(Answer(200, "Those of golive.toml.", ScheduleList),),
            ),
            Route(
                "POST", "/v1/schedules/{name}/run", "schedules.run", self.run, "Begin a schedule's run now",
                kind="schedule", narrows=True, tag="Runs", params=(Param("name", "path", "The schedule's name."),),
                answers=(Answer(202, "The run as it stands; `Location` says where it is.", RunResult),),
                description="Beside its times, which stay as they are.",
            ),
        ]  # fmt: skip
