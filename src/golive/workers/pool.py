"""The worker toolset: a bounded pool of worker processes for one agent version.

Decides how many workers there are, which one takes a call, and what follows when one crashes, hangs or will not start.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from golive.config.schema import LimitsConfig, ToolConfig, WorkerConfig
from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import AgentError, GoliveError, ToolArgumentsInvalid, ToolError, WorkerCrashed
from golive.core.health import Dependency
from golive.core.messages import ToolSpec
from golive.core.tasks import Tasks
from golive.guards.redact import Redactor
from golive.tools.effects import Role
from golive.tools.executor import Carried, Log, Work, answered, failed, told, unknown_tool, work_of
from golive.tools.loading import FILE
from golive.tools.toolset import EffectRules, StatusAnswer, ToolInvocation, ToolOutcome
from golive.workers.environment import worker_environment
from golive.workers.outcomes import not_served
from golive.workers.places import Places
from golive.workers.process import WorkerProcess
from golive.workers.scratch import Scratch
from golive.workers.settings import effect_rules, named_functions, tool_timeouts
from golive.workers.spawn import Plan

HOME_PREFIX = "golive-worker-"
"""Begins the name of the folder that is HOME and TMPDIR of a version's workers."""
CLOSE_S = 3.0
"""How long workers may take to leave their lifespan when the toolset closes."""
FIRST_PAUSE_S = 0.1
"""Pause before the second restart in a row; each further one doubles it."""
MAX_PAUSE_S = 10.0
STABLE_S = 10.0
"""A worker that lived this long, or answered a call, does not count as one of a row of crashes."""
MAX_RETIRED = 4
"""Hung workers per place in the pool that may still be finishing other calls; beyond, the oldest is killed at once."""
STAND_IN_S = 1.0
"""How long a worker may stay stalled before another is started in its stead."""
MAX_STALLED = 2
"""Stalled workers per place in the pool that have a stand-in; beyond, calls wait until one of them runs again."""
REFUSING_STARTS = 2
"""Failed starts in a row after which calls are refused at once instead of waiting for a worker."""


def restart_pause(crashes: int) -> float:
    """Seconds to wait before the next start after `crashes` in a row: 0, 0.1, 0.2, 0.4 … 10."""
    return 0.0 if crashes < 2 else min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(crashes - 2, 30))


