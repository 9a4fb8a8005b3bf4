"""What becomes of a call's targets after failures of several kinds, and of attempts that are given up."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from golive.core.backoff import RetryBudget
from golive.core.deadline import Deadline
from golive.core.errors import (
    CircuitOpen,
    ContentRefused,
    ContextTooLong,
    GoliveError,
    ModelAuthFailed,
    ModelCut,
    ModelRateLimited,
    ModelUnavailable,
)
from golive.core.messages import Usage
from golive.models.call import (
    AttemptFailed,
    CallContext,
    Finished,
    Metered,
    ModelCall,
    ModelEvent,
    ModelRequest,
    Opened,
    RefusalDelta,
    TextDelta,
    UsageReported,
)
from tests.unit.chain_kit import ASKED, GOOD, Provider, Time, World, started, text

DOWN = ModelUnavailable("down")
USAGE = Usage(10, 0, 4)
COST = Metered(1, "a/m", USAGE, 50, True, False, 1.0, 3.0)


@pytest.fixture
def world(time: Time) -> World:
    return World(time)


async def asked(world: World, chain: ModelCall, deadline_s: float = 300.0) -> tuple[list[str], GoliveError | None]:
    """The targets that a call asked, and how it failed."""
    events: list[ModelEvent] = []
    try:
        async for batch in chain(ASKED, CallContext(Deadline.after(world.time, deadline_s, "test"))):
            events += batch
    except GoliveError as error:
        return started(events), error
    return started(events), None


async def test_once_other_targets_are_chosen_the_former_are_not_tried_again(world: World) -> None:
    """Not even where they could be asked sooner: the context is too long for them."""
    large = Provider(ModelRateLimited("slow down", retry_after_s=17.0), GOOD)
    chain = world.chain(
        world.target("a/m", Provider(DOWN)), world.target("b/m", Provider(ContextTooLong("too long"))),
        context_too_long=(world.target("l/m", large),),
    )  # fmt: skip
    assert await asked(world, chain) == (["a/m", "b/m", "l/m", "l/m"], None)


async def test_too_long_a_context_leaves_out_every_window_that_is_no_larger(world: World) -> None:
    """Of those that failed before, of those still to come, and of the targets of its own."""
    long = ContextTooLong("too long")
    chain = world.chain(
        world.target("a/m", Provider(DOWN), context_window=8_000),
        world.target("b/m", Provider(long), context_window=8_000),
    )
    assert await asked(world, chain) == (["a/m", "b/m"], long)
    assert world.time.slept == []
    own = world.chain(
        world.target("c/m", Provider(long)),
        context_too_long=(
            world.target("l/m", Provider(long), context_window=200_000),
            world.target("s/m", Provider(GOOD), context_window=200_000),
            world.target("u/m", Provider(ModelAuthFailed("no"))),
            world.target("x/m", Provider(GOOD), context_window=1_000_000),
        ),
    )
    assert await asked(world, own) == (["c/m", "l/m", "u/m", "x/m"], None)


async def test_a_pause_is_waited_out_for_one_attempt(world: World) -> None:
    """Whatever comes of it, the same credential is not asked twice in a row; it is no retry, and takes nothing of the
    budget."""
    world.budget = RetryBudget(share=0.0, reserve=0.0)
    provider = Provider(ModelAuthFailed("no"))
    chain = world.chain(world.target("a/m", provider))
    world.gate("a/m").pause(5.0)
    targets, error = await asked(world, chain)
    assert (targets, type(error), provider.asked, world.time.slept) == (["a/m"], ModelAuthFailed, 1, [5.0])


async def test_an_account_whose_quota_is_used_up_is_not_waited_for(world: World) -> None:
    """No wait brings it back, as one does where only the rate was too high."""
    used_up = Provider(ModelRateLimited("no credit", quota_exhausted=True))
    targets, error = await asked(world, world.chain(world.target("a/m", used_up)))
    assert (targets, type(error), world.time.slept) == (["a/m"], ModelRateLimited, [])


async def test_of_equals_the_last_of_the_chain_is_tried_again(world: World) -> None:
    chain = world.chain(world.target("a/m", Provider(DOWN)), world.target("b/m", Provider(DOWN, GOOD)))
    assert await asked(world, chain) == (["a/m", "b/m", "b/m"], None)


async def test_where_nobody_can_be_asked_the_error_says_whether_all_are_merely_paused(world: World) -> None:
    """And when the first of them can be."""
    chain = world.chain(world.target("a/m", Provider(GOOD)), world.target("b/m", Provider(GOOD)))
    for ref, seconds in (("a/m", 100.0), ("b/m", 90.0)):
        world.gate(ref).pause(seconds)
    _, limited = await asked(world, chain)
    for _ in range(5):
        gate = world.gate("c/m")
        gate.failed(gate.admit() or pytest.fail("closed"), DOWN)
    _, mixed = await asked(world, world.chain(world.target("a/m", Provider(GOOD)), world.target("c/m", Provider(GOOD))))
    assert limited is not None
    assert mixed is not None
    assert (type(limited), limited.fields["retry_after_s"]) == (ModelRateLimited, 90.0)
    assert (type(mixed), mixed.fields["retry_after_s"]) == (CircuitOpen, 30.0)


async def test_one_that_is_tried_again_and_out_for_good_leaves_the_others_their_turn(world: World) -> None:
    """The one that can be asked soonest is tried first; what no wait mends is then asked no more."""
    limited = Provider(ModelRateLimited("slow down", retry_after_s=17.0), GOOD)
    chain = world.chain(world.target("a/m", Provider(DOWN, ModelAuthFailed("no"))), world.target("b/m", limited))
    assert await asked(world, chain) == (["a/m", "b/m", "a/m", "b/m"], None)


@pytest.mark.parametrize("then", ["closes", "opens again"])
async def test_a_call_whose_probe_another_takes_waits_for_that(
    world: World, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """It waited for the breaker to let somebody through, and another was quicker: it asks once the way is free, and
    where that other one fails, it is told that nobody was asked."""
    gate = world.gate("a/m")
    for _ in range(5):
        gate.failed(gate.admit() or pytest.fail("closed"), DOWN)
    world.time.at += 29.75
    others: list[Any] = []

    async def sleep(seconds: float) -> None:
        await world.time.sleep(seconds)
        if not others:
            others.append(gate.admit())
        elif then == "closes":
            gate.succeeded(others[0])
        else:
            gate.failed(others[0], DOWN)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    provider = Provider(GOOD)
    targets, error = await asked(world, world.chain(world.target("a/m", provider)))
    assert world.time.slept == [0.25, 1.0]
    if then == "closes":
        assert (targets, error) == (["a/m"], None)
    else:
        assert (targets, type(error), provider.asked) == ([], CircuitOpen, 0)
        assert error is not None
        assert error.fields["retry_after_s"] == 30.0


async def test_a_pause_that_begins_during_a_back_off_is_waited_out_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another call was told to leave the target alone; the failure before the wait is told once."""
    gate = world.gate("a/m")

    async def sleep(seconds: float) -> None:
        if not world.time.slept:
            gate.pause(seconds + 5.0)
        await world.time.sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    events = await world.ask(world.chain(world.target("a/m", Provider(DOWN, GOOD))))
    assert (started(events), len(world.time.slept)) == (["a/m", "a/m"], 2)
    assert world.time.slept[1] == pytest.approx(5.0)
    assert sum(isinstance(event, AttemptFailed) for event in events) == 1


