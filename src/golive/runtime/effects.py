"""The tool calls of a run: carried out side by side, each once, whatever happened before; and taken back where asked.

Owns what becomes of an effect whose outcome nobody knows: the tool's own status function is asked, an idempotent tool
is called again under the same key, and for any other the run waits for a person. The door itself is `perform.py`.
"""

import asyncio

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import InternalError, ToolNotBegun, ToolTimeout, WorkerCrashed
from golive.core.events import DecisionMade, DecisionRequested, ToolFinished, ToolStarted
from golive.core.messages import ToolCall
from golive.core.tasks import Tasks, uncancelled
from golive.runtime.agent import AgentVersion
from golive.runtime.interrupt import Interruptible
from golive.runtime.journal import RunJournal
from golive.runtime.perform import Diverged, Done, Effect, Unknown, perform
from golive.runtime.place import Place
from golive.runtime.state import EffectRecord
from golive.runtime.step import CallTools
from golive.tools.toolset import (
    CarriedOut,
    EffectRules,
    NotCarriedOut,
    StatusAnswer,
    ToolInvocation,
    ToolOutcome,
    undo_key,
)

UNDO_S = 30.0
"""How long effects may take to be taken back, all together; the run's own time may be over by then."""
SETTLE_S = 2.0
"""How long after its time a call may still be under way: its worker is told to stop it, and killed if it does not."""
REPEATS = 3
"""Further calls of a tool that may be called again, where each ends without telling; then a person must say."""
HOLD_LOOK_S = 0.1
"""How often it is looked whether this server surely holds the run again."""
_UNSURE = frozenset({ToolTimeout.code, WorkerCrashed.code})
"""Failures that leave open whether the tool had done its work."""
_NOT_KNOWN = "tool.unknown_outcome"
CHOICES = ("done", "again", "skip")
_QUESTION = (
    "The server ended while {name} was called, and nobody knows whether it was carried out. done: it was; again: call "
    "it again under the same idempotency key; skip: tell the model that it is not known."
)
_SKIPPED = "Whether this call was carried out is not known. Do not call it again without asking the user."
_SAID_DONE = "It was carried out; its result is not known."
_TOO_MANY = "Not carried out: at most {most} tool calls are allowed at once."


