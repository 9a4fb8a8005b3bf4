"""The runtime as the faces of the server see it: start a run, watch it, ask for it, stop it."""

import asyncio
from contextlib import suppress

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import (
    Conflict,
    DeadlineExceeded,
    Fenced,
    GoliveError,
    InternalError,
    InvalidRequest,
    NotFound,
    Overloaded,
    ShuttingDown,
    StoreError,
    StoreUnavailable,
)
from golive.core.events import Body, CancelRequested, Event, RunAccepted
from golive.core.frames import Cursor
from golive.core.ids import Ids
from golive.core.tasks import Tasks
from golive.memory.history import Past
from golive.runtime.agent import Agents, AgentVersion, Limits
from golive.runtime.api import AgentInfo, RunRequest, RunResult
from golive.runtime.conversations import Conversations, Turn, past
from golive.runtime.ending import MAX_EVENTS, Ender
from golive.runtime.interrupt import Interrupted
from golive.runtime.journal import Announce, Observer, RunJournal, unannounced
from golive.runtime.live import LiveRun
from golive.runtime.loop import FaultLog, RunLoop, ended_by
from golive.runtime.state import RunState
from golive.runtime.step import Finish, after_error
from golive.runtime.stream import Subscription
from golive.store.ports import Lease, RunFilter, RunView, Store

BEGINNING = Cursor()
SHUTDOWN_S = 5.0
"""How long runs may take to end once they are interrupted."""
HURRY_S = 1.0
"""The same after `hurry`."""


class RuntimeSettings:
    """Named maxima and graces, from [server]."""

    def __init__(self, *, holder: str, max_open_runs: int, conversation_queue: int, disconnect_grace_s: float) -> None:
        self.holder = holder
        self.max_open_runs = max_open_runs
        self.conversation_queue = conversation_queue
        self.disconnect_grace_s = disconnect_grace_s


