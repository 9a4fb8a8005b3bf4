"""What was shown and broke off is taken back when something takes its place, and not before; who broke off is asked
again after a wait, and not at once."""

from typing import Any

import pytest
from msgspec import Raw

from golive.core.backoff import RetryBudget
from golive.core.deadline import Deadline
from golive.core.errors import ModelBadRequest, ModelCut, ModelEmpty, ModelUnavailable
from golive.core.messages import Opaque, Usage
from golive.models.call import (
    CallContext,
    Finished,
    Metered,
    ModelEvent,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    Retracted,
    StateReported,
    TextDelta,
    ToolCallDelta,
)
from golive.models.joining import anchor
from tests.unit.chain_kit import ASKED, Provider, Time, World, seen, started
from tests.unit.recovery_kit import CUT, HALF, REST, WHOLE, calls, recovering, retracted, says, told


@pytest.fixture
def world(time: Time) -> World:
    return World(time, retries=0)


@pytest.mark.parametrize(
    ("on_break", "left", "resets"), [("continue", HALF + REST[:11], []), ("reset", REST[:11], [0])]
)
async def test_what_was_shown_stands_where_nobody_answers_any_more(
    patient: World, on_break: str, left: str, resets: list[int]
) -> None:
    """Two targets break off and are then down: one text is left, and it is never taken back for nothing."""
    first = Provider(says(HALF, CUT), ModelUnavailable("down"))
    second = Provider(says(REST[:11], CUT), ModelUnavailable("down"))
    events, error = await told(
        patient, recovering(patient, first, second, on_break=on_break, prefill=(1,)), retracts="all"
    )
    assert (type(error), seen(events), retracted(events)) == (ModelUnavailable, left, resets)


async def test_text_is_taken_back_with_the_first_content_of_the_other_answer(world: World) -> None:
    """Not when that is asked for, nor when it opens or tells its state; what failed between is told before."""
    cost = Metered(1, "b/m", Usage(10, 0, 4), 50, True, False, 1.0, 3.0)
    state = StateReported(Opaque("openai", "m", Raw(b"1")))
    failing = Provider([[Opened()], [cost], CUT])  # type: ignore[list-item]
    other = Provider([[Opened(), state], [TextDelta("")], *says(WHOLE)[1:]])
    call = recovering(world, Provider(says(HALF, CUT)), failing, other, on_break="reset")
    events, error = await told(world, call, retracts="all")
    assert (error, seen(events)) == (None, WHOLE)
    at = events.index(Retracted(0))
    kinds = [type(event).__name__ for event in events[at - 6 : at + 5]]
    assert kinds == [
        "TextDelta", "AttemptFailed", "AttemptStarted", "Metered", "AttemptFailed", "AttemptStarted", "Retracted",
        "Opened", "StateReported", "TextDelta", "TextDelta",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content", [TextDelta("A"), ReasoningDelta("A"), RefusalDelta("A"), ToolCallDelta(0, "c1", "pay", "")]
)
async def test_whatever_is_content_takes_its_place(world: World, content: Any) -> None:
    call = recovering(world, Provider(says(HALF, CUT)), Provider([[content], [Finished("stop")]]), on_break="reset")
    events, error = await told(world, call, retracts="all")
    assert (error, events[events.index(Retracted(0)) + 1]) == (None, content)


@pytest.mark.parametrize("said", [TextDelta(HALF), RefusalDelta("I will")], ids=["text", "refusal"])
async def test_an_answer_of_nothing_takes_no_place(world: World, said: Any) -> None:
    """It would leave the reader with nothing, and is no end of the text that was shown either."""
    cost = Metered(1, "b/m", Usage(10, 0, 0), 50, True, False, 1.0, 3.0)
    empty = Provider([[Opened()], [TextDelta("")], [Finished("stop")], [cost]])
    events, error = await told(
        world, recovering(world, Provider([[said], CUT]), empty, on_break="reset"), retracts="all"
    )
    assert (type(error), retracted(events)) == (ModelEmpty, [])
    assert [event.attempt for event in events if isinstance(event, Metered)] == [2]
    assert not any(isinstance(event, Finished) for event in events)
    assert empty.closed == 1


async def test_where_nothing_was_shown_an_answer_of_nothing_is_one(world: World) -> None:
    """Half a tool call is void, and what comes after it is what the model says: nothing."""
    call = recovering(world, Provider(calls("pay", '{"am', CUT)), Provider([[Opened()], [Finished("stop")]]))
    events, error = await told(world, call, retracts="tools")
    assert error is None
    assert events[-3:] == [Retracted(0), Opened(), Finished("stop")]


