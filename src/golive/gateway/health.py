"""Health for people (/health), for load balancers (/health/live, /health/ready), and metrics for Prometheus."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from msgspec import Struct

from golive import __version__
from golive.core.clock import Clock
from golive.core.errors import GoliveError, ShuttingDown, StoreError, StoreUnavailable
from golive.core.health import Dependency
from golive.gateway import outsiders
from golive.gateway.exchange import Exchange
from golive.gateway.routes import PUBLIC, Answer, Route
from golive.telemetry.metrics import CONTENT_TYPE, Metrics
from golive.tenants.authorize import reach as reach_of

READY_FOR_S = 1.0
"""How long an answer to /health/ready holds: anybody may ask, and asking must not become load on the store."""
COUNTED_WITHIN_S = 1.0
"""How long /health and /metrics wait for that number."""
MOST_PENDING = 1_000
"""Pending decisions are counted up to here."""


class Health(Struct, frozen=True):
    """`status` is degraded when any dependency is down. `open_runs`: runs and plain calls that are open here, of the
    tenant; to whoever runs the server of all. `decisions_pending`: what people are to decide for runs of the
    tenant, 1,000 at most; null where the store cannot tell."""

    status: Literal["up", "degraded", "draining"]
    version: str
    open_runs: int
    decisions_pending: int | None
    dependencies: Sequence[Dependency]


class Alive(Struct, frozen=True):
    status: Literal["live", "ready"]


class HealthFaces:
    """Handlers of /health*, and /metrics."""

    def __init__(
        self,
        *,
        dependencies: Callable[[], Awaitable[Sequence[Dependency]]],
        ping: Callable[[], Awaitable[None]],
        draining: Callable[[], bool],
        open_runs: Callable[[], int],
        open_of: Callable[[str], int],
        decisions_pending: Callable[[str, int], Awaitable[int]],
        metrics: Metrics,
        clock: Clock,
        agents: Callable[[str], Sequence[str]],
    ) -> None:
        """`ping` raises unless the store can be read and written; it is all that readiness asks besides draining.
        `open_of` counts a tenant's open runs, `decisions_pending` its decisions, up to a number; `agents` names those
        that a tenant is given."""
        self._dependencies = dependencies
        self._ping = ping
        self._draining = draining
        self._open_runs = open_runs
        self._open_of = open_of
        self._decisions_pending = decisions_pending
        self._metrics = metrics
        self._clock = clock
        self._agents = agents
        self._asked_at = float("-inf")
        self._unready: GoliveError | None = None
        self._asking = asyncio.Lock()

    async def health(self, exchange: Exchange) -> None:
        """GET /health"""
        dependencies = await self._dependencies()
        down = any(dependency.state == "down" for dependency in dependencies)
        status: Literal["up", "degraded", "draining"] = "draining" if self._draining() else "degraded" if down else "up"
        pending = await self._pending(exchange.principal.tenant)
        seen, served = reach_of(exchange.principal, "agents.read"), self._agents(exchange.principal.tenant)
        agents = [name for name in served if seen(name)]
        named = [outsiders.health(exchange.principal, each) for each in dependencies]
        shown = [each for each in named if each.kind != "worker" or each.name.partition(" ")[0] in agents]
        everything = outsiders.runs_it(exchange.principal)
        count = self._open_runs() if everything else self._open_of(exchange.principal.tenant)
        body = Health(status, __version__, count, pending, shown)
        await exchange.json(body, 200 if status == "up" else 503, [(b"cache-control", b"no-store")])

    async def _pending(self, tenant: str) -> int | None:
        """None: the store cannot tell, or not soon enough for whoever watches."""
        try:
            async with asyncio.timeout(COUNTED_WITHIN_S):
                return await self._decisions_pending(tenant, MOST_PENDING)
        except (StoreError, TimeoutError):
            return None

    async def live(self, exchange: Exchange) -> None:
        """GET /health/live"""
        await exchange.json(Alive("live"))

    async def ready(self, exchange: Exchange) -> None:
        """GET /health/ready"""
        if self._draining():
            raise ShuttingDown("This server is shutting down.", remedy="Send requests to another one.")
        async with self._asking:
            if self._clock.monotonic() - self._asked_at >= READY_FOR_S:
                self._unready = await self._ask()
                self._asked_at = self._clock.monotonic()
        if self._unready is not None:
            raise StoreUnavailable("The store cannot be written.", remedy="See /health and the server's log.")
        await exchange.json(Alive("ready"))

    async def _ask(self) -> GoliveError | None:
        try:
            await self._ping()
        except GoliveError as error:
            return error
        return None

    async def metrics(self, exchange: Exchange) -> None:
        """GET /metrics"""
        self._metrics.durable.pending(await self._pending(exchange.principal.tenant))
        await exchange.answer(200, self._metrics.render(), CONTENT_TYPE)

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "GET", "/health", "health.read", self.health, "State of every dependency",
                answers=(Answer(200, "All is up.", Health), Answer(503, "Something is down, or draining.", Health)),
            ),
            Route(
                "GET", "/health/live", PUBLIC, self.live, "The process answers",
                answers=(Answer(200, "It does.", Alive),),
            ),
            Route(
                "GET", "/health/ready", PUBLIC, self.ready, "Able to serve: store writable, not draining",
                answers=(Answer(200, "It is.", Alive),),
                description="Never depends on providers: one that is out must not take every replica with it.",
            ),
            Route(
                "GET", "/metrics", "metrics.read", self.metrics, "Prometheus metrics", owner="installation",
                answers=(Answer(200, "Text format.", media="text/plain"),),
            ),
        ]  # fmt: skip
