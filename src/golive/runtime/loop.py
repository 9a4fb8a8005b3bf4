"""The run loop: step decides, this performs, the journal remembers."""

from collections.abc import Callable
from typing import Any

import msgspec

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import GoliveError, InternalError, ModelError, StoreError
from golive.core.events import AlarmRaised, DecisionRequested, ModelFailed, RunFinished, RunStarted, StepStarted
from golive.core.messages import Message
from golive.memory.history import Past
from golive.models.call import CallContext, Metered, ModelRequest
from golive.runtime.agent import AgentVersion, Limits
from golive.runtime.attempt import ModelTurn
from golive.runtime.degrading import message, missing, settled
from golive.runtime.effects import Effects
from golive.runtime.interrupt import HANDED_OVER, Interrupted, Interruptible
from golive.runtime.journal import RunJournal
from golive.runtime.output import read_answer
from golive.runtime.place import Place
from golive.runtime.restored import question
from golive.runtime.shown import void_decisions
from golive.runtime.state import RunState
from golive.runtime.step import CallModel, CallTools, Finish, JudgeAnswer, Wait, after_error, cancellation, step
from golive.runtime.supervisor import Supervisor, tools_of
from golive.runtime.undoing import Undoing

ASIDE_SHARE = 0.2
"""Of the time that is left, the most that one call aside may take."""
CUT_OFF = "The server ended during the call: what it used is not known."


