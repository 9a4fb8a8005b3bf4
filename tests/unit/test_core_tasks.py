"""core/tasks.py: the one parent every task has."""

import asyncio
from typing import Any

import pytest

from golive.core.tasks import Tasks, uncancelled
from tests.sim.loop import Deadlock, VirtualClock, simulate


async def _note(log: list[str], name: str, seconds: float = 1_000.0) -> str:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        log.append(f"{name} cancelled")
        raise
    log.append(f"{name} done")
    return name


async def _fail(after_s: float, error: Exception) -> None:
    await asyncio.sleep(after_s)
    raise error


async def _fail_on_cancel(error: Exception) -> None:
    try:
        await asyncio.sleep(1_000)
    except asyncio.CancelledError:
        raise error from None


def _reports(loop: asyncio.AbstractEventLoop) -> list[str]:
    reports: list[str] = []
    loop.set_exception_handler(lambda _, context: reports.append(repr(context["exception"])))
    return reports


def test_the_block_waits_for_all() -> None:
    """Leaving the block waits until the last child has ended, and results are there."""

    async def main(clock: VirtualClock) -> tuple[float, list[str]]:
        log: list[str] = []
        async with Tasks("t") as tasks:
            children = [tasks.start(_note(log, name, s), name) for name, s in (("a", 3), ("b", 1), ("c", 2))]
        return clock.monotonic(), [child.result() for child in children] + log

    assert simulate(main) == (3.0, ["a", "b", "c", "b done", "c done", "a done"])


def test_the_first_failure_cancels_the_rest_in_order() -> None:
    """The first failure is raised itself, not in a group; siblings are cancelled in the order they began."""

    async def main(clock: VirtualClock) -> tuple[float, list[str]]:
        log: list[str] = []
        with pytest.raises(KeyError, match="boom"):
            async with Tasks("t") as tasks:
                for number in range(20):
                    tasks.start(_note(log, f"{number:02}"), f"{number:02}")
                tasks.start(_fail(1, KeyError("boom")), "fails")
                await asyncio.sleep(500)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return clock.monotonic(), log

    assert simulate(main) == (1.0, [f"{number:02} cancelled" for number in range(20)])


def test_a_failure_while_waiting_at_the_end() -> None:
    """A child that fails after the body has ended is raised just the same."""

    async def main(clock: VirtualClock) -> list[str]:
        log: list[str] = []
        with pytest.raises(KeyError):
            async with Tasks("t") as tasks:
                tasks.start(_fail(1, KeyError("late")), "fails")
                tasks.start(_note(log, "sibling"), "sibling")
        return log

    assert simulate(main) == ["sibling cancelled"]


def test_the_bodys_own_error_stands() -> None:
    """The body's error is raised; a child's failure during its cancellation is reported, neither lost nor raised."""

    async def main(clock: VirtualClock) -> list[str]:
        reports = _reports(asyncio.get_running_loop())
        with pytest.raises(ValueError, match="body"):
            async with Tasks("t") as tasks:
                tasks.start(_fail_on_cancel(KeyError("clean-up")), "child")
                await asyncio.sleep(1)
                raise ValueError("body")
        return reports

    assert simulate(main) == ["KeyError('clean-up')"]


def test_of_two_failures_the_first_is_raised_and_the_second_reported() -> None:
    """A sibling that fails while it is cancelled does not replace the first failure."""

    async def main(clock: VirtualClock) -> list[str]:
        reports = _reports(asyncio.get_running_loop())
        with pytest.raises(KeyError, match="first"):
            async with Tasks("t") as tasks:
                tasks.start(_fail_on_cancel(ValueError("second")), "second")
                tasks.start(_fail(1, KeyError("first")), "first")
        return reports

    assert simulate(main) == ["ValueError('second')"]


def test_a_cancellation_from_outside_is_never_swallowed() -> None:
    """A cancelled owner ends cancelled, also when a child fails during the clean-up."""

    async def owner(log: list[str]) -> None:
        async with Tasks("t") as tasks:
            tasks.start(_note(log, "a"), "a")
            tasks.start(_fail_on_cancel(KeyError("clean-up")), "b")

    async def main(clock: VirtualClock) -> tuple[bool, list[str], list[str]]:
        reports = _reports(asyncio.get_running_loop())
        log: list[str] = []
        tasks = Tasks("outer")
        running = tasks.start(owner(log), "owner")
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running])
        return running.cancelled(), log, reports

    assert simulate(main) == (True, ["a cancelled"], ["KeyError('clean-up')"])


