"""The run loop: step decides, this performs, the journal remembers."""

from collections.abc import Callable
from typing import Any

import msgspec

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import GoliveError, InternalError, ModelError, StoreError, ToolError
from golive.core.events import RunFinished, RunStarted, StepStarted, ToolFinished, ToolStarted
from golive.core.messages import Message, ToolCall
from golive.core.tasks import Tasks, uncancelled
from golive.memory.history import Past
from golive.models.call import CallContext, Metered, ModelRequest
from golive.runtime.agent import AgentVersion, Limits
from golive.runtime.attempt import ModelTurn
from golive.runtime.degrading import message, missing, settled
from golive.runtime.interrupt import Interrupted, Interruptible
from golive.runtime.journal import RunJournal
from golive.runtime.perform import Diverged, Done, Effect, Unknown, perform
from golive.runtime.state import EffectRecord, RunState
from golive.runtime.step import CallModel, CallTools, Finish, JudgeAnswer, after_error, step
from golive.runtime.supervisor import Supervisor, tools_of
from golive.tools.toolset import ToolInvocation

ASIDE_SHARE = 0.2
"""Of the time that is left, the most that one call aside may take."""

FaultLog = Callable[[str, BaseException], None]
"""Takes (run, exception) for faults of golive's own, which users are not shown."""


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
        holder: str,
        headers: tuple[tuple[str, str], ...],
        faults: FaultLog,
    ) -> None:
        self._agent = agent
        self._journal = journal
        self._state = journal.state
        self._limits = limits
        self._deadline = deadline
        self._interruptible = interruptible
        self._clock = clock
        self._holder = holder
        self._headers = headers
        self._faults = faults
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
        """Runs to the end; on return the run's end is durable.

        Raises:
            StoreError: the end could not be made durable.
        """
        waited_ms = (self._clock.now() - self._state.created_at) * 1000 if self._state.created_at else 0.0
        self._journal.note(RunStarted(self._holder, round(max(0.0, waited_ms), 3)))
        try:
            self._past = past
            finish = await self._until_finished()
        except Interrupted as interrupted:
            finish = ended_by(interrupted.reason, self._state)
        except GoliveError as error:
            if isinstance(error, StoreError) and not self._journal.accepted:
                raise  # whoever asked is told that there is no run, and so there must not be one later
            if isinstance(error, InternalError):
                self._faults(self._state.run, error)
            finish = after_error(error, self._state, self._limits.deadline_s)
        except Exception as error:
            self._faults(self._state.run, error)
            finish = after_error(InternalError(str(error)), self._state, self._limits.deadline_s)
        self.finish(finish)
        await self._journal.flush()

    def finish(self, finish: Finish) -> None:
        """Notes the run's end."""
        state = self._state
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
        """The parsed answer where a schema was declared; an answer that is no JSON is not passed off as whole."""
        tier = self._agent.tiers[self._agent.default_tier]
        if tier.output_schema is None or finish.outcome != "completed":
            return None, finish
        last = self._state.messages[-1].text()
        try:
            return msgspec.json.decode(last), finish
        except (msgspec.DecodeError, RecursionError):
            return None, Finish("partial", "output_invalid", "output_invalid")

    async def _until_finished(self) -> Finish:
        while True:
            action = step(self._state, self._limits)
            match action:
                case Finish():
                    return action
                case CallModel():
                    await self._call_model(action)
                case CallTools():
                    await self._call_tools(action)
                case JudgeAnswer():
                    assert self._supervisor is not None, "nothing is held back without a judge"
                    await self._supervisor.judge(self._before())
            if self._clock.monotonic() >= self._deadline.at:
                raise self._deadline.error()

    def _before(self) -> tuple[Message, ...]:
        """What stands before the run's own messages."""
        return (self._agent.system(), *self._past.messages())

    async def _call_model(self, action: CallModel) -> None:
        tier_name, tools, held = self._agent.default_tier, self._agent.toolset.specs, False
        supervisor = self._supervisor
        if supervisor is not None:
            routed = await supervisor.route(action.step)
            tier_name, tools, held = routed.tier, tools_of(routed, tools), supervisor.holds(routed)
            if routed.route == "strong":
                self._past = await supervisor.condense(action.step, self._past)
        tier = self._agent.tiers[tier_name]
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
        turn = ModelTurn(self._journal, self._interruptible, action.step, held=held)
        before_it = self._state.answer
        try:
            await turn.carry_out(tier.call, request, self._context(turn.abandoned, unseen=held))
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

    async def _call_tools(self, action: CallTools) -> None:
        first = len(self._state.effects) + 1
        for ordinal, call in enumerate(action.refused, first + len(action.calls)):
            content = f"Not carried out: at most {self._limits.max_tool_calls_per_step} tool calls are allowed at once."
            self._note_refused(self._effect(ordinal, call), content)
        await self._interruptible.wait(self._side_by_side(action.calls, first))
        await self._journal.flush()

    async def _side_by_side(self, calls: tuple[ToolCall, ...], first: int) -> None:
        if len(calls) == 1:
            await self._one(self._effect(first, calls[0]))
            return
        async with Tasks(f"tools of {self._state.run}") as tasks:
            for ordinal, call in enumerate(calls, first):
                tasks.start(self._one(self._effect(ordinal, call)), call.name)

    def _effect(self, ordinal: int, call: ToolCall) -> Effect:
        return Effect(self._state.run, "", ordinal, self._state.steps, call.id, call.name, call.arguments)

    async def _one(self, effect: Effect) -> None:
        match await perform(self, effect, self._do, self._resolve):
            case Done():
                return
            case Unknown(key=key):
                raise ToolError(f"Whether {effect.name} ({key}) was carried out is not known.", key=key)
            case Diverged() as diverged:
                raise InternalError(
                    f"{effect.name} is asked for under {diverged.key}, where the journal holds another call.",
                    key=diverged.key,
                )

    async def _do(self, effect: Effect) -> ToolFinished:
        begun = self._clock.monotonic()
        outcome = await self._agent.toolset.call(
            ToolInvocation(self._state.tenant, effect.run, effect.key, effect.name, effect.arguments), self._deadline
        )
        latency_ms = round((self._clock.monotonic() - begun) * 1000, 3)
        return ToolFinished(
            step=effect.step,
            ordinal=effect.ordinal,
            key=effect.key,
            call_id=effect.call_id,
            name=effect.name,
            ok=outcome.ok,
            content=outcome.content,
            error_code=outcome.error_code,
            latency_ms=latency_ms,
        )

    async def _resolve(self, effect: Effect) -> ToolFinished | None:
        """Nobody can tell yet whether an effect without outcome was done: it is never begun again."""
        return None

    def _note_refused(self, effect: Effect, content: str) -> None:
        self._journal.note(
            ToolStarted(
                effect.step, effect.ordinal, effect.key, effect.call_id, effect.name, effect.arguments, effect.intent()
            )
        )
        self._journal.note(
            ToolFinished(
                effect.step, effect.ordinal, effect.key, effect.call_id, effect.name, False, content, "tool.too_many"
            )
        )

    # ---- what `perform` asks of the journal --------------------------------------------------------------------------

    def effect(self, key: str) -> EffectRecord | None:
        """What is known of the key."""
        return self._state.effects.get(key)

    async def intend(self, started: ToolStarted) -> None:
        """Journals the intent."""
        self._journal.note(started)
        await uncancelled(self._journal.flush())

    async def conclude(self, finished: ToolFinished) -> None:
        """Journals the outcome."""
        self._journal.note(finished)
        await uncancelled(self._journal.flush())


def ended_by(reason: str, state: RunState) -> Finish:
    """How a run ends that was stopped from outside."""
    if reason == "interrupted":
        return Finish("failed", "interrupted", "interrupted")
    if reason == "disconnected":
        return Finish("cancelled", "disconnected", "disconnected")
    return Finish("cancelled", "cancelled", "cancelled", message=state.cancel.reason if state.cancel else "")