class RunLoop:
    """Carries one run from where its journal stands to its end."""

    def __init__(
        self,
        *,
        agent: AgentVersion,
        journal: RunJournal,
        limits: Limits,
        deadline: Deadline,
        interruptible: Interruptible,
        clock: Clock,
        place: Place,
        headers: tuple[tuple[str, str], ...],
    ) -> None:
        self._agent = agent
        self._journal = journal
        self._state = journal.state
        self._limits = limits
        self._deadline = deadline
        self._interruptible = interruptible
        self._clock = clock
        self._place = place
        self._headers = headers
        self._effects = Effects(
            agent, journal, interruptible, deadline, clock, place, limits.max_tool_calls_per_step, limits.decide_s,
        )  # fmt: skip
        self._undoing = Undoing(agent, journal, self._effects, interruptible, clock)
        self._past = Past()
        routing = agent.routing
        self._supervisor: Supervisor | None = None
        if routing is not None:
            self._supervisor = Supervisor(
                agent, routing, journal, interruptible, self._aside_context, limits.max_steps, headers
            )  # fmt: skip

    @property
    def summarises(self) -> bool:
        """Whether a summary stands for what it condensed; without the policy the turns themselves count."""
        return self._agent.routing is not None and self._agent.routing.summarise_over is not None

    async def run(self, past: Past) -> None:
        """Runs to the end, or until a person must decide or another server is to go on; that is durable on return.

        Raises:
            StoreError: it could not be made durable.
        """
        if self._settle_the_past():
            await self._journal.flush()
            return
        waited_ms = (self._clock.now() - self._state.created_at) * 1000 if self._state.created_at else 0.0
        name = self._agent.version_name
        self._journal.note(
            RunStarted(
                self._place.holder, round(max(0.0, waited_ms), 3), generation=self._place.generation,
                version_name="" if name == self._state.version_name else name,
            )
        )  # fmt: skip
        if self._state.epoch > 1:
            await self._journal.flush()  # who follows the run sees at once that it goes on
        try:
            self._past = past
            finish = await self._until_finished()
        except Interrupted as interrupted:
            finish = ended_by(interrupted.reason, self._state)
        except GoliveError as error:
            if isinstance(error, StoreError) and not self._journal.accepted:
                raise  # whoever asked is told that there is no run, and so there must not be one later
            if isinstance(error, InternalError):
                self._place.faults(self._state.run, error)
            finish = after_error(error, self._state, self._limits.deadline_s)
        except Exception as error:
            self._place.faults(self._state.run, error)
            finish = after_error(InternalError(str(error)), self._state, self._limits.deadline_s)
        if finish is not None:
            await self.end(finish)
        await self._journal.flush()

    def _settle_the_past(self) -> bool:
        """Notes what a takeover finds open; whether a person must decide before anything else happens."""
        state, now = self._state, self._clock.now()
        if (call := state.attempt) is not None:
            self._journal.note(ModelFailed(call.step, call.attempt, call.target, "interrupted", CUT_OFF, priced=False))
        restored = state.generation < self._place.generation and (state.effects or self._agent.toolset.specs)
        if not restored or "restored" in state.decided:
            return False
        if not state.undecided:
            self._journal.note(
                DecisionRequested(
                    id=self._place.ids.new("dec"), about="restored", choices=("continue", "end"), default="end",
                    asked_at=now, expires_at=now + self._limits.decide_s, question=question(state),
                )
            )  # fmt: skip
        return True

    async def end(self, finish: Finish) -> None:
        """Takes effects back where whoever cancelled the run asked for it, and notes its end.

        There is no end yet where the run is handed over in the middle of that. Raises StoreError.
        """
        cancel = self._state.cancel
        if cancel is not None and cancel.undo:
            try:
                await self._undoing.take_back()
            except Interrupted:
                return
            except StoreError:
                raise
            except GoliveError as error:
                self._place.faults(self._state.run, error)
        self.finish(finish)

    def finish(self, finish: Finish) -> None:
        """Notes the run's end."""
        state = self._state
        for void in void_decisions(state, self._clock.now()):
            self._journal.note(void)
        output, finish = self._output(finish)
        finish = settled(finish, state, self._agent.critical)
        self._journal.note(
            RunFinished(
                finish.outcome,
                finish.reason,
                message(finish, state, self._agent.messages),
                output,
                state.usage,
                state.cost_microusd,
                state.steps,
                round((self._clock.now() - state.created_at) * 1000, 3),
                state.estimated,
                missing(finish, state),
                finish.retry_after_s,
            )
        )

    def _output(self, finish: Finish) -> tuple[Any, Finish]:
        """The parsed answer where a schema was declared; one that does not follow it is not passed off as whole."""
        tier = self._agent.tiers[self._agent.default_tier]
        if tier.output_schema is None or finish.outcome != "completed":
            return None, finish
        output, wrong = read_answer(self._state.messages[-1].text(), tier.output_schema)
        if not wrong:
            return output, finish
        self._journal.note(AlarmRaised("output.invalid", wrong, {"agent": self._agent.name}))
        return None, Finish("partial", "output_invalid", "output_invalid")

    async def _until_finished(self) -> Finish | None:
        """None: a person is to decide something first."""
        while True:
            action = step(self._state, self._limits)
            match action:
                case Finish():
                    return action
                case CallModel():
                    await self._call_model(action)
                case CallTools():
                    await self._effects.carry_out(action)
                case Wait():
                    return None
                case JudgeAnswer():
                    assert self._supervisor is not None, "nothing is held back without a judge"
                    await self._supervisor.judge(self._before())
            if self._clock.monotonic() >= self._deadline.at and self._state.cancel is None:
                raise self._deadline.error()

    def _before(self) -> tuple[Message, ...]:
        """What stands before the run's own messages."""
        return (self._agent.system(), *self._past.messages())

    async def _call_model(self, action: CallModel) -> None:
        again, said, attempts = self._state.again, "", 0
        if again:
            said, attempts = self._state.said, self._state.attempts
        tier_name, tools, held = self._agent.default_tier, self._agent.toolset.specs, False
        supervisor = self._supervisor
        if supervisor is not None:
            routed = await supervisor.route(action.step)
            tier_name, tools, held = routed.tier, tools_of(routed, tools), supervisor.holds(routed)
            if routed.route == "strong":
                self._past = await supervisor.condense(action.step, self._past)
        tier = self._agent.tiers[tier_name]
        if not again:
            self._journal.note(StepStarted(action.step, tier_name))
        request = ModelRequest(
            messages=(*self._before(), *self._state.messages),
            tools=tools,
            output_schema=tier.output_schema,
            max_output_tokens=tier.max_output_tokens,
            temperature=tier.temperature,
            reasoning_effort=tier.reasoning_effort,
            headers=self._headers,
        )
        turn = ModelTurn(self._journal, self._interruptible, action.step, held=held, begun=bool(said))
        context = msgspec.structs.replace(self._context(turn.abandoned, unseen=held), said=said, attempts=attempts)
        before_it = self._state.answer
        try:
            await turn.carry_out(tier.call, request, context)
        except ModelError:
            routed_to = self._state.routed
            if (
                supervisor is None
                or routed_to is None
                or routed_to.route == "strong"
                or self._state.answer != before_it
            ):
                raise
            supervisor.hand_over(action.step + 1, "cheap_failed")

    def _context(self, abandoned: Callable[[Metered], None], *, unseen: bool = True) -> CallContext:
        """`unseen`: nobody is shown what the call says, so that all of it can be taken back."""
        return CallContext(
            self._deadline, self._state.run, self._state.tenant, abandoned, version=self._state.version,
            retracts="tools" if self._state.unbroken and not unseen else "all",
        )  # fmt: skip

    def _aside_context(self, abandoned: Callable[[Metered], None], seconds: float) -> CallContext:
        """That of a call the answer can do without: most of the time that is left is the answer's."""
        seconds = min(seconds, ASIDE_SHARE * self._deadline.remaining(self._clock))
        deadline = Deadline.after(self._clock, seconds, "routing.wait_s")
        return msgspec.structs.replace(self._context(abandoned), deadline=deadline)


def ended_by(reason: str, state: RunState) -> Finish | None:
    """How a run ends that was stopped from outside; None: it does not end, and another server goes on with it."""
    if reason == HANDED_OVER:
        return None
    if reason == "disconnected":
        return Finish("cancelled", "disconnected", "disconnected")
    return cancellation(state.cancel)


def left_behind(_: RunState) -> Finish:
    """How a run ends that a server has left and that nobody can go on with."""
    return Finish("failed", "interrupted", "interrupted")