class Effects:
    """Performs one run's effects.

    Args:
        most: tool calls of one step.
        decide_s: how long a person is waited for, seconds.
    """

    def __init__(
        self, agent: AgentVersion, journal: RunJournal, interruptible: Interruptible, deadline: Deadline, clock: Clock,
        place: Place, most: int, decide_s: float,
    ) -> None:  # fmt: skip
        self._agent = agent
        self._journal = journal
        self._state = journal.state
        self._interruptible = interruptible
        self._deadline = deadline
        self._clock = clock
        self._place = place
        self._most = most
        self._decide_s = decide_s

    async def carry_out(self, action: CallTools) -> None:
        """Carries the calls of one step out, those of them that are not done yet.

        Raises:
            StoreError: an intent or an outcome could not be made durable.
            Interrupted: the run is to end or to go elsewhere; what was under way has no outcome.
        """
        first = self._state.first_ordinal
        for ordinal, call in enumerate(action.refused, first + len(action.calls)):
            self._refuse(self._effect(ordinal, call))
        await self._interruptible.wait(self._side_by_side(action.calls, first))
        await self._journal.flush()

    async def undo(self) -> None:
        """Takes back what was done and can be, the newest first; each undoing is an effect of its own.

        A failure to undo stands in the journal, and keeps none of the others from being tried.
        """
        deadline = Deadline.after(self._clock, UNDO_S, "undo")
        for record in reversed(list(self._state.effects.values())):
            started, finished = record.started, record.finished
            undone = self._state.undone.get(started.key)
            if finished is None or not finished.ok or not self._rules(started.name).undo:
                continue
            if undone is not None and undone.finished is not None:
                continue
            key, begun = undo_key(started.key), self._clock.monotonic()
            if undone is None:
                await self.intend(
                    ToolStarted(
                        started.step, started.ordinal, key, "", started.name, started.arguments, "", started.key
                    )
                )
            begin_by = self._place.begin_by()
            await self._journal.prove_ours()
            outcome = await self._agent.toolset.undo(self._invocation(started, begin_by), finished.content, deadline)
            await self.conclude(self._finished(started, key, "", outcome, self._clock.monotonic() - begun))

    # ---- one effect --------------------------------------------------------------------------------------------------

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
        match await perform(self, effect, self._call, self._recover):
            case Done():
                return
            case Unknown():
                self._ask(effect)
            case Diverged() as diverged:
                raise InternalError(
                    f"{effect.name} is asked for under {diverged.key}, where the journal holds another call.",
                    key=diverged.key,
                )

    async def _call(self, effect: Effect) -> ToolFinished:
        """A first call. Where it ends without telling whether it did its work, that is found out where it can be."""
        begun = self._clock.monotonic()
        outcome = await self._begin(effect)
        if _unsure(outcome):
            outcome = await self._found_out(effect, outcome)
        return self._finished(effect, effect.key, effect.call_id, outcome, self._clock.monotonic() - begun)

    async def _found_out(self, effect: Effect, failed: ToolOutcome) -> ToolOutcome:
        """What the status function says, or a second call of an idempotent tool whose worker died; else the failure.

        A call that ran out of time is not made again: it would take as long once more.
        """
        if failed.error_code == WorkerCrashed.code:
            return await self._settled(effect, 1) or failed
        found = await self._status(effect) if self._rules(effect.name).status else None
        return found.outcome if isinstance(found, CarriedOut) else failed

    async def _recover(self, effect: Effect) -> ToolFinished | None:
        """The outcome of an effect that was begun by a server that has ended; None: a person must say."""
        begun = self._clock.monotonic()
        made = self._state.decided.get(effect.key)
        await self._let_it_end(effect, made)
        outcome = await self._decided(effect, made) if made is not None else await self._settled(effect, REPEATS)
        if outcome is None:
            return None
        return self._finished(effect, effect.key, effect.call_id, outcome, self._clock.monotonic() - begun)

    async def _let_it_end(self, effect: Effect, made: DecisionMade | None) -> None:
        """Waits until the first call can take effect no more, where the server that made it may still be alive.

        Until then "not carried out" is no answer, and a second call might be a second effect: but not where the tool
        is called again whatever happened, or not at all.
        """
        record, rules = self._state.effects.get(effect.key), self._rules(effect.name)
        counts = rules.status if made is None else made.choice == "again" and not rules.idempotent
        if self._place.alone or record is None or not counts:
            return
        limit_s = rules.timeout_s + SETTLE_S
        passed_s = min(limit_s, max(0.0, self._clock.now() - record.at))
        await asyncio.sleep(limit_s - passed_s)

    async def _settled(self, effect: Effect, repeats: int) -> ToolOutcome | None:
        """What the tool's declarations give, in so many further calls at most; None: nobody can tell."""
        rules = self._rules(effect.name)
        if rules.status:
            found = await self._status(effect)
            if isinstance(found, CarriedOut):
                return found.outcome
            if not isinstance(found, NotCarriedOut) and not rules.idempotent:
                return None
        elif not rules.idempotent:
            return None
        return await self._repeat(effect, repeats) if repeats else None

    async def _repeat(self, effect: Effect, repeats: int) -> ToolOutcome | None:
        """The call once more, under the same key; its intent is journalled anew, and uses a person's choice up."""
        await self.intend(
            ToolStarted(
                effect.step, effect.ordinal, effect.key, effect.call_id, effect.name, effect.arguments, effect.intent()
            )
        )
        outcome = await self._begin(effect)
        return await self._settled(effect, repeats - 1) if _unsure(outcome) else outcome

    async def _status(self, effect: Effect) -> StatusAnswer:
        return await self._agent.toolset.status(self._invocation(effect, self._place.begin_by()), self._deadline)

    async def _decided(self, effect: Effect, made: DecisionMade) -> ToolOutcome | None:
        if made.choice == "again":
            return await self._repeat(effect, 1)
        if made.choice == "done":
            return ToolOutcome(True, made.content or _SAID_DONE)
        return ToolOutcome(False, _SKIPPED, _NOT_KNOWN)

    async def _begin(self, effect: Effect) -> ToolOutcome:
        """The call; again, where it waited until our hold on the run was no longer sure, once it is sure again."""
        while True:
            begin_by = self._place.begin_by()
            await self._journal.prove_ours()
            outcome = await self._agent.toolset.call(self._invocation(effect, begin_by), self._deadline)
            if outcome.error_code != ToolNotBegun.code or not self._deadline.remaining(self._clock):
                return outcome
            while self._lapsed() and self._deadline.remaining(self._clock):  # noqa: ASYNC110 - a beat may bring it back
                await asyncio.sleep(HOLD_LOOK_S)

    def _lapsed(self) -> bool:
        """Whether another server may be carrying the run by now."""
        return self._place.begin_by() <= self._clock.monotonic()

    def _ask(self, effect: Effect) -> None:
        if any(asked.key == effect.key for asked in self._state.undecided.values()):
            return
        now = self._clock.now()
        self._journal.note(
            DecisionRequested(
                id=self._place.ids.new("dec"), about="unknown_effect", choices=CHOICES, default="skip", asked_at=now,
                expires_at=now + self._decide_s, question=_QUESTION.format(name=effect.name), subject=effect.name,
                key=effect.key,
            )
        )  # fmt: skip

    def _rules(self, name: str) -> EffectRules:
        return self._agent.toolset.effects.get(name) or EffectRules()

    def _invocation(self, effect: Effect | ToolStarted, begin_by: float) -> ToolInvocation:
        """`begin_by` is read before the run is proved ours: a lapse in between lies behind it, and nothing begins."""
        state = self._state
        return ToolInvocation(state.tenant, state.run, effect.key, effect.name, effect.arguments, begin_by=begin_by)

    def _finished(
        self, effect: Effect | ToolStarted, key: str, call_id: str, outcome: ToolOutcome, seconds: float
    ) -> ToolFinished:
        return ToolFinished(
            step=effect.step,
            ordinal=effect.ordinal,
            key=key,
            call_id=call_id,
            name=effect.name,
            ok=outcome.ok,
            content=outcome.content,
            error_code=outcome.error_code,
            latency_ms=round(seconds * 1000, 3),
        )

    def _refuse(self, effect: Effect) -> None:
        if effect.key in self._state.effects:
            return
        content = _TOO_MANY.format(most=self._most)
        intent = effect.intent()
        for body in (
            ToolStarted(effect.step, effect.ordinal, effect.key, effect.call_id, effect.name, effect.arguments, intent),
            ToolFinished(
                effect.step, effect.ordinal, effect.key, effect.call_id, effect.name, False, content, "tool.too_many"
            ),
        ):
            self._journal.note(body)

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


def _unsure(outcome: ToolOutcome) -> bool:
    """Whether the outcome leaves open whether the tool had done its work."""
    return outcome.begun and outcome.error_code in _UNSURE
