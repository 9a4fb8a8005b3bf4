"""Answers that break off in the middle: what is continued, what is begun anew, what fails; for every kind of reader."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from msgspec import Raw

from golive.core.backoff import RetryBudget
from golive.core.deadline import Deadline
from golive.core.errors import (
    ContentRefused,
    DeadlineExceeded,
    GoliveError,
    ModelBadRequest,
    ModelCut,
    ModelTimeout,
    ModelUnavailable,
)
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Finished,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    RefusalDelta,
    Retracted,
    TextDelta,
    ToolCallDelta,
)
from golive.models.hedge import MIN_SAMPLES, Hedged
from golive.models.joining import anchor
from golive.models.recovery import MAX_BREAKS, MAX_RESETS, Recovering, Ways
from tests.sim.loop import VirtualClock, simulate
from tests.unit.chain_kit import ASKED, Provider, Time, World, seen, started
from tests.unit.recovery_kit import CUT, HALF, REST, WHOLE, calls, recovering, retracted, says

DOWN = ModelUnavailable("down")


@pytest.fixture
def world(time: Time) -> World:
    return World(time, retries=0)


@pytest.mark.parametrize("retracts", ["nothing", "tools", "all"])
async def test_a_target_that_takes_a_prefill_goes_on_for_every_reader(world: World, retracts: Any) -> None:
    backup = Provider(says(REST))
    call = recovering(world, Provider(says(HALF, CUT)), backup, prefill=(1,))
    events = await world.ask(call, retracts=retracts)
    assert (seen(events), started(events), retracted(events)) == (WHOLE, ["a/m", "b/m"], [])
    last = backup.requests[0].messages[-1]
    assert (last.role, last.content) == ("assistant", HALF.rstrip())


async def test_a_break_is_told_as_a_failed_attempt(world: World) -> None:
    call = recovering(world, Provider(says(HALF, CUT)), Provider(says(REST)), prefill=(1,))
    failed = [event for event in await world.ask(call) if isinstance(event, AttemptFailed)]
    assert [(event.attempt, event.target, event.error) for event in failed] == [(1, "a/m", CUT)]


async def test_a_stall_counts_as_a_break(world: World) -> None:
    stalled = ModelTimeout("silent", limit="providers.a.between_tokens_s", seconds=15.0)
    call = recovering(world, Provider(says(HALF, stalled)), Provider(says(REST)), prefill=(1,))
    assert seen(await world.ask(call)) == WHOLE


async def test_without_a_prefill_a_reader_that_can_take_back_gets_another_answer(world: World) -> None:
    call = recovering(world, Provider(says(HALF, CUT)), Provider(says("Quite another answer.")))
    events = await world.ask(call, retracts="all")
    assert (seen(events), retracted(events)) == ("Quite another answer.", [0])


@pytest.mark.parametrize("retracts", ["nothing", "tools"])
async def test_and_one_that_cannot_gets_the_failure(world: World, retracts: Any) -> None:
    backup = Provider(says("Quite another answer."))
    with pytest.raises(ModelCut):
        await world.ask(recovering(world, Provider(says(HALF, CUT)), backup), retracts=retracts)
    assert backup.asked == 0


async def test_fail_fails_at_once(world: World) -> None:
    backup = Provider(says(REST))
    call = recovering(world, Provider(says(HALF, CUT)), backup, on_break="fail", prefill=(1,))
    with pytest.raises(ModelCut):
        await world.ask(call, retracts="all")
    assert backup.asked == 0


async def test_reset_does_not_continue(world: World) -> None:
    call = recovering(world, Provider(says(HALF, CUT)), Provider(says(WHOLE)), on_break="reset", prefill=(1,))
    events = await world.ask(call, retracts="all")
    assert (seen(events), retracted(events)) == (WHOLE, [0])


async def test_a_target_asked_in_words_is_joined_where_it_repeats_the_end(world: World) -> None:
    backup = Provider(says(anchor(HALF) + REST))
    call = recovering(world, Provider(says(HALF, CUT)), backup, instructed=True)
    events = await world.ask(call)
    assert (seen(events), retracted(events)) == (WHOLE, [])
    asked = backup.requests[0].messages
    assert [message.role for message in asked[-2:]] == ["assistant", "user"]
    assert anchor(HALF) in asked[-1].text()


@pytest.mark.parametrize(("retracts", "text"), [("all", WHOLE), ("nothing", None)])
async def test_one_that_does_not_is_not_joined(world: World, retracts: Any, text: str | None) -> None:
    backup = Provider(says("Of course! It goes on like this."), says(WHOLE))
    call = recovering(world, Provider(says(HALF, CUT)), backup, instructed=True)
    if text is None:
        with pytest.raises(ModelCut, match="gone"):
            await world.ask(call, retracts=retracts)
    else:
        events = await world.ask(call, retracts=retracts)
        assert (seen(events), retracted(events)) == (text, [0])
    assert backup.closed == backup.asked


async def test_a_refused_prefill_is_followed_by_words_and_then_by_another_answer(world: World) -> None:
    backup = Provider(ModelBadRequest("no prefill"), says("I begin anew."), says(WHOLE))
    call = recovering(world, Provider(says(HALF, CUT)), backup, prefill=(1,), instructed=True)
    events = await world.ask(call, retracts="all")
    assert (seen(events), backup.asked, retracted(events)) == (WHOLE, 3, [0])


async def test_breaks_in_a_row_each_grow_the_text(patient: World) -> None:
    world = patient
    backup = Provider(says(REST[:11], CUT), says(REST[11:22], CUT), says(REST[22:]))
    call = recovering(world, Provider(says(HALF, CUT)), backup, prefill=(1,))
    assert seen(await world.ask(call)) == WHOLE


async def test_an_answer_is_begun_anew_twice_and_no_more(patient: World) -> None:
    broken = Provider(says("zebra crossing ", CUT))
    with pytest.raises(ModelCut):
        await patient.ask(recovering(patient, broken, on_break="reset"), retracts="all")
    assert (broken.asked, len(patient.time.slept)) == (1 + MAX_RESETS, MAX_RESETS)


async def test_after_many_breaks_the_failure_goes_up(time: Time) -> None:
    patient = World(time, retries=9)
    grows = Provider(*(says(f"part {number}, which is long enough to tell. ", CUT) for number in range(9)))
    with pytest.raises(ModelCut):
        await patient.ask(recovering(patient, grows, prefill=(0,)))
    assert (grows.asked, len(patient.time.slept)) == (1 + MAX_BREAKS, MAX_BREAKS)


async def test_the_waits_of_one_answer_grow_and_are_counted_together(patient: World) -> None:
    """A target that breaks off again and again is not asked after the first wait each time, nor more often than
    `retries`; the next answer begins with the first wait again."""
    for begun in (0, 3):
        grows = Provider(*(says(f"part {number}, which is long enough to tell. ", CUT) for number in range(9)))
        with pytest.raises(ModelCut):
            await patient.ask(recovering(patient, grows, prefill=(0,)))
        assert grows.asked == 4
        for slept, middle in zip(patient.time.slept[begun:], (1, 2, 4), strict=True):
            assert middle * 0.5 <= slept <= middle * 1.5
        patient.gates["a/m 0"].reset()


async def test_waits_before_the_answer_began_count_as_well(patient: World) -> None:
    broken = Provider(DOWN, DOWN, says(HALF, CUT), says(REST))
    events = await patient.ask(recovering(patient, broken, prefill=(0,)))
    assert [event.retries for event in events if isinstance(event, AttemptStarted)] == [0, 1, 2, 3]
    assert 2.0 <= patient.time.slept[2] <= 6.0


async def test_json_is_begun_anew_and_never_continued(world: World) -> None:
    asked = ModelRequest(messages=ASKED.messages, output_schema=Raw(b"{}"))
    backup = Provider(says('{"a": 2}'))
    call = recovering(world, Provider(says('{"a": ', CUT)), backup, prefill=(1,), instructed=True)
    events = await world.ask(call, asked, retracts="all")
    assert (seen(events), retracted(events)) == ('{"a": 2}', [0])
    assert backup.requests[0] == asked
    with pytest.raises(ModelCut):
        await world.ask(recovering(world, Provider(says('{"a": ', CUT)), backup, prefill=(1,)), asked)


async def test_half_a_tool_call_is_void(world: World) -> None:
    backup = Provider(calls("pay", "{}", [Finished("tool_calls")]))
    for retracts in ("tools", "all"):
        call = recovering(world, Provider(calls("pay", '{"am', CUT)), backup)
        events = await world.ask(call, retracts=retracts)
        assert retracted(events) == [0]
        after = events[events.index(Retracted(0)) :]
        assert [event.arguments for event in after if isinstance(event, ToolCallDelta)] == ["{}"]
    with pytest.raises(ModelCut):
        await world.ask(recovering(world, Provider(calls("pay", '{"am', CUT)), backup), retracts="nothing")


async def test_text_before_half_a_tool_call_stands_where_it_can_be_continued(world: World) -> None:
    broken = Provider([*says("Let me look. ")[:-1], *calls("find", '{"q', CUT)])
    backup = Provider(calls("find", "{}", [Finished("tool_calls")]))
    events = await world.ask(recovering(world, broken, backup, prefill=(1,)), retracts="tools")
    assert (seen(events), retracted(events)) == ("Let me look. ", [len("Let me look. ")])
    with pytest.raises(ModelCut):  # a reader that cannot take back would be left with two calls
        await world.ask(recovering(world, broken, backup, prefill=(1,)), retracts="nothing")


async def test_a_refusal_in_words_is_not_continued(world: World) -> None:
    broken = Provider([[RefusalDelta("I will ")], CUT])
    with pytest.raises(ModelCut):
        await world.ask(recovering(world, broken, Provider(says(REST)), prefill=(1,)), retracts="tools")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ModelRequest(messages=ASKED.messages, only_there=("documents",)), TextDelta(HALF)),
        (ASKED, TextDelta(HALF, choice=1)), (ASKED, TextDelta(HALF, extra=Raw(b'{"logprobs":[]}'))),
    ],
    ids=["one vendor's own request", "a second choice", "what belongs to each token"],
)  # fmt: skip
async def test_what_another_cannot_be_given_is_begun_anew(
    world: World, request_: ModelRequest, said: TextDelta
) -> None:
    """It could not be put into a continuation's words."""
    call = recovering(world, Provider([[said], CUT]), Provider(says(WHOLE)), prefill=(1,), instructed=True)
    events = await world.ask(call, request_, retracts="all")
    assert retracted(events) == [0]