@pytest.mark.parametrize(("wait_s", "deadline_s", "waits"), [(60.0, 300.0, True), (17.0, 17.0, False)])
async def test_a_whole_minute_is_waited_for_and_the_whole_deadline_is_not(
    world: World, wait_s: float, deadline_s: float, waits: bool
) -> None:
    """After a wait up to the deadline itself nothing could be asked any more."""
    chain = world.chain(world.target("a/m", Provider(ModelRateLimited("slow down", retry_after_s=wait_s), GOOD)))
    targets, _ = await asked(world, chain, deadline_s)
    assert (targets, world.time.slept) == ((["a/m", "a/m"], [wait_s]) if waits else (["a/m"], []))


@pytest.mark.parametrize(
    ("said", "is_content"),
    [
        ([Opened()], False), ([Opened(), UsageReported(USAGE)], False),
        ([TextDelta("hel"), UsageReported(USAGE)], True), ([Opened(), TextDelta("hel")], True),
    ],
)  # fmt: skip
async def test_what_is_content_commits_the_call_and_nothing_else_does(
    world: World, said: list[ModelEvent], is_content: bool
) -> None:
    """An attempt that only opened, or counted tokens, leaves no trace of itself when it fails."""
    chain = world.chain(world.target("a/m", Provider([said, ModelCut("gone")])), world.target("b/m", Provider(GOOD)))  # type: ignore[list-item]
    if is_content:
        assert (await asked(world, chain))[0] == ["a/m"]
    else:
        events = await world.ask(chain)
        assert (started(events), events[-3:]) == (["a/m", "b/m"], [event for batch in GOOD for event in batch])
        assert sum(isinstance(event, Opened) for event in events) == 1


