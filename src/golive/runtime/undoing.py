"""Taking back what a run's tools did, where whoever cancelled it asked for that.

Each undoing is an effect of its own, journalled before and after, under the call's key and `/undo`. One of which nobody
knows whether it was carried out is repeated only where the tool is declared idempotent; else it is never called again,
and the run's end names it.
"""

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import ToolResultInvalid
from golive.core.events import AlarmRaised, ToolFinished, ToolStarted
from golive.runtime.agent import AgentVersion
from golive.runtime.effects import NOT_KNOWN, Effects, finished, unsure
from golive.runtime.interrupt import HANDED_OVER, Interrupted, Interruptible
from golive.runtime.journal import RunJournal
from golive.runtime.state import EffectRecord
from golive.tools.toolset import CarriedOut, NotCarriedOut, NotKnown, StatusAnswer, ToolOutcome, undo_key

UNDO_S = 30.0
"""How long effects may take to be taken back, all together; the run's own time may be over by then."""
ALARM = "undo.unknown_outcome"
_NOT_KNOWN = "It is not known whether this call is taken back, and nobody tries it again: {why}"
_NOT_TOLD = "whether it was carried out is not known either, and nothing was tried."
_ENDED = "the server ended while its undo function was under way."


class Undoing:
    """Takes one run's effects back."""

    def __init__(
        self, agent: AgentVersion, journal: RunJournal, effects: Effects, interruptible: Interruptible, clock: Clock
    ) -> None:
        self._agent = agent
        self._journal = journal
        self._state = journal.state
        self._effects = effects
        self._interruptible = interruptible
        self._clock = clock

    async def take_back(self) -> None:
        """Takes back what was done and can be, the newest first, once it is known what was done.

        A failure to undo stands in the journal, and keeps none of the others from being tried.

        Raises:
            StoreError: an intent or an outcome could not be made durable.
            Interrupted: the run is to go elsewhere, and the rest is taken back there.
        """
        await self._interruptible.wait(self._effects.settle(), through="all")
        deadline = Deadline.after(self._clock, UNDO_S, "undo")
        for record in reversed(list(self._state.effects.values())):
            started, before = record.started, self._state.undone.get(record.started.key)
            if not self._effects.rules(started.name).undo or (before is not None and before.finished is not None):
                continue
            if self._interruptible.handed_over:
                raise Interrupted(HANDED_OVER)
            if record.finished is not None and (done := await self._done(record, record.finished, deadline)):
                await self._one(started, done, before, deadline)

    async def _done(self, record: EffectRecord, told: ToolFinished, deadline: Deadline) -> StatusAnswer | None:
        """What the call did, so far as that can be known; None: nothing that could be taken back.

        That a call failed was also told of those that ended without telling, and may have taken effect; and of those
        that were called once more, and failed only then.
        """
        started = record.started
        outcome = ToolOutcome(told.ok, told.content, told.error_code)
        if told.ok or told.error_code == ToolResultInvalid.code:
            return CarriedOut(outcome)
        if told.error_code == NOT_KNOWN:
            return NotKnown(_NOT_TOLD, NOT_KNOWN)
        if not unsure(outcome) and not record.repeated:
            return None
        asks = self._effects.rules(started.name).status
        found = await self._effects.status(started, deadline) if asks else NotKnown(_NOT_TOLD, NOT_KNOWN)
        return None if isinstance(found, NotCarriedOut) else found

    async def _one(
        self, started: ToolStarted, done: StatusAnswer, before: EffectRecord | None, deadline: Deadline
    ) -> None:
        """`before`: the same undoing, begun by a server that has ended, perhaps."""
        key, begun = undo_key(started.key), self._clock.monotonic()
        if before is None:
            await self._effects.intend(
                ToolStarted(started.step, started.ordinal, key, "", started.name, started.arguments, "", started.key)
            )
        if isinstance(done, CarriedOut):
            outcome = await self._outcome(started, done.outcome.content, before is not None, deadline)
        else:
            outcome = _unknown(_NOT_TOLD)
        if outcome.error_code == NOT_KNOWN:
            words = f"{started.name} ({key}): {outcome.content}"
            self._journal.note(AlarmRaised(ALARM, words, {"tool": started.name, "key": key}))
        await self._effects.conclude(finished(started, key, "", outcome, self._clock.monotonic() - begun))

    async def _outcome(self, started: ToolStarted, result: str, lost: bool, deadline: Deadline) -> ToolOutcome:
        """What came of it, in two calls at most; `lost`: one was, perhaps, begun before."""
        again = self._effects.rules(started.name).idempotent
        if lost and not again:
            return _unknown(_ENDED)

        async def call(begin_by: float) -> ToolOutcome:
            return await self._agent.toolset.undo(self._effects.invocation(started, begin_by), result, deadline)

        outcome = await self._effects.begin(call, deadline)
        if unsure(outcome) and again and deadline.remaining(self._clock):
            lost = True
            outcome = await self._effects.begin(call, deadline)
        if unsure(outcome) or (lost and not outcome.begun):
            return _unknown(outcome.content)
        return outcome


def _unknown(why: str) -> ToolOutcome:
    return ToolOutcome(False, _NOT_KNOWN.format(why=why), NOT_KNOWN)
