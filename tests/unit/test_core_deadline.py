"""core/deadline.py: one point in time, handed down and never extended (in virtual time)."""

import asyncio

import pytest

from golive.core.deadline import Deadline
from golive.core.errors import DeadlineExceeded
from tests.sim.loop import VirtualClock, simulate


def test_a_block_that_is_too_slow_is_cancelled_at_the_deadline() -> None:
    """The error names the limit and its seconds, and comes exactly then."""

    async def main(clock: VirtualClock) -> tuple[float, DeadlineExceeded]:
        deadline = Deadline.after(clock, 5, "limits.deadline_s")
        with pytest.raises(DeadlineExceeded) as caught:
            async with deadline.enforced(clock):
                await asyncio.sleep(100)
        return clock.monotonic(), caught.value

    at, error = simulate(main)
    assert at == 5.0
    assert error.fields == {"limit": "limits.deadline_s", "seconds": 5}
    assert str(error) == "not done within 5 s (limits.deadline_s) Raise limits.deadline_s if that is too short."


def test_time_spent_before_counts() -> None:
    """A deadline is a point in time: what was spent before the block is not given back."""

    async def main(clock: VirtualClock) -> tuple[float, float]:
        deadline = Deadline.after(clock, 5, "x")
        await asyncio.sleep(3)
        left = deadline.remaining(clock)
        with pytest.raises(DeadlineExceeded):
            async with deadline.enforced(clock):
                await asyncio.sleep(100)
        return left, clock.monotonic()

    assert simulate(main) == (2.0, 5.0)


def test_a_deadline_already_past_lets_nothing_wait() -> None:
    """Past the deadline the first await in the block ends it, and nothing remains."""

    async def main(clock: VirtualClock) -> tuple[float, float]:
        deadline = Deadline.after(clock, 1, "x")
        await asyncio.sleep(3)
        with pytest.raises(DeadlineExceeded):
            async with deadline.enforced(clock):
                await asyncio.sleep(100)
        return deadline.remaining(clock), clock.monotonic()

    assert simulate(main) == (0.0, 3.0)


def test_a_block_in_time_is_left_alone() -> None:
    """Nothing happens to a block that ends in time, nor after it."""

    async def main(clock: VirtualClock) -> float:
        async with Deadline.after(clock, 5, "x").enforced(clock):
            await asyncio.sleep(4)
        await asyncio.sleep(10)
        return clock.monotonic()

    assert simulate(main) == 14.0


def test_a_timeout_of_the_blocks_own_is_not_ours() -> None:
    """A TimeoutError raised inside passes through as what it is."""

    async def main(clock: VirtualClock) -> None:
        with pytest.raises(TimeoutError, match="theirs"):
            async with Deadline.after(clock, 5, "x").enforced(clock):
                raise TimeoutError("theirs")

    simulate(main)


def test_of_nested_deadlines_the_sooner_speaks() -> None:
    """The error names whichever limit was reached, inner or outer."""

    async def main(clock: VirtualClock, inner_s: float) -> str:
        outer, inner = Deadline.after(clock, 5, "outer"), Deadline.after(clock, inner_s, "inner")
        try:
            async with outer.enforced(clock), inner.enforced(clock):
                await asyncio.sleep(100)
        except DeadlineExceeded as error:
            return str(error.fields["limit"])
        return "none"

    assert simulate(lambda clock: main(clock, 3)) == "inner"
    assert simulate(lambda clock: main(clock, 8)) == "outer"


def test_a_layer_may_tighten_but_never_loosen() -> None:
    """`sooner` is whichever comes first, whoever asks."""
    early, late = Deadline(1.0, "early", 1.0), Deadline(2.0, "late", 2.0)
    assert early.sooner(late) == late.sooner(early) == early


def test_a_cancellation_is_passed_on() -> None:
    """A caller who is cancelled within the block ends cancelled, not out of time."""

    async def main(clock: VirtualClock) -> None:
        async with asyncio.timeout(2):
            async with Deadline.after(clock, 5, "x").enforced(clock):
                await asyncio.sleep(100)

    with pytest.raises(TimeoutError) as caught:
        simulate(main)
    assert not isinstance(caught.value, DeadlineExceeded)
