"""Asks the supervisor where a turn goes, and journals what it said and cost. Its words are shown to nobody."""

from contextlib import aclosing

from golive.core.errors import ConfigError, ModelError
from golive.core.events import ModelStarted, StepRouted
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Metered,
    ModelCall,
    ModelRequest,
    Retracted,
    TextDelta,
)
from golive.runtime.interrupt import Interruptible
from golive.runtime.journal import RunJournal
from golive.runtime.model_failure import failed_attempt, price_alarm
from golive.runtime.routing import Decision, Routing, decided


class Supervisor:
    """Carries out the one call of the supervisor for the step to come."""

    def __init__(self, journal: RunJournal, interruptible: Interruptible, routing: Routing, step: int) -> None:
        self._journal = journal
        self._interruptible = interruptible
        self._routing = routing
        self._step = step
        self._attempt = 1
        self._target = ""
        self._text = ""
        self._metered: Metered | None = None

    def abandoned(self, metered: Metered) -> None:
        """The meter's figure for a call that was given up while it ran."""
        self._metered = metered

    def note(self, decision: Decision) -> None:
        """Journals where the step goes, with what the decision cost."""
        metered = self._metered
        tier = self._routing.strong if decision.route == "strong" else self._routing.supervisor
        routed = StepRouted(self._step, decision.route, tier, decision.reason)
        if metered is not None:
            routed = StepRouted(
                self._step, decision.route, tier, decision.reason, metered.target, metered.usage, metered.cost_microusd,
                metered.priced, metered.estimated, metered.latency_ms, metered.saved_microusd, metered.cached,
            )  # fmt: skip
        self._journal.note(routed, metered)
        if (alarm := price_alarm(metered)) is not None:
            self._journal.note(alarm)

    async def ask(self, call: ModelCall, request: ModelRequest, ctx: CallContext) -> None:
        """Asks, and notes the decision; a supervisor that cannot be asked leaves the turn to the strong tier.

        Raises:
            DeadlineExceeded, Interrupted: the call was given up; that is noted.
        """
        try:
            async with aclosing(call(request, ctx)) as stream:
                while (batch := await self._interruptible.next_of(stream)) is not None:
                    for event in batch:
                        await self._take(event)
        except BaseException as error:
            if self._target:
                self._note_failed(self._attempt, self._target, error)
            if not isinstance(error, ModelError | ConfigError):
                raise
            self.note(Decision("strong", "supervisor_out"))
            return
        self.note(decided(self._text))

    async def _take(self, event: object) -> None:
        match event:
            case TextDelta(choice=0):
                self._text += event.text
            case Retracted():
                self._text = self._text[: event.stands]
            case Metered():
                self._metered = event
            case AttemptStarted():
                self._attempt, self._target = event.attempt, event.target
                skipped: dict[str, str] = {passed.target: passed.reason for passed in event.skipped}
                self._journal.note(ModelStarted(self._step, event.attempt, event.target, skipped))
                await self._journal.flush()
            case AttemptFailed():
                self._note_failed(event.attempt, event.target, event.error, event.latency_ms, event.wait_s)
            case _:
                pass

    def _note_failed(
        self, attempt: int, target: str, error: BaseException, latency_ms: float = 0.0, wait_s: float = 0.0
    ) -> None:
        metered, self._metered = self._metered, None
        body, *alarms = failed_attempt(
            self._step, attempt, target, error, metered, latency_ms=latency_ms, wait_s=wait_s
        )
        self._journal.note(body, metered)
        for alarm in alarms:
            self._journal.note(alarm)
