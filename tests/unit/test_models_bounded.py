"""A call that can be done without is given up in time, and not begun where that happened too often lately."""

import pytest

from golive.core.breaker import BreakerPolicy
from golive.core.deadline import Deadline
from golive.core.errors import CircuitOpen, DeadlineExceeded, ModelTimeout, ModelUnavailable
from golive.models.bounded import Bounded
from golive.models.call import CallContext
from golive.models.gate import Gate, GateState, Moved
from tests.unit.chain_kit import ASKED, GOOD, Provider, Time, World, text

LATE = DeadlineExceeded(limit="test", seconds=2.0)


def bounded(time: Time, provider: Provider, moved: Moved = lambda gate, before: None) -> Bounded:
    policy = BreakerPolicy(failures=2, open_s=30.0, successes=1)
    return Bounded(provider, "sim/small", Gate("sim/small", "", policy, time, moved, "support"))


async def test_what_takes_too_long_is_the_models_failure() -> None:
    """And not the end of the run's time, as which a deadline that has passed would count."""
    time = Time()
    with pytest.raises(ModelTimeout) as caught:
        await World(time).ask(bounded(time, Provider(LATE)), deadline_s=2.0)
    assert caught.value.message == "sim/small did not answer within 2 s (test)."
    assert (caught.value.fields["limit"], caught.value.fields["seconds"]) == ("test", 2.0)


async def test_after_too_many_nobody_is_asked_for_a_while() -> None:
    """Then one call is let through to see; that it answers in time lets all through again."""
    time, provider = Time(), Provider(LATE, LATE, GOOD)
    world, call = World(time), bounded(time, provider)
    for _ in range(2):
        with pytest.raises(ModelTimeout):
            await world.ask(call)
    with pytest.raises(CircuitOpen) as caught:
        await world.ask(call)
    assert (provider.asked, caught.value.fields["retry_after_s"]) == (2, 30.0)
    time.at += 30
    assert [text(await world.ask(call)) for _ in range(2)] == ["hello", "hello"]
    assert provider.asked == 4


async def test_its_breaker_is_seen_and_told_of(time: Time) -> None:
    """As a target's is, under the agent's name; the run does not say of the target that nobody asks it."""
    moves: list[tuple[str, str, str]] = []
    call = bounded(time, Provider(LATE), lambda gate, before: moves.append((gate.supervises, before, gate.state.state)))
    world = World(time)
    for _ in range(2):
        with pytest.raises(ModelTimeout) as caught:
            await world.ask(call)
    assert call.gate.state == GateState("sim/small", "", "open", 1, 30.0, "support")
    assert moves == [("support", "closed", "open")]
    assert "breaker" not in caught.value.fields


async def test_other_failures_are_not_counted_here() -> None:
    """They are the target's own breaker's."""
    time, provider = Time(), Provider(ModelUnavailable("busy"))
    world, call = World(time), bounded(time, provider)
    for _ in range(5):
        with pytest.raises(ModelUnavailable, match="busy"):
            await world.ask(call)
    assert provider.asked == 5


async def test_a_reader_that_leaves_frees_the_probe() -> None:
    """What nobody waited for says nothing of how long it would have taken."""
    time, provider = Time(), Provider(LATE, LATE, GOOD)
    world, call = World(time), bounded(time, provider)
    for _ in range(2):
        with pytest.raises(ModelTimeout):
            await world.ask(call)
    time.at += 30
    stream = call(ASKED, CallContext(Deadline.after(time, 2.0, "test")))
    await anext(stream)
    await stream.aclose()
    assert text(await world.ask(call)) == "hello"