class WorkerToolset:
    """Tools in worker processes: `config.processes` of them with `config.concurrency` calls each at once."""

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
        environ: Mapping[str, str],
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """
        Args:
            redact: takes secrets out of what failed calls say; by default, what looks like one.
        """
        self._folder = folder.absolute()
        self._config = config
        self._settings = tool_settings
        self._limits = limits
        self._clock = clock
        self._log_outer = log
        self._name = name or self._folder.name
        self._environ = environ
        self._redact = redact or Redactor().text
        self._places: Places[WorkerProcess] = Places()
        self._alive: dict[WorkerProcess, None] = {}
        """Every process we started and that has not ended, retired ones included, oldest first."""
        self._tasks = Tasks(f"workers.{self._name}")
        self._specs: tuple[ToolSpec, ...] = ()
        self._effects: dict[str, EffectRules] = {}
        self._timeouts: dict[str, tuple[float, str]] = {}
        self._home: Scratch | None = None
        self._plan: Plan | None = None
        self._trouble: WorkerCrashed | None = None
        self._crashes = 0
        self._failed_starts = 0
        self._restarts = 0
        self._started = False
        self._closed = False

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return self._specs

    @property
    def effects(self) -> Mapping[str, EffectRules]:
        return self._effects

    async def start(self) -> None:
        """Returns when the first worker is ready; further ones follow in the background. No tools.py, no process.

        Raises:
            AgentError: tools.py cannot be served, or settings name what it does not have.
        """
        named = named_functions(self._settings, self._folder)
        if not (self._folder / FILE).is_file():
            self._timeouts = tool_timeouts((), self._settings, self._folder)
            self._started = True
            return
        self._home = Scratch(HOME_PREFIX)
        try:
            environment = worker_environment(self._environ, self._config.env, str(self._home.path))
            limits, config = self._limits, self._config
            self._plan = Plan(
                self._folder, config.concurrency, limits.max_tool_result_bytes, config.start_s, environment, named
            )
            first = self._new(self._plan)
            await first.start()
            self._specs = first.specs
            self._timeouts = tool_timeouts(self._specs, self._settings, self._folder)
            self._effects = effect_rules(self._specs, self._settings)
        except BaseException:
            await self.close()
            raise
        self._started = True
        self._places.add(first)
        for _ in range(config.processes - 1):
            self._tasks.start(self._bring_up(), "start")

    async def call(self, invocation: ToolInvocation, deadline: Deadline) -> ToolOutcome:
        return told(await self._carry_out(invocation, "call", deadline), self._redact)

    async def status(self, invocation: ToolInvocation, deadline: Deadline) -> StatusAnswer:
        running = any(worker.runs(invocation.key) for worker in self._alive)
        carried = await self._carry_out(invocation, "status", deadline)
        return answered(invocation.name, carried, self._redact, running=running)

    async def undo(self, invocation: ToolInvocation, result: str, deadline: Deadline) -> ToolOutcome:
        return told(await self._carry_out(invocation, "undo", deadline, result), self._redact)

    async def _carry_out(self, invocation: ToolInvocation, role: Role, deadline: Deadline, result: str = "") -> Carried:
        known = self._timeouts.get(invocation.name)
        if known is None:
            return unknown_tool(invocation.name, self._timeouts)
        deadline = deadline.sooner(Deadline.after(self._clock, *known))
        try:
            work = work_of(invocation, role, result, deadline)
        except ToolArgumentsInvalid as error:
            return failed(error, begun=False)
        carried: Carried | None = None
        while carried is None:  # None as well: a worker was lost, or stalled, before it began the call
            left = self._left(work, deadline)
            try:
                worker = (self._places.try_take() or await self._wait(left)) if left else None
            except GoliveError as error:
                if not isinstance(error, ToolError):
                    error = ToolError(error.message, remedy=error.remedy)
                return failed(error, begun=False)
            if worker is None:
                return not_served(work, deadline)
            if worker.accepting and self._left(work, deadline):  # both may end between the place and our turn
                carried = await worker.call(work, deadline)
            else:
                self._places.give_back(worker)
        return carried

    def _left(self, work: Work, deadline: Deadline) -> float:
        """Seconds in which it may still begin, never below 0."""
        return max(0.0, min(deadline.at, work.begin_by) - self._clock.monotonic())

    def health(self) -> Dependency:
        """Up while a worker takes calls."""
        workers = self._places.hosts
        busy = sum(worker.load for worker in workers)
        detail = f"{len(workers)} of {self._config.processes} workers, {busy} calls, {self._places.waiting} waiting"
        if self._restarts:
            detail += f", {self._restarts} restarts"
        if self._closed or not self._started:
            return Dependency(self._name, "worker", "unknown", detail="not running")
        if self._plan is None:
            return Dependency(self._name, "worker", "up", detail="no tools, no worker")
        if workers:
            return Dependency(self._name, "worker", "up", detail=detail)
        if stalled := sum(worker.stalled for worker in self._alive):
            detail += f". {stalled} stalled: a call blocks the event loop"
        if self._trouble is None:
            return Dependency(self._name, "worker", "down", detail=f"{detail}. A worker is starting.")
        cause = self._trouble.fields["cause"]
        return Dependency(self._name, "worker", "down", detail=f"{detail}. {self._trouble} {cause}".rstrip())

    async def close(self) -> None:
        """Ends all workers, within CLOSE_S and a little; no process of theirs is left."""
        if self._closed:
            return
        self._closed = True
        self._places.fail(self._closing())
        await self._tasks.close()
        stopping = Tasks(f"workers.{self._name}.close")
        for worker in list(self._alive):
            self._places.remove(worker)
            stopping.start(worker.stop(CLOSE_S), f"stop {worker.pid}")
        async with stopping:
            pass
        if self._home is not None:
            self._home.remove()

    # ---- told by the workers -----------------------------------------------------------------------------------------

    def freed(self, worker: WorkerProcess) -> None:
        self._places.give_back(worker)

    def hung(self, worker: WorkerProcess, tool: str) -> None:
        if worker.retired or self._closed:
            return
        self._log("worker.retired", pid=worker.pid, tool=tool)
        self._places.remove(worker)
        worker.retire()
        self._crashes = 0  # a replacement starts at once
        self._replace()
        retired = [other for other in self._alive if other.retired]
        if len(retired) > MAX_RETIRED * self._config.processes:
            self._tasks.start(retired[0].kill(), "kill")

    def stalled(self, worker: WorkerProcess, tools: list[str]) -> None:
        self._log("worker.stalled", pid=worker.pid, tools=tools)
        if not worker.retired and not self._closed:
            self._places.remove(worker)
            self._tasks.start(self._stand_in(worker), "stand-in")

    def revived(self, worker: WorkerProcess) -> None:
        self._log("worker.revived", pid=worker.pid)
        if not worker.retired and not self._closed:
            self._admit(worker)

    def lost(self, worker: WorkerProcess) -> None:
        self._alive.pop(worker, None)
        if self._closed:
            return
        self._tasks.start(worker.kill(), "reap")
        if worker.retired:
            return
        self._places.remove(worker)
        lived = self._clock.monotonic() - worker.started_at
        self._crashes = 1 if worker.answered or lived >= STABLE_S else self._crashes + 1
        self._replace()

    # ---- starting ----------------------------------------------------------------------------------------------------

    async def _wait(self, seconds: float) -> WorkerProcess | None:
        if self._closed:
            raise self._closing()
        if self._refuses and self._trouble is not None:
            raise self._trouble
        return await self._places.take(seconds)

    def _new(self, plan: Plan) -> WorkerProcess:
        worker = WorkerProcess(plan, self, clock=self._clock, log=self._log)
        self._alive[worker] = None
        return worker

    def _replace(self) -> None:
        self._restarts += 1
        self._tasks.start(self._bring_up(), "replace")

    async def _bring_up(self) -> None:
        """Adds one worker to the pool, however many attempts that takes, unless it is full meanwhile."""
        assert self._plan is not None
        while not self._full:
            pause = restart_pause(self._crashes)
            if pause:
                if not self._failed_starts:
                    self._in_trouble(f"Workers crashed {self._crashes} times in a row.")
                await asyncio.sleep(pause)
            worker = self._new(self._plan)
            try:
                await worker.start()
                self._check_unchanged(worker)
            except AgentError as error:
                self._alive.pop(worker, None)
                self._crashes += 1
                self._failed_starts += 1
                self._in_trouble("No worker can be started.", error.message)
                self._log("worker.start_failed", error=str(error), crashes=self._crashes)
                await worker.kill()
                continue
            self._failed_starts = 0
            self._admit(worker)
            return

    async def _stand_in(self, stalled: WorkerProcess) -> None:
        """Starts another worker if this one stays stalled."""
        await asyncio.sleep(STAND_IN_S)
        while stalled.stalled and not stalled.retired and stalled in self._alive:
            if sum(worker.stalled for worker in self._alive) <= MAX_STALLED * self._config.processes:
                await self._bring_up()
                return
            await asyncio.sleep(STAND_IN_S)

    def _admit(self, worker: WorkerProcess) -> None:
        """Into the pool, or out of it where another has taken its place."""
        self._trouble = None
        if self._full:
            worker.retire()
        else:
            self._places.add(worker)

    @property
    def _full(self) -> bool:
        return len(self._places.hosts) >= self._config.processes

    @property
    def _refuses(self) -> bool:
        return self._failed_starts >= REFUSING_STARTS and not self._places.hosts

    def _check_unchanged(self, worker: WorkerProcess) -> None:
        if [_parts(spec) for spec in worker.specs] != [_parts(spec) for spec in self._specs]:
            raise AgentError(
                f"{self._folder / 'tools.py'} has changed since this version was loaded.",
                remedy="Put the old files back, or load the agent again under a new version.",
            )

    def _in_trouble(self, message: str, cause: str = "") -> None:
        """`cause` may hold paths and what the code raised: it is for health and log, and not for the model.

        Calls wait for the next worker within their own deadlines, unless none can be started at all."""
        self._trouble = WorkerCrashed(message, remedy="The log has what the workers printed.", cause=cause)
        if self._refuses:
            self._places.fail(self._trouble)

    def _closing(self) -> WorkerCrashed:
        return WorkerCrashed(f"The tools of {self._name} are closed: the server is stopping.")

    def _log(self, event: str, /, **fields: Any) -> None:
        self._log_outer(event, **{**fields, "agent": self._name})


def _parts(spec: ToolSpec) -> tuple[str, str, bytes]:
    return spec.name, spec.description, bytes(spec.parameters)