def test_a_timeout_around_the_block_is_a_timeout() -> None:
    """asyncio.timeout around a block of tasks raises TimeoutError at its time, and the children are cancelled."""

    async def main(clock: VirtualClock) -> tuple[float, list[str]]:
        log: list[str] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7), Tasks("t") as tasks:
                tasks.start(_note(log, "a"), "a")
        return clock.monotonic(), log

    assert simulate(main) == (7.0, ["a cancelled"])


def test_close_waits_for_slow_clean_up_even_when_cancelled_again() -> None:
    """close() returns only when each child has ended; a second cancellation is raised after that."""

    async def slow(log: list[str]) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(5)
            log.append("cleaned up")

    async def close(tasks: Tasks) -> None:
        await tasks.close()

    async def main(clock: VirtualClock) -> tuple[float, list[str], int, bool]:
        log: list[str] = []
        tasks, outer = Tasks("inner"), Tasks("outer")
        tasks.start(slow(log), "slow")
        await asyncio.sleep(1)
        closing = outer.start(close(tasks), "close")
        await asyncio.sleep(1)
        closing.cancel()
        await asyncio.wait([closing])
        return clock.monotonic(), log, len(tasks), closing.cancelled()

    assert simulate(main) == (6.0, ["cleaned up"], 0, True)


def test_a_long_lived_owner_outlives_a_childs_failure() -> None:
    """Without the block a failure goes to the exception handler and the siblings go on."""

    async def main(clock: VirtualClock) -> tuple[list[str], list[str]]:
        reports = _reports(asyncio.get_running_loop())
        log: list[str] = []
        tasks = Tasks("server")
        tasks.start(_fail(1, KeyError("one")), "fails")
        tasks.start(_note(log, "sibling", 2), "sibling")
        await asyncio.sleep(3)
        await tasks.close()
        return reports, log

    assert simulate(main) == (["KeyError('one')"], ["sibling done"])


def test_nothing_starts_in_a_closing_group() -> None:
    """After close() a start is refused by name, and the coroutine is closed rather than left unawaited."""

    async def main(clock: VirtualClock) -> None:
        tasks = Tasks("server")
        await tasks.close()
        with pytest.raises(RuntimeError, match="server is closing; late was not started"):
            tasks.start(_note([], "late"), "late")

    simulate(main)


@pytest.mark.parametrize("cancels", [0, 1, 3])
def test_uncancelled_work_is_seen_through(cancels: int) -> None:
    """However often the caller is cancelled, the work ends first; then the cancellation goes on."""

    async def write(log: list[str]) -> str:
        await asyncio.sleep(10)
        log.append("written")
        return "value"

    async def caller(log: list[str]) -> Any:
        return await uncancelled(write(log))

    async def main(clock: VirtualClock) -> tuple[float, list[str], bool]:
        log: list[str] = []
        running = Tasks("t").start(caller(log), "caller")
        for _ in range(cancels):
            await asyncio.sleep(1)
            running.cancel()
        await asyncio.wait([running])
        return clock.monotonic(), log, running.cancelled()

    assert simulate(main) == (10.0, ["written"], cancels > 0)


def test_the_virtual_loop_detects_a_deadlock() -> None:
    """Waiting for what can never come is an error that names the task, not a hang."""

    async def main(clock: VirtualClock) -> None:
        async with Tasks("world") as tasks:
            tasks.start(asyncio.Event().wait(), "waits for ever")

    with pytest.raises(Deadlock, match="world/waits for ever"):
        simulate(main)


def test_the_virtual_loop_jumps() -> None:
    """Thirty simulated minutes in two hundred tasks pass without waiting, in the same order each time."""

    async def main(clock: VirtualClock) -> tuple[float, list[str]]:
        log: list[str] = []
        async with Tasks("t") as tasks:
            for number in range(200):
                tasks.start(_note(log, str(number), 1_800 - number % 7), str(number))
        return clock.monotonic(), log

    assert simulate(main) == simulate(main)
    assert simulate(main)[0] == 1_800.0
