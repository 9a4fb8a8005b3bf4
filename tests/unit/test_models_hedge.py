"""Two requests for one answer: when the second is sent, who answers, and that the loser is closed and counted."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from golive.core.backoff import RetryBudget
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import CircuitOpen, GoliveError, ModelUnavailable, Outrun
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
    UsageReported,
)
from golive.models.hedge import FIRST_ATTEMPT, MIN_SAMPLES, Hedged, Lateness
from tests.sim.loop import VirtualClock, simulate
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
    told: list[Metered] = []
    events = await ask(hedged(target), told.append)
    assert (text(events), failed(events), target.closed) == ("quick", [(1, "t1/m")], 2)
    metered = [event for event in events if isinstance(event, Metered)]
    assert [event.attempt for event in metered] == [1, FIRST_ATTEMPT + 1], "what the loser cost is told"
    assert told == [], "and told once"
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


@pytest.mark.parametrize("listens", [True, False])
async def test_a_reader_that_leaves_closes_both_and_is_told_what_both_cost(listens: bool) -> None:
    target = Target(("slow", asyncio.Event()), ("slower", asyncio.Event()))
    told: list[Any] = []
    asking = asyncio.ensure_future(ask(hedged(target), told.append if listens else None))
    while len(target.contexts) < 2:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    both = Metered(FIRST_ATTEMPT + 1, f"t{FIRST_ATTEMPT + 1}/m", Usage(2, 0, 12), 10, True, False, 1.0, 1.0)
    assert (target.closed, told) == (2, [both] if listens else [])


class Timed:
    """In virtual time: begins its attempt after 0.25 s, says the text (or fails) `seconds` later, ends 10 s later."""

    def __init__(self, *script: tuple[float, str | GoliveError]) -> None:
        self.script = list(script)
        self.contexts: list[CallContext] = []

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        self.contexts.append(ctx)
        seconds, what = self.script.pop(0)
        number = ctx.attempts + 1
        await asyncio.sleep(0.25)
        if isinstance(what, CircuitOpen):
            raise what
        yield [AttemptStarted(number, f"t{number}/m")]
        await asyncio.sleep(seconds)
        metered = Metered(number, f"t{number}/m", Usage(1, 0, number), 5, True, False, 1.0, 1.0)
        if isinstance(what, Outrun):  # moves on by itself, and waits
            yield [metered]
            yield [AttemptFailed(number, f"t{number}/m", what, 1.0, 50.0)]
            await asyncio.sleep(50.0)
        if isinstance(what, GoliveError):
            yield [metered]
            raise what
        if not what:
            yield [UsageReported(metered.usage), metered]
            return
        yield [TextDelta(what)]
        await asyncio.sleep(10.0)
        yield [Finished("stop"), metered]


def timed(target: Timed) -> list[tuple[float, ModelEvent | GoliveError]]:
    """What a call gives after 20 quick ones, whose first token came after 1.25 s; and when, from its beginning."""
    target.script[:0] = [(1.0, "quick")] * MIN_SAMPLES

    async def main(clock: VirtualClock) -> list[tuple[float, ModelEvent | GoliveError]]:
        call = Hedged(target, RetryBudget(), clock)
        ctx = CallContext(Deadline.after(clock, 1_000.0, "test"))
        for _ in range(MIN_SAMPLES):
            async for _ in call(ASKED, ctx):
                pass
        began, got = clock.monotonic(), list[tuple[float, ModelEvent | GoliveError]]()
        try:
            async for batch in call(ASKED, ctx):
                got += [(clock.monotonic() - began, event) for event in batch]
        except GoliveError as error:
            got.append((clock.monotonic() - began, error))
        return got

    return simulate(main)


def short(got: list[tuple[float, ModelEvent | GoliveError]]) -> list[tuple[float, str]]:
    """When, and what: the kind of the event or error, with the attempt's number."""
    return [(at, f"{type(event).__name__} {getattr(event, 'attempt', '')}".strip()) for at, event in got]


def test_what_is_late_is_learnt_and_the_answer_is_shown_as_it_comes() -> None:
    """The second request is sent when the first token is later than 95 in 100 were, and not before."""
    assert short(timed(Timed((100.0, "slow"), (0.5, "quick")))) == [
        (0.25, "AttemptStarted 1"), (1.5, "AttemptStarted 11"), (2.0, "AttemptFailed 1"), (2.0, "TextDelta"),
        (12.0, "Finished"), (12.0, "Metered 11"),
    ]  # fmt: skip


def test_two_that_fail_at_the_same_moment_are_both_told_each_with_its_cost() -> None:
    """What the one cost is never taken for the other's: it stands before its own failure."""
    down = ModelUnavailable("down")
    got = timed(Timed((4.75, down), (3.5, ModelUnavailable("down too"))))
    assert short(got)[2:] == [
        (5.0, "Metered 1"), (5.0, "AttemptFailed 1"), (5.0, "Metered 11"), (5.0, "ModelUnavailable"),
    ]  # fmt: skip
    assert str(got[-1][1]) == "down too"


def test_one_that_fails_as_the_other_answers_is_told_with_its_cost() -> None:
    down = ModelUnavailable("down")
    got = timed(Timed((4.75, "hello"), (3.5, down)))
    assert short(got)[2:5] == [(5.0, "Metered 11"), (5.0, "AttemptFailed 11"), (5.0, "TextDelta")]
    assert [event.error for _, event in got if isinstance(event, AttemptFailed)] == [down]


def test_a_second_request_that_asked_nobody_failed_at_nothing() -> None:
    """Every other breaker is open, or the first answers before it asked somebody: no attempt is told of."""
    for seconds in (4.75, 1.125):
        got = timed(Timed((seconds, "hello"), (3.5, CircuitOpen("nobody"))))
        assert [what for _, what in short(got)] == ["AttemptStarted 1", "TextDelta", "Finished", "Metered 1"]


def test_an_answer_of_nothing_ends() -> None:
    got = timed(Timed((0.5, "")))
    assert short(got) == [(0.25, "AttemptStarted 1"), (0.75, "UsageReported"), (0.75, "Metered 1")]


def test_one_between_two_attempts_of_its_own_is_told_of_once() -> None:
    """It had failed by itself when the other one answered."""
    got = timed(Timed((10.0, "hello"), (1.0, Outrun("by itself"))))
    assert [what for _, what in short(got)][1:5] == ["AttemptStarted 11", "Metered 11", "AttemptFailed 11", "TextDelta"]