class Runtime:
    """Carries the runs of this process."""

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
    ) -> None:
        self._store = store
        self._agents = agents
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._observer = observer
        self._faults = faults
        self._announce = announce
        self._ender = Ender(store, clock, settings.holder, observer, announce)
        self._live: dict[tuple[str, str], LiveRun] = {}
        self._conversations = Conversations(settings.conversation_queue)
        self._tasks = Tasks("runs")
        self._draining = False
        self._hurried: Deadline | None = None

    async def start(self, request: RunRequest, run: str = "") -> str:
        """Accepts a run; it is durable, and under way, on return.

        Args:
            run: its id, where it is not to be a new one: a run of that id that there is already counts as accepted.

        Raises:
            NotFound, InvalidRequest, ConversationBusy, Overloaded, ShuttingDown, StoreUnavailable: there is no run.
        """
        tenant = request.principal.tenant
        if run and await self._store.tenant(tenant).run(run) is not None:
            return run
        version = self._agents.get(tenant, request.agent)
        self._admit(request)
        limits = _limits(version, request)
        turn = await self._turn(tenant, version.name, request.conversation)
        given, run = run, run or self._ids.new("run")
        policy = request.on_disconnect or ("continue" if request.background else version.on_disconnect)
        live = LiveRun(run, policy, self._settings.disconnect_grace_s)
        state = RunState(tenant, run, version.digest)
        state.epoch = 1

        def observed(state: RunState, bodies: list[Body]) -> None:
            live.tell_accepted()
            self._observer(state, bodies)

        live.journal = RunJournal(
            store=self._store,
            lease=Lease(tenant, run, 1, self._settings.holder),
            state=state,
            log=live.log,
            clock=self._clock,
            tasks=self._tasks,
            observer=observed,
            announce=self._announce,
        )
        accepted = RunAccepted(
            version.name, version.version_name, "agent", request.input, request.conversation, request.principal.id,
            limits.deadline_s, limits.max_steps, policy, request.metadata, request.unbroken,
            version.language(request.languages), request.schedule,
        )  # fmt: skip
        live.journal.note(accepted)
        deadline = Deadline.after(self._clock, limits.deadline_s, "limits.deadline_s")
        loop = RunLoop(
            agent=version, journal=live.journal, limits=limits, deadline=deadline, interruptible=live.interruptible,
            clock=self._clock, holder=self._settings.holder, headers=request.headers, faults=self._faults,
        )  # fmt: skip
        if given and not await self._accepted_now(live, turn):
            return run
        self._live[tenant, run] = live
        self._tasks.start(self._carry(live, loop, deadline, turn), run)
        await asyncio.shield(live.accepted)
        return run

    async def _accepted_now(self, live: LiveRun, turn: Turn | None) -> bool:
        """Makes the acceptance durable before anything else; False: another process was quicker to do so."""
        try:
            await live.accept()
            return True
        except BaseException as error:
            if turn is not None:
                self._conversations.leave(turn)
            if isinstance(error, Conflict | Fenced):
                return False
            raise

    def _admit(self, request: RunRequest) -> None:
        if self._draining:
            raise ShuttingDown("This server is shutting down.", remedy="Send the request again; another one answers.")
        if len(self._live) >= self._settings.max_open_runs:
            raise Overloaded(
                f"{len(self._live)} runs are open, the most this server carries.",
                remedy="Try again in a moment, or raise server.max_open_runs.",
            )
        for place, message in enumerate(request.input):
            if not message.content:
                field = f"input[{place}].content"
                raise InvalidRequest(f"{field} is empty.", remedy="Send a text.", field=field, value="")
        if not request.input:
            raise InvalidRequest(
                "input is empty.", remedy="Send a text or at least one message.", field="input", value=[]
            )

    async def _turn(self, tenant: str, agent: str, conversation: str | None) -> Turn | None:
        if conversation is None:
            return None
        before = await self._store.tenant(tenant).runs(RunFilter(conversation=conversation, limit=1))
        # Of a conversation that has just begun the store may know nothing yet.
        owner = self._conversations.agent(tenant, conversation) or (before[0].agent if before else agent)
        if owner != agent:
            raise InvalidRequest(
                f"conversation {conversation!r} belongs to agent {owner!r}.",
                remedy="Use another conversation_id for each agent.",
                field="conversation_id",
                value=conversation,
            )
        return self._conversations.enter(tenant, conversation, agent)

    async def _carry(self, live: LiveRun, loop: RunLoop, deadline: Deadline, turn: Turn | None) -> None:
        state = live.journal.state
        try:
            try:
                await self._to_its_end(live, loop, deadline, turn)
            except StoreUnavailable as error:
                accepted = live.accepted.done()
                live.close(error)
                if accepted:
                    await live.journal.flush_in_time()
            else:
                live.close(None)
        except Exception as error:
            self._faults(state.run, error)
            await self._end_anew(live, error)
        finally:
            if turn is not None:
                self._conversations.leave(turn)
            self._live.pop((state.tenant, state.run), None)
            live.ended.set_result(None)

    async def _end_anew(self, live: LiveRun, error: Exception) -> None:
        """The run's journal takes nothing more: the run ends as `failed` from what is durable, as the store takes it.

        Who follows it is told that end out of the store; and the error only where there is no end yet.
        """
        tenant, run = live.journal.state.tenant, live.journal.state.run
        told = error if isinstance(error, GoliveError) else InternalError("The run could not be ended.")
        if not live.accepted.done() or isinstance(error, Fenced):  # there is no run, or it is another's
            live.close(told)
            return
        try:
            await self._ender.end_failed(tenant, run, error)
        except StoreUnavailable:
            live.close(told)
            await self._ender.end_failed_in_time(tenant, run, error)
        except Exception as again:
            self._faults(run, again)
            live.close(told)
        else:
            live.log.close_to_journal()

    async def _to_its_end(self, live: LiveRun, loop: RunLoop, deadline: Deadline, turn: Turn | None) -> None:
        """Raises StoreError when the run's end cannot be made durable; a fault of our own ends the run as `failed`."""
        try:
            before = Past()
            early: Finish | None = None
            if turn is not None:
                await live.accept()
                before, early = await self._wait_for_turn(live, deadline, turn, loop.summarises)
            if early is None:
                await loop.run(before)
                return
        except StoreError:
            raise
        except Exception as error:
            self._faults(live.run, error)
            early = after_error(InternalError(str(error)), live.journal.state, deadline.seconds)
        if live.journal.state.finished is None:
            loop.finish(early)
        await live.journal.flush()

    async def _wait_for_turn(
        self, live: LiveRun, deadline: Deadline, turn: Turn, summarised: bool
    ) -> tuple[Past, Finish | None]:
        tenant, conversation = turn.key
        try:
            async with deadline.enforced(self._clock):
                await live.interruptible.wait(turn.ready)
            return await past(self._store.tenant(tenant), conversation, live.run, summarised=summarised), None
        except Interrupted as interrupted:
            return Past(), ended_by(interrupted.reason, live.journal.state)
        except DeadlineExceeded as error:
            return Past(), after_error(error, live.journal.state, deadline.seconds)
        except StoreError as error:  # the past cannot be read; the run's own journal may well take its end
            self._faults(live.run, error)
            return Past(), after_error(error, live.journal.state, deadline.seconds)

    async def subscribe(self, tenant: str, run: str, cursor: Cursor = BEGINNING) -> Subscription:
        """The run's frames behind `cursor`, to its end.

        Raises:
            NotFound: the tenant has no such run.
        """
        live = self._live.get((tenant, run))
        if live is None:
            await self._view(tenant, run)
            live = self._live.get((tenant, run))

        async def read() -> list[Event]:
            return await self._store.tenant(tenant).events(run, 0, MAX_EVENTS)

        if live is None:
            return Subscription(read, cursor, None, 0)
        return Subscription(read, cursor, live.log.subscribe(), live.log.last_pos)

    async def wait(self, tenant: str, run: str) -> RunResult:
        """The run's result once it has finished; whoever waits counts as a subscriber.

        Raises:
            NotFound: the tenant has no such run.
            StoreError: it has ended, or will, and that cannot be made durable now; `fields` name the run.
        """
        subscription = await self.subscribe(tenant, run)
        try:
            while await subscription.next(3600.0) is not None:
                pass
        finally:
            subscription.close()
        error = subscription.failure
        if error is not None:
            remedy = f"The run is not lost: ask for it later, with GET /v1/runs/{run}, instead of sending it again."
            raise type(error)(error.message, remedy=remedy, **{**error.fields, "run": run})
        return await self.result(tenant, run)

    async def result(self, tenant: str, run: str) -> RunResult:
        """The run as it stands, also while it runs.

        Raises:
            NotFound: the tenant has no such run.
        """
        live = self._live.get((tenant, run))
        if live is not None:
            return live.journal.result()
        events = await self._store.tenant(tenant).events(run, 0, MAX_EVENTS)
        if not events:
            raise _no_run(run)
        return RunState.of(events).result()

    async def cancel(self, tenant: str, run: str, by: str, reason: str) -> RunResult:
        """Asks the run to end as `cancelled`; its text stays. Finished runs are left as they are.

        Raises:
            NotFound: the tenant has no such run.
        """
        live = self._live.get((tenant, run))
        if live is not None and live.journal.state.finished is None:
            live.journal.note(CancelRequested(by, reason))
            live.interruptible.interrupt("cancelled")
            await self.wait(tenant, run)
        return await self.result(tenant, run)

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
        return len(self._live)

    def carries(self, version: str) -> bool:
        """Whether a run of the version with this digest is under way here."""
        return any(live.journal.state.version == version for live in self._live.values())

    @property
    def draining(self) -> bool:
        return self._draining

    async def drain(self, seconds: float) -> None:
        """Stops accepting, lets running runs finish for `seconds`, then ends the rest as `interrupted`."""
        self._draining = True
        with suppress(DeadlineExceeded):
            async with Deadline.after(self._clock, seconds, "server.drain_s").enforced(self._clock):
                await self._idle()
        self._interrupt()
        with suppress(DeadlineExceeded):
            last = self._hurried or Deadline.after(self._clock, SHUTDOWN_S, "shutdown")
            async with last.enforced(self._clock):
                await self._idle()
        await self._tasks.close()

    def hurry(self) -> None:
        """Ends what is open as `interrupted` at once, so that a `drain` under way has nothing left to wait for."""
        self._draining = True
        self._hurried = self._hurried or Deadline.after(self._clock, HURRY_S, "shutdown")
        self._interrupt()

    def _interrupt(self) -> None:
        for live in list(self._live.values()):
            live.interruptible.interrupt("interrupted")

    async def _idle(self) -> None:
        while self._live:
            await asyncio.wait([live.ended for live in self._live.values()], return_when=asyncio.FIRST_COMPLETED)

    async def _view(self, tenant: str, run: str) -> RunView:
        view = await self._store.tenant(tenant).run(run)
        if view is None:
            raise _no_run(run)
        return view


def _no_run(run: str) -> GoliveError:
    return NotFound(f"There is no run {run!r}.", remedy="List runs with GET /v1/runs.", field="run", value=run)


def _limits(version: AgentVersion, request: RunRequest) -> Limits:
    """The version's limits, tightened by the request: a caller may ask for less, never for more."""
    limits = version.limits
    return Limits(
        min(limits.max_steps, request.max_steps or limits.max_steps),
        min(limits.deadline_s, request.deadline_s or limits.deadline_s),
        limits.max_tool_calls_per_step,
    )
