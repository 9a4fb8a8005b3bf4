"""The runtime as the faces of the server see it: start a run, watch it, ask for it, decide for it, stop it."""

import asyncio
from collections.abc import Callable

from golive.core.clock import Clock
from golive.core.errors import (
    Conflict,
    Fenced,
    InvalidRequest,
    NotFound,
    Overloaded,
    ShuttingDown,
    StoreUnavailable,
)
from golive.core.events import Event, RunAccepted
from golive.core.frames import Cursor
from golive.core.ids import Ids
from golive.runtime.agent import Agents, AgentVersion, Limits
from golive.runtime.api import AgentInfo, RunRequest, RunResult
from golive.runtime.carrier import Carrier
from golive.runtime.conversations import Turn
from golive.runtime.ending import MAX_EVENTS
from golive.runtime.journal import Announce, Observer, unannounced
from golive.runtime.live import LiveRun
from golive.runtime.place import Admits, FaultLog, Place, RuntimeSettings, admits_all
from golive.runtime.shown import result_of
from golive.runtime.state import RunState
from golive.runtime.steering import Steering, no_run
from golive.runtime.subscription import Source, Subscription
from golive.store.ports import DecisionRow, Lease, RunFilter, RunView, Store

__all__ = ["Runtime", "RuntimeSettings"]

BEGINNING = Cursor()
HEARTBEAT_S = 3600.0


