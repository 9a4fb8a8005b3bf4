"""A call that can be done without is given up in time, and not begun where that happened too often lately."""

import pytest

from golive.core.breaker import BreakerPolicy
from golive.core.deadline import Deadline
from golive.core.errors import CircuitOpen, DeadlineExceeded, ModelTimeout, ModelUnavailable
from golive.models.bounded import Bounded
from golive.models.call import CallContext
from tests.unit.chain_kit import ASKED, GOOD, Provider, Time, World, text

LATE = DeadlineExceeded(limit="test", seconds=2.0)


def bounded(time: Time, provider: Provider) -> Bounded:
    return Bounded(provider, "sim/small", BreakerPolicy(failures=2, open_s=30.0, successes=1), time)


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
