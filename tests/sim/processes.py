"""Processes on one virtual loop: each can be killed or frozen between any two of its steps, and woken later.

Every callback on an asyncio loop carries a context, and a context variable says whose it is. The loop asks, before it
runs a callback, whether that process still runs: a dead one's callbacks are dropped, so that nothing of it happens any
more, no clean-up either; a frozen one's are kept in order until it is woken. What belongs to no process (the network,
the database, providers, people) is the world's own and always runs.
"""

import asyncio
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from functools import partial
from heapq import heapify, heappop, heappush
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
        self._held: list[_Handle] = []
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

    def may_step(self, handle: "_Handle") -> bool:
        """Whether the callback runs now."""
        if self._trigger is None and self.alive and not self.frozen:
            self.steps += 1
            return True
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
_MANY = 100
"""From so many timers on those that were cancelled are thrown away once they are more than half: asyncio's own rule."""
_APART_S = 1e-9
"""Timers that are closer than that run out together."""
_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
OUTSIDE = Context()
"""The context of what belongs to no process."""


def current() -> Process | None:
    """Whose step this is; None: the world's own."""
    return _PROCESS.get()


class _Handle:
    """A callback of the loop, as `asyncio.Handle`. `work`: its context, what is called, with what. None: cancelled."""

    __slots__ = ("work",)

    work: tuple[Context, Callable[..., Any], tuple[Any, ...]] | None

    def cancel(self) -> None:
        self.work = None

    def cancelled(self) -> bool:
        return self.work is None


class _Timer(float):
    """The same at a time, as `asyncio.TimerHandle`. It is that time, so that ordering timers takes no call of ours."""

    __slots__ = ("loop", "scheduled", "work")

    work: tuple[Context, Callable[..., Any], tuple[Any, ...]] | None
    loop: "WorldLoop"
    scheduled: bool

    def cancel(self) -> None:
        if self.work is not None:
            self.work = None
            if self.scheduled:
                self.loop.thrown_away += 1

    def cancelled(self) -> bool:
        return self.work is None

    def when(self) -> float:
        """In the loop's time."""
        return float(self)


class WorldLoop(VirtualLoop):
    """The virtual loop with processes on it.

    In what order things happen is asyncio's affair, and kept to the letter. How its loop goes round is written anew
    here: there are no sockets to ask, nothing to debug, and every callback asks its process first.
    """

    def __init__(self) -> None:
        super().__init__()
        self._turns = 0
        self._now: deque[Any] = deque()
        """Callbacks that are ready."""
        self._timers: list[_Timer] = []
        self.thrown_away = 0
        """How many of the timers were cancelled."""
        self.tasks: dict[asyncio.Task[Any], Process | None] = {}
        """Every task that has not ended, and whose it is, a dead process's too: none may be collected, for that would
        run its `finally` blocks."""
        self.faults: list[str] = []
        """What asyncio's exception handler was told."""
        self.set_task_factory(self._keep)
        self.set_exception_handler(self._note)
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]
        self.get_debug = bool  # type: ignore[method-assign] # False, and no frame of Python is made for it

    def again(self, handle: _Handle) -> None:
        """Puts a held callback behind those that are ready."""
        self._now.append(handle)

    def outside_later(self, seconds: float, act: Callable[..., Any], *args: Any) -> None:
        """Calls `act` in `seconds` as the world's own, whoever's step this is."""
        self.call_at(self.elapsed + seconds, act, *args, context=OUTSIDE)

    def pending(self, process: Process) -> tuple[list[str], list[str]]:
        """The names of a process's tasks that have not ended, and its timers."""
        tasks = [task.get_name() for task, owner in self.tasks.items() if owner is process]
        timers = [
            getattr(timer.work[1], "__qualname__", "?")
            for timer in self._timers
            if timer.work is not None and timer.work[0].get(_PROCESS) is process
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

    # ---- how the loop goes round

    def run_forever(self) -> None:
        """Until `stop`. See `asyncio.BaseEventLoop.run_forever` and `_run_once`."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._asyncgen_finalizer_hook)
        events._set_running_loop(self)
        self._stopping = False
        try:
            while not self._stopping:
                self._wait()
                self._carry_out(len(self._now))
        finally:
            self._stopping = False
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def _wait(self) -> None:
        """Moves time on to the next timer where nothing is ready; what runs out then is ready."""
        timers, now = self._timers, self._now
        if len(timers) > _MANY and self.thrown_away / len(timers) > 0.5:
            for timer in timers:
                timer.scheduled = timer.work is not None
            timers[:] = [timer for timer in timers if timer.scheduled]
            heapify(timers)
            self.thrown_away = 0
        else:
            while timers and timers[0].work is None:
                self.thrown_away -= 1
                heappop(timers).scheduled = False
        self._turns += 1
        if not now:
            if not timers:
                raise Deadlock("every task waits for another")
            wait_s = timers[0] - self.elapsed
            if wait_s > 0:
                self.elapsed += wait_s
                self._turns = 0
        if self._turns > MOST_TURNS:
            raise Deadlock(f"{MOST_TURNS} turns of the loop at one moment: somebody goes round and round")
        until = self.elapsed + _APART_S
        while timers and timers[0] < until:
            timer = heappop(timers)
            timer.scheduled = False
            now.append(timer)

    def _carry_out(self, count: int) -> None:
        """So many callbacks, each if its process still takes steps; what they call for is for the next turn."""
        take = self._now.popleft
        for _ in range(count):
            handle = take()
            work = handle.work
            if work is None:
                continue
            context, callback, args = work
            process = context.get(_PROCESS)
            if process is None or process.may_step(handle):
                try:
                    context.run(callback, *args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    told = {"message": f"Exception in callback {callback!r}", "exception": error}
                    self.call_exception_handler(told)

    # ---- where asyncio makes its callbacks

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> _Handle:
        if self._closed:  # type: ignore[attr-defined]
            raise RuntimeError("Event loop is closed")
        handle = _Handle()
        handle.work = (copy_context() if context is None else context, callback, args)
        self._now.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> _Timer:
        return self.call_at(self.elapsed + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> _Timer:
        timer = _Timer(when)
        timer.work = (copy_context() if context is None else context, callback, args)
        timer.loop = self
        timer.scheduled = True
        heappush(self._timers, timer)
        return timer

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """A generator that nobody closed is the process's own affair: what collects it is no step of anybody's."""
        self.faults.append(f"an asynchronous generator was left open: {agen.__qualname__}")
