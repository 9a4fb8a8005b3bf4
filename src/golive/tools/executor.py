"""Carries calls out where the user's code is loaded: check the arguments, call, write the result down.

The one path that worker processes and inline mode share. Leaves deadlines, capacity and processes to `workers/`, and
what is a secret to the function it is handed.
"""

import asyncio
import contextlib
import inspect
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from golive.core.clock import Clock
from golive.core.errors import AgentError, GoliveError, ToolArgumentsInvalid, ToolError, ToolRaised, ToolUnknown
from golive.core.tasks import Tasks
from golive.tools.context import ToolContext
from golive.tools.loading import LoadedTools, blame, describe
from golive.tools.results import result_text
from golive.tools.schema import Bound, Tool, nearest
from golive.tools.threads import Threads
from golive.tools.toolset import ToolOutcome

MAX_ERROR_CHARS = 2_000
"""Of a failed call, as the model is told of it."""
MAX_RAISED_CHARS = 65_536
"""Of what a tool raised, as it reaches the server, which takes secrets out before it cuts the text for the model."""
MAX_ARGUMENT_BYTES = 8_388_608
"""Longest arguments of one call."""


class Log(Protocol):
    """Where events of tools and workers go: a past-tense name such as `tool.raised`, and fields."""

    def __call__(self, event: str, /, **fields: Any) -> None: ...


class Work(Struct, frozen=True):
    """One call as it reaches the executor; `deadline_at` is on the executor's clock's monotonic scale."""

    name: str
    arguments: bytes
    tenant: str
    run: str
    key: str
    deadline_at: float


def failed(error: GoliveError) -> ToolOutcome:
    """The outcome that tells the model of `error`."""
    return ToolOutcome(False, utf8_safe(str(error)), error.code)


def told(outcome: ToolOutcome, redact: Callable[[str], str]) -> ToolOutcome:
    """The outcome as model and client are told it: of a failure, no secret, and at most `MAX_ERROR_CHARS`.

    What a tool returns is its own affair and stays as it is.
    """
    if outcome.ok:
        return outcome
    text = redact(outcome.content)
    if len(text) > MAX_ERROR_CHARS:
        text = text[:MAX_ERROR_CHARS] + "…"
    return ToolOutcome(False, text, outcome.error_code)


def utf8_safe(text: str) -> str:
    """`text` with what UTF-8 cannot hold (half a surrogate pair) replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def unknown_tool(name: str, known: Any) -> ToolOutcome:
    """The answer to a model that invents a tool."""
    return failed(ToolUnknown(f"There is no tool {name[:100]!r}.", remedy=nearest(name, known), tool=name[:100]))


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

    def stoppable(self, name: str) -> bool:
        """Whether cancelling a call of this tool ends it: a thread cannot be stopped."""
        tool = self.loaded.tools.get(name)
        return tool is None or tool.is_async

    async def call(self, work: Work) -> ToolOutcome:
        """Carries one call out. Raises nothing but CancelledError, and that only if this very task was cancelled."""
        tool = self.loaded.tools.get(work.name)
        if tool is None:
            return unknown_tool(work.name, self.loaded.tools)
        try:
            bound = tool.bind(work.arguments, lambda: self._context(work))
        except ToolArgumentsInvalid as error:
            return failed(error)
        except Exception as error:  # validators that users wrote may raise anything
            return self._raised(work, error)
        if tool.is_async:
            return await self._await(work, tool.function(*bound.args, **bound.kwargs))
        try:
            done = await self.threads.run(lambda: self._in_thread(work, tool, bound))
        except GoliveError as error:
            return failed(ToolError(error.message, remedy=error.remedy))
        return done if isinstance(done, ToolOutcome) else await self._await(work, done)

    def _in_thread(self, work: Work, tool: Tool, bound: Bound) -> ToolOutcome | Awaitable[Any]:
        try:
            value = tool.function(*bound.args, **bound.kwargs)
        except BaseException as error:  # sys.exit() in a tool is a failed call
            return self._raised(work, error)
        if inspect.isawaitable(value):
            return value
        return self._returned(work, value)

    async def _await(self, work: Work, running: Awaitable[Any]) -> ToolOutcome:
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

    def _returned(self, work: Work, value: Any) -> ToolOutcome:
        try:
            return ToolOutcome(True, result_text(value, work.name, self._max_result_bytes))
        except ToolError as error:
            return failed(error)

    def _raised(self, work: Work, error: BaseException) -> ToolOutcome:
        """The server is told type and message, and tells the model (see `told`); the traceback goes to the log."""
        own = error.__traceback__.tb_next if error.__traceback__ is not None else None  # the first frame is ours
        trace = "".join(traceback.format_exception(type(error), error, own))
        self._log("tool.raised", tenant=work.tenant, run=work.run, tool=work.name, traceback=trace)
        return failed(ToolRaised(describe(error)[:MAX_RAISED_CHARS], tool=work.name))

    def _context(self, work: Work) -> ToolContext:
        return ToolContext(
            tenant=work.tenant, run=work.run, idempotency_key=work.key, tool=work.name, state=self._state,
            deadline_at=work.deadline_at, clock=self._clock,
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