async def test_a_continuation_that_adds_nothing_voids_half_a_tool_call(world: World) -> None:
    broken = Provider([*says("Let me look. ")[:-1], *calls("find", '{"q', CUT)])
    call = recovering(world, broken, Provider([[Opened()], [Finished("stop")]]), prefill=(1,))
    events, error = await told(world, call, retracts="tools")
    assert (error, seen(events), retracted(events)) == (None, "Let me look. ", [len("Let me look. ")])
    assert events[-1] == Finished("stop")


async def test_half_a_tool_call_stays_void_through_several_ways(world: World) -> None:
    """Where the first way of going on fails, the next still takes it back."""
    broken = Provider([*says("Let me look at it. ")[:-1], *calls("find", '{"q', CUT)])
    ends = [[TextDelta(anchor("Let me look at it. "))], *calls("find", "{}", [Finished("tool_calls")])]
    backup = Provider(ModelBadRequest("no prefill"), ends)
    call = recovering(world, broken, backup, prefill=(1,), instructed=True)
    events, error = await told(world, call, retracts="all")
    assert (error, seen(events), retracted(events)) == (None, "Let me look at it. ", [len("Let me look at it. ")])
    after = events[events.index(Retracted(19)) :]
    assert [event.arguments for event in after if isinstance(event, ToolCallDelta)] == ["{}"]


async def test_what_was_void_once_is_not_taken_back_again(patient: World) -> None:
    """When what came in its place breaks off in its turn."""
    broken = Provider([*says(HALF)[:-1], *calls("find", '{"q', CUT)])
    backup = Provider(says(REST[:11], CUT), says(REST[11:]))
    events, error = await told(patient, recovering(patient, broken, backup, prefill=(1,)), retracts="tools")
    assert (error, seen(events), retracted(events)) == (None, WHOLE, [len(HALF)])


async def test_what_is_continued_after_a_new_beginning_is_the_new_text_alone(patient: World) -> None:
    backup = Provider(says(HALF, CUT), says(REST))
    first = Provider([[TextDelta("With odds.", extra=Raw(b"{}"))], CUT])
    events, error = await told(patient, recovering(patient, first, backup, prefill=(1,)), retracts="all")
    assert (error, seen(events), retracted(events)) == (None, WHOLE, [0])
    assert backup.requests[1].messages[-1].content == HALF.rstrip()


@pytest.mark.parametrize("on_break", ["continue", "reset"])
async def test_a_reader_that_leaves_what_takes_its_place_closes_its_provider(world: World, on_break: str) -> None:
    backup = Provider(says(WHOLE))
    call = recovering(world, Provider(says(HALF, CUT)), backup, on_break=on_break, prefill=(1,))
    stream = call(ASKED, CallContext(Deadline.after(world.time, 9.0, "t"), retracts="all"))
    before = [batch async for batch in _until_asked(stream, backup)]
    await stream.aclose()
    assert (bool(before), backup.asked, backup.closed) == (True, 1, 1)


async def _until_asked(stream: Any, provider: Provider) -> Any:
    async for batch in stream:
        yield batch
        if provider.asked:
            return


async def test_a_target_that_broke_off_is_asked_again_after_a_wait_alone(patient: World) -> None:
    """It goes on, where nobody else can: but a failure is no reason to ask at once."""
    single = Provider(says(HALF, CUT), says(REST[:11], CUT), says(REST[11:]))
    events = await patient.ask(recovering(patient, single, prefill=(0,)))
    assert (seen(events), single.asked) == (WHOLE, 3)
    first_s, second_s = patient.time.slept
    assert 0.5 <= first_s <= 1.5
    assert 1.0 <= second_s <= 3.0


async def test_those_that_did_not_break_off_come_first_and_at_once(patient: World) -> None:
    broken, backup = Provider(says(HALF, CUT)), Provider(says(WHOLE))
    events = await patient.ask(recovering(patient, broken, backup, on_break="reset"), retracts="all")
    assert (started(events), patient.time.slept) == (["a/m", "b/m"], [])


@pytest.mark.parametrize("why", ["retries", "budget", "deadline"])
async def test_where_it_may_not_be_asked_again_the_text_ends_there(patient: World, why: str) -> None:
    """With the break as the reason, and not with one that is about our own rules."""
    if why == "retries":
        patient.policy = patient.policy._replace(retries=0)
    elif why == "budget":
        patient.budget = RetryBudget(share=0.0, reserve=0.0)
    single = Provider(says(HALF, CUT), says(REST))
    events: list[ModelEvent] = []
    with pytest.raises(ModelCut, match="gone"):
        deadline = Deadline.after(patient.time, 0.4 if why == "deadline" else 300.0, "test")
        async for batch in recovering(patient, single, prefill=(0,))(ASKED, CallContext(deadline, retracts="all")):
            events += batch
    assert (seen(events), single.asked, patient.time.slept) == (HALF, 1, [])
