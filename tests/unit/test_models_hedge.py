"""Two requests for one answer: when the second is sent, who answers, and that the loser is closed and counted."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from golive.core.backoff import RetryBudget
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import GoliveError, ModelUnavailable
from golive.core.messages import Usage
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelEvent,
    ModelRequest,
    TextDelta,
)
from golive.models.hedge import FIRST_ATTEMPT, MIN_SAMPLES, Hedged, Lateness
from tests.unit.chain_kit import ASKED, text

CLOCK = SystemClock()


class Target:
    """Answers with `text` once its gate is opened; each call gets the next (text or error, gate) of the script."""

    def __init__(self, *script: tuple[str | GoliveError, asyncio.Event]) -> None:
        self.script = list(script)
        self.contexts: list[CallContext] = []
        self.closed = 0

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        self.contexts.append(ctx)
        what, gate = self.script.pop(0)
        number = ctx.attempts + 1
        whole = False
        metered = Metered(number, f"t{number}/m", Usage(1, 0, number), 5, True, False, 1.0, 1.0)
        try:
            yield [AttemptStarted(number, f"t{number}/m")]
            await gate.wait()
            if isinstance(what, GoliveError):
                whole = True
                raise what
            yield [TextDelta(what)]
            yield [Finished("stop"), metered]
            whole = True
        finally:
            self.closed += 1
            if not whole and ctx.on_abandoned is not None:
                ctx.on_abandoned(metered)


def opened() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def hedged(target: Target, *, late_s: float | None = 0.0, reserve: float = 10.0) -> Hedged:
    call = Hedged(target, RetryBudget(0.2, reserve), CLOCK)
    if late_s is not None:
        for _ in range(MIN_SAMPLES):
            call._lateness.saw(late_s)
    return call


async def ask(call: Hedged, on_abandoned: Callable[[Metered], None] | None = None) -> list[ModelEvent]:
    ctx = CallContext(Deadline.after(CLOCK, 30.0, "test"), on_abandoned=on_abandoned)
    return [event async for batch in call(ASKED, ctx) for event in batch]


def failed(events: list[ModelEvent]) -> list[tuple[int, str]]:
    return [(event.attempt, event.target) for event in events if isinstance(event, AttemptFailed)]


async def test_a_late_first_token_sends_a_second_request_and_the_quicker_answers() -> None:
    target = Target(("slow", asyncio.Event()), ("quick", opened()))
    events = await ask(hedged(target))
    assert (text(events), failed(events), target.closed) == ("quick", [(1, "t1/m")], 2)
    metered = [event for event in events if isinstance(event, Metered)]
    assert [event.attempt for event in metered] == [1, FIRST_ATTEMPT + 1], "what the loser cost is told"
    assert target.contexts[1].avoid == ("t1/m",)


async def test_the_first_may_still_win() -> None:
    gate = asyncio.Event()
    target = Target(("slow", gate), ("never", asyncio.Event()))
    call = hedged(target)

    async def soon() -> None:
        while len(target.contexts) < 2:
            await asyncio.sleep(0)
        gate.set()

    helper = asyncio.ensure_future(soon())
    events = await ask(call)
    await helper
    assert (text(events), failed(events), target.closed) == ("slow", [(11, "t11/m")], 2)


async def test_one_in_time_stays_alone() -> None:
    target = Target(("quick", opened()))
    assert text(await ask(hedged(target, late_s=30.0))) == "quick"
    assert len(target.contexts) == 1


async def test_before_enough_was_seen_nothing_is_late() -> None:
    lateness = Lateness()
    for _ in range(MIN_SAMPLES - 1):
        lateness.saw(1.0)
    assert lateness.late_s() is None
    for tenth in range(100):
        lateness.saw(tenth / 10)
    assert lateness.late_s() == 9.5


async def test_without_budget_there_is_no_second_request() -> None:
    gate = asyncio.Event()
    target = Target(("slow", gate))
    call = hedged(target, reserve=0.0)
    asking = asyncio.ensure_future(ask(call))
    for _ in range(20):
        await asyncio.sleep(0)
    gate.set()
    assert (text(await asking), len(target.contexts)) == ("slow", 1)


async def test_where_one_fails_the_other_answers() -> None:
    gate = asyncio.Event()
    target = Target((ModelUnavailable("down"), gate), ("second", asyncio.Event()))
    target.script[1] = ("second", gate)
    call = hedged(target)

    async def soon() -> None:
        while len(target.contexts) < 2:
            await asyncio.sleep(0)
        gate.set()

    helper = asyncio.ensure_future(soon())
    events = await ask(call)
    await helper
    assert (text(events), (1, "t1/m") in failed(events)) == ("second", True)


async def test_where_both_fail_the_failure_goes_up() -> None:
    target = Target((ModelUnavailable("down"), opened()))
    with pytest.raises(ModelUnavailable):
        await ask(hedged(target, late_s=30.0))
    assert target.closed == 1


async def test_a_reader_that_leaves_closes_both_and_is_told_what_both_cost() -> None:
    target = Target(("slow", asyncio.Event()), ("slower", asyncio.Event()))
    told: list[Any] = []
    asking = asyncio.ensure_future(ask(hedged(target), told.append))
    while len(target.contexts) < 2:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (target.closed, sorted(metered.attempt for metered in told)) == (2, [1, FIRST_ATTEMPT + 1])
