"""An event loop in virtual time: waiting costs nothing, and waiting for nothing is a deadlock.

When nothing is ready the loop jumps to the next timer. When there is no timer either, every task waits for another, and
`Deadlock` names them. There are no sockets and no threads in this world.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
EPOCH = 1_800_000_000.0
"""Wall time at which every simulated world begins (2027-01-15 08:00 UTC)."""


class Deadlock(Exception):
    """No task can go on, and no timer will wake one."""


class _Jump(selectors.SelectSelector):
    """Instead of waiting, moves the loop's time on by what was to be waited."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            stuck = sorted(task.get_name() for task in asyncio.all_tasks(self.loop))
            raise Deadlock(f"every task waits for another: {', '.join(stuck)}")
        self.loop.elapsed += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop with the time taken out."""

    def __init__(self) -> None:
        selector = _Jump()
        selector.loop = self
        self.elapsed = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.elapsed


class VirtualClock:
    """A `golive.core.clock.Clock` that reads the loop's virtual time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return EPOCH + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()


def simulate(main: Callable[[VirtualClock], Coroutine[Any, Any, T]]) -> T:
    """Runs `main(clock)` to its end in virtual time and returns what it returns.

    Raises:
        Deadlock: it can never end.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main(VirtualClock(runner.get_loop())))
