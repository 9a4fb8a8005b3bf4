"""The inline toolset: tools in the server's own process, for `golive dev --inline` and unit tests.

The same path for arguments and results as in a worker, without its protection: an async tool that blocks, blocks the
server; a crash takes it down; its environment is the server's.
"""

import asyncio
import itertools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from golive.config.schema import LimitsConfig, ToolConfig, WorkerConfig
from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import AgentError, Overloaded, ToolArgumentsInvalid, ToolError, WorkerCrashed
from golive.core.messages import ToolSpec
from golive.core.tasks import Tasks
from golive.guards.redact import Redactor
from golive.tools.effects import Role
from golive.tools.executor import Carried, Executor, Log, Work, answered, failed, told, unknown_tool, work_of
from golive.tools.loading import FILE, expose, load_tools
from golive.tools.toolset import EffectRules, StatusAnswer, ToolInvocation, ToolOutcome
from golive.workers.outcomes import not_served, timed_out
from golive.workers.places import Places
from golive.workers.settings import effect_rules, named_functions, tool_timeouts

MAX_ABANDONED = 64
"""Threads that may hang in calls nobody waits for, above `worker.concurrency`; beyond, sync tools are refused."""
CLOSE_S = 3.0
"""How long lifespan may take to end when the toolset closes."""

_numbers = itertools.count(1)
_open_folders: dict[Path, int] = {}


