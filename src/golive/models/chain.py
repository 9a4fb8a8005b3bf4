"""Carries a call along its chain: `course.py` decides whom to ask, this asks, and tells each gate how it went.

Moves on only while the caller has been handed nothing of an answer: after its first token an attempt's failure goes up,
for two answers must never be spliced unseen (`recovery.py` goes on from there). Knows nothing of prices.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from golive.core.backoff import BackoffPolicy, RetryBudget
from golive.core.breaker import Ticket
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import ContentRefused, GoliveError
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelEvent,
    ModelRequest,
    Opened,
    RefusalDelta,
    UsageReported,
)
from golive.models.course import Chained, Course, Step
from golive.models.own_credentials import OwnCredentials

EARLY_S = 0.002
"""By so much a loop's timer may be early (uvloop counts whole milliseconds); a gate that still says "not now" then
would cost the call its retries."""
MAX_TARGETS = 8
"""Most targets of one chain."""


class Chain:
    """A `ModelCall` over several: `AttemptStarted` before each, `AttemptFailed` when it moves on or tries again."""

    def __init__(
        self, chain: Chained, *, policy: BackoffPolicy, budget: RetryBudget, chance: Chance, clock: Clock,
        own: OwnCredentials | None = None,
    ) -> None:  # fmt: skip
        """`budget` is shared by all chains: it bounds what share of all calls may be retries. `own`: tenants' own
        credentials, and budgets."""
        if not 1 <= len(chain.targets) <= MAX_TARGETS:
            raise ValueError(f"a chain has 1 to {MAX_TARGETS} targets, not {len(chain.targets)}")
        self._chain = chain
        self._policy = policy
        self._budget = budget
        self._chance = chance
        self._clock = clock
        self._own = own

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        """Raises the last attempt's error, its field `attempts` listing every failure in order, and `retry_after_s`
        the soonest at which any of the targets may be asked again.

        Raises:
            CircuitOpen, ModelRateLimited, ModelIncapable, ModelNoCredential: nobody was asked.
            ModelError, DeadlineExceeded: as the last one asked.
        """
        own = None if self._own is None else self._own.along(self._chain, ctx.tenant)
        chain, budget = (self._chain, self._budget) if own is None else (own.chain, own.budget or self._budget)
        course = Course(chain, request, ctx, self._policy, budget, self._chance)
        failed: list[dict[str, Any]] = []
        error: GoliveError | None = None
        last: _Attempt | _Broken | None = None if ctx.broke is None else _Broken(ctx.broke)
        number = ctx.attempts
        while (step := course.next(ctx.deadline.remaining(self._clock))) is not None:
            if last is not None:
                yield last.moves_on(step.wait_s)
            if step.wait_s:
                await _waited(step)
            ticket = step.lane.gate.admit()
            if ticket is None:  # while this call waited, others made it worse
                course.not_now()
                last = None
                continue
            number += 1
            last = _Attempt(step, ticket, number, self._clock, rerouted=course.reroutes_refused())
            yield [AttemptStarted(number, step.target.ref, course.skipped(), course.retries)]
            stream = step.lane.call(request, _for_attempt(ctx, number))
            try:
                async for events in stream:
                    if last.delivered:
                        yield last.numbered(events)
                    elif last.hold(events):
                        yield last.held
                last.decline()
                last.ends(None)
                if last.held and not last.delivered:
                    yield last.held
                return
            except GoliveError as raised:
                error = raised
                last.ends(error)
            finally:
                last.over()
                await stream.aclose()
            failed.append({"target": step.target.ref, "code": error.code, "message": error.message})
            if last.delivered:
                course.over()
                break
            if metered := [event for event in last.held if type(event) is Metered]:
                yield [*metered]
            course.failed(error)
        error = course.end(error)
        error.fields["attempts"] = failed
        raise error


class _Broken:
    """An attempt of another call that broke off in the middle of the answer."""

    __slots__ = ("_failure",)

    def __init__(self, failure: AttemptFailed) -> None:
        self._failure = failure

    def moves_on(self, wait_s: float) -> list[ModelEvent]:
        """The event by which this call takes its place."""
        return [msgspec.structs.replace(self._failure, wait_s=wait_s)]


class _Attempt:
    """One target, asked once. What comes before its first token is held back until then."""

    __slots__ = (
        "_clock", "_error", "_gate", "_number", "_rerouted", "_started", "_target", "_ticket", "delivered", "held",
    )  # fmt: skip

    def __init__(self, step: Step, ticket: Ticket, number: int, clock: Clock, *, rerouted: bool) -> None:
        """`rerouted`: others are there to be asked for what its filter refuses."""
        self.held: list[ModelEvent] = []
        self.delivered = False
        self._target = step.target.ref
        self._gate = step.lane.gate
        self._ticket: Ticket | None = ticket
        self._error: GoliveError | None = None
        self._number = number
        self._rerouted = rerouted
        self._clock = clock
        self._started = clock.monotonic()

    def hold(self, events: list[ModelEvent]) -> bool:
        """Adds to what is held; True once that says something, and may be handed on."""
        self.held += self.numbered(events)
        self.delivered = _has_content(events) and not (self._rerouted and _is_filtered(self.held))
        return self.delivered

    def decline(self) -> None:
        """Looks at the whole answer.

        Raises:
            ContentRefused: it is none: the provider's filter ended it before anything was said, and others may answer.
        """
        if self._rerouted and _is_filtered(self.held):
            provider, _, model = self._target.partition("/")
            raise ContentRefused(
                f"{self._target} said nothing: its filter ended the answer.", provider=provider, model=model, sent=True
            )

    def numbered(self, events: list[ModelEvent]) -> list[ModelEvent]:
        """The same, what was metered bearing the attempt's number."""
        if self._number > 1 and type(events[-1]) is Metered:
            events[-1] = msgspec.structs.replace(events[-1], attempt=self._number)
        return events

    def ends(self, error: GoliveError | None) -> None:
        """Tells the gate how it went."""
        self._error = error
        ticket, self._ticket = self._ticket, None
        assert ticket is not None
        if error is None:
            self._gate.succeeded(ticket)
        else:
            self._gate.failed(ticket, error)

    def over(self) -> None:
        """Whatever has not ended by now was given up."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._gate.given_up(ticket)

    def moves_on(self, wait_s: float) -> list[ModelEvent]:
        """The event by which the call leaves it for the next."""
        assert self._error is not None
        latency_ms = (self._clock.monotonic() - self._started) * 1000
        return [AttemptFailed(self._number, self._target, self._error, latency_ms, wait_s)]


async def _waited(step: Step) -> None:
    """A timer may be early; a gate that opens in a moment is waited for."""
    await asyncio.sleep(step.wait_s)
    if 0 < step.lane.gate.wait_s() < EARLY_S:
        await asyncio.sleep(EARLY_S)


_NOT_CONTENT = (Opened, UsageReported, Metered)


def _has_content(events: list[ModelEvent]) -> bool:
    return type(events[-1]) not in _NOT_CONTENT or any(type(event) not in _NOT_CONTENT for event in events)


def _is_filtered(events: list[ModelEvent]) -> bool:
    """Whether a filter ended the answer in the place of all content; its reason, in words, is none."""
    filtered = False
    for event in events:
        if isinstance(event, Finished):
            if event.reason != "content_filter":
                return False
            filtered = True
        elif not isinstance(event, (*_NOT_CONTENT, RefusalDelta)):
            return False
    return filtered


def _for_attempt(ctx: CallContext, attempt: int) -> CallContext:
    """The context in which an abandoned attempt is reported under its own number."""
    report = ctx.on_abandoned
    if attempt == 1 or report is None:
        return ctx
    return msgspec.structs.replace(
        ctx, on_abandoned=lambda metered: report(msgspec.structs.replace(metered, attempt=attempt))
    )
