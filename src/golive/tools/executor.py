"""Carries calls out where the user's code is loaded: check the arguments, call, write the result down.

The one path that worker processes and inline mode share. Leaves deadlines, capacity and processes to `workers/`, and
what is a secret to the function it is handed.
"""

import asyncio
import contextlib
import inspect
import itertools
import math
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import (
    AgentError,
    GoliveError,
    ToolArgumentsInvalid,
    ToolError,
    ToolNotBegun,
    ToolRaised,
    ToolResultInvalid,
    ToolTimeout,
    ToolUnknown,
)
from golive.core.tasks import Tasks
from golive.tools.context import ToolContext
from golive.tools.effects import EffectFunction, Role, setting
from golive.tools.loading import LoadedTools, blame, describe, places
from golive.tools.results import result_text
from golive.tools.schema import Bound, Tool, nearest
from golive.tools.threads import Threads
from golive.tools.toolset import (
    CarriedOut,
    NotCarriedOut,
    NotKnown,
    StatusAnswer,
    ToolInvocation,
    ToolOutcome,
    undo_key,
)

MAX_ERROR_CHARS = 2_000
"""Of a failed call, as the model is told of it."""
MAX_RAISED_CHARS = 65_536
"""Of what a tool raised, as it reaches the server, which takes secrets out before it cuts the text for the model."""
MAX_ARGUMENT_BYTES = 8_388_608
"""Longest arguments of one call."""


class Log(Protocol):
    """Where events of tools and workers go: a past-tense name such as `tool.raised`, and fields."""

    def __call__(self, event: str, /, **fields: Any) -> None: ...


Carried = ToolOutcome | NotCarriedOut
"""What comes of a piece of work; NotCarriedOut of the role `status` alone, whose function returned None."""


class Work(Struct, frozen=True):
    """One call as it reaches the executor, or what is wanted about it. `name`, `arguments` and `key` are the call's.

    `deadline_at` is on the executor's clock's monotonic scale, and so is `begin_by`, after which no function is called.
    """

    name: str
    arguments: bytes
    tenant: str
    run: str
    key: str
    deadline_at: float
    begin_by: float = math.inf
    role: Role = "call"
    result: str = ""
    """What the call had returned, for the role `undo`."""

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name if self.role == "call" else f"{self.name} ({self.role})"


def failed(error: GoliveError, *, begun: bool = True) -> ToolOutcome:
    """The outcome that tells the model of `error`; `begun` as in ToolOutcome."""
    return ToolOutcome(False, utf8_safe(str(error)), error.code, begun)


def not_begun(work: Work) -> ToolOutcome:
    """`begin_by` is over, and the function was not called."""
    message = f"{work.label} was not begun: the time by which it had to begin was over. Nothing was done."
    return failed(ToolNotBegun(message, tool=work.name), begun=False)


def told(carried: Carried, redact: Callable[[str], str]) -> ToolOutcome:
    """The outcome as model and client are told it: of a failure, no secret, and at most `MAX_ERROR_CHARS`.

    What a tool returns is its own affair and stays as it is.
    """
    assert isinstance(carried, ToolOutcome), "only a status function says otherwise"
    if carried.ok:
        return carried
    text = redact(carried.content)
    if len(text) > MAX_ERROR_CHARS:
        text = text[:MAX_ERROR_CHARS] + "…"
    return ToolOutcome(False, text, carried.error_code, carried.begun)


def answered(tool: str, carried: Carried, redact: Callable[[str], str], *, running: bool) -> StatusAnswer:
    """What a status function said. What JSON cannot hold is an answer all the same: that the call was carried out.

    Args:
        running: the call was still running when the function was asked, so that its "no" may not hold.
    """
    if isinstance(carried, NotCarriedOut):
        return (
            NotKnown(f"{tool} is still running, and has not taken effect so far.", ToolTimeout.code)
            if running
            else carried
        )
    outcome = told(carried, redact)
    if outcome.ok or outcome.error_code == ToolResultInvalid.code:
        return CarriedOut(outcome)
    return NotKnown(outcome.content, outcome.error_code or ToolError.code)