class Runtime:
    """Runs, of all tenants."""

    def __init__(
        self,
        *,
        store: Store,
        agents: Agents,
        clock: Clock,
        ids: Ids,
        settings: RuntimeSettings,
        observer: Observer,
        faults: FaultLog,
        announce: Announce = unannounced,
        begin_by: Callable[[], float] = lambda: float("inf"),
        lapses: Callable[[], int] = lambda: 0,
        generation: int = 1,
        admits: Admits = admits_all,
    ) -> None:
        """`begin_by`, `lapses`: this server's hold on its runs (`Place`); `generation`: the installation's; `admits`:
        whether anything of a tenant, or in the name of its user, is begun."""
        self._store = store
        self._agents = agents
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._admits = admits
        place = Place(settings.holder, generation, ids, faults, begin_by, not store.shared, lapses)
        self._carrier = Carrier(
            store=store, agents=agents, clock=clock, place=place, settings=settings, observer=observer,
            announce=announce,
        )  # fmt: skip
        self._leaving = self._draining = False
        self.steering = Steering(store, self._carrier, clock, settings.holder, self)
        """What people do to runs."""

    async def start(self, request: RunRequest, run: str = "") -> str:
        """Accepts a run; it is durable, and under way, on return.

        Args:
            run: its id, where it is not to be a new one: a run of that id that there is already counts as accepted.

        Raises:
            NotFound, InvalidRequest, ConversationBusy, Overloaded, ShuttingDown, StoreUnavailable, Suspended,
            TenantLimited: there is no run.
        """
        tenant = request.principal.tenant
        if run and await self._store.tenant(tenant).run(run) is not None:
            return run
        version = self._agents.get(tenant, request.agent)
        self._admit(request)
        limits = _limits(version, request)
        given, run = run, run or self._ids.new("run")
        turn = await self._turn(tenant, version.name, request, run)
        policy = request.on_disconnect or ("continue" if request.background else version.on_disconnect)
        state = RunState(tenant, run, version.digest)
        state.epoch = 1
        lease = Lease(tenant, run, 1, self._settings.holder, request.user)
        live, loop, deadline = self._carrier.prepare(
            lease, state, policy, version, limits, limits.deadline_s, request.headers
        )
        if request.conversation is not None:
            live.journal.room = self._carrier.conversations.room(request.conversation)
        live.journal.note(
            RunAccepted(
                version.name,
                version.version_name,
                "agent",
                request.input,
                request.conversation,
                request.principal.id,
                limits.deadline_s,
                limits.max_steps,
                policy,
                request.metadata,
                request.unbroken,
                version.language(request.languages),
                request.schedule,
                request.retry_of,
                request.forked_from,
                self._carrier.place.generation,
                request.user or "",
            )
        )
        if given and not await self._accepted_now(live, turn):
            return run
        self._carrier.carry(live, loop, deadline, turn)
        await asyncio.shield(live.accepted)
        return run

    async def _accepted_now(self, live: LiveRun, turn: Turn | None) -> bool:
        """Makes the acceptance durable before anything else; False: another process was quicker to do so."""
        try:
            await live.accept()
            return True
        except BaseException as error:
            if turn is not None:
                self._carrier.conversations.leave(turn)
            if isinstance(error, Conflict | Fenced):
                return False
            raise

    def _admit(self, request: RunRequest) -> None:
        if self._draining:
            raise ShuttingDown("This server is shutting down.", remedy="Send the request again; another one answers.")
        self._admits(request.principal.tenant, request.user)
        if self.open_runs() >= self._settings.max_open_runs:
            raise Overloaded(
                f"{self.open_runs()} runs are open, the most this server carries.",
                remedy="Try again in a moment.",
                advice="Or raise server.max_open_runs.",
            )
        for place, message in enumerate(request.input):
            if not message.content and not request.forked_from:
                field = f"input[{place}].content"
                raise InvalidRequest(f"{field} is empty.", remedy="Send a text.", field=field, value="")
        if not request.input:
            raise InvalidRequest(
                "input is empty.", remedy="Send a text or at least one message.", field="input", value=[]
            )

    async def _turn(self, tenant: str, agent: str, request: RunRequest, run: str) -> Turn | None:
        conversation = request.conversation
        if conversation is None:
            return None
        before = await self._store.tenant(tenant).runs(RunFilter(conversation=conversation, limit=1))
        # Of a conversation that has just begun the store may know nothing yet.
        speaks = self._carrier.conversations.speaks(tenant, conversation)
        owner, user = agent, request.user
        if speaks is not None:
            owner, user = speaks.agent, speaks.user
        elif before:
            owner, user = before[0].agent, before[0].user
        if (owner, user) != (agent, request.user):  # whose it is, nobody is told who may not see that
            raise NotFound(
                f"There is no conversation {conversation!r}.",
                remedy="One belongs to the agent and the user it began with; use another conversation_id for each.",
                field="conversation_id", value=conversation,
            )  # fmt: skip
        return self._carrier.conversations.enter(tenant, conversation, agent, run, request.user)

    async def subscribe(self, tenant: str, run: str, cursor: Cursor = BEGINNING) -> Subscription:
        """The run's frames behind `cursor`, to its end, wherever it is carried.

        Raises:
            NotFound: the tenant has no such run.
        """
        live = self._carrier.live
        if (tenant, run) not in live:
            await self._view(tenant, run)
        return Subscription(Source(self._store, live, lambda: self._draining, tenant, run), cursor)

    async def wait(self, tenant: str, run: str) -> RunResult:
        """The run's result once it has finished, or waits for a decision; whoever waits counts as a subscriber.

        Raises:
            NotFound: the tenant has no such run.
            StoreError: it has ended, or will, and that cannot be made durable now; `fields` name the run.
        """
        subscription = await self.subscribe(tenant, run)
        waits = False
        try:
            while not waits and (frames := await subscription.next(HEARTBEAT_S)) is not None:
                waits = any(frame.event == "decision.requested" for frame in frames) and await self.waits(tenant, run)
        finally:
            subscription.close()
        error = subscription.failure
        if error is not None:
            how = f"`golive runs show {run}` (GET /v1/runs/{run})"
            remedy = f"The run is not lost: ask for it later, with {how}, instead of sending it again."
            raise type(error)(error.message, remedy=remedy, **{**error.fields, "run": run})
        return await self.result(tenant, run)

    async def waits(self, tenant: str, run: str) -> bool:
        """Whether the run waits for a decision, once its other work of this step is done. Raises NotFound."""
        live = self._carrier.live.get((tenant, run))
        if live is not None:
            await live.ended
        return (await self.result(tenant, run)).state == "waiting"

    async def result(self, tenant: str, run: str) -> RunResult:
        """The run as it stands, also while it runs.

        Raises:
            NotFound: the tenant has no such run.
        """
        live = await self.carried(tenant, run)
        return live.journal.result() if live is not None else result_of(await self.state(tenant, run))

    async def owner_of(self, tenant: str, run: str) -> tuple[str, str | None]:
        """The agent, or `provider/model`, that a run is of, and the user whom it is for.

        Raises:
            NotFound: the tenant has no such run.
        """
        live = self._carrier.live.get((tenant, run))
        accepted = live.journal.state.accepted if live is not None else None
        if accepted is not None:
            return accepted.agent, accepted.user or None
        view = await self._view(tenant, run)
        return view.agent, view.user

    async def carried(self, tenant: str, run: str, *, surely: bool = False) -> LiveRun | None:
        """The run as it is carried here; None: it is not, or another server has shown that it has it now.

        Args:
            surely: also where the other one has written nothing yet.

        Raises:
            StoreUnavailable: nobody can tell, and this server's hold on its runs is over.
        """
        live = self._carrier.live.get((tenant, run))
        if live is None or not self._store.shared or not live.accepted.done():
            return live
        if live.lost:
            return None
        if live.journal.result().outcome is not None:
            return live  # its end stands in the journal, and is the last word
        try:
            if surely:
                elsewhere = await live.journal.fenced()
            else:
                row = await self._store.tenant(tenant).run(run)
                elsewhere = row is not None and row.epoch > live.journal.state.epoch
        except StoreUnavailable:
            if self._clock.monotonic() > self._carrier.place.begin_by():
                raise
            return live
        if elsewhere:
            live.let_go()
        return None if live.lost else live

    def lost(self) -> list[str]:
        """The runs that turned out, since the last call, to be other servers' by now."""
        lost, self._carrier.lost[:] = list(self._carrier.lost), []
        return lost

    async def state(self, tenant: str, run: str) -> RunState:
        """The run's durable state.

        Raises:
            NotFound: the tenant has no such run.
        """
        events = await self._store.tenant(tenant).events(run, 0, MAX_EVENTS)
        if not events:
            raise no_run(run)
        return RunState.of(events)

    async def decisions(
        self, tenant: str, run: str | None, pending: bool, before: str | None, limit: int
    ) -> list[DecisionRow]:
        """What people are, or were, to decide, newest first."""
        return await self._store.tenant(tenant).decisions(run=run, pending=pending, before=before, limit=limit)

    async def decisions_pending(self, tenant: str, most: int) -> int:
        """How many of them people are still to decide, counted up to `most`. Raises StoreUnavailable."""
        return len(await self.decisions(tenant, None, True, None, most))

    async def runs(self, tenant: str, where: RunFilter) -> list[RunView]:
        """Runs as lists show them, newest first."""
        return await self._store.tenant(tenant).runs(where)

    async def events(self, tenant: str, run: str, after_seq: int, limit: int) -> list[Event]:
        """The run's journal.

        Raises:
            NotFound: the tenant has no such run.
        """
        await self._view(tenant, run)
        return await self._store.tenant(tenant).events(run, after_seq, limit)

    def agents(self, tenant: str) -> list[AgentInfo]:
        """The tenant's agents."""
        return [version.info() for version in self._agents.all(tenant)]

    def open_runs(self) -> int:
        """How many are carried here."""
        return len(self._carrier.live)

    def open_of(self, tenant: str) -> int:
        """How many of them are the tenant's."""
        return self._carrier.live.of(tenant)

    def room(self) -> int:
        """How many more may be."""
        return 0 if self._draining else self._settings.max_open_runs - self.open_runs()

    def carries(self, version: str) -> bool:
        """Whether a run of the version with this digest is under way here."""
        return any(live.journal.state.version == version for live in self._carrier.live.values())

    def carries_run(self, tenant: str, run: str) -> bool:
        """Whether the run is under way here."""
        return (tenant, run) in self._carrier.live

    def followed(self) -> dict[tuple[str, str], LiveRun]:
        """The runs that go on here, by tenant and id."""
        return {key: live for key, live in self._carrier.live.items() if live.goes_on}

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def leaving(self) -> bool:
        """Whether load balancers are to send nothing more here, though it would still be accepted."""
        return self._leaving or self._draining

    def leave(self) -> None:
        """From now on `leaving`."""
        self._leaving = True

    async def drain(self, seconds: float) -> None:
        """Stops accepting, lets running runs finish for `seconds`, then lets go: the next server goes on."""
        self._draining = True
        await self._carrier.drain(seconds)

    def hurry(self) -> None:
        """Lets go of everything at once, so that a `drain` under way has nothing left to wait for."""
        self._draining = True
        self._carrier.hurry()

    async def _view(self, tenant: str, run: str) -> RunView:
        view = await self._store.tenant(tenant).run(run)
        if view is None:
            raise no_run(run)
        return view


def _limits(version: AgentVersion, request: RunRequest) -> Limits:
    """The version's limits, tightened by the request: a caller may ask for less, never for more."""
    limits = version.limits
    return Limits(
        min(limits.max_steps, request.max_steps or limits.max_steps),
        min(limits.deadline_s, request.deadline_s or limits.deadline_s),
        limits.max_tool_calls_per_step,
        limits.decide_s,
    )
