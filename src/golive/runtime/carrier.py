"""The runs under way in this process: begun here, taken over from a server that has ended, or handed over to the next.

Owns their tasks, their turns in conversations and what becomes of a run whose journal takes nothing more. What one run
does is `loop.py`'s; who asks for runs is `service.py`'s.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import (
    Conflict,
    ContentErased,
    ConversationBusy,
    DeadlineExceeded,
    Fenced,
    GoliveError,
    InternalError,
    ShuttingDown,
    StoreError,
    StoreUnavailable,
)
from golive.core.events import (
    AlarmRaised,
    Body,
    CancelRequested,
    DecisionMade,
    DecisionRequested,
    ModelFailed,
    OnDisconnect,
)
from golive.core.tasks import Tasks
from golive.memory.history import Past
from golive.runtime.agent import Agents, AgentVersion, Limits
from golive.runtime.conversations import Conversations, Turn, past
from golive.runtime.ending import MAX_EVENTS, Ender
from golive.runtime.interrupt import HANDED_OVER, Interrupted
from golive.runtime.journal import Announce, Observer, RunJournal
from golive.runtime.live import LiveRun, LiveRuns
from golive.runtime.loop import CUT_OFF, RunLoop, ended_by, left_behind
from golive.runtime.place import Place, RuntimeSettings
from golive.runtime.state import RunState
from golive.runtime.step import Finish, after_error, cancellation
from golive.runtime.words import Messages
from golive.store.ports import Lease, Store

SHUTDOWN_S, HURRY_S = 5.0, 1.0
"""How long runs may take to let go once they are to be handed over; the same after `hurry`."""
NOBODY = ""
"""The holder of a run that was let go of: others claim it at once."""
_NOT_UNDONE = "Nothing of what this run did was taken back: no server has the version that did it any more."
_GONE = (
    "No server has the version of {agent} any more with which this run began. continue: go on with the version that "
    "answers now; end: end it here."
)


class Carrier:
    """Carries runs, each in a task of its own."""

    def __init__(
        self, *, store: Store, agents: Agents, clock: Clock, place: Place, settings: RuntimeSettings,
        observer: Observer, announce: Announce,
    ) -> None:  # fmt: skip
        self.live = LiveRuns()
        self.lost: list[str] = []
        self.conversations = Conversations(settings.conversation_queue)
        self.place = place
        self._store = store
        self._agents = agents
        self._clock = clock
        self._settings = settings
        self._observer = observer
        self._announce = announce
        self._ender = Ender(store, clock, place.holder, observer, announce)
        self._tasks = Tasks("runs")
        self._hurried: Deadline | None = None
        self._ending = False

    # ---- begun here, or taken over -----------------------------------------------------------------------------------

    def prepare(
        self, lease: Lease, state: RunState, policy: OnDisconnect, version: AgentVersion, limits: Limits,
        remaining_s: float, headers: tuple[tuple[str, str], ...] = (),
    ) -> tuple[LiveRun, RunLoop, Deadline]:  # fmt: skip
        """What carries a run from where its state stands; nothing is under way yet."""
        live = LiveRun(lease.run, policy, self._settings.disconnect_grace_s, state.pos, lease.epoch)
        live.on_lost = self.lost.append

        def observed(state: RunState, bodies: list[Body]) -> None:
            live.tell_accepted()
            self._observer(state, bodies)

        live.journal = RunJournal(
            store=self._store,
            lease=lease,
            state=state,
            log=live.log,
            clock=self._clock,
            tasks=self._tasks,
            observer=observed,
            announce=self._announce,
            patience_s=self._settings.store_patience_s,
            lapses=self.place.lapses,
        )
        live.journal.in_line = state.accepted is not None and state.accepted.conversation is not None
        deadline = Deadline(self._clock.monotonic() + remaining_s, "limits.deadline_s", limits.deadline_s)
        loop = RunLoop(
            agent=version, journal=live.journal, limits=limits, deadline=deadline, interruptible=live.interruptible,
            clock=self._clock, place=self.place, headers=headers,
        )  # fmt: skip
        return live, loop, deadline

    def carry(self, live: LiveRun, loop: RunLoop, deadline: Deadline, turn: Turn | None) -> None:
        """Begins to carry the run."""
        state = live.journal.state
        if (before := self.live.get((state.tenant, state.run))) is not None and before is not live:
            before.on_lost = None  # it is ours again, from another server or from ourselves
            before.let_go()
        self.live[state.tenant, state.run] = live
        self._tasks.start(self._carry(live, loop, deadline, turn), live.run)
        self._store.nudge(state.tenant, state.run)  # who follows its journal, follows it live from now on

    async def take_over(self, lease: Lease, before: Callable[[RunState], Sequence[Body]] = lambda _: ()) -> None:
        """Goes on with a run that this process has just taken the lease of.

        A run that nobody here can go on with waits for a decision, or ends.

        Args:
            before: what is noted before anything else; may refuse by raising.

        Raises:
            StoreError: its journal cannot be read or written now; nothing was begun.
        """
        state = RunState.of(await self._store.tenant(lease.tenant).events(lease.run, 0, MAX_EVENTS))
        accepted = state.known()
        if state.finished is not None:
            return
        if accepted.source == "relay":
            await self._ender.end_held(lease, left_behind, CUT_OFF)
            return
        first = before(state)
        version = self._version(state, first)
        if version is None:
            await self._without_version(lease, state, first)
            return
        state.version = version.digest
        limits = Limits(
            accepted.max_steps, accepted.deadline_s, version.limits.max_tool_calls_per_step, version.limits.decide_s
        )
        remaining_s = max(0.0, limits.deadline_s - state.ran_s)
        decided = any(isinstance(body, DecisionMade) for body in first)  # and then nobody need follow it
        policy = "continue" if decided else accepted.on_disconnect
        live, loop, deadline = self.prepare(lease, state, policy, version, limits, remaining_s)
        for body in first:
            live.journal.note(body)
        await live.journal.flush()
        if state.at_rest:
            return  # something else is still to be decided
        live.tell_accepted()
        if accepted.conversation is not None:
            await live.journal.show()  # it does not speak now
        if self._ending:
            return  # whoever goes on with all that is ours goes on with this
        turn = None
        if accepted.conversation is not None:
            begun, who = state.started_at is not None, accepted.agent
            turn = self.conversations.come_back(
                lease.tenant, accepted.conversation, who, lease.run, begun=begun, user=accepted.user or None
            )
        self.carry(live, loop, deadline, turn)
        live.look_for_readers()

    def _version(self, state: RunState, first: Sequence[Body]) -> AgentVersion | None:
        """The version to go on with: the run's own, or the one that answers now where that was decided."""
        own = self._agents.of_digest(state.version)
        if own is not None:
            return own
        made = [*state.decided.values(), *(body for body in first if isinstance(body, DecisionMade))]
        asked = {request.id for request in state.asked.values() if request.about == "version_gone"}
        if self._settings.moves_on or any(one.choice == "continue" and one.id in asked for one in made):
            return self._agents.of_name(state.tenant, state.known().agent)
        return None

    async def _without_version(self, lease: Lease, state: RunState, first: Sequence[Body]) -> None:
        """Nobody can tell what another version would do: a person is asked, or the run ends."""
        accepted = state.known()
        now = self._agents.of_name(state.tenant, accepted.agent)
        words = now.messages if now is not None else {}
        cancelled = next((body for body in first if isinstance(body, CancelRequested)), state.cancel)
        if cancelled is not None:
            await self._cancel_without(lease, state, first, cancelled, words)
            return
        decided = any(isinstance(body, DecisionMade) for body in first)
        if decided or now is None or accepted.on_disconnect == "cancel":
            await self._ender.end_held(lease, left_behind, CUT_OFF, first=first, messages=words)
            return
        journal = self._unseen(lease, state)
        if (call := state.attempt) is not None:
            journal.note(ModelFailed(call.step, call.attempt, call.target, "interrupted", CUT_OFF, priced=False))
        if not state.undecided:
            at = self._clock.now()
            journal.note(
                DecisionRequested(
                    id=self.place.ids.new("dec"), about="version_gone", choices=("continue", "end"), default="end",
                    asked_at=at, expires_at=at + now.limits.decide_s, question=_GONE.format(agent=accepted.agent),
                )
            )  # fmt: skip
        await journal.flush()

    def _unseen(self, lease: Lease, state: RunState) -> RunJournal:
        """The journal of a run that nobody can follow live here."""
        return RunJournal(
            store=self._store, lease=lease, state=state, log=None, clock=self._clock, tasks=self._tasks,
            observer=self._observer, announce=self._announce,
        )  # fmt: skip

    async def _cancel_without(
        self, lease: Lease, state: RunState, first: Sequence[Body], cancelled: CancelRequested, words: Messages
    ) -> None:
        """Ends the run; where effects are to be taken back, whoever serves its version is let try first."""
        done = [record for record in state.effects.values() if record.finished is None or record.finished.ok]
        undo = cancelled.undo and bool(done)  # also of a call of which nobody knows yet
        if undo and cancelled in first:
            journal = self._unseen(lease, state)
            for body in first:
                journal.note(body)
            await journal.flush()
            await self._store.acquire(lease.tenant, lease.run, NOBODY)
            return
        end = cancellation(cancelled)
        told = [*first, AlarmRaised("undo.impossible", _NOT_UNDONE)] if undo else first
        await self._ender.end_held(lease, lambda _: end, CUT_OFF, first=told, messages=words)

    # ---- to its end --------------------------------------------------------------------------------------------------

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
                live.close(self._gone_on(live))
        except Exception as error:
            if not live.accepted.done() and isinstance(error, ConversationBusy):
                live.close(error)
            elif not (isinstance(error, Conflict) and await self._goes_on_behind(live, error)):
                if not isinstance(error, Fenced | ContentErased):
                    self.place.faults(state.run, error)
                await self._end_anew(live, error)
        finally:
            if turn is not None:
                self.conversations.leave(turn)
            if self.live.get((state.tenant, state.run)) is live:
                del self.live[state.tenant, state.run]
            live.ended.set_result(None)

    def _gone_on(self, live: LiveRun) -> GoliveError | None:
        """What readers are told here of a run that goes on after this server."""
        if live.journal.state.at_rest or not self._ending:
            return None
        return ShuttingDown(
            "This server is shutting down; the run goes on.",
            remedy=f"Follow it again: `golive runs tail {live.run}` (GET /v1/runs/{live.run}/events, Last-Event-ID).",
        )

    async def _goes_on_behind(self, live: LiveRun, error: Conflict) -> bool:
        """After a conflict under our own epoch. Nobody else writes under it: a write of ours stands whose answer was
        lost, and we take the run over from ourselves. False: no such write explains it.
        """
        if not live.accepted.done():
            return False
        journal, tenant, run = live.journal, live.journal.state.tenant, live.journal.state.run
        cancel = journal.state.cancel

        def first(state: RunState) -> list[Body]:
            if state.seq <= journal.durable_seq:
                raise error
            return [cancel] if cancel is not None and state.cancel is None else []

        try:
            if not self._ending and (lease := await self._store.acquire(tenant, run, self.place.holder)) is not None:
                await self.take_over(lease, first)
        except StoreError as again:
            if again is error:
                return False
            # What is ours and carried by nobody is found (`Holding`); what another has taken is carried there.
        live.close_to_journal()
        return True

    async def _end_anew(self, live: LiveRun, error: Exception) -> None:
        """The run's journal takes nothing more: the run ends as `failed` from what is durable, as the store takes it.

        Who follows it is told that end out of the store; and the error only where there is no end yet. A run that
        another server has taken over is left to it.
        """
        tenant, run = live.journal.state.tenant, live.journal.state.run
        told = error if isinstance(error, GoliveError) else InternalError("The run could not be ended.")
        if not live.accepted.done():  # there is no run
            live.close(told)
            return
        if isinstance(error, Fenced | ContentErased):  # who erased it removes what stands
            live.let_go()
            return
        try:
            await self._ender.end_failed(tenant, run, error)
        except StoreUnavailable:
            live.close(told)
            await self._ender.end_failed_in_time(tenant, run, error)
        except Exception as again:
            self.place.faults(run, again)
            live.close(told)
        else:
            live.close_to_journal()

    async def _to_its_end(self, live: LiveRun, loop: RunLoop, deadline: Deadline, turn: Turn | None) -> None:
        """Raises StoreError when the run's end cannot be made durable; a fault of our own ends the run as `failed`."""
        try:
            before = Past()
            early: Finish | None = None
            if turn is not None:
                await live.accept()
                ready = await self._wait_for_turn(live, deadline, turn, loop.summarises)
                if ready is None:
                    return
                before, early = ready
            if early is None:
                await loop.run(before)
                return
        except (StoreError, ConversationBusy):
            raise
        except Exception as error:
            self.place.faults(live.run, error)
            early = after_error(InternalError(str(error)), live.journal.state, deadline.seconds)
        if live.journal.state.finished is None:
            await loop.end(early)
        await live.journal.flush()

    async def _wait_for_turn(
        self, live: LiveRun, deadline: Deadline, turn: Turn, summarised: bool
    ) -> tuple[Past, Finish | None] | None:
        """What the conversation was before, or how the run ends without it; None: it goes on elsewhere."""
        tenant, conversation = turn.key
        try:
            async with deadline.enforced(self._clock):
                while not turn.speaks:
                    await live.interruptible.wait(turn.ready)
                    if self._store.shared:
                        await live.interruptible.wait(self.conversations.others_first(self._store, turn))
                    if not self.conversations.speak(turn) or not self._store.shared:
                        continue
                    turn.speaks = await live.interruptible.wait(self.conversations.take(turn, live.journal.take_turn))
                live.journal.in_line = False
            store = self._store.tenant(tenant)
            return await past(store, conversation, live.run, summarised=summarised, user=turn.user), None
        except Interrupted as interrupted:
            finish = ended_by(interrupted.reason, live.journal.state)
            return None if finish is None else (Past(), finish)
        except DeadlineExceeded as error:
            return Past(), after_error(error, live.journal.state, deadline.seconds)
        except StoreError as error:  # the past cannot be read; the run's own journal may well take its end
            self.place.faults(live.run, error)
            return Past(), after_error(error, live.journal.state, deadline.seconds)

    # ---- the end of this server --------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Lets runs finish for `seconds`, then lets go of the rest: whoever comes next goes on with them."""
        with suppress(DeadlineExceeded):
            async with Deadline.after(self._clock, seconds, "server.drain_s").enforced(self._clock):
                await self._idle()
        self._hand_over()
        with suppress(DeadlineExceeded):
            last = self._hurried or Deadline.after(self._clock, SHUTDOWN_S, "shutdown")
            async with last.enforced(self._clock):
                await self._idle()
        await self._tasks.close()

    def hurry(self) -> None:
        """Lets go of everything at once, so that a `drain` under way has nothing left to wait for."""
        self._hurried = self._hurried or Deadline.after(self._clock, HURRY_S, "shutdown")
        self._hand_over()

    def _hand_over(self) -> None:
        self._ending = True
        for live in list(self.live.values()):
            live.interruptible.interrupt(HANDED_OVER)

    async def _idle(self) -> None:
        while self.live:
            await asyncio.wait([live.ended for live in self.live.values()], return_when=asyncio.FIRST_COMPLETED)
