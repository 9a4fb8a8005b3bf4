"""A clock and a loop that go faster than the machine: what waits, waits as long as configured by that clock."""

import asyncio
import time
from functools import partial

import pytest

from golive.core.clock import FastClock
from golive.core.fast_loop import FastLoop
from golive.core.tasks import Tasks

SPEED = 50.0


def test_a_clock_goes_with_the_machine_until_it_hurries() -> None:
    """Before `hurry` it is the machine's own; after it, neither of its scales has jumped."""
    clock = FastClock(SPEED)
    assert clock.monotonic() == pytest.approx(time.monotonic(), abs=0.5)
    assert clock.now() == pytest.approx(time.time(), abs=0.5)
    clock.hurry()
    assert clock.speed == SPEED
    assert clock.monotonic() == pytest.approx(time.monotonic(), abs=SPEED / 2)
    assert clock.now() - clock.monotonic() == pytest.approx(time.time() - time.monotonic(), abs=0.5)


def test_a_clock_goes_on_where_another_ended() -> None:
    """A process that began later, with time going faster since the same moment, tells no earlier time."""
    began = time.time() - 10
    earlier = FastClock(SPEED, began)
    earlier.hurry()
    told = earlier.now()
    later = FastClock(SPEED, began)
    assert later.now() >= told
    assert later.now() == pytest.approx(began + 10 * SPEED, abs=SPEED / 2)
    assert later.monotonic() == pytest.approx(time.monotonic(), abs=0.5)


def test_a_clock_never_goes_slower() -> None:
    with pytest.raises(ValueError, match=r"speed 0\.5 is below 1"):
        FastClock(0.5)


def test_every_way_of_waiting_counts_in_the_clocks_seconds() -> None:
    """Sleeping, waiting with a limit, and a time-out of 20 s each end at 20 s of the clock, in a 50th of that."""
    clock = FastClock(SPEED)

    async def main() -> list[float]:
        clock.hurry()
        loop, spent = asyncio.get_running_loop(), []
        never = loop.create_future()
        began = loop.time()
        await asyncio.sleep(20)
        spent.append(loop.time() - began)
        began = clock.monotonic()
        await asyncio.wait([never], timeout=20)
        spent.append(clock.monotonic() - began)
        began = clock.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20):
                await never
        spent.append(clock.monotonic() - began)
        return spent

    began = time.monotonic()
    with asyncio.Runner(loop_factory=partial(FastLoop, clock)) as runner:
        spent = runner.run(main())
    real = time.monotonic() - began
    assert all(seconds >= 19.9 for seconds in spent)
    assert sum(spent) <= real * SPEED


def test_what_was_timed_before_comes_when_its_time_has_come() -> None:
    """Who began to wait for 60 s before the clock hurried waits 60 s of the clock; what is cancelled does not come."""
    clock = FastClock(SPEED)

    async def main() -> tuple[float, list[str]]:
        loop = asyncio.get_running_loop()
        came: list[str] = []
        loop.call_later(30, came.append, "early")
        loop.call_later(31, came.append, "cancelled before").cancel()
        later = loop.call_later(50, came.append, "cancelled after")
        began = clock.monotonic()
        async with Tasks("waiting") as tasks:
            tasks.start(asyncio.sleep(60), "for a minute")
            await asyncio.sleep(0)
            clock.hurry()
            later.cancel()
        return clock.monotonic() - began, came

    began = time.monotonic()
    with asyncio.Runner(loop_factory=partial(FastLoop, clock)) as runner:
        waited, came = runner.run(main())
    assert waited >= 59.9
    assert time.monotonic() - began < 30
    assert came == ["early"]