def utf8_safe(text: str) -> str:
    """`text` with what UTF-8 cannot hold (half a surrogate pair) replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def unknown_tool(name: str, known: Any) -> ToolOutcome:
    """The answer to a model that invents a tool."""
    error = ToolUnknown(f"There is no tool {name[:100]!r}.", remedy=nearest(name, known), tool=name[:100])
    return failed(error, begun=False)


def undeclared(tool: str, role: Role) -> ToolOutcome:
    """The answer to whoever asks for a status or an undo function that the tool does not have."""
    message = f"{tool} has no {role} function."
    return failed(ToolUnknown(message, remedy=f"Name one as {setting(tool, role)}.", tool=tool), begun=False)


def argument_bytes(arguments: str) -> bytes:
    """The arguments in UTF-8.

    Raises:
        ToolArgumentsInvalid: they are too long, or hold half a surrogate pair.
    """
    try:
        data = arguments.encode()
    except UnicodeEncodeError:
        raise ToolArgumentsInvalid("The arguments are not valid Unicode.", remedy="Send plain JSON.") from None
    if len(data) > MAX_ARGUMENT_BYTES:
        raise ToolArgumentsInvalid(
            f"The arguments are {len(data):,} bytes, and the limit is {MAX_ARGUMENT_BYTES:,}.", remedy="Send less."
        )
    return data


def work_of(invocation: ToolInvocation, role: Role, result: str, deadline: Deadline) -> Work:
    """The work as it is handed to an executor.

    Raises:
        ToolArgumentsInvalid: see `argument_bytes`.
    """
    return Work(
        invocation.name, argument_bytes(invocation.arguments), invocation.tenant, invocation.run, invocation.key,
        deadline.at, invocation.begin_by, role, result,
    )  # fmt: skip


class Executor:
    """Tools of one folder, ready to be called once `start` has returned."""

    def __init__(self, loaded: LoadedTools, *, clock: Clock, threads: int, max_result_bytes: int, log: Log) -> None:
        self.loaded = loaded
        self.threads = Threads(threads, "tool")
        self._clock = clock
        self._max_result_bytes = max_result_bytes
        self._log = log
        self._tasks = Tasks("tools.executor")
        self._stop = asyncio.Event()
        self._lifespan: asyncio.Task[None] | None = None
        self._state: Any = None
        self._running: dict[int, Work] = {}
        """What has a function that has not ended, whether or not anybody waits for it, by a number each."""
        self._numbers = itertools.count()

    def running(self, key: str) -> bool:
        """Whether the call of the key was begun and its function has not ended."""
        return any(work.key == key and work.role == "call" for work in tuple(self._running.values()))

    async def start(self) -> None:
        """Enters `lifespan`.

        Raises:
            AgentError: it raised.
        """
        if self.loaded.lifespan is None:
            return
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Entered and left in one task, as task groups and cancel scopes inside it demand.
        self._lifespan = self._tasks.start(self._live(self.loaded.lifespan, entered), "lifespan")
        try:
            await entered
        except asyncio.CancelledError:
            self._lifespan.cancel()
            raise

    async def close(self) -> None:
        """Leaves `lifespan`; calls still running are the owner's to end first."""
        self._stop.set()
        if self._lifespan is not None:
            await asyncio.wait([self._lifespan])
        await self._tasks.close()
        self.threads.close()

    def stoppable(self, work: Work) -> bool:
        """Whether cancelling this work ends it: a thread cannot be stopped."""
        target = self._target(work)
        return target is None or target.is_async

    async def call(self, work: Work) -> Carried:
        """Carries one call out. Raises nothing but CancelledError, and that only if this very task was cancelled."""
        target = self._target(work)
        if target is None:
            known = work.role != "call" and work.name in self.loaded.tools
            return undeclared(work.name, work.role) if known else unknown_tool(work.name, self.loaded.tools)
        try:
            bound = self._bound(work, target)
        except ToolArgumentsInvalid as error:
            return failed(error, begun=False)
        except Exception as error:  # validators that users wrote may raise anything
            return self._raised(work, error, begun=False)
        if target.is_async:
            if self._over(work):
                return not_begun(work)
            return await self._noted(work, target.function(*bound.args, **bound.kwargs))
        try:
            done = await self.threads.run(lambda: self._in_thread(work, target, bound))
        except GoliveError as error:
            return failed(ToolError(error.message, remedy=error.remedy), begun=False)
        return done if isinstance(done, Carried) else await self._noted(work, done)

    def _target(self, work: Work) -> Tool | EffectFunction | None:
        return (
            self.loaded.tools.get(work.name) if work.role == "call" else self.loaded.effects.get((work.name, work.role))
        )

    def _bound(self, work: Work, target: Tool | EffectFunction) -> Bound:
        if isinstance(target, Tool):
            return target.bind(work.arguments, lambda: self._context(work))
        return target.bind(work.arguments, lambda: self._context(work), work.result)

    def _over(self, work: Work) -> bool:
        """Asked right before the function is called: a process may have been frozen anywhere before that."""
        return self._clock.monotonic() > work.begin_by

    def _in_thread(self, work: Work, target: Tool | EffectFunction, bound: Bound) -> Carried | Awaitable[Any]:
        if self._over(work):
            return not_begun(work)
        number = next(self._numbers)
        self._running[number] = work
        try:
            value = target.function(*bound.args, **bound.kwargs)
        except BaseException as error:  # sys.exit() in a tool is a failed call
            return self._raised(work, error)
        finally:
            del self._running[number]
        if inspect.isawaitable(value):
            return value
        return self._returned(work, value)

    async def _noted(self, work: Work, running: Awaitable[Any]) -> Carried:
        number = next(self._numbers)
        self._running[number] = work
        try:
            return await self._await(work, running)
        finally:
            del self._running[number]

    async def _await(self, work: Work, running: Awaitable[Any]) -> Carried:
        task = asyncio.current_task()
        assert task is not None
        try:
            value = await running
        except asyncio.CancelledError as error:
            if task.cancelling():
                raise
            return self._raised(work, error)  # something inside the tool was cancelled, not the call
        except BaseException as error:  # SystemExit would end the loop
            return self._raised(work, error)
        return self._returned(work, value)

    def _returned(self, work: Work, value: Any) -> Carried:
        if work.role == "status" and value is None:
            return NotCarriedOut()
        try:
            return ToolOutcome(True, result_text(value, work.name, self._max_result_bytes))
        except ToolError as error:
            return failed(error)

    def _raised(self, work: Work, error: BaseException, *, begun: bool = True) -> ToolOutcome:
        """The server is told type and message, and tells the model (see `told`); the traceback goes to the log."""
        own = error.__traceback__.tb_next if error.__traceback__ is not None else None  # the first frame is ours
        trace = "".join(traceback.format_exception(type(error), error, own))
        self._log(
            "tool.raised", tenant=work.tenant, run=work.run, tool=work.label, error=type(error).__name__,
            at=places(own), traceback=trace,
        )  # fmt: skip
        return failed(ToolRaised(describe(error)[:MAX_RAISED_CHARS], tool=work.name), begun=begun)

    def _context(self, work: Work) -> ToolContext:
        undoes = work.key if work.role == "undo" else None
        return ToolContext(
            tenant=work.tenant, run=work.run, idempotency_key=work.key if undoes is None else undo_key(undoes),
            tool=work.name, state=self._state, deadline_at=work.deadline_at, clock=self._clock, undoes=undoes,
        )  # fmt: skip

    async def _live(self, lifespan: Callable[[], Any], entered: "asyncio.Future[None]") -> None:
        try:
            async with _entered(lifespan) as self._state:
                if not entered.done():
                    entered.set_result(None)
                await self._stop.wait()
        except asyncio.CancelledError:
            entered.cancel()
            raise
        except BaseException as error:  # what a lifespan raises must not end the process
            if not entered.done():
                entered.set_exception(self._lifespan_failed(error))
            else:
                trace = "".join(traceback.format_exception(error))
                self._log("lifespan.failed", path=self.loaded.path, traceback=trace)

    def _lifespan_failed(self, error: BaseException) -> AgentError:
        where = blame(error, Path(self.loaded.path).parent)
        return AgentError(
            f"{self.loaded.path}: lifespan failed: {describe(error)} ({where}).",
            remedy="Correct the code at that line, or start what it connects to.",
            origin=where,
            traceback="".join(traceback.format_exception(error)),
        )


@contextlib.asynccontextmanager
async def _entered(lifespan: Callable[[], Any]) -> Any:
    """`lifespan` in any of its shapes: a generator or a context manager, sync or async."""
    manager = lifespan()
    if inspect.isasyncgen(manager):
        manager = contextlib.asynccontextmanager(lambda: manager)()
    elif inspect.isgenerator(manager):
        manager = contextlib.contextmanager(lambda: manager)()
    if hasattr(manager, "__aenter__"):
        async with manager as state:
            yield state
    elif hasattr(manager, "__enter__"):
        with manager as state:
            yield state
    else:
        raise TypeError(f"lifespan returned a {type(manager).__name__}; it must yield once")