async def test_an_answer_of_nothing_is_handed_on(world: World) -> None:
    said: list[Any] = [[Opened()], [UsageReported(USAGE), COST]]
    assert (await world.ask(world.chain(world.target("a/m", Provider(said)))))[1:] == [
        event for b in said for event in b
    ]


async def test_what_a_failed_attempt_cost_is_told_under_its_number_with_its_time(world: World) -> None:
    """Of the first, of the last, and of one between: none is lost, and each bears its attempt's number."""

    class Costly(Provider):
        async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
            world.time.at += 0.25
            async for batch in super().__call__(request, ctx):
                yield batch

    world.policy = world.policy._replace(retries=0)
    costly: list[Any] = [[Opened()], [UsageReported(USAGE), COST], ModelCut("gone")]
    chain = world.chain(*[world.target(ref, Costly(costly)) for ref in ("a/m", "b/m", "c/m")])
    events: list[ModelEvent] = []
    with pytest.raises(ModelCut):
        async for batch in chain(ASKED, CallContext(Deadline.after(world.time, 300.0, "test"))):
            events += batch
    assert [event.attempt for event in events if isinstance(event, Metered)] == [1, 2, 3]
    assert [event.latency_ms for event in events if isinstance(event, AttemptFailed)] == [250.0, 250.0]


FILTERED: list[Any] = [[Opened()], [Finished("content_filter"), UsageReported(USAGE)], [COST]]


@pytest.mark.parametrize(
    "explained", [[], [RefusalDelta("It is against the policy.")]], ids=["by its reason", "and in words"]
)
async def test_a_filter_that_speaks_by_the_finish_reason_is_a_refusal_too(world: World, explained: list[Any]) -> None:
    """Nothing of it is handed on but what it cost, under the attempt that failed; it speaks against nobody."""
    filtered: list[Any] = [FILTERED[0], [*explained, *FILTERED[1]], FILTERED[2]]
    backup = Provider(GOOD)
    chain = world.chain(
        world.target("a/m", Provider(filtered)), world.target("b/m", backup),
        content_refused=(world.target("c/m", Provider(filtered)), world.target("d/m", Provider(GOOD))),
    )  # fmt: skip
    for _ in range(6):
        events = await world.ask(chain)
        assert (started(events), text(events), backup.asked) == (["a/m", "c/m", "d/m"], "hello", 0)
    kinds = [type(event).__name__ for event in events[:6]]
    assert kinds == ["AttemptStarted", "Metered", "AttemptFailed"] * 2
    assert [(e.attempt, e.cost_microusd) for e in events if isinstance(e, Metered)] == [(1, 50), (2, 50)]
    assert [type(event.error) for event in events if isinstance(event, AttemptFailed)] == [ContentRefused] * 2
    assert world.moves == []