async def test_a_continuation_states_the_conversation_anew(world: World) -> None:
    """What a relayed request said of it verbatim is left out, all else stands; a prefill ends in no blank."""
    verbatim = {"messages": Raw(b"[]"), "system": Raw(b'""'), "top_k": Raw(b"3")}
    backup = Provider(says(REST))
    call = recovering(world, Provider(says(f"{HALF} ", CUT)), backup, prefill=(1,))
    await world.ask(call, ModelRequest(messages=ASKED.messages, extra=verbatim))
    asked = backup.requests[0]
    assert (asked.extra, asked.messages[-1].content) == ({"top_k": Raw(b"3")}, HALF)


async def test_begun_anew_an_answer_that_breaks_off_again_may_be_continued(patient: World) -> None:
    """What could not be continued before is forgotten with it."""
    world = patient
    backup = Provider(says(HALF, CUT), says(REST))
    call = recovering(world, Provider([[RefusalDelta("I will ")], CUT]), backup, prefill=(1,))
    events = await world.ask(call, retracts="all")
    assert (seen(events), retracted(events)) == (WHOLE, [0])


async def test_a_short_end_that_stands_in_the_text_already_is_not_lost(world: World) -> None:
    """It is held back until it is clear that it repeats nothing, at the latest until the answer ends."""
    text = "On Mondays we are open from nine to five. On Tuesdays from nine "
    call = recovering(world, Provider(says(text, CUT)), Provider(says("to five")), prefill=(1,))
    assert seen(await world.ask(call)) == text + "to five"


