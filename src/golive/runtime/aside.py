"""A call to a model whose words are shown to nobody: made, journalled and priced like any other of the run."""

from contextlib import aclosing
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from golive.core.errors import ConfigError, ModelError
from golive.core.events import Aside, ModelStarted
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelCall,
    ModelRequest,
    RefusalDelta,
    Retracted,
    TextDelta,
)
from golive.models.under_way import UnderWay
from golive.runtime.interrupt import Interruptible
from golive.runtime.journal import RunJournal
from golive.runtime.model_failure import failed_attempt, price_alarm

A = TypeVar("A", bound=Aside)


class Said(Struct, frozen=True):
    """What the model said; `whole`: it came to its own end."""

    text: str
    whole: bool


class AsideCall:
    """One such call, on behalf of a step."""

    def __init__(self, journal: RunJournal, interruptible: Interruptible, step: int) -> None:
        self._journal = journal
        self._interruptible = interruptible
        self._step = step
        self._under_way = UnderWay()
        self._text = ""
        self._whole = False
        self._refused = False
        self._metered: Metered | None = None

    def abandoned(self, metered: Metered) -> None:
        """The meter's figure for a call that was given up while it ran."""
        self._metered = metered

    async def ask(self, call: ModelCall, request: ModelRequest, ctx: CallContext) -> Said | None:
        """What the model said; None: no target could be asked, which is noted.

        Raises:
            DeadlineExceeded, Interrupted: the call was given up; that is noted.
        """
        try:
            async with aclosing(call(request, ctx)) as stream:
                while (batch := await self._interruptible.next_of(stream)) is not None:
                    for event in batch:
                        await self._take(event)
        except BaseException as error:
            if self._under_way.target and (not self._under_way.over or self._metered is not None):
                self._note_failed(self._under_way.attempt, self._under_way.target, error)
            if not isinstance(error, ModelError | ConfigError):
                raise
            return None
        return Said(self._text, self._whole and not self._refused)

    def note(self, body: Aside) -> None:
        """Journals what follows from it, with what it cost."""
        metered = self._metered
        self._journal.note(_with_cost(body, metered), metered)
        if (alarm := price_alarm(metered)) is not None:
            self._journal.note(alarm)

    async def _take(self, event: object) -> None:
        match event:
            case TextDelta(choice=0):
                self._text += event.text
            case RefusalDelta(choice=0):
                self._refused = True
            case Retracted():
                self._text, self._whole, self._refused = self._text[: event.stands], False, False
            case Finished(choice=0):
                self._whole = event.reason == "stop"
            case Metered():
                self._metered = event
            case AttemptStarted():
                self._under_way.started(event)
                skipped: dict[str, str] = {passed.target: passed.reason for passed in event.skipped}
                self._journal.note(ModelStarted(self._step, event.attempt, event.target, skipped))
                await self._journal.flush()
            case AttemptFailed():
                self._under_way.moved_on(event)
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


def _with_cost(body: A, metered: Metered | None) -> A:
    if metered is None:
        return body
    return replace(
        body,
        target=metered.target,
        usage=metered.usage,
        cost_microusd=metered.cost_microusd,
        priced=metered.priced,
        usage_estimated=metered.estimated,
        latency_ms=metered.latency_ms,
        saved_microusd=metered.saved_microusd,
        cached=metered.cached,
    )