class _Here:
    """This process as the only host of calls."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.load = 0


class InlineToolset:
    """Tools in this process. Takes what `WorkerToolset` takes; `processes` and `env` have no meaning here."""

    def __init__(
        self,
        folder: Path,
        config: WorkerConfig,
        tool_settings: Mapping[str, ToolConfig],
        limits: LimitsConfig,
        *,
        clock: Clock,
        log: Log,
        name: str = "",
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """`redact` as in `WorkerToolset`."""
        self._folder = folder.absolute()
        self._config = config
        self._settings = tool_settings
        self._limits = limits
        self._clock = clock
        self._log = log
        self._redact = redact or Redactor().text
        self._name = name or self._folder.name
        self._places: Places[_Here] = Places()
        self._tasks = Tasks(f"inline.{self._name}")
        self._executor: Executor | None = None
        self._specs: tuple[ToolSpec, ...] = ()
        self._effects: dict[str, EffectRules] = {}
        self._timeouts: dict[str, tuple[float, str]] = {}
        self._closed = False

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return self._specs

    @property
    def effects(self) -> Mapping[str, EffectRules]:
        return self._effects

    @property
    def abandoned(self) -> int:
        """Threads in calls that nobody waits for."""
        return self._executor.threads.abandoned if self._executor is not None else 0

    async def start(self) -> None:
        """Imports tools.py into this process and enters its lifespan.

        Raises:
            AgentError: see Toolset.
        """
        named = named_functions(self._settings, self._folder)
        _open(self._folder)
        try:
            loaded = load_tools(self._folder, f"golive_tools_{next(_numbers)}", named)
            threads = self._config.concurrency + MAX_ABANDONED
            executor = Executor(
                loaded, clock=self._clock, threads=threads, max_result_bytes=self._limits.max_tool_result_bytes,
                log=self._log,
            )  # fmt: skip
            timeouts = tool_timeouts(loaded.specs, self._settings, self._folder)
            await self._enter(executor)
        except BaseException:
            _shut(self._folder)
            raise
        self._executor, self._specs, self._timeouts = executor, loaded.specs, timeouts
        self._effects = effect_rules(loaded.specs, self._settings)
        self._places.add(_Here(self._config.concurrency))

    async def call(self, invocation: ToolInvocation, deadline: Deadline) -> ToolOutcome:
        return told(await self._carry_out(invocation, "call", deadline), self._redact)

    async def status(self, invocation: ToolInvocation, deadline: Deadline) -> StatusAnswer:
        running = self._executor is not None and self._executor.running(invocation.key)
        carried = await self._carry_out(invocation, "status", deadline)
        return answered(invocation.name, carried, self._redact, running=running)

    async def undo(self, invocation: ToolInvocation, result: str, deadline: Deadline) -> ToolOutcome:
        return told(await self._carry_out(invocation, "undo", deadline, result), self._redact)

    async def _carry_out(self, invocation: ToolInvocation, role: Role, deadline: Deadline, result: str = "") -> Carried:
        known = self._timeouts.get(invocation.name)
        if known is None or self._executor is None:
            return unknown_tool(invocation.name, self._timeouts)
        if self._closed:
            return failed(self._closing(), begun=False)
        deadline = deadline.sooner(Deadline.after(self._clock, *known))
        try:
            work = work_of(invocation, role, result, deadline)
            here = await self._places.take(self._left(work, deadline)) if self._left(work, deadline) else None
        except (ToolArgumentsInvalid, WorkerCrashed) as error:
            return failed(error, begun=False)
        except Overloaded as error:
            return failed(ToolError(error.message, remedy=error.remedy), begun=False)
        if here is None:
            return not_served(work, deadline)
        task = self._tasks.start(self._executor.call(work), work.label)
        task.add_done_callback(lambda _: self._places.give_back(here))
        return await self._outcome(task, work, deadline)

    def _left(self, work: Work, deadline: Deadline) -> float:
        """Seconds in which it may still begin, never below 0."""
        return max(0.0, min(deadline.at, work.begin_by) - self._clock.monotonic())

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._places.fail(self._closing())
        if self._executor is not None:
            ending = Tasks(f"inline.{self._name}.close")
            leaving = ending.start(self._leave(self._executor), "lifespan")
            await asyncio.wait([leaving], timeout=CLOSE_S)
            if not leaving.done():
                self._log("inline.close_abandoned", agent=self._name, after_s=CLOSE_S)
            _shut(self._folder)

    async def _enter(self, executor: Executor) -> None:
        deadline = Deadline.after(self._clock, self._config.start_s, "worker.start_s")
        entering = self._tasks.start(executor.start(), "start")
        try:
            await asyncio.wait([entering], timeout=deadline.remaining(self._clock))
        finally:
            if not entering.done():
                entering.cancel()
        if not entering.done():
            raise AgentError(
                f"{self._folder / FILE}: lifespan was not ready within {deadline.seconds:g} s ({deadline.limit}).",
                remedy="Look for what it waits for, or raise worker.start_s in agent.toml.",
                key=deadline.limit,
            )
        entering.result()

    async def _outcome(self, task: "asyncio.Task[Carried]", work: Work, deadline: Deadline) -> Carried:
        """The place is freed when the task ends, which may be after its caller has gone."""
        try:
            await asyncio.wait([task], timeout=deadline.remaining(self._clock))
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done() and not task.cancelled():
            return task.result()
        if self._closed:
            return failed(self._closing())
        task.cancel()
        return timed_out(work.label, deadline, started=True)

    async def _leave(self, executor: Executor) -> None:
        await self._tasks.close()
        await executor.close()

    def _closing(self) -> WorkerCrashed:
        return WorkerCrashed(f"The tools of {self._name} are closed: the server is stopping.")


def _open(folder: Path) -> None:
    """Makes the siblings of tools.py importable.

    One process has one `sys.modules`: two agents with a sibling of the same name would silently share the first one's.

    Raises:
        AgentError: that is the case.
    """
    siblings = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    siblings -= {Path(FILE).stem, "__init__"}
    for other in _open_folders:
        if other == folder:
            continue
        taken = siblings & {name for name, file in _modules_of(other).items() if file}
        if taken:
            raise AgentError(
                f"{folder}: {', '.join(sorted(taken))} is also a module of {other}, loaded in this process.",
                remedy="Rename one of them, or run tools in worker processes (leave out --inline).",
            )
    if folder not in _open_folders:
        _forget(folder)  # what an earlier load left is stale by now
        expose(folder)
    _open_folders[folder] = _open_folders.get(folder, 0) + 1


def _shut(folder: Path) -> None:
    _open_folders[folder] -= 1
    if not _open_folders[folder]:
        del _open_folders[folder]
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        _forget(folder)


def _modules_of(folder: Path) -> dict[str, str]:
    return {
        name: file
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and Path(file).is_relative_to(folder)
    }


def _forget(folder: Path) -> None:
    for name in _modules_of(folder):
        del sys.modules[name]
