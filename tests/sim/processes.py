"""Processes on one virtual loop: each can be killed or frozen between any two of its steps, and woken later.

Every callback on an asyncio loop carries a context, and a context variable says whose it is. The loop asks, before it
runs a callback, whether that process still runs: a dead one's callbacks are dropped, so that nothing of it happens any
more, no clean-up either; a frozen one's are kept in order until it is woken. What belongs to no process (the network,
the database, providers, people) is the world's own and always runs.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from golive.core.errors import GoliveError
from tests.sim.loop import Deadlock, VirtualLoop

T = TypeVar("T")


class Process:
    """One operating-system process of the world. Its steps are the callbacks that its context is on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.steps = 0
        self.on_death: list[Callable[[], None]] = []
        """What the rest of the world notices: connections that break."""
        self._held: list[asyncio.Handle] = []
        self._trigger: tuple[int, Callable[[], None]] | None = None
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)

    def after_steps(self, steps: int, act: Callable[[], None]) -> None:
        """Calls `act` before the process takes its `steps`-th step from now: at any await of anything it runs."""
        self._trigger = (self.steps + steps, act)

    def kill(self) -> None:
        """Not one step more, and whoever is connected to it learns so."""
        if not self.alive:
            return
        self.alive = False
        self._held.clear()
        for act in self.on_death:
            act()

    def freeze(self) -> None:
        """No step until `wake`. Its connections stay as they are."""
        self.frozen = True

    def wake(self, loop: "WorldLoop") -> None:
        """Goes on where it stood; timers that ran out meanwhile run out now."""
        self.frozen = False
        held, self._held = self._held, []
        for handle in held:
            if not handle.cancelled():
                loop.again(handle)

    def start(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        """Begins a task of this process."""
        return loop.create_task(work, name=f"{self.name}:{name}", context=self.context.copy())

    def may_step(self, handle: asyncio.Handle) -> bool:
        """Whether the callback runs now."""
        if self._trigger is not None and self.alive and not self.frozen and self.steps >= self._trigger[0]:
            act, self._trigger = self._trigger[1], None
            OUTSIDE.run(act)
        if not self.alive:
            return False
        if self.frozen:
            self._held.append(handle)
            return False
        self.steps += 1
        return True


MOST_TURNS = 50_000
"""Turns of the loop without time going on."""
_NOTHING: list[Any] = []
_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
OUTSIDE = Context()
"""The context of what belongs to no process."""


def current() -> Process | None:
    """Whose step this is; None: the world's own."""
    return _PROCESS.get()


def outside(act: Callable[..., T], *args: Any) -> T:
    """Calls `act` as the world's own, whoever's step this is."""
    return act(*args) if current() is None else Context().run(act, *args)


class _Handle(asyncio.Handle):
    """A callback that asks its process first."""

    __slots__ = ()

    def _run(self) -> None:
        process = self._context.get(_PROCESS)  # type: ignore[attr-defined]
        if process is None or process.may_step(self):
            super()._run()


class _TimerHandle(asyncio.TimerHandle):
    """The same for a timer."""

    __slots__ = ()

    def _run(self) -> None:
        process = self._context.get(_PROCESS)  # type: ignore[attr-defined]
        if process is None or process.may_step(self):
            super()._run()


class WorldLoop(VirtualLoop):
    """The virtual loop with processes on it."""

    def __init__(self) -> None:
        super().__init__()
        self._turns = 0
        self.tasks: dict[asyncio.Task[Any], Process | None] = {}
        """Every task that has not ended, and whose it is, a dead process's too: none may be collected, for that would
        run its `finally` blocks."""
        self.faults: list[str] = []
        """What asyncio's exception handler was told."""
        self.set_task_factory(self._keep)
        self._selector.select = self._jump  # type: ignore[attr-defined]
        self.set_exception_handler(self._note)

    def again(self, handle: asyncio.Handle) -> None:
        """Puts a held callback behind those that are ready."""
        self._ready.append(handle)  # type: ignore[attr-defined]

    def outside_later(self, seconds: float, act: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        """Calls `act` in `seconds` as the world's own."""
        return self.call_at(self.time() + seconds, act, *args, context=OUTSIDE)

    def pending(self, process: Process) -> tuple[list[str], list[str]]:
        """The names of a process's tasks that have not ended, and its timers."""
        tasks = [task.get_name() for task, owner in self.tasks.items() if owner is process]
        timers = [
            getattr(handle._callback, "__qualname__", "?")
            for handle in self._scheduled  # type: ignore[attr-defined]
            if not handle.cancelled() and handle._context.get(_PROCESS) is process
        ]
        return sorted(tasks), sorted(timers)

    def bury(self) -> None:
        """Ends what is left of tasks, without another step of theirs counting; for after the world's end."""
        for task in list(self.tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = task.get_coro()
            if coroutine is not None:
                with suppress(BaseException):
                    coroutine.close()

    def _keep(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":
        task = asyncio.Task(work, loop=loop, **options)
        context: Context | None = options.get("context")
        self.tasks[task] = current() if context is None else context.get(_PROCESS)
        task.add_done_callback(self._forget, context=OUTSIDE)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.pop(task, None)

    def _note(self, loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        error = told.get("exception")
        if isinstance(error, GoliveError) and error.code != "internal":
            return  # of tasks that fail side by side all but the first are told so
        self.faults.append(f"{told.get('message')}: {error!r}")

    def _jump(self, timeout: float | None = None) -> list[Any]:
        """There is nothing to look at: no call of the system is made for it."""
        if timeout is None:
            raise Deadlock("every task waits for another")
        self._turns += 1
        if timeout > 0:
            self.elapsed += timeout
            self._turns = 0
        elif self._turns > MOST_TURNS:
            raise Deadlock(f"{MOST_TURNS} turns of the loop at one moment: somebody goes round and round")
        return _NOTHING

    # ---- where asyncio makes its callbacks

    def _call_soon(self, callback: Any, args: Any, context: Any) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        timer = _TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """A generator that nobody closed is the process's own affair: what collects it is no step of anybody's."""
        self.faults.append(f"an asynchronous generator was left open: {agen.__qualname__}")
