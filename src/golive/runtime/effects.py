"""The tool calls of a run: carried out side by side, each once, whatever happened before.

Owns what becomes of an effect whose outcome nobody knows: the tool's own status function is asked, an idempotent tool
is called again under the same key, and for any other a person is asked, or the model is told. Once a run is cancelled
with undo no call begins any more, but those under way may end; `undoing.py` takes back what was done. The door itself
is `perform.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import InternalError, ToolNotBegun, ToolResultInvalid, ToolTimeout, WorkerCrashed
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
)

SETTLE_S = 2.0
"""How long after its time a call may still be under way: its worker is told to stop it, and killed if it does not."""
SETTLING = 3
"""Times of a tool that it may take to find out what became of a call: until it has ended, its status, a repetition."""
REPEATS = 3
"""Further calls of a tool that may be called again, where each ends without telling; then a person must say."""
HOLD_LOOK_S = 0.1
"""How often it is looked whether this server surely holds the run again."""
UNSURE = frozenset({ToolTimeout.code, WorkerCrashed.code})
"""Failures that leave open whether the tool had done its work."""
NOT_KNOWN = "tool.unknown_outcome"
"""The code of what nobody knows: whether a call was carried out, or taken back."""
CHOICES = ("done", "again", "skip")
_QUESTION = (
    "{what}, and nobody knows whether it was carried out. done: it was; again: call it again under the same "
    "idempotency key; skip: tell the model that it is not known."
)
_ENDED = "The server ended while {name} was called"
_LEFT = (
    "{name} was called by a server that does not have the run any more (it has ended, or could not say that it lives, "
    "or another one was told to go on): the call may even be under way still"
)
_HAPPENED = {
    ToolTimeout.code: "{name} was called, and ran out of time",
    WorkerCrashed.code: "{name} was called, and its worker died",
}
_SKIPPED = "Whether this call was carried out is not known. Do not call it again without asking the user."
_SAID_DONE = "It was carried out; its result is not known."
_LEFT_OPEN = ToolOutcome(False, "The run was cancelled, and whether this call was carried out is not known.", NOT_KNOWN)
_NOT_DONE = ToolOutcome(
    False, "The run was cancelled, and this call was not carried out.", ToolNotBegun.code, begun=False
)
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
        self._since = clock.monotonic()
        """Whoever carried the run before us has begun no call since; what its clock says does not matter."""
        self._lost: dict[str, str] = {}
        """Why our own call under a key ended without telling, as an error code."""
        self._settling = False
        """What became of calls is found out so that they can be taken back: the calls that this takes may begin."""

    async def carry_out(self, action: CallTools) -> None:
        """Carries the calls of one step out, those of them that are not done yet.

        Raises:
            StoreError: an intent or an outcome could not be made durable.
            Interrupted: the run is to end or to go elsewhere; what was under way has no outcome.
        """
        first = self._state.first_ordinal
        for ordinal, call in enumerate(action.refused, first + len(action.calls)):
            self._refuse(self._effect(ordinal, call))
        patient = any(self.rules(call.name).undo for call in action.calls)  # else there is nothing to wait for
        await self._interruptible.wait(
            self._side_by_side(action.calls, first), through="patient" if patient else "nothing"
        )
        await self._journal.flush()

    async def settle(self) -> None:
        """Finds out, as their tools declare, what became of calls without outcome that could be taken back.

        Each of them has an outcome then, were it that nobody knows. For runs that are cancelled with undo.

        Raises:
            StoreError: an outcome could not be made durable.
        """
        self._settling = True
        lost = [record.started for record in self._state.effects.values() if record.finished is None]
        lost = [started for started in lost if self.rules(started.name).undo]
        if not lost:
            return
        longest_s = max(self.rules(started.name).timeout_s for started in lost)
        self._deadline = Deadline.after(self._clock, SETTLE_S + SETTLING * longest_s, "undo")
        async with Tasks(f"lost calls of {self._state.run}") as tasks:
            for started in lost:
                tasks.start(self._settle(self._again(started)), started.name)

    async def _settle(self, effect: Effect) -> None:
        finished = await self._recover(effect)
        if finished is not None:
            await self.conclude(finished)

    # ---- one effect --------------------------------------------------------------------------------------------------

    async def _side_by_side(self, calls: tuple[ToolCall, ...], first: int) -> None:
        if len(calls) == 1:
            await self._one(self._effect(first, calls[0]))
            return
        async with Tasks(f"tools of {self._state.run}") as tasks:
            for ordinal, call in enumerate(calls, first):
                tasks.start(self._one_of_several(self._effect(ordinal, call)), call.name)

    async def _one_of_several(self, effect: Effect) -> None:
        await self._one(effect)
        if self._state.undecided:
            await uncancelled(self._journal.flush())  # a person need not wait for the others to be asked

    def _effect(self, ordinal: int, call: ToolCall) -> Effect:
        return Effect(self._state.run, "", ordinal, self._state.steps, call.id, call.name, call.arguments)

    def _again(self, started: ToolStarted) -> Effect:
        """The effect whose intent that is."""
        return Effect(
            self._state.run, "", started.ordinal, started.step, started.call_id, started.name, started.arguments
        )

    async def _one(self, effect: Effect) -> None:
        if self._stopped and self.effect(effect.key) is None:
            return
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

    @property
    def _stopped(self) -> bool:
        """Whether nothing begins any more, so that all that was done can be taken back."""
        return self._state.cancel is not None and self._state.cancel.undo and not self._settling

    @property
    def _cancelled(self) -> bool:
        return self._state.cancel is not None

    async def _call(self, effect: Effect) -> ToolFinished | None:
        """A first call. Where it ends without telling whether it did its work, that is found out where it can be.

        Returns:
            None: a person must say; or the run was cancelled, and `settle` finds out.
        """
        begun = self._clock.monotonic()
        outcome: ToolOutcome | None = await self._begin(effect)
        assert outcome is not None
        if unsure(outcome):
            outcome = await self._found_out(effect, outcome)
        return self._told(effect, outcome, begun)

    async def _found_out(self, effect: Effect, failed: ToolOutcome) -> ToolOutcome | None:
        """What the status function says, or a second call of an idempotent tool whose worker died; else the failure, or
        None where the tool wants a person to be asked.

        A call that ran out of time is not made again: it would take as long once more.
        """
        self._lost[effect.key] = failed.error_code or ""
        if self._stopped:
            return None
        rules = self.rules(effect.name)
        if failed.error_code == WorkerCrashed.code:
            settled = await self._settled(effect, 1)
            if settled is not None:
                return settled
        elif rules.status:
            found = await self.status(effect, self._deadline)
            if isinstance(found, CarriedOut):
                return found.outcome
            if isinstance(found, NotCarriedOut):
                return failed
        return None if rules.on_unknown == "ask" or self._stopped else failed

    async def _recover(self, effect: Effect) -> ToolFinished | None:
        """The outcome of an effect that was begun by a server that has ended, or without telling; None: as `_call`."""
        begun = self._clock.monotonic()
        made = self._state.decided.get(effect.key)
        await self._let_it_end(effect, made)
        outcome = await self._decided(effect, made) if made is not None else await self._settled(effect, REPEATS)
        if outcome is None and self._settling:
            outcome = _LEFT_OPEN
        elif outcome is None and not self._stopped and self.rules(effect.name).on_unknown == "tell":
            outcome = ToolOutcome(False, _SKIPPED, NOT_KNOWN)
        return self._told(effect, outcome, begun)

    async def _let_it_end(self, effect: Effect, made: DecisionMade | None) -> None:
        """Waits until the first call can take effect no more, where the server that made it may still be alive.

        Until then "not carried out" is no answer, and a second call might be a second effect: but not where the tool
        is called again whatever happened, or not at all. When the call began only its server's clock says; that it has
        begun since we carry the run, it cannot.
        """
        record, rules = self._state.effects.get(effect.key), self.rules(effect.name)
        counts = rules.status if made is None else made.choice == "again" and not rules.idempotent
        if self._place.alone or record is None or not counts or effect.key in self._lost:
            return
        limit_s = rules.timeout_s + SETTLE_S
        await asyncio.sleep(max(0.0, limit_s - (self._clock.monotonic() - self._since)))

    async def _settled(self, effect: Effect, repeats: int) -> ToolOutcome | None:
        """What the tool's declarations give, in so many further calls at most; None: nobody can tell."""
        rules, surely_not = self.rules(effect.name), False
        if rules.status:
            found = await self.status(effect, self._deadline)
            if isinstance(found, CarriedOut):
                return found.outcome
            surely_not = isinstance(found, NotCarriedOut)
            if surely_not and self._cancelled:
                return _NOT_DONE
        if not surely_not and not rules.idempotent:
            return None
        return await self._repeat(effect, repeats, surely_not) if repeats else None

    async def _repeat(self, effect: Effect, repeats: int, surely_not: bool) -> ToolOutcome | None:
        """The call once more, under the same key; its intent is journalled anew, and uses a person's choice up.

        That it fails says nothing of the call before: the tool may not have come so far as to look at the key.

        Args:
            surely_not: the call was not carried out before: so it stands where it fails, or does not begin, now.
        """
        if self._stopped:
            return None
        await self.intend(
            ToolStarted(
                effect.step, effect.ordinal, effect.key, effect.call_id, effect.name, effect.arguments, effect.intent()
            )
        )
        outcome = await self._begin(effect)
        if unsure(outcome):
            self._lost[effect.key] = outcome.error_code or ""
            return await self._settled(effect, repeats - 1)
        if surely_not or outcome.ok or outcome.error_code == ToolResultInvalid.code:
            return outcome
        return await self._settled(effect, repeats - 1) if outcome.begun else None

    async def status(self, effect: Effect | ToolStarted, deadline: Deadline) -> StatusAnswer:
        """What the tool's status function says."""
        return await self._agent.toolset.status(self.invocation(effect, self._place.begin_by()), deadline)

    async def _decided(self, effect: Effect, made: DecisionMade) -> ToolOutcome | None:
        if made.choice == "again" and self._cancelled:
            return await self._settled(effect, 1)
        if made.choice == "again":
            return await self._repeat(effect, 1, surely_not=True)
        if made.choice == "done":
            return ToolOutcome(True, made.content or _SAID_DONE)
        return ToolOutcome(False, _SKIPPED, NOT_KNOWN)

    async def _begin(self, effect: Effect) -> ToolOutcome:
        async def call(begin_by: float) -> ToolOutcome:
            if self._stopped:
                return _NOT_DONE
            return await self._agent.toolset.call(self.invocation(effect, begin_by), self._deadline)

        return await self.begin(call, self._deadline)

    async def begin(self, call: Callable[[float], Awaitable[ToolOutcome]], deadline: Deadline) -> ToolOutcome:
        """The call; again, where it waited until our hold on the run was no longer sure, once it is sure again.

        Args:
            call: is given the time by which it must begin.
        """
        while True:
            begin_by = self._place.begin_by()
            await self._journal.prove_ours()
            outcome = await call(begin_by)
            if outcome.error_code != ToolNotBegun.code or self._stopped or not deadline.remaining(self._clock):
                return outcome
            while self._lapsed() and deadline.remaining(self._clock):  # noqa: ASYNC110 - a beat may bring it back
                await asyncio.sleep(HOLD_LOOK_S)

    def _lapsed(self) -> bool:
        """Whether another server may be carrying the run by now."""
        return self._place.begin_by() <= self._clock.monotonic()

    def _ask(self, effect: Effect) -> None:
        if self._cancelled or any(asked.key == effect.key for asked in self._state.undecided.values()):
            return
        now = self._clock.now()
        left = _ENDED if self._place.alone else _LEFT
        what = _HAPPENED.get(self._lost.get(effect.key, ""), left).format(name=effect.name)
        self._journal.note(
            DecisionRequested(
                id=self._place.ids.new("dec"), about="unknown_effect", choices=CHOICES, default="skip", asked_at=now,
                expires_at=now + self._decide_s, question=_QUESTION.format(what=what), subject=effect.name,
                key=effect.key,
            )
        )  # fmt: skip

    def rules(self, name: str) -> EffectRules:
        """What the tool declares."""
        return self._agent.toolset.effects.get(name) or EffectRules()

    def invocation(self, effect: Effect | ToolStarted, begin_by: float) -> ToolInvocation:
        """`begin_by` is read before the run is proved ours: a lapse in between lies behind it, and nothing begins."""
        state = self._state
        return ToolInvocation(state.tenant, state.run, effect.key, effect.name, effect.arguments, begin_by=begin_by)

    def _told(self, effect: Effect, outcome: ToolOutcome | None, begun: float) -> ToolFinished | None:
        if outcome is None:
            return None
        return finished(effect, effect.key, effect.call_id, outcome, self._clock.monotonic() - begun)

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


def unsure(outcome: ToolOutcome) -> bool:
    """Whether the outcome leaves open whether the tool had done its work."""
    return outcome.begun and outcome.error_code in UNSURE


def finished(
    effect: Effect | ToolStarted, key: str, call_id: str, outcome: ToolOutcome, seconds: float
) -> ToolFinished:
    """The outcome as it is journalled under `key`, after so many seconds."""
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