def test_of_two_requests_the_one_that_answered_is_blamed_for_the_break() -> None:
    """Also where it is the first of them: the second's target does not wait for what it did not do."""

    async def main(clock: VirtualClock) -> tuple[list[CallContext], list[ModelEvent]]:
        contexts: list[CallContext] = []

        async def call(request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
            contexts.append(ctx)
            number = ctx.attempts + 1
            yield [AttemptStarted(number, f"t{number}/m")]
            await asyncio.sleep(5.0 if number == 1 else 50.0 if number == 11 else 0.0)
            yield [TextDelta("Half ")]
            if number == 1:
                raise CUT
            yield [Finished("stop")]

        hedged = Hedged(call, RetryBudget(), clock)
        for _ in range(MIN_SAMPLES):
            hedged._lateness.saw(1.0)
        ctx = CallContext(Deadline.after(clock, 300.0, "test"), retracts="all")
        answer = Recovering(hedged, Ways("reset"))(ASKED, ctx)
        return contexts, [event async for batch in answer for event in batch]

    contexts, events = simulate(main)
    failed = [(event.attempt, event.target) for event in events if isinstance(event, AttemptFailed)]
    assert failed == [(11, "t11/m"), (1, "t1/m")]
    assert (contexts[2].broken, contexts[2].attempts) == (("t1/m",), 11)


async def test_reasoning_alone_is_begun_anew(world: World) -> None:
    broken = Provider([[ReasoningDelta("Hm")], CUT])
    events = await world.ask(recovering(world, broken, Provider(says(WHOLE))), retracts="tools")
    assert (seen(events), retracted(events)) == (WHOLE, [0])


@pytest.mark.parametrize(
    "error", [DeadlineExceeded(limit="x", seconds=1.0), ModelBadRequest("odd")], ids=["late", "bad"]
)
async def test_what_no_other_target_mends_is_not_recovered_from(world: World, error: GoliveError) -> None:
    backup = Provider(says(REST))
    with pytest.raises(type(error)):
        await world.ask(recovering(world, Provider(says(HALF, error)), backup, prefill=(1,)), retracts="all")
    assert backup.asked == 0


async def test_a_filter_in_the_middle_sends_the_answer_elsewhere(world: World) -> None:
    call = recovering(world, Provider(says(HALF, ContentRefused("no"))), Provider(says("Other words.")))
    assert seen(await world.ask(call, retracts="all")) == "Other words."


async def test_where_nobody_is_left_the_last_failure_goes_up(world: World) -> None:
    broken, down = Provider(says(HALF, CUT)), Provider(ModelUnavailable("down"))
    with pytest.raises(ModelUnavailable):
        await world.ask(recovering(world, broken, down), retracts="all")
    assert (broken.asked, down.asked) == (1, 1)


async def test_what_did_not_begin_is_the_chains_own_business(world: World) -> None:
    down = Provider(ModelUnavailable("down"))
    with pytest.raises(ModelUnavailable):
        await world.ask(recovering(world, down), retracts="all")
    assert down.asked == 1


async def test_closing_the_reader_closes_the_provider(world: World) -> None:
    provider = Provider(says(WHOLE))
    stream = recovering(world, provider)(ASKED, CallContext(Deadline.after(world.time, 9.0, "t")))
    async for batch in stream:
        if isinstance(batch[-1], TextDelta):
            break
    await stream.aclose()
    assert provider.closed == 1