@pytest.mark.parametrize(
    ("said", "own"),
    [
        (FILTERED, ()), (FILTERED, ("a/m",)), (FILTERED, ("long/m",)),
        ([[Opened()], [TextDelta("hel")], *FILTERED[1:]], ("c/m",)),
        ([[Opened()], [TextDelta("hel"), *FILTERED[1]]], ("c/m",)),
        ([[Opened()], [Finished("stop"), UsageReported(USAGE)]], ("c/m",)),
        ([[Opened()], [Finished("content_filter"), Finished("stop", 1)]], ("c/m",)),
    ],
    ids=["nobody", "itself alone", "one that declined", "after text", "with text", "another end", "another choice"],
)  # fmt: skip
async def test_any_other_answer_is_handed_on_as_it_is(world: World, said: list[Any], own: tuple[str, ...]) -> None:
    bold = Provider(GOOD)
    chain = world.chain(
        world.target("long/m", Provider(ContextTooLong("too long"))),
        context_too_long=(world.target("a/m", Provider(said)), world.target("b/m", bold)),
        content_refused=tuple([world.target(ref, bold) for ref in own]),
    )
    events = await world.ask(chain)
    whole = [event for batch in said for event in batch if not isinstance(event, Metered)]
    assert [event for event in events[3:] if not isinstance(event, Metered)] == whole
    assert bold.asked == 0


async def test_the_last_that_may_be_asked_for_refused_content_has_the_last_word(world: World) -> None:
    """An answer that a filter ended, and not the failure of a call."""
    chain = world.chain(
        world.target("a/m", Provider(FILTERED)), content_refused=(world.target("c/m", Provider(FILTERED)),)
    )
    events = await world.ask(chain)
    assert (started(events), Finished("content_filter") in events) == (["a/m", "c/m"], True)


async def test_one_that_broke_off_and_declines_is_asked_with_no_further_credential(world: World) -> None:
    first, second = Provider(ContentRefused("no")), Provider(ContentRefused("no"))
    with pytest.raises(ContentRefused):
        await world.ask(world.chain(world.target("a/m", first, second)), broken=("a/m",))
    assert first.asked + second.asked == 1


async def test_those_that_broke_off_and_are_out_are_named(world: World) -> None:
    """With the time at which the first of them is back."""
    for _ in range(5):
        gate = world.gate("a/m")
        gate.failed(gate.admit() or pytest.fail("closed"), DOWN)
    with pytest.raises(CircuitOpen, match="a/m failed too often") as caught:
        await world.ask(world.chain(world.target("a/m", Provider(GOOD))), broken=("a/m",))
    assert caught.value.fields["retry_after_s"] == 30.0


async def test_a_probe_that_is_given_up_makes_way_for_the_next(world: World) -> None:
    """The reader of the one call that a half-open breaker let through may leave: the target is not lost by it."""
    gate = world.gate("a/m")
    for _ in range(5):
        gate.failed(gate.admit() or pytest.fail("closed"), DOWN)
    world.time.at += 30.0
    chain = world.chain(world.target("a/m", Provider(GOOD)))
    stream = chain(ASKED, CallContext(Deadline.after(world.time, 9.0, "test")))
    assert started(await anext(stream) + await anext(stream)) == ["a/m"]
    assert (gate.state.state, gate.admit()) == ("half_open", None)
    await stream.aclose()
    assert text(await world.ask(chain)) == "hello"
    assert world.time.slept == []


class Abandoned(Provider):
    """Tells what it cost when its reader leaves."""

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        try:
            yield [TextDelta("hel")]
        finally:
            if ctx.on_abandoned is not None:
                ctx.on_abandoned(COST)


@pytest.mark.parametrize("failures", [0, 1, 2])
async def test_an_abandoned_attempt_is_reported_under_its_own_number(world: World, failures: int) -> None:
    """And where nobody asked for the report, leaving is all the same."""
    targets = [world.target(f"{'ab'[number]}/m", Provider(DOWN)) for number in range(failures)]
    chain = world.chain(*targets, world.target("c/m", Abandoned([])))
    told: list[Metered] = []
    for report in (told.append, None):
        stream = chain(ASKED, CallContext(Deadline.after(world.time, 9.0, "test"), on_abandoned=report))
        async for batch in stream:
            if isinstance(batch[-1], TextDelta):
                break
        await stream.aclose()
    assert [metered.attempt for metered in told] == [failures + 1]
